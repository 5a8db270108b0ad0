"""What a run stands on: the lock, the fence and the record, as one. Pure: yields requests.

All that a run writes goes through here, in one order: the lock is renewed, the write is noted in the record, it lands
only over our own fence, and the record notes how it came out. Leases first, then the fence, then the record.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.model import Target, Workload
from certlag.run_record import Step
from runbook.effects import Change, Document, Emit, Get, Steps, T
from runbook.events import Level, Notice, StepReached, Written
from runbook.guard import changes, controllers, fence
from runbook.guard.lock import NOT_FOUND, Leases, LockLostError
from runbook.guard.observation import Observation, observe
from runbook.guard.record import Operator, Paused, Run, WorkerRecord
from runbook.guard.record_store import RecordStore
from runbook.kube.views import REPLICAS_ANNOTATION, WorkloadView, reference
from runbook.outcomes import Outcome
from runbook.retry_policy import MINUTE, is_final, with_retries

MAX_DIGITS = 18
"""Of an epoch in an annotation, which anybody may have written; Python refuses to read thousands of digits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each part of a run may take.

    `settle` is how old an issuance must be before the restart; `routing` how long after the rollout the workers come
    back at the earliest, since every node's kube-proxy has to learn of the new pods: a worker that connects before is
    sent to a pod that is gone, and waits for nobody (docs/decisions/0010-runbook.md: iptables mode syncs each second).
    """

    drain: timedelta
    restart: timedelta
    settle: timedelta = timedelta(minutes=2)
    verify: timedelta = timedelta(minutes=2)
    routing: timedelta = timedelta(seconds=1)

    @property
    def budget(self) -> timedelta:
        """How long a whole run may take: what `certlag_restart_budget_seconds` says."""
        return self.drain + self.restart


@dataclass(frozen=True, slots=True)
class ApprovedRun:
    """What a command was told to do: all that is decided before a run, and not by it."""

    target: Target
    operator: Operator
    holder: str
    run_id: str
    limits: Limits
    verify: bool = True
    pause: tuple[Paused, ...] = ()
    silence: bool = False
    ignored_pods: frozenset[str] = frozenset()
    may_delete_volumes: bool = False
    accepted_until: datetime | None = None
    """Until when clients accept what the plan saw loaded; None if that is not known, or they refuse it already."""
    planned_after: str | None = None
    """The finished run that the plan saw last, empty if none; another one since makes the plan outdated. None: any."""

    @property
    def workers(self) -> tuple[Workload, ...]:
        """The workers, in the order in which they are written."""
        return tuple(sorted(self.target.workers))

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """All that is changed: the target and its workers."""
        return (self.target.workload, *self.workers)


class RefusedError(Exception):
    """It may not go on as asked; nothing was changed by this command."""


class DeniedError(Exception):
    """The API server refuses a write to a workload for good: it was not done, and would be refused again."""


class GuardedRun:
    """The lock, the fence and the record of one run."""

    def __init__(self, approved: ApprovedRun, clock: Clock) -> None:
        self.approved = approved
        self.clock = clock
        self.leases = Leases(approved.workloads, approved.holder, clock)
        self.record_store = RecordStore(approved.target, lock=self.leases, confirm=self.leases.confirm)
        self.owned = False
        """Whether the record is ours to write: a run was opened, or taken over."""
        self._fenced: dict[Workload, WorkloadView] = {}
        """The workloads on which a new run's fence stands, or may stand, as they were before."""
        self._announced = 0

    @property
    def run(self) -> Run:
        """The open run."""
        return self.record_store.run

    @property
    def workers(self) -> dict[Workload, WorkerRecord]:
        """The workers that were recorded, each with what it was."""
        return {
            worker: self.run.workers[reference(worker)]
            for worker in self.approved.workers
            if reference(worker) in self.run.workers
        }

    def deadline(self, now: datetime) -> datetime:
        """Return when a run that begins now ends at the latest, by its own limits."""
        return now + self.approved.limits.budget

    # --- reads ----------------------------------------------------------------------------------------

    def reading(self, what: str, request: Callable[[], Steps[T]]) -> Steps[T]:
        """Read, until it is answered: every read of a run but those that a phase makes until its own deadline."""
        return (yield from with_retries(what, request, self.leases))

    def observe(self, workloads: Iterable[Workload]) -> Steps[Observation]:
        """Look at workloads of one namespace.

        Raises:
            ContestedError: one of them is gone.
        """
        wanted = tuple(workloads)
        return (yield from self.reading("looking at the workloads", lambda: observe(wanted)))

    def read(self, workload: Workload) -> Steps[WorkloadView]:
        """Read a workload.

        Raises:
            ContestedError: it is gone.
        """
        return (yield from self.reading(f"reading {reference(workload)}", lambda: fence.read(workload)))

    def _get(self, path: str) -> Steps[Document | None]:
        def request() -> Steps[Document | None]:
            document: Document | None = yield Get(path)
            return document

        return (yield from self.reading(f"reading {fence.name_of(path)}", request))

    # --- the fence ------------------------------------------------------------------------------------

    def fence_new(self) -> Steps[dict[Workload, WorkloadView]]:
        """Put a new run's fence on each workload, and on each worker what its replicas are; returns them as fenced."""
        mark = f"{self.approved.run_id}/1"
        views = {}
        for workload in self.approved.workloads:
            view = yield from self.read(workload)
            is_worker = workload != self.approved.target.workload
            self._fenced[workload] = view

            def make(view: WorkloadView, *, is_worker: bool = is_worker) -> Change:
                if is_worker and view.replicas == 0 and view.recorded_replicas not in (None, "0"):
                    raise RefusedError(
                        f"{reference(view.workload)} is at 0 and its annotation {REPLICAS_ANNOTATION} says "
                        f"{view.recorded_replicas}: a run left it so. Scale it to that, then run this again"
                    )
                return changes.fenced(view, mark, view.replicas if is_worker else None)

            views[workload] = yield from fence.change(
                workload, make, uid=view.uid, fence=None, lock=self.leases, confirm=self.leases.confirm
            )
        yield from self._mark_others(self.approved.pause, mark)
        return views

    def take_over(self, *, lenient: bool = False) -> Steps[frozenset[Workload]]:
        """Put a later epoch of the open run on each workload and into the record, so that older holders' writes die.

        Args:
            lenient: for an abort: what is gone or was created again is left alone, or taken as it is.

        Returns:
            The workloads that exist.

        Raises:
            RefusedError: the cluster contradicts the record.
            ContestedError: one of them is gone.
        """
        run = self.run
        yield from self._refuse_foreign(run.paused)
        views = {}
        for workload in self.approved.workloads:
            try:
                views[workload] = yield from self.read(workload)
            except fence.ContestedError:
                if not lenient:
                    raise
        workers = dict(_still_recorded(run, views, lenient=lenient))
        target = views.get(self.approved.target.workload)
        uid = target.uid if target else run.workload_uid
        if uid != run.workload_uid and not lenient:
            raise RefusedError(f"the record is of another {run.workload}: it was created again since. Abort the run")
        epoch = 1 + max((run.epoch, *(_epoch(view.fence, run.id) for view in views.values())))
        mark = f"{run.id}/{epoch}"
        for workload, view in views.items():
            worker = workers.get(reference(workload))

            def make(view: WorkloadView, *, worker: WorkerRecord | None = worker) -> Change:
                return changes.fenced(view, mark, None if worker is None else worker.replicas)

            yield from fence.change(
                workload, make, uid=view.uid, fence=None, lock=self.leases, confirm=self.leases.confirm
            )
        yield from self._mark_others(run.paused, mark)
        deadline = self.deadline(self.clock.now())
        yield from self.record_store.update(
            lambda found: replace(
                found,
                epoch=epoch,
                operator=self.approved.operator,
                workload_uid=uid,
                workers=workers,
                deadline=deadline,
                ended=None,
                ended_at=None,
                detail="",
            )
        )
        self.owned = True
        return frozenset(views)

    def unfence(self) -> Steps[None]:
        """Take our marks off each workload that still is what it was."""
        for workload in self.approved.workloads:
            worker = self.run.workers.get(reference(workload))
            uid = worker.uid if worker else self.run.workload_uid

            def make(view: WorkloadView) -> Change | None:
                if view.fence not in (None, self.run.fence):
                    raise LockLostError(f"{reference(view.workload)} now belongs to run {view.fence}")
                return changes.unfenced(view)

            try:
                yield from fence.change(workload, make, uid=uid, fence=None, lock=self.leases, confirm=self.confirm)
            except fence.ContestedError as gone:
                yield Emit(Notice(Level.WARNING, f"{gone}; nothing to clean up there"))
        yield from self._mark_others(self.run.paused, None)

    @property
    def half_fenced(self) -> tuple[str, ...]:
        """The objects that may have the fence of a run that was never opened."""
        paused = (fence.name_of(each.path) for each in self.approved.pause)
        marked = tuple(reference(workload) for workload in self._fenced)
        return () if self.owned or not marked else tuple(dict.fromkeys((*marked, *paused)))

    def withdraw(self) -> Steps[None]:
        """Take the marks of a run off that was never opened: each annotation is what it was before."""
        mark = f"{self.approved.run_id}/1"
        for workload, before in self._fenced.items():

            def make(view: WorkloadView, before: WorkloadView = before) -> Change | None:
                return changes.unfenced(view, before.annotations) if view.fence == mark else None

            with suppress(fence.ContestedError):  # what is gone, or another one by now, has none
                yield from fence.change(
                    workload,
                    make,
                    uid=before.uid,
                    fence=None,
                    lock=self.leases,
                    confirm=self.leases.confirm,
                    delays=MINUTE,
                )
        if len(self._fenced) == len(self.approved.workloads):
            yield from self._mark_others(self.approved.pause, None)

    def _refuse_foreign(self, paused: Iterable[Paused]) -> Steps[None]:
        """Refuse a record in which something is paused that no run of these workloads pauses: somebody forged it.

        Raises:
            RefusedError: it is so.
        """
        for each in paused:
            candidates = [workload for workload in self.approved.workloads if controllers.may_pause(each, workload)]
            is_own = bool(candidates)
            if is_own and each.path not in map(fence.workload_path, candidates):
                document = yield from self._get(each.path)
                is_own = document is None or any(controllers.scales(document, workload) for workload in candidates)
            if not is_own:
                raise RefusedError(f"the record says that {fence.name_of(each.path)} was paused: no run does that")

    def _mark_others(self, paused: Iterable[Paused], mark: str | None) -> Steps[None]:
        """Fence the objects that are no workloads but are written to: those that are paused."""
        workloads = {fence.workload_path(workload) for workload in self.approved.workloads}
        for path in sorted({each.path for each in paused} - workloads):
            yield from fence.mark_other(path, mark, lock=self.leases, confirm=self.leases.confirm)

    def confirm(self) -> Steps[None]:
        """Read record and lock again, after a conflict.

        Raises:
            LockLostError: they are not ours any more.
        """
        yield from self.record_store.confirm()
        yield from self.leases.confirm()

    # --- writes ----------------------------------------------------------------------------------------

    def change(
        self,
        workload: Workload,
        uid: str,
        what: str,
        make: fence.Make,
        noting: Mapping[str, Any] | None = None,
    ) -> Steps[WorkloadView]:
        """Change a workload: noted before, fenced, noted after. `noting` is noted along with the intention.

        Raises:
            DeniedError: the API server refuses it for good.
        """
        yield from self.record_store.update(lambda run: replace(run.intends(what, self.clock.now()), **(noting or {})))
        try:
            view = yield from fence.change(
                workload, make, uid=uid, fence=self.run.fence, lock=self.leases, confirm=self.confirm
            )
        except (ClusterError, fence.ContestedError) as error:
            yield from self.record_store.update(lambda run: run.wrote("failed", self.clock.now()))
            if isinstance(error, ClusterError) and is_final(error) and error.status != NOT_FOUND:
                raise DeniedError(f"the API server refuses to {what}: {error.message or error.detail}") from error
            raise
        yield Emit(Written(what))
        return view

    def reach(self, step: Step, **changes: Any) -> Steps[None]:
        """Say in the record that a step is reached, and that the write before it is done."""
        now = self.clock.now()
        before = self.run.steps[-1][1] if self.run.steps else self.run.begun

        def reached(run: Run) -> Run:
            return replace(run.settled(now).reached(step, now), **changes)

        yield from self.record_store.update(reached)
        yield Emit(StepReached(step, now, (now - before).total_seconds()))

    def note(self, **changes: Any) -> Steps[None]:
        """Note something about the run in the record."""
        yield from self.record_store.update(lambda run: replace(run, **changes))

    def close(self, outcome: Outcome, detail: str = "") -> Steps[None]:
        """Finish the run in the record."""
        now = self.clock.now()
        yield from self.record_store.write(lambda record: record.closed(outcome, now, detail))

    def open(self, views: Mapping[Workload, WorkloadView], pods: Mapping[Workload, Iterable[str]]) -> Steps[None]:
        """Open the run in the record, with all that is needed to undo it."""
        now = self.clock.now()
        run = opened(self.approved, views, pods, now)
        yield from self.record_store.write(lambda record: replace(record, run=run))
        self.owned = True
        yield Emit(StepReached(Step.RECORDED, now, 0.0))

    def announce(self, reason: str, message: str, *, warning: bool = False) -> Steps[None]:
        """Write an Event on each workload, so that `kubectl describe` tells the story. Failing to is only a remark."""
        self._announced += 1
        for workload in self.approved.workloads:
            now = self.clock.now()
            try:
                yield changes.event(
                    workload, self.run, self._announced, now, reason=reason, message=message, warning=warning
                )
            except ClusterError as error:
                yield Emit(Notice(Level.WARNING, f"no Event on {reference(workload)}: {error}"))


