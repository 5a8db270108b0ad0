"""Leases that somebody forges, before a run and while it goes on: at the worst one waits, and never do two write."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from runbook.effects import Change, Effect
from runbook.guard.fence import workload_path
from runbook.guard.lock import DURATION, LONGEST, MOST_TRANSITIONS
from runbook.kube.views import RUN_ANNOTATION
from tests.figures import Figures
from tests.memory_api import Document
from tests.memory_cluster import (
    EVENTS,
    LEASES,
    RECORD,
    REPLICAS,
    SCALED_OBJECT,
    TARGET,
    Driver,
    MemoryCluster,
    Perform,
    approved,
    engine,
    finish,
)
from tests.sampling import Dice
from tests.test_runbook.test_guard.test_forgery import others, with_an_open_run
from tests.test_runbook.test_run.test_interleavings import FINISHED, MOST, SECONDS, Begin, a_run, schedules

OWN = {workload_path(each) for each in (TARGET.workload, *TARGET.workers)}
ME, STRANGER = "run-2", "bob@desk/machine/9/run-9"
MY_HOLDER = approved(MemoryCluster(), ME).holder
POINTS = 200
"""Of a run, at any of which somebody may write."""

TAMPERED: dict[str, dict[str, Any] | None] = {
    "held by a stranger": {"holderIdentity": STRANGER},
    "held by nobody": {"holderIdentity": ""},
    "held by us, who never took it": {"holderIdentity": MY_HOLDER},
    "renewed in the far future": {"holderIdentity": STRANGER, "renewTime": "9999-12-31T23:59:59.999999Z"},
    "renewed long ago": {"holderIdentity": STRANGER, "renewTime": "0001-01-01T00:00:00.000000Z"},
    "lasts for a day": {"holderIdentity": STRANGER, "leaseDurationSeconds": 86_400},
    "lasts for a second": {"holderIdentity": STRANGER, "leaseDurationSeconds": 1},
    "changed hands as often as can be counted": {"leaseTransitions": MOST_TRANSITIONS},
    "a holder that is no name": {"holderIdentity": "\x1b[2J\n</script>" * 5000, "acquireTime": "never"},
    "without a word": {"holderIdentity": None, "renewTime": None, "leaseDurationSeconds": None},
    "deleted": None,
}


@dataclass
class Written:
    """Which paths the runbook wrote, and when it first wrote to a workload."""

    cluster: MemoryCluster
    paths: set[str] = field(default_factory=set)
    first_at: float = math.inf

    def __call__(self, change: Change, _before: Document | None, _after: Document) -> None:
        self.paths.add(change.path)
        if change.path in OWN:
            self.first_at = min(self.first_at, self.cluster.clock.monotonic())

    @property
    def elsewhere(self) -> set[str]:
        """What is neither the target, its workers and their scaler, nor what a run writes down about them."""
        own = {*OWN, SCALED_OBJECT, RECORD, RECORD.rpartition("/")[0], LEASES, EVENTS}
        return {path for path in self.paths - own if path.rpartition("/")[0] != LEASES}


def tamper(cluster: MemoryCluster, forged: dict[str, Any] | None) -> None:
    """Write into every Lease what somebody who may write Leases could, or delete them."""
    for path, _ in cluster.api.within(LEASES):
        if forged is None:
            cluster.api.delete(path)
        else:
            cluster.api.edit(path, {"spec": forged})


@pytest.mark.fault("H7")
@pytest.mark.parametrize("way", ["resume", "abort"])
@pytest.mark.parametrize("forged", TAMPERED.values(), ids=TAMPERED)
def test_who_goes_on_over_forged_leases_writes_nowhere_else_and_waits_ten_minutes_at_most(
    forged: dict[str, Any] | None, way: str
) -> None:
    cluster = with_an_open_run()
    tamper(cluster, forged)
    before, written, began = others(cluster), Written(cluster), cluster.clock.monotonic()
    cluster.api.witnesses.append(written)
    second = engine(cluster, ME, dead=False)
    ending = Driver(cluster).drive(second.resume() if way == "resume" else second.abort())
    assert ending.outcome in FINISHED, ending.message
    assert written.first_at - began <= LONGEST + DURATION
    assert (others(cluster), written.elsewhere) == (before, set())
    assert cluster.replicas() == REPLICAS
    assert cluster.restarts <= 1


@pytest.mark.fault("H7")
@pytest.mark.parametrize("of", [3, pytest.param(20, marks=pytest.mark.proof)])
@pytest.mark.parametrize("forged", TAMPERED.values(), ids=TAMPERED)
def test_forged_while_a_run_goes_on_it_goes_on_or_stops_and_can_be_resumed(
    forged: dict[str, Any] | None, of: int
) -> None:
    dice = Dice()
    for at in dice.sample(range(1, POINTS), of):
        cluster = MemoryCluster()
        written = Written(cluster)
        cluster.api.witnesses.append(written)
        Driver(cluster, {at: _once(partial(tamper, cluster, forged))}).drive(engine(cluster, ME, dead=False).restart())
        restarts = cluster.restarts
        if cluster.record.run is not None:
            assert finish(cluster, "run-3").outcome in FINISHED
        assert (at, written.elsewhere, cluster.replicas()) == (at, set(), REPLICAS), str(dice)
        assert restarts <= cluster.restarts <= 1


@pytest.mark.fault("H7")
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize(
    "of", [2, pytest.param(20, marks=pytest.mark.thorough), pytest.param(200, marks=pytest.mark.proof)]
)
def test_where_the_lock_always_names_who_asks_each_write_still_has_its_own_fence(
    second: Begin, of: int, figures: Figures
) -> None:
    """The lock is worth nothing: before each effect of either command somebody makes it that command's."""
    dice = Dice()
    chosen = dice.sample(list(schedules(second)), of)
    counted = sum(_without_a_lock(second, i, j) for i, j in chosen)
    figures(f"{len(chosen)} schedules of two commands whose lock names both ({dice}): {counted} writes, unfenced: 0")


