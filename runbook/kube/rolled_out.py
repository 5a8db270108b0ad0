"""Has a workload been rolled out? Pure: one look at the cluster in, the answer out.

Stricter than `kubectl rollout status` and than the condition Available, which stays true during a rolling restart and
is vacuous when no pod needs to be available (cozystack#3561, helm#8660): every pod that is wanted is of the present
template and Ready, the controller has seen it, and no other pod of the workload still runs.

Which pods are of the present template is what each controller goes by: a Deployment's are those of the ReplicaSet with
its template, a StatefulSet's have its `status.updateRevision`, and of a DaemonSet all have the same revision while its
status counts each as updated. An annotation of ours in the template decides nothing: it stays there when somebody
repairs the template (helm#11823).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from certlag.model import Workload
from runbook.kube.external_change import ExternalChange, external_change, replaced
from runbook.kube.ownership import Controllers, owned_pods, pods_of
from runbook.kube.views import Condition, PodState, ReplicaSetView, WorkloadView
from runbook.kubectl import Words

MAX_INT32 = 2**31 - 1
"""As progressDeadlineSeconds: no deadline."""


class Wanted(Enum):
    """What makes a rollout the one that is waited for.

    RESTART: the restart that was asked for. PRESENT: whatever template there is now. READY: only that its own pods are
    Ready, whatever template they are of: workers that come back.
    """

    RESTART = auto()
    PRESENT = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class RolledOut:
    """It is rolled out; these are its pods."""

    workload: Workload
    pods: tuple[PodState, ...]


@dataclass(frozen=True, slots=True)
class RollingOut:
    """Not yet, and why. `stalled` is what its controller says when it has given up waiting, else None.

    `shows` is the kubectl command that shows more of that.
    """

    workload: Workload
    why: str
    stalled: str | None
    pods: tuple[PodState, ...]
    shows: Words = ()


def rollout_progress(
    view: WorkloadView,
    replica_sets: Sequence[ReplicaSetView],
    pods: Sequence[PodState],
    *,
    uid: str,
    restart_id: str,
    wanted: Wanted = Wanted.RESTART,
    others: Controllers = (),
    ignored: Collection[str] = (),
) -> RolledOut | RollingOut | ExternalChange:
    """Assess a rollout.

    Args:
        view: the workload, as it is now.
        replica_sets: all ReplicaSets of its namespace.
        pods: all pods of its namespace, those that are ending included.
        uid: of the workload, as it was recorded.
        restart_id: of the restart that was asked for, which RESTART must find in the template.
        wanted: which rollout is waited for.
        others: the UIDs of other workloads that live.
        ignored: the names of pods that need not be waited for, unless it owns them.
    """
    if found := _contested(view, uid, restart_id, wanted):
        return found
    if wanted is Wanted.READY:
        known = owned_pods(view, replica_sets, pods)
    else:
        known = pods_of(view, replica_sets, pods, others=others, ignored=ignored)
    mine = tuple(pod for pod in known if not pod.terminal)
    new, template_lacks = _new_pods(view, replica_sets, mine, wanted)
    if why := _counts_lack(view, wanted) or template_lacks or _pods_lack(view, mine, new):
        progressing = view.conditions.get("Progressing", _NO_CONDITION)
        stalled = progressing.message if progressing.reason == "ProgressDeadlineExceeded" else None
        return RollingOut(view.workload, why, stalled, mine)
    return RolledOut(view.workload, new)


_NO_CONDITION = Condition("", "", "")


def _contested(view: WorkloadView, uid: str, restart_id: str, wanted: Wanted) -> ExternalChange | None:
    if view.uid != uid:
        return replaced(view)
    if wanted is not Wanted.RESTART:
        return None
    if view.restart_id != restart_id:
        return external_change(view, "the restart was reverted or superseded", "spec", "template")
    if view.paused:
        return external_change(view, "its rollout was paused", "spec", "paused")
    if view.replicas < 1 and view.workload.type != "daemonset":
        return external_change(view, "was scaled to 0", "spec", "replicas")
    return None


def _new_pods(
    view: WorkloadView, replica_sets: Sequence[ReplicaSetView], mine: tuple[PodState, ...], wanted: Wanted
) -> tuple[tuple[PodState, ...], str | None]:
    """Return those of its pods that are of the present template, and what its controller has not done yet with it."""
    if wanted is Wanted.READY:
        return mine, None
    if view.workload.type == "statefulset":
        return tuple(pod for pod in mine if pod.revision == view.update_revision), None
    if view.workload.type == "daemonset":
        new = tuple(pod for pod in mine if pod.restart_id == view.restart_id)
        revisions = {pod.revision for pod in new if not pod.terminating}
        return new, f"its pods are of {len(revisions)} revisions" if len(revisions) > 1 else None
    present = _present_replica_set(view, replica_sets)
    new = tuple(pod for pod in mine if present is not None and pod.owner_uid == present.uid)
    return new, _deployment_lacks(view, present)


def _present_replica_set(view: WorkloadView, replica_sets: Sequence[ReplicaSetView]) -> ReplicaSetView | None:
    """Return the ReplicaSet of a Deployment's template: of several the oldest, as its controller takes it."""
    found = [each for each in replica_sets if each.owner_uid == view.uid and each.template == view.template]
    return min(found, key=lambda each: (each.created_at or _EPOCH, each.name), default=None)


_EPOCH = datetime.min.replace(tzinfo=UTC)


def _deployment_lacks(view: WorkloadView, present: ReplicaSetView | None) -> str | None:
    if view.paused:
        return "its rollout is paused"
    progressing, available = (view.conditions.get(kind, _NO_CONDITION) for kind in ("Progressing", "Available"))
    has_deadline = view.progress_deadline is not None and view.progress_deadline < MAX_INT32
    if has_deadline and (progressing.status, progressing.reason) != ("True", "NewReplicaSetAvailable"):
        return f"Progressing is {progressing.status}, {progressing.reason or 'without a reason'}"
    if available.status != "True":
        return "it is not Available"
    return "no ReplicaSet has its template yet" if present is None else None


def _counts_lack(view: WorkloadView, wanted: Wanted) -> str | None:
    whole = wanted is not Wanted.READY
    if view.observed_generation < view.generation:
        return "its controller has not seen the change yet"
    if whole and view.replicas < 1:
        return "no pod of it is wanted yet"
    counts = [view.current, view.ready, view.available, *([view.updated] if whole else [])]
    if any(count != view.replicas for count in counts):
        new = f"{view.updated} new, " if whole else ""
        return f"of {view.replicas} pods {new}{view.ready} ready, {view.available} available"
    return None


def _pods_lack(view: WorkloadView, mine: tuple[PodState, ...], new: tuple[PodState, ...]) -> str | None:
    sound = {pod.uid for pod in new if pod.ready and not pod.terminating}
    if len(sound) != view.replicas:
        return f"{len(sound)} of {view.replicas} pods are Ready"
    if old := sorted(pod.name for pod in mine if pod.uid not in sound):
        return f"old pods still run: {', '.join(old)}"
    return None
