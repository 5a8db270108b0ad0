"""Following a run that another process makes: what its record tells, and how it ends. Pure.

The record is the one thing that is there for every run, from a laptop or in a Job, after any pod has died, and for
anyone who may only read. So a run is followed by what changes in it, not by anybody's log.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from certlag.run_record import Step
from runbook.effects import Document
from runbook.events import Event, Level, Notice, Phase, PhaseBegun, PodLine, Progress, StepReached, Written
from runbook.guard.record import FinishedRun, Record, Run
from runbook.job.manifest import JobView, last_words, outcome_of
from runbook.kube.views import PodState
from runbook.outcomes import Outcome
from runbook.plan.planning import FIRST_LEFT
from runbook.run.engine import PUTTING_BACK, Ending

RETRIED = frozenset({Outcome.UNEXPECTED, Outcome.INTERRUPTED})
"""Endings of a Job's pod that the next one goes on after; all others are answers. The chart's CronJob has the same."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Which run: that of a Job, by its name, or one by its id; somebody may take a Job's run over, so both may hold."""

    job: str = ""
    run: str = ""

    def has(self, each: Run | FinishedRun) -> bool:
        """Tell whether a run is the one."""
        return each.id == self.run or bool(self.job and each.operator.job == self.job)

    def found(self, record: Record) -> Run | FinishedRun | None:
        """Return the run as the record has it: the open one, or the latest that is finished."""
        runs: list[Run | FinishedRun] = [*record.finished, *([record.run] if record.run is not None else [])]
        return next((each for each in reversed(runs) if self.has(each)), None)


def settled(found: Run | FinishedRun | None, *, retried: Collection[Outcome] = RETRIED) -> Ending | None:
    """Return how a run ended for good, None if it goes on, or somebody is to go on after such an ending."""
    match found:
        case FinishedRun(outcome=outcome, detail=detail, seconds=seconds) if outcome not in retried:
            return Ending(outcome, detail, None, seconds)
        case Run(ended=Outcome() as outcome, detail=detail) if outcome not in retried:
            return Ending(outcome, detail, found)
    return None


def ending(record: Record, job: JobView | None, pods: Iterable[Document], followed: Followed) -> Ending | None:
    """Return how what is followed has ended, None while it goes on.

    Args:
        record: read after the Job was, so that what a Job that is over has done stands in it.
        job: the Job, None if there is none or it may not be seen: then nobody is waited for who may come after.
        pods: those of the Job.
        followed: which run.
    """
    found = followed.found(record)
    if job is not None and not job.over:
        return settled(found)
    if (ended := settled(found, retried=())) is not None:
        return ended
    if isinstance(found, Run):
        if job is None or found.operator.job != job.name:
            return None
        return Ending(Outcome.UNEXPECTED, f"Job {job.name} has ended, and the run is not finished: {job.why}", found)
    if job is None:
        what = f"Job {followed.job} is gone" if followed.job else f"run {followed.run} is no longer in the record"
        return Ending(Outcome.UNEXPECTED, what)
    words = last_words(pods)
    if words is None:
        return Ending(Outcome.UNEXPECTED, f"Job {job.name} has ended: {job.why}")
    if words.code == 0:
        return Ending(Outcome.NOTHING_TO_DO, f"Job {job.name} found nothing to do")
    return Ending(outcome_of(words.code), words.message or f"Job {job.name} has ended: {job.why}")


def told(before: Run | None, run: Run, now: datetime) -> Iterator[Event]:
    """Yield what is new in a run since it was seen before; all of it if it was not."""
    known = before if before is not None and before.id == run.id else None
    by = f"{run.operator.user} on {run.operator.host}"
    if known is None:
        yield Notice(Level.INFO, f"run {run.id} of {by}, begun {run.begun:%Y-%m-%d %H:%M:%S}Z")
    elif known.epoch != run.epoch:
        yield Notice(Level.INFO, f"{by} goes on with run {run.id}")
    yield from _writes(known, run)
    yield from _steps(known.steps if known else (), run)
    if run.put_back is not None and (known is None or known.put_back is None):
        yield Notice(Level.WARNING, run.detail or f"the workers are put back: {run.put_back}")
        if run.step not in PUTTING_BACK:
            yield PhaseBegun(Phase.SCALING_UP, now)


def _writes(known: Run | None, run: Run) -> Iterator[Event]:
    before = {each.what for each in known.writes if each.state == "done"} if known else set()
    yield from (Written(each.what) for each in run.writes if each.state == "done" and each.what not in before)


def _steps(known: Collection[tuple[Step, datetime]], run: Run) -> Iterator[Event]:
    reached = [(Step.PLANNED, run.begun), *run.steps]
    for (earlier, since), (step, at) in list(pairwise(reached))[len(known) :]:
        yield StepReached(step, at, (at - since).total_seconds())
        if earlier is Step.PLANNED or _phase(step) is not _phase(earlier):
            yield PhaseBegun(_phase(step), at)


def _phase(reached: Step) -> Phase:
    return FIRST_LEFT.get(reached, Phase.SCALING_DOWN)


def progress(run: Run, pods: Iterable[PodState]) -> Iterator[Progress]:
    """Yield for each worker which of its recorded pods still run, while it is being drained."""
    if run.step is not Step.SCALED_DOWN or run.put_back is not None or run.ended is not None:
        return
    live = [pod for pod in pods if not pod.terminal]
    for name, worker in run.workers.items():
        mine = tuple(
            PodLine(pod.name, pod.node, "ending" if pod.terminating else "running", pod.ending_since, pod.deleted_by)
            for pod in live
            if pod.uid in worker.pods
        )
        why = f"{len(mine)} {'pod' if len(mine) == 1 else 'pods'} not ended" if mine else ""
        yield Progress(Phase.DRAINING, name, why, mine)
