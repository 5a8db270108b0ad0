"""The embedded cluster on a clock that is moved by hand."""

from datetime import timedelta

from rehearsal.api.resources import CERTIFICATES, PODS
from rehearsal.clock import SteppedClock
from tests.fake_clock import FakeClock
from tests.test_rehearsal.places import CHANGE, SERVICE, WORKER, Place, place


def revision(at: Place) -> int:
    found: int = at.get(CERTIFICATES, SERVICE)["status"]["revision"]
    return found


def test_a_certificate_is_renewed_at_its_renewal_time_and_not_before() -> None:
    at = place()
    at.pass_time(days=59, hours=23)
    assert revision(at) == 1
    at.pass_time(hours=1)
    assert revision(at) == 2
    assert at.issued().not_valid_before_utc <= at.clock.now()


def test_the_pod_goes_on_presenting_the_old_certificate_until_it_is_restarted() -> None:
    at = place()
    first = at.issued()
    at.pass_time(days=61)
    assert at.issued() != first
    assert at.presented() == first
    at.restart(SERVICE)
    at.pass_time(minutes=1)
    assert at.presented() == at.issued()


def test_a_year_has_six_renewals_and_passes_without_waiting() -> None:
    at = place()
    at.pass_time(days=365)
    assert revision(at) == 7
    assert at.clock.now() == FakeClock().now() + timedelta(days=365, minutes=1)


def test_workers_finish_the_change_in_progress_and_then_go() -> None:
    at = place()
    at.scale(WORKER, 0)
    assert len(at.pods(WORKER)) == 3
    at.pass_time(seconds=CHANGE.total_seconds() - 62)
    assert len(at.pods(WORKER)) == 3
    at.pass_time(seconds=62)
    assert at.pods(WORKER) == []


def test_nothing_is_due_before_the_instant_that_it_names() -> None:
    at = place()
    due = at.cluster.due_at
    assert due is not None
    version = at.cluster.api.storage.version
    at.pass_time(seconds=(due - at.clock.now()).total_seconds() - 1)
    assert at.cluster.api.storage.version == version
    at.pass_time(seconds=2)
    assert at.cluster.api.storage.version > version


def test_the_same_seed_makes_the_same_cluster() -> None:
    def names(seed: int) -> list[str]:
        return [name for _, name in place(seed=seed).cluster.api.storage.all(PODS)]

    assert names(1) == names(1) != names(2)


def test_a_clock_that_is_let_go_goes_on_from_the_present() -> None:
    system = FakeClock()
    clock = SteppedClock(system.now() - timedelta(days=70), system)
    clock.advance(timedelta(days=70).total_seconds())
    before = clock.monotonic()
    clock.let_go()
    system.advance(5)
    clock.advance(1000)  # it no longer stands still
    assert (clock.now(), clock.monotonic()) == (system.now(), before + 5)
