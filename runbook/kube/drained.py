"""Has a worker been drained? Pure: one look at the cluster in, the answer out.

A worker is drained when nothing of it runs any more: not when its count says 0 (terminating pods are not counted:
kubectl#1628, kubernetes#32567), not when a label selector finds nothing (a mistyped one finds nothing too), not when
the pods of the first list are gone (later ones may have come). Anyone who asks must list consistently (no
resourceVersion) and must have seen it drained twice in a row; an answer that could not be had is no answer.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from certlag.model import Workload
from runbook.kube.external_change import ExternalChange, external_change, replaced
from runbook.kube.ownership import Controllers, pods_of
from runbook.kube.views import PodState, ReplicaSetView, WorkloadView


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing of it runs. `ended` are its pods that are still listed, with their exit codes."""

    workload: Workload
    ended: tuple[PodState, ...]


@dataclass(frozen=True, slots=True)
class Draining:
    """Not yet, and why. `pods` still run or are ending."""

    workload: Workload
    why: str
    pods: tuple[PodState, ...]


def drain_progress(
    worker: WorkloadView,
    replica_sets: Sequence[ReplicaSetView],
    pods: Sequence[PodState],
    *,
    uid: str,
    initial: Collection[str],
    others: Controllers = (),
    ignored: Collection[str] = (),
) -> Drained | Draining | ExternalChange:
    """Assess the drain of one worker.

    Args:
        worker: the Deployment or StatefulSet, as it is now.
        replica_sets: all ReplicaSets of its namespace.
        pods: all pods of its namespace, those that are ending included.
        uid: of the worker, as it was recorded.
        initial: the UIDs of the pods that it had when its replicas were recorded.
        others: the UIDs of other workloads that live.
        ignored: the names of pods that need not be waited for, unless it owns them.
    """
    if worker.uid != uid:
        return replaced(worker)
    if worker.replicas != 0:
        return external_change(worker, f"was scaled to {worker.replicas} during the drain", "spec", "replicas")
    owned = [replica_set for replica_set in replica_sets if replica_set.owner_uid == worker.uid]
    known = pods_of(worker, replica_sets, pods, others=others, ignored=ignored)
    recorded = set(initial) - {pod.uid for pod in known}
    mine = (*known, *(pod for pod in pods if pod.uid in recorded and pod.name not in ignored))
    live = tuple(pod for pod in mine if not pod.terminal)
    if why := _why_not_yet(worker, owned, live):
        return Draining(worker.workload, why, live)
    return Drained(worker.workload, mine)


def _why_not_yet(worker: WorkloadView, owned: Iterable[ReplicaSetView], live: tuple[PodState, ...]) -> str | None:
    if worker.observed_generation < worker.generation:
        return "its controller has not seen the change yet"
    for each in owned:
        if each.replicas or each.current or each.observed_generation < each.generation:
            return f"ReplicaSet {each.name} is not at 0 yet"
    if live:
        return f"{len(live)} {'pod' if len(live) == 1 else 'pods'} not ended"
    if worker.current or worker.terminating:
        return "its status still counts pods"
    return None