def opened(
    approved: ApprovedRun,
    views: Mapping[Workload, WorkloadView],
    pods: Mapping[Workload, Iterable[str]],
    now: datetime,
) -> Run:
    """Return a new run, with all that is needed to undo it.

    Args:
        approved: what the command was allowed to do.
        views: the target and its workers, as they are.
        pods: the UIDs of the workers' pods.
        now: when it begins.
    """
    workers = {
        reference(worker): WorkerRecord(views[worker].replicas, views[worker].uid, tuple(sorted(pods[worker])))
        for worker in approved.workers
    }
    return Run(
        id=approved.run_id,
        epoch=1,
        step=Step.RECORDED,
        begun=now,
        deadline=now + approved.limits.budget,
        operator=approved.operator,
        workload=reference(approved.target.workload),
        workload_uid=views[approved.target.workload].uid,
        workers=workers,
        paused=approved.pause,
        accepted_until=approved.accepted_until,
        steps=((Step.RECORDED, now),),
    )


def _still_recorded(
    run: Run, views: Mapping[Workload, WorkloadView], *, lenient: bool
) -> Iterable[tuple[str, WorkerRecord]]:
    """Yield the recorded workers, as long as record and annotation agree and each is the one that was recorded."""
    seen = {reference(workload): view for workload, view in views.items()}
    for name, worker in run.workers.items():
        view = seen.get(name)
        if view is None or view.uid != worker.uid:
            if not lenient:
                raise RefusedError(f"the record is of another {name}: it was created again since. Abort the run")
            continue
        if view.recorded_replicas not in (None, str(worker.replicas)):
            raise RefusedError(
                f"the record says {worker.replicas} replicas of {name}, its annotation {REPLICAS_ANNOTATION} says "
                f"{view.recorded_replicas}: set the annotation to what is right, or remove it to go by the record"
            )
        yield name, worker


def _epoch(mark: str | None, run_id: str) -> int:
    """Return the epoch of a fence if it is this run's, else 0."""
    owner, _, epoch = (mark or "").rpartition("/")
    return int(epoch) if owner == run_id and epoch.isdecimal() and len(epoch) <= MAX_DIGITS else 0
