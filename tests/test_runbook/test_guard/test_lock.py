"""The lock: taken whole or not at all, abandoned only by our own clock, never written on without it."""

from collections.abc import Callable
from typing import Any

import pytest

from certlag.model import Workload
from runbook.effects import Change, Effect, Get, Steps, Wait
from runbook.events import Notice
from runbook.guard.lock import (
    DURATION,
    LONGEST,
    MOST_TRANSITIONS,
    RENEW_AFTER,
    STOP_AFTER,
    Leases,
    LockHeldError,
    LockLostError,
)
from runbook.retry_policy import RetriesExhaustedError
from tests.builders import NAMESPACE
from tests.field.record import case
from tests.memory_api import failure
from tests.memory_cluster import LEASES, Driver, Fault, MemoryCluster, Perform

A, B = (Workload(NAMESPACE, "deployment", name) for name in ("a", "b"))
PATH_A, PATH_B = (f"{LEASES}/certlag-deployment-{name}" for name in "ab")
OTHER = "bob@desk/m/9/x"


def nobody(_: str) -> bool:
    return False


def everybody(_: str) -> bool:
    return True


def leases(cluster: MemoryCluster, holder: str = "ann", *workloads: Workload) -> Leases:
    return Leases(workloads or (A, B), holder, cluster.clock)


def drive(cluster: MemoryCluster, steps: Steps[Any], at: dict[int, Fault] | None = None) -> Driver:
    driver = Driver(cluster, at or {})
    driver.drive(steps)
    return driver


def taken(cluster: MemoryCluster) -> Leases:
    lock = leases(cluster)
    drive(cluster, lock.take(may_take_over=nobody, is_dead=nobody))
    return lock


def held_by(cluster: MemoryCluster, path: str) -> str:
    return str(cluster.api.documents[path]["spec"]["holderIdentity"])


def hold_as(cluster: MemoryCluster, path: str, holder: str = OTHER, **spec: Any) -> None:
    at = "2026-06-01T11:00:00.000000Z"
    content = {"holderIdentity": holder, "leaseDurationSeconds": DURATION, "acquireTime": at, "renewTime": at, **spec}
    cluster.api.put(path, {"spec": content})


def test_leases_that_do_not_exist_are_created_in_sorted_order() -> None:
    cluster = MemoryCluster()
    lock = leases(cluster, "ann", B, A, B)
    driver = drive(cluster, lock.take(may_take_over=nobody, is_dead=nobody))
    created = [effect.body["metadata"]["name"] for effect in driver.effects if isinstance(effect, Change)]
    assert created == ["certlag-deployment-a", "certlag-deployment-b"]
    spec = cluster.api.documents[PATH_A]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("ann", DURATION, 0)


def test_one_that_was_given_back_is_taken_at_once_and_counts_as_a_transition() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A, "", leaseTransitions=4)
    driver = drive(cluster, leases(cluster, "ann", A).take(may_take_over=nobody, is_dead=nobody))
    assert not any(isinstance(effect, Wait) for effect in driver.effects)
    assert cluster.api.documents[PATH_A]["spec"]["leaseTransitions"] == 5


def test_r12_one_that_is_held_is_refused_with_its_holder_and_since_when_and_nothing_is_kept() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_B)
    with pytest.raises(LockHeldError, match="certlag-deployment-b is held by bob@desk/m/9/x since 2026-06-01T11:00:00"):
        drive(cluster, leases(cluster).take(may_take_over=nobody, is_dead=nobody))
    assert held_by(cluster, PATH_A) == ""
    assert held_by(cluster, PATH_B) == OTHER


def test_one_of_a_process_that_is_known_dead_is_taken_at_once() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A)
    driver = drive(cluster, leases(cluster, "ann", A).take(may_take_over=nobody, is_dead=everybody))
    assert not any(isinstance(effect, Wait) for effect in driver.effects)
    assert held_by(cluster, PATH_A) == "ann"


def test_one_that_shows_no_life_for_its_whole_duration_on_our_clock_is_taken_over() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A)
    began = cluster.clock.monotonic()
    driver = drive(cluster, leases(cluster, "ann", A).take(may_take_over=everybody, is_dead=nobody))
    assert held_by(cluster, PATH_A) == "ann"
    assert cluster.clock.monotonic() - began >= DURATION
    assert any(isinstance(event, Notice) and "whether it is alive" in event.text for event in driver.told)


