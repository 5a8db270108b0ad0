"""The record in the cluster is written once and for certain, and never over another's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from certlag.errors import ClusterError
from certlag.run_record import RECORD_KEY, RecordError, Step
from runbook.effects import Change, Effect, Steps, Verb
from runbook.guard.lock import LockLostError
from runbook.guard.record import Operator, Record, Run, dumps
from runbook.guard.record_store import RecordStore
from runbook.outcomes import Outcome
from tests.memory_api import failure
from tests.memory_cluster import RECORD, TARGET, Driver, Fault, MemoryCluster, NoLock, Perform


def a_run(cluster: MemoryCluster, **changes: Any) -> Run:
    now = cluster.clock.now()
    run = Run("run-1", 1, Step.RECORDED, now, now, Operator("ann", "laptop", 7, "1"), "deployment/x", "uid", {})
    return replace(run, **changes)


def opened(cluster: MemoryCluster) -> RecordStore:
    record_store = RecordStore(TARGET, lock=NoLock(), confirm=NoLock().renew_if_due)
    drive(cluster, record_store.read())
    drive(cluster, record_store.write(opening(a_run(cluster))))
    return record_store


def drive(cluster: MemoryCluster, steps: Steps[Any], *faults: Fault) -> Driver:
    driver = Driver(cluster, dict(enumerate(faults)))
    driver.drive(steps)
    return driver


def at(step: Step) -> Callable[[Run], Run]:
    return lambda run: replace(run, step=step)


def opening(run: Run) -> Callable[[Record], Record]:
    return lambda record: replace(record, run=run)


def lost_answer(perform: Perform, effect: Effect) -> Any:
    perform(effect)
    raise failure(None)


def lost_request(_: Perform, __: Effect) -> Any:
    raise failure(None)


def stored(cluster: MemoryCluster, record: Record) -> None:
    cluster.api.edit(RECORD, {"data": {RECORD_KEY: dumps(record)}})


def test_without_a_config_map_there_is_no_run() -> None:
    record_store = RecordStore(TARGET, lock=NoLock(), confirm=NoLock().renew_if_due)
    drive(MemoryCluster(), record_store.read())
    assert record_store.record == Record()


def test_the_first_write_creates_it_and_the_next_patch_it_with_the_version_read() -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)
    before = cluster.api.documents[RECORD]["metadata"]["resourceVersion"]
    (change,) = drive(cluster, record_store.update(at(Step.SCALED_DOWN))).effects
    assert isinstance(change, Change)
    assert (change.verb, change.body["metadata"]["resourceVersion"]) == (Verb.PATCH, before)
    assert cluster.record.run is not None
    assert cluster.record.run.step is Step.SCALED_DOWN


@pytest.mark.parametrize("fault", [lost_answer, lost_request])
def test_a_write_without_an_answer_is_done_once(fault: Fault) -> None:
    for first in (True, False):
        cluster = MemoryCluster()
        if first:
            record_store = RecordStore(TARGET, lock=NoLock(), confirm=NoLock().renew_if_due)
            drive(cluster, record_store.read())
            drive(cluster, record_store.write(opening(a_run(cluster))), fault)
        else:
            record_store = opened(cluster)
            drive(cluster, record_store.update(lambda run: run.intends("x", run.begun)), fault)
        assert record_store.record == cluster.record
        assert record_store.run.id == "run-1"
        assert len(record_store.run.writes) == (0 if first else 1)


def test_somebodys_label_on_it_is_no_reason_to_stop() -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)
    cluster.api.edit(RECORD, {"metadata": {"labels": {"seen": "yes"}}})
    drive(cluster, record_store.update(at(Step.DRAINED)))
    assert cluster.record.run is not None
    assert cluster.record.run.step is Step.DRAINED


@pytest.mark.parametrize("theirs", [{"id": "run-2"}, {"epoch": 2}])
def test_r10_r13_another_runs_record_is_never_overwritten(theirs: dict[str, Any]) -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)
    stored(cluster, Record(a_run(cluster, **theirs)))
    before = cluster.api.documents[RECORD]
    with pytest.raises(LockLostError, match="another run's"):
        drive(cluster, record_store.update(at(Step.DRAINED)))
    assert cluster.api.documents[RECORD] == before


def test_r10_a_run_that_was_opened_between_our_read_and_our_write_is_not_overwritten() -> None:
    cluster = MemoryCluster()
    record_store = RecordStore(TARGET, lock=NoLock(), confirm=NoLock().renew_if_due)
    drive(cluster, record_store.read())
    opened(cluster)
    with pytest.raises(LockLostError):
        drive(cluster, record_store.write(opening(a_run(cluster, id="run-2"))))
    assert cluster.record.run is not None
    assert cluster.record.run.id == "run-1"


def test_a_run_that_another_has_finished_is_lost() -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)
    stored(cluster, Record(a_run(cluster)).closed(Outcome.DONE, cluster.clock.now()))
    with pytest.raises(LockLostError):
        drive(cluster, record_store.confirm())


def test_confirming_our_own_record_is_quiet() -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)
    drive(cluster, record_store.confirm())
    assert record_store.run.id == "run-1"


def test_a_record_that_cannot_be_read_is_an_error_and_not_no_run() -> None:
    cluster = MemoryCluster()
    opened(cluster)
    cluster.api.edit(RECORD, {"data": {RECORD_KEY: "{"}})
    with pytest.raises(RecordError):
        drive(cluster, RecordStore(TARGET, lock=NoLock(), confirm=NoLock().renew_if_due).read())


def test_a_record_that_the_server_will_not_take_is_an_error_at_once() -> None:
    cluster = MemoryCluster()
    record_store = opened(cluster)

    def too_large(_: Perform, __: Effect) -> Any:
        raise failure(422)

    with pytest.raises(ClusterError):
        drive(cluster, record_store.update(at(Step.DRAINED)), too_large)
