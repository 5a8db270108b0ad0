"""The run's record, and what is said of a target by it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.model import ObjectKey, Workload, WorkloadStatus
from certlag.run_record import (
    MAX_SECONDS,
    MAX_STEPS,
    FinishedRun,
    OpenRun,
    RecordError,
    RunRecord,
    RunState,
    Step,
    parse,
    record_key,
)
from certlag.target_assessment import TargetAssessment, WorkerReplicas, assess_target
from exporter import status_json
from exporter.metrics.samples import FAMILIES, of_target
from exporter.metrics.text import render
from exporter.status import Status
from exporter.status_page.render import Renderer
from tests.builders import DEPLOYMENT, ISSUED_AT, NAMESPACE, RENEWED_AT, a_target, a_workload, an_open_run
from tests.field.record import case

KEY = ObjectKey(NAMESPACE, "certlag-run-build-service")
WORKER = Workload(NAMESPACE, "deployment", "worker")
OPEN = {
    "id": "run-1",
    "epoch": 1,
    "step": "scaled_down",
    "begun": "2026-04-30T00:00:00Z",
    "deadline": "2026-04-30T01:05:00Z",
    "workers": {"deployment/worker": 3},
}
PAST = {"id": "run-0", "begun": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:07:00+00:00", "outcome": "done"}


def document(**changes: Any) -> str:
    return json.dumps({"schema": 1, "run": OPEN, "finished": [PAST], **changes})


def test_a_record_is_read_as_it_was_written() -> None:
    finished = FinishedRun("run-0", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 7, tzinfo=UTC), "done")
    assert parse(KEY, document()) == RunRecord(KEY, an_open_run(), (finished,))
    assert parse(KEY, document(run=None)).run is None


def test_keys_of_a_later_version_are_ignored() -> None:
    assert parse(KEY, document(run={**OPEN, "who": {"user": "ann"}}, more=1)).run == an_open_run()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"schema": 2}',
        '{"run": null}',
        document(run={}),
        document(run={**OPEN, "step": "dancing"}),
        document(run={**OPEN, "epoch": True}),
        document(run={**OPEN, "workers": {"deployment/worker": -1}}),
        document(run={**OPEN, "workers": []}),
        document(run={**OPEN, "workers": {"deployment/worker": 2**31}}),
        document(run={**OPEN, "workers": {"deployment/worker": 10**400}}),
        document(run={**OPEN, "epoch": 2**63}),
        *(
            document(finished=[{**PAST, "seconds": [{"step": "recorded", "seconds": seconds}]}])
            for seconds in (1e300, -1e300, 10**400, float("nan"), float("inf"), "1", True, None)
        ),
        document(run={**OPEN, "begun": "2026-04-30T00:00:00"}),
        document(run={**OPEN, "ended": {}}),
        document(finished=[{}]),
        document(finished=3),
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        parse(KEY, text)


def test_the_greatest_numbers_of_kubernetes_are_read() -> None:
    run = parse(KEY, document(run={**OPEN, "workers": {"deployment/worker": 2**31 - 1}, "epoch": 2**63 - 1})).run
    assert run is not None
    assert (run.workers, run.epoch) == ((("deployment/worker", 2147483647),), 9223372036854775807)


@pytest.mark.fault("F44")
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["schema", "run", "finished", "id", "step", "workers", "ended", "seconds"]), x
            )
        ),
    )
)
@pytest.mark.thorough
def test_no_json_makes_it_fail_otherwise(document: Any) -> None:
    for text in (json.dumps(document), json.dumps({"schema": 1, "run": document})):
        try:
            assert isinstance(parse(KEY, text), RunRecord)
        except RecordError:
            continue


RENDERER = Renderer()
NUMBERS = st.integers() | st.integers(2**31 - 2, 2**31) | st.integers(-MAX_SECONDS, MAX_SECONDS) | st.floats()


@case(
    "W5",
    kind="Found by tests: wrong answers of the exporter",
    situation="A forged record has 10⁴⁰⁰ replicas, or a number that is not finite.",
    says="The record is refused. Before: Prometheus refused the whole scrape, and the page answered 500.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("H6", "F44")
@given(replicas=NUMBERS, seconds=st.lists(NUMBERS, max_size=2 * MAX_STEPS))
def test_no_number_in_a_record_breaks_what_is_shown(replicas: float, seconds: list[float]) -> None:
    """Prometheus refuses a whole scrape for one number of 400 digits, and no JSON has a NaN."""
    past = {**PAST, "seconds": [{"step": "recorded", "seconds": each} for each in seconds]}
    for text in (document(run={**OPEN, "workers": {"deployment/worker": replicas}}), document(finished=[past])):
        try:
            record = parse(KEY, text)
        except RecordError:
            continue
        assessment = judged(record.run, finished=record.finished)
        samples = [line for line in render(FAMILIES, of_target(assessment)).splitlines() if not line.startswith(b"#")]
        assert max(len(line.rpartition(b" ")[2]) for line in samples) < 32
        status = Status(RENEWED_AT, ready=True, watches={}, targets=(assessment,))
        json.dumps(status_json.document(status), allow_nan=False)
        assert "Last run" in RENDERER.page(status) or not record.finished


def test_of_a_run_with_very_many_steps_the_last_ones_are_told() -> None:
    steps = [{"step": "recorded", "at": "2026-04-30T00:00:00Z"}] * 5000 + [{"step": "drained", "at": OPEN["begun"]}]
    run = parse(KEY, document(run={**OPEN, "steps": steps})).run
    assert run is not None
    assert (len(run.steps), run.steps[-1][0]) == (MAX_STEPS, Step.DRAINED)


def test_a_record_of_a_run_whose_clock_was_set_back_by_the_whole_calendar_is_read() -> None:
    """Else nobody could begin another run: what one wrote must be read by the next."""
    begun, ended = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for seconds in ((begun - ended).total_seconds(), (ended - begun).total_seconds()):
        past = {**PAST, "seconds": [{"step": "recorded", "seconds": seconds}]}
        assert parse(KEY, document(finished=[past])).finished[0].seconds == (("recorded", seconds),)


@pytest.mark.parametrize("step", Step)
def test_every_step_has_a_state(step: Step) -> None:
    assert an_open_run(step=step).state in RunState
    assert an_open_run(step=step, outcome="restart_failed").state is RunState.LEFT_DRAINED


def judged(
    run: OpenRun | None = None, *, replicas: int = 0, finished: tuple[FinishedRun, ...] = (), **changes: Any
) -> TargetAssessment:
    target = a_target(**changes)
    workloads = {
        DEPLOYMENT: a_workload(),
        WORKER: WorkloadStatus(WORKER, replicas, timedelta(hours=2)),
    }
    return assess_target(
        target,
        certificate_found=True,
        workloads=workloads,
        record=RunRecord(record_key(target), run, finished),
        heartbeat_at=RENEWED_AT,
        run_seen_at=ISSUED_AT,
    )


def test_without_an_open_run_a_target_is_idle_and_tells_nothing_of_workers() -> None:
    assessment = judged()
    assert (assessment.state, assessment.workers, assessment.heartbeat_at) == (RunState.IDLE, (), None)


def test_an_open_run_sets_what_was_recorded_against_what_is() -> None:
    assessment = judged(an_open_run(), replicas=1)
    assert assessment.state is RunState.DRAINING
    assert assessment.workers == (WorkerReplicas(WORKER, 3, 1),)
    assert (assessment.heartbeat_at, assessment.heartbeat_awaited_at) == (RENEWED_AT, None)


def test_the_budget_is_both_timeouts() -> None:
    assert judged().budget == timedelta(hours=1, minutes=5)


def test_a_drain_without_a_timeout_may_take_the_workers_grace_period() -> None:
    assert judged(drain_timeout=None).budget == timedelta(hours=2, minutes=5)
    assert judged(drain_timeout=None, workers=()).budget == timedelta(minutes=5)


def test_a_drain_without_a_timeout_of_unknown_workers_has_no_budget() -> None:
    stranger = Workload(NAMESPACE, "deployment", "stranger")
    assert judged(drain_timeout=None, workers=(stranger,)).budget is None


def test_its_metrics() -> None:
    run = an_open_run(step=Step.VERIFIED)
    told = {(sample.family.name, sample.labels[4:]): sample.value for sample in of_target(judged(run, replicas=1))}
    assert told[("certlag_runbook_state", ("restoring",))] == 1
    assert sum(value for (name, _), value in told.items() if name == "certlag_runbook_state") == 1
    assert told[("certlag_workers_expected_replicas", ("deployment/worker",))] == 3
    assert told[("certlag_workers_replicas", ("deployment/worker",))] == 1
    assert told[("certlag_runbook_deadline_timestamp_seconds", ())] == run.deadline_at.timestamp()


def test_a_worker_that_does_not_exist_has_no_replicas() -> None:
    """Told, not left out: a series that relabelling drops must not look like workers that are missing."""
    stranger = Workload(NAMESPACE, "deployment", "stranger")
    run = an_open_run(workers=(("deployment/stranger", 3),))
    told = {sample.family.name: sample.value for sample in of_target(judged(run, workers=(stranger,)))}
    assert (told["certlag_workers_expected_replicas"], told["certlag_workers_replicas"]) == (3, 0)
