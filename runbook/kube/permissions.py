"""The rights that a command needs, each with what for. Pure: one table, asked about before anything changes."""

from collections.abc import Iterator
from dataclasses import dataclass

from certlag.model import ObjectKey, Target, Workload
from certlag.run_record import lease_key, lease_name, record_key, record_name


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, as RBAC writes it; `name` narrows it to one object. `why` is for people."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""
    subresource: str = ""
    why: str = ""

    def __str__(self) -> str:
        """Say it as `kubectl auth can-i` takes it."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        resource += f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {resource}{f' {self.name}' if self.name else ''} in {self.namespace}"

    @property
    def review(self) -> dict[str, object]:
        """The SelfSubjectAccessReview that asks for it."""
        attributes = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }


def to_check(target: Target, *, port_forward: bool) -> Iterator[Right]:
    """Yield what it takes to see what a target presents, and whether a run is open."""
    namespace = target.workload.namespace
    for resource in ("certificates", "certificaterequests"):
        yield Right("list", "cert-manager.io", resource, namespace, why="what was issued")
    yield Right("list", "", "pods", namespace, why="which pods run")
    yield Right("list", "apps", "replicasets", namespace, why="which workload a pod belongs to")
    for workload in (target.workload, *target.workers):
        yield _of_workload("get", workload, "how many replicas there are")
    yield Right("get", "", "configmaps", namespace, record_name(target.name), why="the record of runs")
    yield Right("get", "coordination.k8s.io", "leases", namespace, lease_name(target.workload), why="the lock")
    if port_forward:
        yield from to_port_forward(target)


def to_port_forward(target: Target) -> Iterator[Right]:
    """Yield what it takes to reach pods through the API server."""
    for verb in ("get", "create"):
        namespace = target.workload.namespace
        yield Right(verb, "", "pods", namespace, subresource="portforward", why="the handshake with each pod")


def to_start(target: Target, cron_job: str, *, port_forward: bool, keda: bool) -> Iterator[Right]:
    """Yield what it takes to plan a run, and to start and follow it in the cluster; the Job's account has the rest."""
    yield from to_check(target, port_forward=port_forward)
    yield from _to_see_autoscalers(target, keda=keda)
    namespace = target.workload.namespace
    yield Right("get", "batch", "cronjobs", namespace, cron_job, why="what the run's Job is made from")
    yield Right("create", "batch", "jobs", namespace, why="starting the run")
    yield Right("get", "batch", "jobs", namespace, why="seeing whether it has ended")


def to_read_claims(target: Target) -> Right:
    """Return what it takes to see the volume claims that the target or a worker names."""
    namespace = target.workload.namespace
    return Right("get", "", "persistentvolumeclaims", namespace, why="which volumes would be lost, or waited for")


def to_see_budgets(target: Target) -> Right:
    """Return what it takes to show the PodDisruptionBudgets of a target; a run goes without."""
    return Right("list", "policy", "poddisruptionbudgets", target.workload.namespace, why="which of them cover it")


def to_unpause(target: Target, path: str) -> Iterator[Right]:
    """Yield what it takes to end the pause of a ScaledObject at this path; nothing for other objects."""
    if "/scaledobjects/" in path:
        for verb in ("get", "patch"):
            name = path.rpartition("/")[2]
            yield Right(verb, "keda.sh", "scaledobjects", target.workload.namespace, name, why="ending its pause")


def to_see_quotas(target: Target) -> Right:
    """Return what it takes to see whether ResourceQuotas leave room for new pods; a run goes without."""
    return Right("list", "", "resourcequotas", target.workload.namespace, why="whether there is room for new pods")


def to_see_warnings(target: Target) -> Right:
    """Return what it takes to say why no pod is made or starts, where only an Event says it; a run goes without."""
    return Right("list", "", "events", target.workload.namespace, why="why there is no pod")


def to_run(
    target: Target, *, port_forward: bool, keda: bool, made: frozenset[ObjectKey] = frozenset()
) -> Iterator[Right]:
    """Yield what it takes to restart, and to put everything back: both directions are asked for beforehand.

    Args:
        target: what is restarted.
        port_forward: whether pods are reached through the API server.
        keda: whether KEDA is installed.
        made: those of the record and the Leases that exist. What is made in advance need not be created, which RBAC
            cannot limit by name.
    """
    yield from to_check(target, port_forward=port_forward)
    namespace = target.workload.namespace
    workloads = (target.workload, *target.workers)
    yield Right("watch", "", "pods", namespace, why="being woken when a pod ends")
    yield Right("watch", "apps", "replicasets", namespace, why="being woken when a rollout goes on")
    for workload in workloads:
        yield _of_workload("patch", workload, "the fence, the replicas and the restart")
        for verb in ("list", "watch"):
            yield _of_workload(verb, workload, "being woken when it changes")
    if record_key(target) not in made:
        yield Right("create", "", "configmaps", namespace, why="the record of runs")
    yield Right("patch", "", "configmaps", namespace, record_name(target.name), why="the record of runs")
    if not {lease_key(workload) for workload in workloads} <= made:
        yield Right("create", "coordination.k8s.io", "leases", namespace, why="the lock")
    for workload in workloads:
        for verb in ("get", "patch"):
            yield Right(verb, "coordination.k8s.io", "leases", namespace, lease_name(workload), why="the lock")
    yield Right("create", "", "events", namespace, why="telling the story in kubectl describe")
    yield from _to_see_autoscalers(target, keda=keda)


def _to_see_autoscalers(target: Target, *, keda: bool) -> Iterator[Right]:
    namespace = target.workload.namespace
    yield Right("list", "autoscaling", "horizontalpodautoscalers", namespace, why="who else scales them")
    if keda:
        yield Right("list", "keda.sh", "scaledobjects", namespace, why="who else scales them")


def _of_workload(verb: str, workload: Workload, why: str) -> Right:
    return Right(verb, "apps", f"{workload.type}s", workload.namespace, workload.name, why=why)
