"""What the cluster shows of workloads and their pods, read consistently, for the predicates. Pure: yields requests.

Collections are read whole and without a resourceVersion, which the API server answers consistently: a watch only says
when it is worth to look again.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from certlag.model import Workload
from runbook.effects import List, Steps
from runbook.guard import fence
from runbook.kube import ownership
from runbook.kube.views import PodState, ReplicaSetView, WorkloadView, pod_state, replica_set_view


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a namespace: the workloads asked for, all ReplicaSets and all pods."""

    views: dict[Workload, WorkloadView]
    replica_sets: tuple[ReplicaSetView, ...]
    pods: tuple[PodState, ...]

    def pods_of(
        self, workload: Workload, *, others: ownership.Controllers, ignored: Collection[str]
    ) -> tuple[PodState, ...]:
        """Return the pods that are a workload's, as `runbook.kube.ownership` tells."""
        view = self.views[workload]
        return ownership.pods_of(view, self.replica_sets, self.pods, others=others, ignored=ignored)


def observe(workloads: Iterable[Workload]) -> Steps[Observation]:
    """Look once at workloads of one namespace.

    Raises:
        ClusterError: it could not be read, so nothing is known.
        ContestedError: one of them is gone.
    """
    views: dict[Workload, WorkloadView] = {}
    for workload in workloads:
        views[workload] = yield from fence.read(workload)
    namespace = next(iter(views)).namespace if views else ""
    if not views:
        return Observation({}, (), ())
    replica_sets = yield List(f"/apis/apps/v1/namespaces/{namespace}/replicasets", replica_set_view)
    pods = yield List(f"/api/v1/namespaces/{namespace}/pods", pod_state)
    return Observation(views, tuple(replica_sets), tuple(pods))
