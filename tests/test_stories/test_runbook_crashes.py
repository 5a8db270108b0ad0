"""R11: a run that is killed before or after any of its writes is resumed, and comes to the same end."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count

import pytest

from tests.api_proxy import Drop, Pass, Reaction, Request, let_pass
from tests.figures import Figures
from tests.runbook_process import Ran, RunbookProcess
from tests.sampling import Dice
from tests.test_stories.ground import Ground
from tests.test_stories.working_ground import WorkingGround, working_ground

pytestmark = pytest.mark.cluster

SHARDS = 6
SAMPLE = 4


@dataclass(frozen=True)
class Point:
    """A moment to die in: `before` the API server gets the write of this number, or `after` it, without the answer."""

    number: int
    moment: str


@pytest.fixture
def working(ground: Ground) -> Iterator[WorkingGround]:
    with working_ground(ground) as made:
        yield made


@pytest.mark.fault("F37")
@pytest.mark.parametrize("shard", [None, *(pytest.param(each, marks=pytest.mark.proof) for each in range(SHARDS))])
@pytest.mark.promise("P1", "P7")
def test_r11_a_run_that_is_killed_at_any_write_comes_to_the_same_end_when_somebody_goes_on(
    shard: int | None, working: WorkingGround, figures: Figures
) -> None:
    every = points(working, "restart")
    dice = Dice()
    chosen = dice.sample(every, SAMPLE) if shard is None else every[shard::SHARDS]
    killed = 0
    for point in chosen:
        working.renew()
        since = working.revision()
        killed += kill_at(working, point, "restart")
        ran = working.go_on()
        assert ran.code == 0, (point, ran)
        working.assert_caught_up(restarts=1, since=since)
    assert killed > len(chosen) // 2
    part = dice if shard is None else f"part {shard + 1} of {SHARDS}"
    figures(f"killed at {killed} of {len(every)} points and gone on with: replica counts lost 0 ({part})")


@pytest.mark.parametrize("shard", [None, *(pytest.param(each, marks=pytest.mark.proof) for each in range(SHARDS))])
def test_r11_going_on_may_be_killed_too(shard: int | None, working: WorkingGround, figures: Figures) -> None:
    dice = Dice()
    print(dice)  # which pytest shows of one that fails
    every = points(working, "restart")
    recorded = tuple(working.proxy.writes)
    # Where a run is open, so that there is something to go on with.
    is_record = [request.path.rpartition("/")[2].startswith(("configmaps", "certlag-run")) for request in recorded]
    opened, closed = is_record.index(True), len(is_record) - 1 - is_record[::-1].index(True)
    firsts = dice.sample([point for point in every if opened < point.number < closed], 1 if shard is None else 6)
    seconds = dice.sample([Point(number, moment) for number in range(8) for moment in ("before", "after")], len(firsts))
    twice = 0
    for first, second in zip(firsts, seconds, strict=True):
        working.renew()
        since = working.revision()
        if kill_at(working, first, "restart") and working.drained.open_run is not None:
            twice += kill_at(working, second, "resume")
        ran = working.go_on()
        assert ran.code == 0, (first, second, ran)
        working.assert_caught_up(restarts=1, since=since)
    assert twice >= len(firsts) // 2
    figures(f"{twice} runs killed, gone on with, killed again and gone on with: replica counts lost 0 ({dice})")


def points(working: WorkingGround, verb: str) -> list[Point]:
    """Run undisturbed, and return all moments to die in."""
    since = working.revision()
    ran = working.run(verb)
    assert ran.code == 0, ran
    working.assert_caught_up(restarts=1, since=since)
    return [Point(number, moment) for number in range(len(working.proxy.writes)) for moment in ("before", "after")]


def kill_at(working: WorkingGround, point: Point, verb: str) -> bool:
    """Start a command and kill it at a point; return whether it came there.

    The slower a run, the more often its Leases are renewed: of a quick one, a point near the end may lie behind it.
    """
    victim: Future[RunbookProcess] = Future()
    writes = count()

    def strike(request: Request) -> Reaction:
        if request.is_write and next(writes) == point.number:
            victim.result().kill()
            return Drop()
        return Pass()

    proxy = working.proxy
    proxy.before = working.promised(strike if point.moment == "before" else let_pass)
    proxy.after = strike if point.moment == "after" else let_pass
    victim.set_result(working.start(verb))
    ran: Ran = victim.result().wait()
    came = next(writes) > point.number
    assert ran.code == (-9 if came else 0), f"{point}: {ran}"
    proxy.before, proxy.after = working.promised(let_pass), let_pass
    return came
