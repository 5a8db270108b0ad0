"""A run that another process makes is shown, and ends, by what its record and its Job say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certlag.run_record import Step
from runbook.effects import Document
from runbook.events import Level, Notice, Phase, PhaseBegun, Progress, StepReached, Written
from runbook.guard.record import Operator, Record, Run, WorkerRecord, WriteIntent
from runbook.job.follow import Followed, ending, progress, settled, told
from runbook.job.manifest import JobView
from runbook.kube.views import pod_state
from runbook.outcomes import Outcome
from runbook.run.engine import Ending
from tests.workload_documents import a_pod

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGUN + timedelta(minutes=5)
JOB = "certlag-run-x-f00d"
POD = Operator("runner", f"{JOB}-abcde", 1, "1", job=JOB)
LAPTOP = Operator("ann", "laptop", 7, "1")
GOES_ON, OVER = JobView(JOB, over=False), JobView(JOB, over=True, why="BackoffLimitExceeded")


def at(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def a_run(**changes: Any) -> Run:
    """Return a run of the Job that has just been recorded."""
    run = Run("one", 1, Step.RECORDED, BEGUN, NOW, POD, "deployment/x", "uid", {}, steps=((Step.RECORDED, BEGUN),))
    return replace(run, **changes)


def finished(outcome: Outcome, run: Run | None = None) -> Record:
    return Record(run or a_run()).closed(outcome, NOW, "as it was")


def how(record: Record, job: JobView | None, *pods: Document, job_name: str = JOB, run: str = "") -> Ending | None:
    return ending(record, job, pods, Followed(job_name, run))


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [GOES_ON, OVER, None])
@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.DRAIN_TIMED_OUT, Outcome.ABORTED])
def test_it_ends_as_the_run_did(outcome: Outcome, job: JobView | None) -> None:
    ended = how(finished(outcome), job)
    assert ended is not None
    assert (ended.outcome, ended.message, ended.run) == (outcome, "as it was", None)
    assert ended.seconds[-1][0] == "finished"


def test_while_the_run_or_its_job_goes_on_it_has_not_ended() -> None:
    assert how(Record(), GOES_ON) is None, "its pod has not begun"
    assert how(Record(a_run()), GOES_ON) is None
    assert how(Record(a_run(operator=LAPTOP)), None, job_name="", run="one") is None


@pytest.mark.parametrize("outcome", [Outcome.UNEXPECTED, Outcome.INTERRUPTED])
def test_after_what_the_next_pod_goes_on_from_it_has_ended_only_when_no_pod_comes(outcome: Outcome) -> None:
    left = Record(a_run(ended=outcome, ended_at=NOW, detail="why"))
    assert how(left, GOES_ON) is None
    assert how(finished(outcome), GOES_ON) is None
    for job in (OVER, None):
        ended = how(left, job)
        assert ended is not None
        assert (ended.outcome, ended.run) == (outcome, left.run)


def test_workers_left_drained_are_an_answer() -> None:
    left = a_run(ended=Outcome.RESTART_FAILED, ended_at=NOW, detail="why")
    assert how(Record(left), GOES_ON) == Ending(Outcome.RESTART_FAILED, "why", left)
    assert settled(left) is not None, "so the next pod does not go on from it either"


def test_a_job_that_is_over_and_has_left_its_run_has_failed() -> None:
    ended = how(Record(a_run()), OVER)
    assert ended is not None
    assert (ended.outcome, ended.run) == (Outcome.UNEXPECTED, a_run())
    assert "BackoffLimitExceeded" in ended.message


def test_a_run_that_somebody_took_over_from_the_job_is_followed_on() -> None:
    taken = a_run(operator=LAPTOP, epoch=2)
    assert how(Record(taken), OVER, run="one") is None
    ended = how(finished(Outcome.DONE, taken), OVER, run="one")
    assert ended is not None
    assert ended.outcome is Outcome.DONE


def test_a_run_of_somebody_else_is_not_taken_for_the_jobs() -> None:
    other = Record(a_run(id="other", operator=LAPTOP))
    assert how(other, GOES_ON) is None
    assert how(finished(Outcome.DONE, other.run), GOES_ON) is None


@pytest.mark.parametrize(("code", "outcome"), [(0, Outcome.NOTHING_TO_DO), (3, Outcome.REFUSED), (4, Outcome.LOCKED)])
def test_a_job_that_began_no_run_ends_as_its_pod_did(code: int, outcome: Outcome) -> None:
    terminated = {"exitCode": code, "message": '{"event": "ended", "message": "said by the pod"}'}
    pod = {"metadata": {"name": "pod"}, "status": {"containerStatuses": [{"state": {"terminated": terminated}}]}}
    ended = how(Record(), OVER, pod)
    assert ended is not None
    assert ended.outcome is outcome
    assert (ended.message == "said by the pod") is (code != 0)


def test_what_is_gone_has_ended() -> None:
    for gone in (how(Record(), None), how(Record(), OVER), how(Record(), None, job_name="", run="one")):
        assert gone is not None
        assert gone.outcome is Outcome.UNEXPECTED


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_who_comes_in_the_middle_is_shown_all_that_was_reached() -> None:
    steps = ((Step.RECORDED, BEGUN), (Step.PAUSED_AUTOSCALER, at(1)), (Step.SCALED_DOWN, at(3)))
    writes = (WriteIntent("scale worker to 0", "done", at(2)), WriteIntent("next", "intended", at(3)))
    shown = list(told(None, a_run(step=Step.SCALED_DOWN, steps=steps, writes=writes), NOW))
    assert isinstance(shown[0], Notice)
    assert shown[1:] == [
        Written("scale worker to 0"),
        StepReached(Step.RECORDED, BEGUN, 0.0),
        PhaseBegun(Phase.SCALING_DOWN, BEGUN),
        StepReached(Step.PAUSED_AUTOSCALER, at(1), 1.0),
        StepReached(Step.SCALED_DOWN, at(3), 2.0),
        PhaseBegun(Phase.DRAINING, at(3)),
    ]


def test_what_was_shown_is_not_shown_again() -> None:
    before = a_run()
    assert list(told(before, before, NOW)) == []
    steps = (*before.steps, (Step.SCALED_DOWN, at(4)))
    assert list(told(before, a_run(step=Step.SCALED_DOWN, steps=steps), NOW)) == [
        StepReached(Step.SCALED_DOWN, at(4), 4.0),
        PhaseBegun(Phase.DRAINING, at(4)),
    ]


def test_the_next_pod_is_named_when_it_goes_on() -> None:
    (remark,) = told(a_run(), a_run(epoch=2, operator=replace(POD, host="the-next")), NOW)
    assert remark == Notice(Level.INFO, "runner on the-next goes on with run one")


def test_that_workers_are_put_back_is_told_once_with_why() -> None:
    before = a_run(step=Step.SCALED_DOWN)
    back = replace(before, put_back=Outcome.DRAIN_TIMED_OUT, detail="not drained in time")
    assert list(told(before, back, NOW)) == [
        Notice(Level.WARNING, "not drained in time"),
        PhaseBegun(Phase.SCALING_UP, NOW),
    ]
    assert list(told(back, back, NOW)) == []


def test_while_it_drains_the_recorded_pods_that_still_run_are_shown() -> None:
    pods = [pod_state(a_pod(name, "worker-new")) for name in ("mine", "other")]
    worker = WorkerRecord(2, "uid", (pods[0].uid, "gone"))
    draining = a_run(step=Step.SCALED_DOWN, workers={"deployment/worker": worker})
    (shown,) = progress(draining, pods)
    assert (shown.why, [pod.name for pod in shown.pods]) == ("1 pod not ended", ["mine"])
    assert list(progress(draining, [])) == [Progress(Phase.DRAINING, "deployment/worker", "", ())]
    assert list(progress(replace(draining, step=Step.DRAINED), pods)) == []
    assert list(progress(replace(draining, put_back=Outcome.ABORTED), pods)) == []
