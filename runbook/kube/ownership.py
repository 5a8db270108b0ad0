"""Which pods are a workload's. Pure.

A pod that is ending outlives its ReplicaSet: with `revisionHistoryLimit: 0` that is deleted as soon as its count is 0,
and the pod that it made goes on for an hour with an owner that is no more. So labels decide, and an owner is only an
excuse: a pod that the workload's selector selects is the workload's, unless a living controller other than the
workload's own is shown to own it. Of owners whose kind is not read (Jobs, other people's StatefulSets, operators'
kinds) nothing is shown.
"""

from collections.abc import Collection, Iterable, Sequence

from certlag.model import Workload
from runbook.kube.views import KINDS, PodState, ReplicaSetView, WorkloadView

Controllers = Collection[str]
"""UIDs of controllers."""


def owners_of(view: WorkloadView, replica_sets: Iterable[ReplicaSetView]) -> Controllers:
    """Return what makes a workload's pods: itself, or its ReplicaSets."""
    return {view.uid, *(each.uid for each in replica_sets if each.owner_uid == view.uid)}


def owned_pods(
    view: WorkloadView, replica_sets: Iterable[ReplicaSetView], pods: Iterable[PodState]
) -> tuple[PodState, ...]:
    """Return the pods that a workload owns: those that it ends when it is scaled."""
    owners = owners_of(view, replica_sets)
    return tuple(pod for pod in pods if pod.owner_uid in owners)


def pods_of(
    view: WorkloadView,
    replica_sets: Sequence[ReplicaSetView],
    pods: Iterable[PodState],
    *,
    others: Controllers = (),
    ignored: Collection[str] = (),
) -> tuple[PodState, ...]:
    """Return the pods that are a workload's, owned by it or not.

    Args:
        view: the workload.
        replica_sets: all ReplicaSets of its namespace.
        pods: all pods of its namespace, those that are ending included.
        others: the UIDs of other workloads that were read just now, and so live.
        ignored: the names of pods that an operator wants left out; what the workload owns is never left out.
    """
    own = owners_of(view, replica_sets)
    living = {each.uid for each in replica_sets if _is_anothers(each, view.workload)} | {*others} - {view.uid}

    def is_stray(pod: PodState) -> bool:
        return view.selector.matches(pod.labels) and pod.owner_uid not in living and pod.name not in ignored

    return tuple(pod for pod in pods if pod.owner_uid in own or is_stray(pod))


def _is_anothers(replica_set: ReplicaSetView, workload: Workload) -> bool:
    """Tell whether a ReplicaSet lives and belongs to no workload of this name, present or deleted."""
    return replica_set.lives and replica_set.owner != f"{KINDS[workload.type]}/{workload.name}"
