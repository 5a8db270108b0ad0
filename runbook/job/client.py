"""Runs that another process makes: starting one as a Job, and following one to its end. Touches the API server.

Anyone who follows may leave at any time and come back (`--attach`): all that is shown is read from the cluster, and a
follower writes nothing but the Job.
"""

import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.model import Target
from certlag.run_record import RecordError
from runbook.check.inspector import get, list_all
from runbook.effects import Change, Document
from runbook.events import Event, Level, Notice, Progress, Written
from runbook.guard.record import Record, Run
from runbook.job import manifest
from runbook.job.follow import Followed, ending, progress, told
from runbook.job.manifest import JobView, job_view
from runbook.kube import permissions, write
from runbook.kube.change_waiter import Changes
from runbook.kube.obstacles import WarningEvent, warning_event
from runbook.kube.views import PodState, pod_state
from runbook.outcomes import Outcome
from runbook.run.engine import Ending
from runbook.session.interrupts import Interrupts
from runbook.session.session import Session

NOTED_AFTER = 5.0
"""Seconds without a running pod after which it is said why there is none."""
IDLE_TIMEOUT = 300.0
"""Seconds without one after which the follower ends: the Job is left as it is, and may still begin."""
POLL = 2.0
"""Seconds between two looks: a drain takes minutes, and anyone who follows may be many."""
DETACHED = Ending(Outcome.INTERRUPTED, "only following it has ended: the run goes on in the cluster")

Emit = Callable[[Event], None]


def attach_command(session: Session, target: Target) -> str:
    """Return what to type to follow a target's run."""
    return session.command("restart", target, "--attach")


def for_planning(session: Session, target: Target, tell: Emit) -> Session:
    """Return the session to plan with: pods that may not be asked from here are asked by the run in the cluster."""
    if not (session.options.verify and session.port_forward):
        return session
    if not session.gatherer(target).denied(permissions.to_port_forward(target)):
        return session
    tell(Notice(Level.INFO, "you may not reach pods from here: what they present is looked at in the cluster"))
    return replace(session, options=replace(session.options, verify=False))


def cron_job(session: Session, target: Target) -> Document | None:
    """Return the CronJob that runs of a target are made from, None if there is none.

    Raises:
        ClusterError: it could not be read.
    """
    found: Document | None = get(session.reader, manifest.cron_job_path(target, session.options.cron_job))
    return found


def creation(session: Session, target: Target, made_from: Document, user: str) -> Change:
    """Return what creates the Job of a run."""
    return manifest.creation(target, made_from, session.run_id, manifest.arguments(session.options, user))


def start(session: Session, target: Target, creation: Change, tell: Emit) -> Ending:
    """Create the Job and follow its run to the end.

    Raises:
        ClusterError: it was not created, or may or may not have been.
    """
    created = write.write(session.connection, creation)
    name = str(created["metadata"]["name"])
    tell(Written(creation.what))
    tell(Notice(Level.INFO, f"Ctrl-C or a closed terminal does not stop it: {attach_command(session, target)}"))
    return _Follower(session, target, tell).follow(Followed(job=name))


def attach(session: Session, target: Target, tell: Emit) -> Ending:
    """Follow the run that is open, or the Job that is about to open one; else tell how the last one ended.

    Raises:
        ClusterError: the API server did not answer the first time.
    """
    record = session.gatherer(target).record()
    if isinstance(record, RecordError):
        return Ending(Outcome.REFUSED, f"the record cannot be read: {record}")
    if (run := record.run) is not None:
        return _Follower(session, target, tell).follow(Followed(run.operator.job, run.id))
    if (name := _job_under_way(session, target)) is not None:
        return _Follower(session, target, tell).follow(Followed(job=name))
    if not record.finished:
        return Ending(Outcome.REFUSED, "there is no run to follow, and none was before")
    last = record.finished[-1]
    tell(Notice(Level.INFO, f"no run is open: this is how run {last.id} ended at {last.finished:%Y-%m-%d %H:%M:%S}Z"))
    return Ending(last.outcome, last.detail, None, last.seconds)


def _job_under_way(session: Session, target: Target) -> str | None:
    """Return the latest Job of a target that is not over, if one is and may be seen."""
    selector = {"labelSelector": f"{manifest.TARGET_LABEL}={target.name}"}
    with suppress(ClusterError):
        found = sorted(
            list_all(session.client, manifest.job_path(target), parameters=selector),
            key=lambda each: str(each["metadata"].get("creationTimestamp")),
        )
        return next((view.name for view in map(job_view, reversed(found)) if not view.over), None)
    return None


