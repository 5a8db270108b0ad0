"""The record: what is written is read back the same, and by the exporter to the same state."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certlag.model import ObjectKey
from certlag.run_record import RECORD_KEY, RecordError, RunState, Step, parse
from runbook.guard.record import (
    KEPT,
    FinishedRun,
    Operator,
    Paused,
    Record,
    Run,
    WorkerRecord,
    WriteIntent,
    config_map,
    dumps,
    from_config_map,
    loads,
)
from runbook.outcomes import Outcome

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANN = Operator("ann", "laptop", 7, "1.0")
RUN = Run(
    id="run-1",
    epoch=1,
    step=Step.RECORDED,
    begun=NOW,
    deadline=NOW + timedelta(hours=1),
    operator=ANN,
    workload="deployment/build-service",
    workload_uid="uid-1",
    workers={"deployment/worker": WorkerRecord(3, "uid-2", ("pod-1",))},
)

TEXT = st.text(max_size=20)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
COUNTS = st.integers(0, 10**6)
OPERATORS = st.builds(Operator, TEXT, TEXT, COUNTS, TEXT, TEXT)
OUTCOMES = st.sampled_from(Outcome)
RUNS = st.builds(
    Run,
    id=TEXT,
    epoch=COUNTS,
    step=st.sampled_from(Step),
    begun=INSTANTS,
    deadline=INSTANTS,
    operator=OPERATORS,
    workload=TEXT,
    workload_uid=TEXT,
    workers=st.dictionaries(
        TEXT, st.builds(WorkerRecord, COUNTS, TEXT, st.lists(TEXT, max_size=2).map(tuple)), max_size=2
    ),
    paused=st.lists(
        st.builds(Paused, TEXT, st.dictionaries(TEXT, TEXT), st.dictionaries(TEXT, st.none() | TEXT)), max_size=2
    ).map(tuple),
    silence=st.none() | TEXT,
    attempts=COUNTS,
    revision=st.none() | COUNTS,
    put_back=st.none() | OUTCOMES,
    detail=TEXT,
    writes=st.lists(
        st.builds(WriteIntent, TEXT, st.sampled_from(["intended", "done", "failed"]), INSTANTS), max_size=2
    ).map(tuple),
    steps=st.lists(st.tuples(st.sampled_from(Step), INSTANTS), max_size=2).map(tuple),
)
ENDED = st.tuples(OUTCOMES, INSTANTS) | st.just((None, None))
PASTS = st.builds(
    FinishedRun,
    id=TEXT,
    begun=INSTANTS,
    finished=INSTANTS,
    outcome=OUTCOMES,
    operator=OPERATORS,
    seconds=st.dictionaries(TEXT, st.floats(0, 1e6), max_size=3).map(lambda each: tuple(each.items())),
    detail=TEXT,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(run=st.none() | RUNS, ended=ENDED, finished=st.lists(PASTS, max_size=3).map(tuple))
@pytest.mark.thorough
def test_what_is_written_is_read_back_the_same(
    run: Run | None, ended: tuple[Outcome | None, datetime | None], finished: tuple[FinishedRun, ...]
) -> None:
    run = replace(run, ended=ended[0], ended_at=ended[1]) if run else None
    record = Record(run, finished)
    assert loads(dumps(record)) == record


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(run=RUNS, ended=ENDED, finished=st.lists(PASTS, max_size=3).map(tuple))
@pytest.mark.thorough
def test_the_exporter_reads_every_record_to_the_same_state(
    run: Run, ended: tuple[Outcome | None, datetime | None], finished: tuple[FinishedRun, ...]
) -> None:
    run = replace(run, ended=ended[0], ended_at=ended[1])
    seen = parse(ObjectKey("opschain", "certlag-run-x"), dumps(Record(run, finished)))
    assert seen.run is not None
    assert (seen.run.id, seen.run.epoch, seen.run.step) == (run.id, run.epoch, run.step)
    assert (seen.run.begun_at, seen.run.deadline_at) == (run.begun, run.deadline)
    assert dict(seen.run.workers) == {name: worker.replicas for name, worker in run.workers.items()}
    assert (seen.run.outcome, seen.run.putting_back) == (run.ended, run.put_back is not None)
    assert [(past.id, past.outcome) for past in seen.finished] == [(past.id, past.outcome) for past in finished]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"step": Step.RECORDED}, RunState.DRAINING),
        ({"step": Step.PAUSED_AUTOSCALER}, RunState.DRAINING),
        ({"step": Step.SCALED_DOWN}, RunState.DRAINING),
        ({"step": Step.DRAINED}, RunState.RESTARTING),
        ({"step": Step.RESTARTING}, RunState.RESTARTING),
        ({"step": Step.RESTARTED}, RunState.VERIFYING),
        ({"step": Step.VERIFIED}, RunState.RESTORING),
        ({"step": Step.SCALED_UP}, RunState.RESTORING),
        ({"step": Step.SCALED_DOWN, "put_back": Outcome.ABORTED}, RunState.RESTORING),
        ({"step": Step.SCALED_DOWN, "ended": Outcome.CONTESTED, "ended_at": NOW}, RunState.LEFT_DRAINED),
    ],
)
def test_the_exporter_says_what_a_run_is_doing(changes: dict[str, Any], state: RunState) -> None:
    seen = parse(ObjectKey("opschain", "x"), dumps(Record(replace(RUN, **changes))))
    assert seen.run is not None
    assert seen.run.state is state


def test_the_config_map_has_the_name_and_the_label_by_which_the_exporter_finds_it() -> None:
    document = config_map("build-service", Record(RUN))
    assert document["metadata"] == {
        "name": "certlag-run-build-service",
        "labels": {"certlag.dev/run-record": "build-service"},
    }


def test_a_config_map_of_somebody_else_is_an_empty_record_with_its_version() -> None:
    record = from_config_map({"metadata": {"resourceVersion": "5"}})
    assert (record.run, record.finished, record.resource_version) == (None, (), "5")


def without(key: str) -> str:
    document = json.loads(dumps(Record(RUN)))
    del document["run"][key]
    return json.dumps(document)


@pytest.mark.fault("H6")
@pytest.mark.parametrize("key", list(json.loads(dumps(Record(RUN)))["run"]))
def test_a_run_that_lacks_anything_is_refused_rather_than_guessed(key: str) -> None:
    with pytest.raises(RecordError):
        loads(without(key))


@pytest.mark.fault("H6")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "no json",
        '{"schema": 2, "run": null}',
        dumps(Record(RUN)).replace('"epoch": 1', '"epoch": true'),
        dumps(Record(RUN)).replace('"deployment/worker": 3', '"deployment/worker": -1'),
        dumps(Record(RUN)).replace("+00:00", ""),
        dumps(Record(RUN)).replace('"recorded"', '"flying"'),
    ],
)
def test_what_is_no_record_of_this_version_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        loads(text)


def test_a_record_of_another_schema_says_which() -> None:
    with pytest.raises(RecordError, match="schema 9, this version reads 1"):
        loads('{"schema": 9}')


# --- from one run to the next -----------------------------------------------------------------------------------


def test_the_last_ten_finished_runs_stay() -> None:
    record = Record()
    for number in range(KEPT + 2):
        record = replace(record, run=replace(RUN, id=f"run-{number}")).closed(Outcome.DONE, NOW)
    assert [past.id for past in record.finished] == [f"run-{number}" for number in range(2, KEPT + 2)]
    assert record.run is None


def test_a_finished_run_says_how_long_each_step_took() -> None:
    run = RUN.reached(Step.SCALED_DOWN, NOW + timedelta(seconds=2)).reached(Step.DRAINED, NOW + timedelta(seconds=62))
    past = Record(run).closed(Outcome.DONE, NOW + timedelta(seconds=63), "well").finished[-1]
    assert past.seconds == (("scaled_down", 2.0), ("drained", 60.0), ("finished", 1.0))
    assert past.detail == "well"


def test_a_write_is_noted_before_it_is_sent_and_again_when_its_answer_came() -> None:
    run = RUN.intends("scale worker", NOW)
    assert run.writes == (WriteIntent("scale worker", "intended", NOW),)
    assert run.intends("scale worker", NOW + timedelta(seconds=5)) == run, "sent again, it is the same write"
    assert run.settled(NOW).writes[-1].state == "done"
    assert run.wrote("failed", NOW).settled(NOW).writes[-1].state == "failed"
    following = run.intends("restart", NOW)
    assert [(each.what, each.state) for each in following.writes] == [("scale worker", "done"), ("restart", "intended")]
    assert following.wrote_before("scale worker")
    assert not following.wrote_before("scale other")


def test_the_fence_and_the_restart_id_name_run_epoch_and_attempt() -> None:
    run = replace(RUN, epoch=3, attempts=2)
    assert (run.fence, run.restart_id) == ("run-1/3", "run-1-2")


def test_people_read_it_with_kubectl() -> None:
    assert dumps(Record(RUN)).count("\n") > 20
    assert RECORD_KEY == "record.json"
