"""R12: runs that begin in the same instant. Exactly one changes anything, the other says who holds the lock."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.api_proxy import ApiProxy, Pass, Reaction, Request, Rule, api_proxy
from tests.bench import servers
from tests.figures import Figures
from tests.runbook_process import Ran, Runbook, RunbookProcess, operator
from tests.test_stories.drained_ground import TARGET
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.working_ground import KINDS, REPLICAS, WorkingGround, working_ground

pytestmark = pytest.mark.cluster

ROUNDS = [3, pytest.param(20, marks=pytest.mark.proof)]
NEIGHBOUR = "two"
LOCKED, REFUSED = 4, 3


@pytest.fixture
def working(ground: Ground) -> Iterator[WorkingGround]:
    with working_ground(ground) as made:
        yield made


@pytest.mark.fault("F38")
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.promise("P4")
def test_r12_of_two_runs_of_one_target_that_begin_at_once_one_acts_and_the_other_names_it(
    rounds: int, working: WorkingGround, figures: Figures
) -> None:
    with rival(working, TARGET) as (proxy, runbook):
        for _ in range(rounds):
            working.renew()
            since = working.revision()
            race(working, proxy, runbook, TARGET)
            working.assert_caught_up(restarts=1, since=since)
    figures(f"{rounds} pairs of runs of one target at once: one acted, the other named it; replica counts lost 0")


@pytest.mark.parametrize("rounds", ROUNDS)
def test_r12_of_two_targets_that_share_workers_one_acts_and_the_other_names_it(
    rounds: int, working: WorkingGround, figures: Figures
) -> None:
    ground = working.drained.ground
    ground.apply(servers.certificate(NEIGHBOUR), servers.deployment(NEIGHBOUR, [servers.go(NEIGHBOUR)]))
    ground.wait_available(NEIGHBOUR)
    won = set()
    with rival(working, NEIGHBOUR) as (proxy, runbook):
        for _ in range(rounds):
            working.renew()
            ground.cluster.renew(ground.namespace, NEIGHBOUR)
            won.add(race(working, proxy, runbook, NEIGHBOUR))
            working.assert_workers_back()
    winners = ", ".join(sorted(won))
    figures(f"{rounds} pairs of runs of two targets that share workers: one acted, the other named it (won: {winners})")


def race(working: WorkingGround, proxy: ApiProxy, runbook: Runbook, target: str) -> str:
    """Have two operators begin at once, and return whose target was restarted."""
    ways = {TARGET: working.proxy, "rival": proxy}
    for way in ways.values():
        way.requests.clear()
    together = threading.Barrier(2)
    for way in ways.values():
        way.before = working.promised(at_once(together))
    started = {
        TARGET: working.start("restart"),
        "rival": runbook.start(f"restart-{target}", "--yes", "--no-settle"),
    }
    ran = {name: process.wait() for name, process in started.items()}
    winner, loser = sorted(ran, key=lambda name: ran[name].code)
    assert ran[winner].code == 0, ran[winner]
    assert_stood_back(ran[loser], ways[loser], started[winner])
    return TARGET if winner == TARGET else target


def assert_stood_back(ran: Ran, way: ApiProxy, winner: RunbookProcess) -> None:
    """It has changed nothing but Leases that it took and gave back, and says who was faster."""
    assert ran.code in (LOCKED, REFUSED), ran
    assert [request.path for request in way.writes if "/leases" not in request.path] == []
    if ran.code == LOCKED:
        assert f"/{winner.process.pid}/" in ran.ended["message"], ran
        assert ran.ended["next_commands"], ran


def at_once(together: threading.Barrier) -> Rule:
    """HoldBack the first write until the other's first write is there too, so that they race for the lock."""
    first = threading.Lock()

    def rule(request: Request) -> Reaction:
        if request.is_write and first.acquire(blocking=False):
            with suppress(threading.BrokenBarrierError):  # the other came too late to write anything
                together.wait(8)  # less than a write may take
        return Pass()

    return rule


@contextmanager
def rival(working: WorkingGround, target: str) -> Iterator[tuple[ApiProxy, Runbook]]:
    """Another operator, with a way of their own to the API server, whose target has the same workers."""
    ground = working.drained.ground
    workers = [f"{KINDS[name].lower()}/{name}" for name in REPLICAS]
    configuration = ground.folder / "rival.yaml"
    configuration.write_text(json.dumps({"targets": [a_target(target, workers=workers, namespace=ground.namespace)]}))
    folder = ground.folder / "rival"
    folder.mkdir()
    with api_proxy(ground.cluster) as proxy:
        kubeconfig = proxy.kubeconfig(folder, ground.cluster.client.token, ground.namespace)
        with operator(kubeconfig, folder, environment={"CERTLAG_CONFIG": str(configuration)}) as runbook:
            yield proxy, runbook