def test_all_that_one_holder_has_are_watched_at_once() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A)
    hold_as(cluster, PATH_B)
    began = cluster.clock.monotonic()
    drive(cluster, leases(cluster, "ann", A, B).take(may_take_over=everybody, is_dead=nobody))
    assert held_by(cluster, PATH_A) == held_by(cluster, PATH_B) == "ann"
    assert DURATION <= cluster.clock.monotonic() - began <= DURATION + 1


@pytest.mark.fault("H7")
def test_its_own_timestamps_decide_nothing() -> None:
    """Renewed in the far future or long ago, by another machine's clock: it is watched anyway."""
    for renewed in ("2036-01-01T00:00:00.000000Z", "2016-01-01T00:00:00.000000Z"):
        cluster = MemoryCluster()
        hold_as(cluster, PATH_A, renewTime=renewed)
        began = cluster.clock.monotonic()
        drive(cluster, leases(cluster, "ann", A).take(may_take_over=everybody, is_dead=nobody))
        assert DURATION <= cluster.clock.monotonic() - began <= DURATION + 1


@case(
    "W26",
    kind="Found by tests: two runs that changed the same objects",
    situation="The Lease of a dead run says that it lasts for 68 years, or for a second.",
    says="It is watched for one to ten minutes. Before: as long as it said.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("H7")
@pytest.mark.parametrize(("written", "watched_for"), [(1, DURATION), (86_400, LONGEST)])
def test_however_long_it_says_that_it_lasts_it_is_watched_for_a_minute_and_no_more_than_ten(
    written: int, watched_for: int
) -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A, leaseDurationSeconds=written)
    began = cluster.clock.monotonic()
    drive(cluster, leases(cluster, "ann", A).take(may_take_over=everybody, is_dead=nobody))
    assert watched_for <= cluster.clock.monotonic() - began <= watched_for + 1


@pytest.mark.fault("H7")
def test_one_that_has_changed_hands_as_often_as_the_api_can_count_is_taken_all_the_same() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A, "", leaseTransitions=MOST_TRANSITIONS)
    drive(cluster, leases(cluster, "ann", A).take(may_take_over=nobody, is_dead=nobody))
    assert cluster.api.documents[PATH_A]["spec"]["leaseTransitions"] == MOST_TRANSITIONS


def at_the_third_wait(write: Callable[[], object]) -> Fault:
    waits = iter(range(100))

    def fault(perform: Perform, effect: Effect) -> Any:
        if isinstance(effect, Wait) and next(waits) == 2:
            write()
        return perform(effect)

    return fault


def watched(cluster: MemoryCluster, write: Callable[[], object]) -> Driver:
    fault = at_the_third_wait(write)
    steps = leases(cluster, "ann", A).take(may_take_over=everybody, is_dead=nobody)
    return drive(cluster, steps, dict.fromkeys(range(100), fault))


def test_one_whose_holder_renews_it_is_alive_and_not_taken() -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A)
    renewed = {"spec": {"renewTime": "2026-06-01T12:00:00.000000Z"}}
    with pytest.raises(LockHeldError):
        watched(cluster, lambda: cluster.api.edit(PATH_A, renewed))
    assert held_by(cluster, PATH_A) == OTHER


@pytest.mark.parametrize("way", ["given back", "deleted"])
def test_one_that_is_given_back_or_deleted_while_it_is_watched_is_taken(way: str) -> None:
    cluster = MemoryCluster()
    hold_as(cluster, PATH_A)
    if way == "deleted":
        watched(cluster, lambda: cluster.api.delete(PATH_A))
    else:
        watched(cluster, lambda: cluster.api.edit(PATH_A, {"spec": {"holderIdentity": ""}}))
    assert held_by(cluster, PATH_A) == "ann"
    assert cluster.clock.monotonic() < 1000 + DURATION


def test_two_that_reach_for_it_in_the_same_instant_are_told_apart_by_the_api_server() -> None:
    """Another creates it between our read and our write."""
    cluster = MemoryCluster()

    def first(perform: Perform, effect: Effect) -> Any:
        hold_as(cluster, PATH_A)
        return perform(effect)

    with pytest.raises(LockHeldError):
        drive(cluster, leases(cluster, "ann", A).take(may_take_over=nobody, is_dead=nobody), {1: first})
    assert held_by(cluster, PATH_A) == OTHER


# --- keeping it -------------------------------------------------------------------------------------------------


def test_it_is_renewed_when_it_is_time_and_not_before() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(RENEW_AFTER - 1)
    assert drive(cluster, lock.renew_if_due()).effects == []
    cluster.clock.advance(1)
    renewed = [effect.path for effect in drive(cluster, lock.renew_if_due()).effects if isinstance(effect, Change)]
    assert renewed == [PATH_A, PATH_B]
    assert drive(cluster, lock.renew_if_due()).effects == []