def _without_a_lock(second: Begin, i: int, j: int) -> int:
    """Run one schedule; return how many writes changed a specification, each of them under its own fence."""
    cluster, fences = MemoryCluster(), _Fences()
    cluster.api.witnesses.append(fences)
    first = a_run(cluster)
    first.meanwhile = fences.named(cluster, "first")
    first.run(i)
    other = second(cluster)
    other.meanwhile = fences.named(cluster, "second")
    for command, count in ((other, j), (first, MOST), (other, MOST)):
        command.run(count)
    assert None not in (first.ending, other.ending), (i, j)
    fences.writing = "third"
    assert finish(cluster, "third").outcome in FINISHED, (i, j)
    assert cluster.replicas() == REPLICAS, (i, j)
    assert cluster.record.run is None, (i, j)
    return fences.writes


@dataclass
class _Fences:
    """Whose each fence is: of who wrote it first. One that is refused puts back the fence that it found."""

    writing: str = ""
    writes: int = 0
    of: dict[str, str] = field(default_factory=dict)

    def named(self, cluster: MemoryCluster, run_id: str) -> Callable[[], None]:
        """Return what makes all Leases those of one run, which writes from now on."""

        def forge() -> None:
            self.writing = run_id
            tamper(cluster, {"holderIdentity": approved(cluster, run_id).holder})

        return forge

    def __call__(self, change: Change, before: Document | None, after: Document) -> None:
        if change.path not in OWN or before is None:
            return
        stood, stands = (each["metadata"].get("annotations", {}).get(RUN_ANNOTATION) for each in (before, after))
        if before["spec"] != after["spec"]:
            self.writes += 1
            assert self.of.get(stood) == self.writing, f"{change.what}: the fence is {stood}"
        self.of.setdefault(stands, self.writing)


def _once(deed: Callable[[], object]) -> Callable[[Perform, Effect], Any]:
    def fault(perform: Perform, effect: Effect) -> Any:
        deed()
        return perform(effect)

    return fault
