"""Two commands at once, switched from one to the other at every pair of points: what the fence and the lock are for.

The engine does no I/O, so a schedule is just an order of effects. Bounded as in CHESS (Musuvathi and others, "Finding
and reproducing Heisenbugs in concurrent programs", OSDI 2008): the first command runs for `i` effects and is put to
sleep, the second for `j`, then the first wakes up and goes to its end, then the second. For the pair "a run, and a
take-over of it by one who wrongly believes it dead" that is every such schedule; each write is held against the
promises as it is done, and the end against what must be so at the end.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from runbook.effects import Change, Effect, Emit, Steps
from runbook.outcomes import Outcome
from runbook.run.engine import Ending
from tests.field.record import case
from tests.figures import Figures
from tests.memory_cluster import REPLICAS, Driver, MemoryCluster, engine, finish
from tests.sampling import Dice

MOST = 400
"""More effects than any command has here."""


@dataclass
class Command:
    """One command, stepped effect by effect."""

    cluster: MemoryCluster
    steps: Steps[Ending]
    ending: Ending | None = None
    writes: list[Change] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """What somebody else does before each of its effects."""
    _answer: Any = None
    _error: Exception | None = None

    def run(self, count: int) -> None:
        """Perform so many effects, or fewer if it ends."""
        performed = 0
        while performed < count and self.ending is None:
            effect = self._next()
            if effect is not None and not isinstance(effect, Emit):
                self._perform(effect)
                performed += 1

    def _next(self) -> Effect | None:
        try:
            effect = self.steps.send(self._answer) if self._error is None else self.steps.throw(self._error)
        except StopIteration as ended:
            self.ending = ended.value
            return None
        self._answer, self._error = None, None
        return effect

    def _perform(self, effect: Effect) -> None:
        self.meanwhile()
        try:
            self._answer = Driver(self.cluster).perform(effect)
            if isinstance(effect, Change):
                self.writes.append(effect)
        except AssertionError:
            raise
        except Exception as failed:  # noqa: BLE001 - raised where it was asked, as the driver does
            self._error = failed


Begin = Callable[[MemoryCluster], Command]


def a_run(cluster: MemoryCluster) -> Command:
    return Command(cluster, engine(cluster, "first", dead=False).restart())


def a_take_over(cluster: MemoryCluster) -> Command:
    """Somebody who believes the holder of the lock to be dead: resumes what is open, else begins a run of his own."""
    second = engine(cluster, "second", dead=True)
    return Command(cluster, second.restart() if cluster.record.run is None else second.resume())


def an_abort(cluster: MemoryCluster) -> Command:
    second = engine(cluster, "second", dead=True)
    return Command(cluster, second.restart() if cluster.record.run is None else second.abort())


def length(begin: Begin) -> int:
    """How many effects a command has by itself."""
    cluster = MemoryCluster()
    command = begin(cluster)
    for count in range(MOST):
        command.run(1)
        if command.ending is not None:
            return count
    raise AssertionError(f"more than {MOST} effects")


def schedules(second: Begin) -> Iterator[tuple[int, int]]:
    """Every pair of points; the second's own length depends on where it begins, so its last points are its end."""
    return itertools.product(range(length(a_run)), range(1, length(second) + 1))


def check(second: Begin, i: int, j: int) -> str:
    """Run one schedule and hold it against the promises; return how the two ended."""
    cluster = MemoryCluster()
    first = a_run(cluster)
    first.run(i)
    locked = bool(first.writes)  # one that had not begun may begin when the second has ended
    other = second(cluster)
    other.run(j)
    fenced = other.ending is not None or any(change.what == "write the record" for change in other.writes)
    written = len(first.writes)
    first.run(MOST)
    if locked and fenced:
        late = [change.what for change in first.writes[written:] if matters(change)]
        assert late == [], f"the first wrote after it was fenced off: {late}"
    other.run(MOST)
    assert first.ending is not None
    assert other.ending is not None
    # Anyone who came last may have been refused or locked out; then an operator does what he is told to.
    ending = other.ending if other.ending.outcome in FINISHED else finish(cluster, "third")
    assert ending.outcome in FINISHED
    assert cluster.replicas() == REPLICAS
    assert cluster.record.run is None
    assert cluster.marks() == set()
    assert cluster.restarts <= 2
    return f"{first.ending.outcome} and {other.ending.outcome}"


def matters(change: Change) -> bool:
    """Leases and Events change nothing that is worked on."""
    return "/leases" not in change.path and not change.path.endswith("/events")


FINISHED = {Outcome.DONE, Outcome.ABORTED, Outcome.NOTHING_TO_DO}
SECONDS = [pytest.param(a_take_over, id="take-over"), pytest.param(an_abort, id="abort")]


@case(
    "W23",
    kind="Found by tests: two runs that changed the same objects",
    situation="A run sleeps between a read and a write, and another command takes it over.",
    says="Only the later one writes. Before: the sleeper's write could land, and what it had recorded could be lost.",
    found_by="simulation",
    since="2026-11-24",
)
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("of", [12, pytest.param(100, marks=pytest.mark.thorough)])
def test_of_two_commands_that_overlap_anywhere_only_the_later_epoch_writes(
    second: Begin, of: int, figures: Figures
) -> None:
    dice = Dice()
    _explore(second, dice.sample(list(schedules(second)), of), str(dice), figures)


@case(
    "W24",
    kind="Found by tests: two runs that changed the same objects",
    situation="A run sleeps before it writes its record, and another run begins and ends.",
    says="It writes nothing. Before: it wrote its record over the other one's, as an open run.",
    found_by="simulation",
    since="2026-11-24",
)
@pytest.mark.parametrize("second", SECONDS)
def test_who_sleeps_before_it_records_writes_no_record_over_that_of_a_whole_run_meanwhile(second: Begin) -> None:
    recorded = next(i for i in range(length(a_run)) if _next_is(i, "create the record"))
    for j in range(length(second) - 12, length(second) + 1):
        check(second, recorded, j)


def _next_is(i: int, what: str) -> bool:
    """Tell whether a run's effect after so many is this one."""
    command = a_run(MemoryCluster())
    command.run(i)
    before = len(command.writes)
    command.run(1)
    return any(change.what == what for change in command.writes[before:])


@pytest.mark.proof
@pytest.mark.parametrize("second", SECONDS)
def test_every_pair_of_points_of_two_commands(second: Begin, figures: Figures) -> None:
    _explore(second, list(schedules(second)), "all", figures)


def _explore(second: Begin, chosen: list[tuple[int, int]], which: str, figures: Figures) -> None:
    endings: set[str] = set()
    for i, j in chosen:
        try:
            endings.add(check(second, i, j))
        except BaseException as error:
            error.add_note(f"schedule: the first for {i} effects, the second for {j}, then each to its end")
            raise
    figures(f"{len(chosen)} schedules of two commands ({which}), violations 0; ends: {', '.join(sorted(endings))}")