def test_it_stays_acquired_at_the_same_time_while_it_is_renewed() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    before = cluster.api.documents[PATH_A]["spec"]
    cluster.clock.advance(RENEW_AFTER)
    drive(cluster, lock.renew_if_due())
    after = cluster.api.documents[PATH_A]["spec"]
    assert after["acquireTime"] == before["acquireTime"]
    assert after["renewTime"] > before["renewTime"]
    assert after["leaseTransitions"] == before["leaseTransitions"]


@pytest.mark.parametrize("way", ["taken", "given back by force", "deleted"])
def test_r13_one_that_is_no_longer_ours_is_lost(way: str) -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    if way == "deleted":
        cluster.api.delete(PATH_B)
    else:
        cluster.api.edit(PATH_B, {"spec": {"holderIdentity": OTHER if way == "taken" else ""}})
    cluster.clock.advance(RENEW_AFTER)
    with pytest.raises(LockLostError, match=r"certlag-deployment-b is now held by"):
        drive(cluster, lock.renew_if_due())


def test_a_harmless_write_to_it_does_not_lose_it() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.api.edit(PATH_B, {"metadata": {"labels": {"seen": "yes"}}})
    cluster.clock.advance(RENEW_AFTER)
    drive(cluster, lock.renew_if_due())
    assert held_by(cluster, PATH_B) == "ann"


def test_a_renewal_whose_answer_was_lost_is_still_ours() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(RENEW_AFTER)

    def lost(perform: Perform, effect: Effect) -> Any:
        perform(effect)
        raise failure(None)

    drive(cluster, lock.renew_if_due(), {0: lost})
    cluster.clock.advance(RENEW_AFTER)
    drive(cluster, lock.renew_if_due())
    assert held_by(cluster, PATH_A) == "ann"


def fails(_: Perform, effect: Effect) -> Any:
    raise failure(503)


def test_for_a_while_a_renewal_may_fail_and_work_goes_on() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(STOP_AFTER - 1)
    assert not any(isinstance(effect, Wait) for effect in drive(cluster, lock.renew_if_due(), {0: fails}).effects)


def test_after_40_seconds_without_a_renewal_nothing_goes_on_until_there_is_one() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(STOP_AFTER)
    driver = drive(cluster, lock.renew_if_due(), {0: fails, 2: fails, 4: fails})
    assert sum(isinstance(effect, Wait) for effect in driver.effects) == 3
    assert any(isinstance(event, Notice) and "cannot be renewed" in event.text for event in driver.told)


def test_an_api_server_that_never_answers_again_is_given_up() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(STOP_AFTER)

    def never(perform: Perform, effect: Effect) -> Any:
        return perform(effect) if isinstance(effect, Wait) else fails(perform, effect)

    with pytest.raises(RetriesExhaustedError):
        drive(cluster, lock.renew_if_due(), dict.fromkeys(range(100_000), never))


def test_confirming_renews_at_once() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.api.edit(PATH_A, {"spec": {"holderIdentity": OTHER}})
    drive(cluster, lock.renew_if_due())
    with pytest.raises(LockLostError):
        drive(cluster, lock.confirm())


# --- giving it back ------------------------------------------------------------------------------------------------


def test_released_it_has_no_holder_and_runs_out_at_once() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    drive(cluster, lock.release())
    for path in (PATH_A, PATH_B):
        assert held_by(cluster, path) == ""
        assert cluster.api.documents[path]["spec"]["leaseDurationSeconds"] == 1
    assert drive(cluster, lock.release()).effects == [], "twice is once"


def test_what_another_holds_by_now_is_not_released() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.api.edit(PATH_A, {"spec": {"holderIdentity": OTHER}})
    driver = drive(cluster, lock.release())
    assert held_by(cluster, PATH_A) == OTHER
    assert held_by(cluster, PATH_B) == ""
    assert any(isinstance(event, Notice) and "is not released" in event.text for event in driver.told)


@pytest.mark.fault("H7")
def test_every_write_of_a_lease_carries_the_version_that_was_read() -> None:
    cluster = MemoryCluster()
    lock = taken(cluster)
    cluster.clock.advance(RENEW_AFTER)
    changes = [*drive(cluster, lock.renew_if_due()).effects, *drive(cluster, lock.release()).effects]
    assert all(each.body["metadata"]["resourceVersion"] for each in changes if isinstance(each, Change))
    assert not any(isinstance(each, Get) for each in changes)