class _Follower:
    """Looks again and again, and tells what has changed."""

    def __init__(self, session: Session, target: Target, tell: Emit) -> None:
        self._session = session
        self._target = target
        self._tell = tell
        self._wakes: Changes = queue.SimpleQueue()
        self._detached = False
        self._run: Run | None = None
        self._progress: dict[str, Progress] = {}
        self._remarked = ""
        self._idle_since: float | None = None

    def follow(self, followed: Followed) -> Ending:
        """Return how it ended, or that the operator has left."""
        attaching = attach_command(self._session, self._target)
        with Interrupts(self._detach, f"\n{self._session.program}: left; follow it again with: {attaching}\n"):
            while not self._detached:
                try:
                    if (ended := self._look(followed)) is not None:
                        return ended
                except ClusterError as error:
                    self._remark(f"the cluster cannot be asked, the run goes on anyway: {error}")
                with suppress(queue.Empty):
                    self._session.waiter.take(self._wakes, POLL, early=True)
        return DETACHED

    def _detach(self) -> None:
        self._detached = True
        self._wakes.put(None)

    def _look(self, followed: Followed) -> Ending | None:
        """Look once, at the Job before the record: one that is over then has nothing more to write into it."""
        session, target = self._session, self._target
        job = self._job(followed.job) if followed.job else None
        pods: list[PodState] = []
        of_job: list[Document] = []
        for each in list_all(session.client, f"/api/v1/namespaces/{target.workload.namespace}/pods"):
            pods.append(pod_state(each))
            if pods[-1].labels.get(manifest.JOB_LABEL) == followed.job:
                of_job.append(each)
        record = session.gatherer(target).record()
        if isinstance(record, RecordError):
            return Ending(Outcome.UNEXPECTED, f"the record cannot be read: {record}")
        self._show(record, pods, followed)
        return ending(record, job, of_job, followed) or self._idle(record, job, of_job)

    def _idle(self, record: Record, job: JobView | None, of_job: list[Document]) -> Ending | None:
        """Say why no pod of the Job runs, and end if that has lasted too long; nothing is done to the Job."""
        namespace = self._target.workload.namespace
        taken_over = record.run is not None and job is not None and record.run.operator.job != job.name
        found = None if job is None or taken_over else manifest.why_idle(job, of_job, (), namespace=namespace)
        if job is None or found is None:
            self._idle_since = None
            return None
        now = self._session.clock.monotonic()
        self._idle_since = now if self._idle_since is None else self._idle_since
        if (idle := now - self._idle_since) < NOTED_AFTER:
            return None
        warnings = self._warnings()
        found = manifest.why_idle(job, of_job, warnings or (), namespace=namespace) or found
        why = found.text
        if warnings is None:
            why += f" (to see more: a right to {permissions.to_see_warnings(self._target)})"
        self._remark(f"no pod of Job {job.name} runs: {why}")
        if idle < IDLE_TIMEOUT:
            return None
        text = f"no pod of Job {job.name} has run for {IDLE_TIMEOUT / 60:.0f} minutes: {why}. It may still begin"
        stop = f"to stop it: kubectl delete job -n {namespace} {job.name}"
        return Ending(Outcome.NOT_BEGUN, f"{text}; {stop}", record.run, shows=(found.shows,))

    def _warnings(self) -> list[WarningEvent] | None:
        """Read the warnings of the namespace; None if they cannot be read."""
        path = f"/api/v1/namespaces/{self._target.workload.namespace}/events"
        with suppress(ClusterError):
            found = list_all(self._session.client, path, parameters={"fieldSelector": "type=Warning"})
            return list(map(warning_event, found))
        return None

    def _show(self, record: Record, pods: list[PodState], followed: Followed) -> None:
        run = record.run
        if run is not None and followed.has(run):
            for event in told(self._run, run, self._session.clock.now()):
                self._tell(event)
            for each in progress(run, pods):
                if self._progress.get(each.workload) != each:
                    self._progress[each.workload] = each
                    self._tell(each)
            self._run = run

    def _job(self, name: str) -> JobView | None:
        try:
            found = get(self._session.client, manifest.job_path(self._target, name))
        except ClusterError as error:
            if error.reason is ClusterErrorReason.FORBIDDEN:
                return None
            raise
        return None if found is None else job_view(found)

    def _remark(self, text: str) -> None:
        """Warn once of what goes on."""
        if text != self._remarked:
            self._remarked = text
            self._tell(Notice(Level.WARNING, text))
