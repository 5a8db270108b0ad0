"""Has a workload been rolled out? Pure: one look at the cluster in, the answer out.

Stricter than `kubectl rollout status` and than the condition Available, which stays true during a rolling restart and
is vacuous when no pod needs to be available (cozystack#3561, helm#8660): every pod that is wanted is of the
restart that we asked for and Ready, the controller has seen it, and no pod of before still runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.model import Workload
from runbook.contest import Contest, contest, recreated
from runbook.workloads import Condition, PodState, ReplicaSetView, WorkloadView

MAX_INT32 = 2**31 - 1
"""As progressDeadlineSeconds: no deadline."""


@dataclass(frozen=True, slots=True)
class RolledOut:
    """It is rolled out; these are its pods."""

    workload: Workload
    pods: tuple[PodState, ...]


@dataclass(frozen=True, slots=True)
class RollingOut:
    """Not yet, and why. `stalled` is what its controller says when it has given up waiting, else None."""

    workload: Workload
    why: str
    stalled: str | None
    pods: tuple[PodState, ...]


def rollout_progress(
    view: WorkloadView,
    replica_sets: Iterable[ReplicaSetView],
    pods: Sequence[PodState],
    *,
    uid: str,
    restart_id: str | None,
) -> RolledOut | RollingOut | Contest:
    """Judge a rollout.

    Args:
        view: the workload, as it is now.
        replica_sets: all ReplicaSets of its namespace.
        pods: all pods of its namespace, those that are ending included.
        uid: of the workload, as it was recorded.
        restart_id: of the restart that was asked for; None to accept whatever its template says.
    """
    if found := _contested(view, uid, restart_id):
        return found
    owned = [replica_set for replica_set in replica_sets if replica_set.owner_uid == view.uid]
    owners = {view.uid, *(replica_set.uid for replica_set in owned)}
    mine = tuple(pod for pod in pods if pod.owner_uid in owners and not pod.terminal)
    new = tuple(pod for pod in mine if restart_id is None or _is_of(pod, view, restart_id))
    why = _counts_lack(view, restart_id) or (_template_lacks(view, owned, restart_id) if restart_id else None)
    if why := why or _pods_lack(view, mine, new):
        progressing = view.conditions.get("Progressing", _NO_CONDITION)
        stalled = progressing.message if progressing.reason == "ProgressDeadlineExceeded" else None
        return RollingOut(view.workload, why, stalled, mine)
    return RolledOut(view.workload, new)


_NO_CONDITION = Condition("", "", "")


def _contested(view: WorkloadView, uid: str, restart_id: str | None) -> Contest | None:
    if view.uid != uid:
        return recreated(view)
    if restart_id is None:
        return None
    if view.restart_id != restart_id:
        return contest(view, "the restart was reverted or superseded", "spec", "template")
    if view.paused:
        return contest(view, "its rollout was paused", "spec", "paused")
    if view.replicas < 1 and view.workload.type != "daemonset":
        return contest(view, "was scaled to 0", "spec", "replicas")
    return None


def _is_of(pod: PodState, view: WorkloadView, restart_id: str) -> bool:
    """Tell whether a pod was made by this restart; a StatefulSet says so itself, too."""
    of_revision = view.workload.type != "statefulset" or pod.revision == view.update_revision
    return pod.restart_id == restart_id and of_revision


def _counts_lack(view: WorkloadView, restart_id: str | None) -> str | None:
    if view.observed_generation < view.generation:
        return "its controller has not seen the change yet"
    if restart_id is not None and view.replicas < 1:
        return "no pod of it is wanted yet"
    counts = [view.current, view.ready, view.available, *([view.updated] if restart_id is not None else [])]
    if any(count != view.replicas for count in counts):
        new = f"{view.updated} new, " if restart_id is not None else ""
        return f"of {view.replicas} pods {new}{view.ready} ready, {view.available} available"
    return None


def _template_lacks(view: WorkloadView, owned: list[ReplicaSetView], restart_id: str) -> str | None:
    """Say what a Deployment's controller has not done yet with the new template."""
    if view.workload.type != "deployment":
        return None
    progressing, available = (view.conditions.get(kind, _NO_CONDITION) for kind in ("Progressing", "Available"))
    has_deadline = view.progress_deadline is not None and view.progress_deadline < MAX_INT32
    if has_deadline and (progressing.status, progressing.reason) != ("True", "NewReplicaSetAvailable"):
        return f"Progressing is {progressing.status}, {progressing.reason or 'without a reason'}"
    if available.status != "True":
        return "it is not Available"
    made = [each for each in owned if each.restart_id == restart_id]
    return None if len(made) == 1 else f"{len(made)} ReplicaSets have the new template, not 1"


def _pods_lack(view: WorkloadView, mine: tuple[PodState, ...], new: tuple[PodState, ...]) -> str | None:
    sound = [pod for pod in new if pod.ready and not pod.terminating]
    if len(sound) != view.replicas:
        return f"{len(sound)} of {view.replicas} pods are Ready"
    if old := sorted(pod.name for pod in mine if pod not in sound):
        return f"pods of before still run: {', '.join(old)}"
    return None
