"""Wall time jumps by hours and by weeks in the middle of a run, while intervals go on as they were.

Somebody sets the operator's clock, or the API server's, by which that one is put right. A run's timeouts and the age of
its lock are intervals: nothing of them may end early, last longer, or let somebody in.
"""

from datetime import timedelta
from typing import Any

import pytest

from runbook.effects import Effect, Wait
from runbook.guard.guarded_run import Limits
from runbook.guard.lock import DURATION, Leases, LockHeldError
from runbook.outcomes import Outcome
from tests.builders import a_leaf
from tests.field.record import case
from tests.figures import Figures
from tests.memory_cluster import LEASES, REPLICAS, WORKERS, Driver, Fault, MemoryCluster, Perform, engine
from tests.sampling import Dice

HOURS, WEEKS = timedelta(hours=3), timedelta(days=40)
EVERY_JUMP = pytest.mark.parametrize(
    "jump",
    [HOURS, -HOURS, WEEKS, -WEEKS],
    ids=["3 h ahead", "3 h back", "40 d ahead", "40 d back"],
)
LIMITS = Limits(timedelta(minutes=10), timedelta(minutes=5))
SLACK = 10.0
"""Seconds: two waits."""
WATCHED = 2
"""The first effect of anyone who reaches for a lock after he has begun to watch its holder: a wait."""
LEASE = f"{LEASES}/certlag-deployment-{WORKERS[0].name}"


def jumping(cluster: MemoryCluster, jump: timedelta) -> Fault:
    """The clock is set, and then comes the effect."""

    def fault(perform: Perform, effect: Effect) -> Any:
        cluster.clock.set(cluster.clock.now() + jump)
        return perform(effect)

    return fault


def restart(cluster: MemoryCluster, at: dict[int, Fault] | None = None) -> tuple[Driver, Outcome, float]:
    """Restart; return what was done, how it ended and how many seconds that took."""
    driver, began = Driver(cluster, at or {}), cluster.clock.monotonic()
    ending = driver.drive(engine(cluster, limits=LIMITS).restart())
    return driver, ending.outcome, cluster.clock.monotonic() - began


UNDISTURBED, _, LASTS = restart(MemoryCluster())
POINTS = range(len(UNDISTURBED.effects))
FIRST_WAIT = next(number for number in POINTS if isinstance(UNDISTURBED.effects[number], Wait))
"""The first wait of the drain."""


@pytest.mark.fault("F20")
@EVERY_JUMP
@pytest.mark.parametrize("of", [pytest.param(5, id="sample"), pytest.param(len(POINTS), marks=pytest.mark.proof)])
def test_a_clock_that_jumps_at_any_effect_changes_neither_the_end_nor_how_long_it_takes(
    jump: timedelta, of: int, figures: Figures
) -> None:
    dice = Dice()
    longest = max(assert_untouched(jump, number, dice) for number in dice.sample(POINTS, of))
    figures(
        f"jumps of {jump / timedelta(hours=1):+g} h at {of} of {len(POINTS)} effects: all done, in {longest:.0f} s "
        f"at most; undisturbed {LASTS:.0f} s; {dice}"
    )


def assert_untouched(jump: timedelta, number: int, dice: Dice) -> float:
    """Jump at one effect; return how long the run took."""
    cluster = MemoryCluster()
    _, outcome, lasted = restart(cluster, {number: jumping(cluster, jump)})
    what = f"{jump} at effect {number}: {UNDISTURBED.effects[number]}; {dice}"
    assert outcome is Outcome.DONE, what
    assert (cluster.restarts, cluster.replicas(), cluster.held()) == (1, REPLICAS, set()), what
    assert lasted <= LASTS + LIMITS.settle.total_seconds() + LIMITS.routing.total_seconds() + SLACK, what
    return lasted


@pytest.mark.fault("F20", "R25")
@EVERY_JUMP
def test_a_jump_neither_ends_a_drain_early_nor_makes_it_last(jump: timedelta) -> None:
    cluster = MemoryCluster(never_ending=True)
    _, outcome, lasted = restart(cluster, {FIRST_WAIT: jumping(cluster, jump)})
    assert outcome is Outcome.DRAIN_TIMED_OUT
    assert 0 <= lasted - LIMITS.drain.total_seconds() <= 2 * SLACK
    assert (cluster.restarts, cluster.replicas()) == (0, REPLICAS)


@case(
    "W19",
    kind="Found by tests: wrong endings and answers of a run",
    situation="The clock is set back during a run, so that the issuance lies in the future.",
    says="The run goes on. Before: the workers stayed drained until the clock had caught up.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("F20")
def test_an_issuance_that_seems_to_be_of_the_future_is_not_waited_for_while_drained() -> None:
    cluster = MemoryCluster()
    cluster.clock.set(a_leaf("second").not_before - timedelta(hours=1))
    _, outcome, lasted = restart(cluster)
    assert outcome is Outcome.DONE
    assert LIMITS.settle.total_seconds() <= lasted - LASTS <= LIMITS.settle.total_seconds() + SLACK


# --- the lock -------------------------------------------------------------------------------------


def held_by_another(cluster: MemoryCluster) -> None:
    at = cluster.clock.now().isoformat()
    spec = {"holderIdentity": "bob@desk/m/9/x", "leaseDurationSeconds": DURATION, "acquireTime": at, "renewTime": at}
    cluster.api.put(LEASE, {"spec": spec})


def reach_for(cluster: MemoryCluster, at: dict[int, Fault]) -> float:
    """Take the lock as somebody who may, once its holder has shown no life; return how many seconds that took."""
    began = cluster.clock.monotonic()
    lock = Leases((WORKERS[0],), "ann", cluster.clock)
    Driver(cluster, at).drive(lock.take(may_take_over=lambda _: True, is_dead=lambda _: False))
    return cluster.clock.monotonic() - began


@pytest.mark.fault("F20")
@EVERY_JUMP
def test_a_lock_is_taken_over_after_its_duration_whatever_the_clock_says(jump: timedelta) -> None:
    cluster = MemoryCluster()
    held_by_another(cluster)
    seconds = reach_for(cluster, {WATCHED: jumping(cluster, jump)})
    assert DURATION <= seconds <= DURATION + 1


@pytest.mark.fault("F20")
@EVERY_JUMP
def test_a_lock_whose_holder_lives_is_not_taken_whatever_the_clock_says(jump: timedelta) -> None:
    """Its holder renews it by his own clock, which jumps as well."""
    cluster = MemoryCluster()
    held_by_another(cluster)

    def renewed(perform: Perform, effect: Effect) -> Any:
        cluster.api.edit(LEASE, {"spec": {"renewTime": cluster.clock.now().isoformat()}})
        return perform(effect)

    with pytest.raises(LockHeldError):
        reach_for(cluster, {WATCHED: jumping(cluster, jump), WATCHED + 3: renewed})
    assert cluster.held() == {"bob@desk/m/9/x"}
