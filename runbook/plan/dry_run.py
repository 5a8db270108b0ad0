"""A run's writes, to be sent as server-side dry runs before the first of them: what admission would say. Pure.

Each is sent with the object as it will be then: a worker's scaling to 0 has the fence beside it, since a policy sees
the whole object. That a controller may make its pods later, no dry run can tell: `runbook.kube.obstacles` says why not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from certlag.errors import ClusterError
from certlag.model import Workload
from certlag.run_record import Step
from runbook.effects import Change
from runbook.guard import changes
from runbook.guard.fence import name_of, workload_path
from runbook.guard.guarded_run import ApprovedRun, opened
from runbook.guard.lock import LeaseView, creation, seizure
from runbook.guard.record import Record, Run
from runbook.guard.record_store import record_change
from runbook.kube.views import REPLICAS_ANNOTATION, RUN_ANNOTATION, WorkloadView, counted, reference
from runbook.run.engine import BEFORE_DRAIN, BEFORE_RESTART

NO_DRY_RUN = "does not support dry run"
"""What the API server says where a webhook has side effects: it cannot be asked, and says nothing of the real write."""


@dataclass(frozen=True, slots=True)
class DryRunResults:
    """What came of a run's writes as dry runs: how many were accepted, and for the others why not.

    `denied` are those that would be refused, `unknown` those of which that is unknown.
    """

    accepted: int = 0
    denied: tuple[tuple[str, str], ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def any(self) -> bool:
        """Whether any was tried."""
        return bool(self.accepted or self.denied or self.unknown)

    @property
    def sentence(self) -> str:
        """How many were accepted, as a sentence."""
        if self.unknown:
            return f"The API server accepted {counted(self.accepted, 'write')}; {len(self.unknown)} could not be tried."
        count = "the only write" if self.accepted == 1 else f"all {self.accepted} writes"
        return f"The API server accepted {count}."


def tried(results: Iterable[tuple[Change, ClusterError | None]]) -> DryRunResults:
    """Sum up what each write got.

    Raises:
        ClusterError: one got no answer that says anything.
    """
    accepted, denied, unknown = 0, [], []
    for change, error in results:
        if error is None:
            accepted += 1
        elif NO_DRY_RUN in error.message or error.status in (404, 409):
            unknown.append((change.what, error.message))
        elif error.refused and change.path.endswith("/events"):
            unknown.append((change.what, error.message or error.detail))  # a run goes without
        elif error.refused and error.status not in (401, 429):
            denied.append((change.what, error.message or error.detail))
        else:
            raise error
    return DryRunResults(accepted, tuple(denied), tuple(unknown))


def intended(
    approved: ApprovedRun,
    views: Mapping[Workload, WorkloadView],
    leases: Mapping[str, LeaseView | None],
    record: Record,
    now: datetime,
    *,
    opens: bool,
    abort: bool = False,
    revision: int | None = None,
) -> Iterator[Change]:
    """Yield what a run would write from here to its end, against the cluster as it is now.

    Args:
        approved: what the command was allowed to do.
        views: those of its workloads that exist; all of them if it opens a run.
        leases: the Leases that it takes by their path, None for one that does not exist.
        record: as it was read.
        now: the present instant.
        opens: whether it opens a run; else it goes on with the open one.
        abort: whether it only restores the workers.
        revision: of the certificate, as the restart will note it.
    """
    for path, lease in leases.items():
        yield creation(path, approved.holder, now) if lease is None else seizure(lease, approved.holder, now)
    if opens:
        run = opened(approved, views, dict.fromkeys(approved.workers, ()), now)
    elif record.run is not None:
        run = replace(record.run, epoch=record.run.epoch + 1)
    else:
        return
    namespace = approved.target.workload.namespace
    yield record_change(f"/api/v1/namespaces/{namespace}/configmaps", approved.target.name, replace(record, run=run))
    for workload in approved.workloads:
        yield changes.event(workload, run, 1, now, reason="DryRun", message="a dry run of certlag")
    run = replace(run, revision=revision)
    paths = {workload_path(workload) for workload in approved.workloads}
    for view in views.values():
        yield from _of_workload(view, approved, run, now, abort=abort)
    for paused in run.paused:
        if paused.path not in paths:
            mark = {RUN_ANNOTATION: run.fence}
            yield changes.annotated(changes.pause_of(paused), paused.path, "0", {**paused.during, **mark})
            yield changes.annotated(changes.unpause_of(paused), paused.path, "0", {**paused.before, **mark})
            yield changes.annotated(f"take the mark off {name_of(paused.path)}", paused.path, "0", dict.fromkeys(mark))


def _of_workload(
    view: WorkloadView, approved: ApprovedRun, run: Run, now: datetime, *, abort: bool
) -> Iterator[Change]:
    """Yield what is written to the target or to a worker."""
    name = reference(view.workload)
    worker = run.workers.get(name)
    fence = changes.fenced(view, run.fence, worker.replicas if worker else None)
    own = [each for each in run.paused if each.path == workload_path(view.workload)]
    pauses = [changes.annotated(changes.pause_of(each), each.path, view.resource_version, each.during) for each in own]
    yield changes.together(fence, *pauses)
    onward = not abort and run.put_back is None
    if worker is not None:
        if onward and run.step in BEFORE_DRAIN:
            yield changes.together(changes.scaled(view, worker.down(name), 0), fence, *pauses)
        if run.step is not Step.UNPAUSED:
            yield changes.together(changes.scaled(view, worker.up(name), worker.replicas), fence, *pauses)
    elif view.workload == approved.target.workload and onward and run.step in BEFORE_RESTART:
        again = replace(run, attempts=run.attempts + 1)
        yield changes.together(changes.restarted(view, again, now), fence, *pauses)
    marked = {**view.annotations, RUN_ANNOTATION: run.fence, REPLICAS_ANNOTATION: ""}
    if (last := changes.unfenced(replace(view, annotations=marked))) is not None:
        yield last
