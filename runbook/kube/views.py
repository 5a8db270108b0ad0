"""Workloads, ReplicaSets and pods as the runbook's predicates need them: API JSON to frozen values. Pure.

`certlag.kube.decode` reads what an assessment of certificates needs; a drain and a rollout ask about other
fields: generations, counts, conditions, who wrote what. Absent counts are 0, as the API means them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from certlag.model import Workload
from runbook.kube import quotas
from runbook.kube.containers import ContainerEnd, container_ends
from runbook.kube.obstacles import Obstacle, pod_obstacle
from runbook.kube.selectors import LabelSelector, label_selector
from runbook.kube.volumes import Volumes, volumes

FIELD_MANAGER = "certlag"
"""Under which managedFields name what we wrote."""
RUN_ANNOTATION = "certlag.dev/run"
"""The fence: `<run id>/<epoch>` of the one run that may change this object."""
REPLICAS_ANNOTATION = "certlag.dev/replicas"
"""On a worker: the replicas that were recorded, beside the record."""
RESTART_ANNOTATION = "certlag.dev/restart-id"
"""In a pod template: which restart made it."""

TEMPLATE_HASH_LABEL = "pod-template-hash"
"""What a Deployment's controller adds to the labels of a ReplicaSet's template."""

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
_DEFAULT_SURGE = {"deployment": "25%", "statefulset": 0, "daemonset": 0}
"""What a rolling update that says nothing may make more, by kind; a StatefulSet never makes any."""
TERMINAL = frozenset({"Succeeded", "Failed"})
"""Phases that are written only after all containers have stopped (kubernetes PR #108749)."""


@dataclass(frozen=True, slots=True)
class FieldManager:
    """One entry of `metadata.managedFields`: who wrote which fields, when, and through which subresource, if any."""

    name: str
    operation: str
    at: datetime | None
    fields: Mapping[str, Any] = field(hash=False)
    subresource: str = ""

    def wrote(self, *path: str) -> bool:
        """Tell whether it owns the field at this path (`spec`, `replicas`)."""
        here: Any = self.fields
        for part in path:
            here = here.get(f"f:{part}") if isinstance(here, dict) else None
        return here is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a workload's status."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StartupProbe:
    """How long a container may take to start: the kubelet kills one that takes longer.

    `in_turn`: it is a sidecar (an init container with `restartPolicy: Always`), and the next container waits for it.
    """

    container: str
    initial_delay: int
    period: int
    failures: int
    in_turn: bool

    @property
    def longest(self) -> timedelta:
        """How long that is at most."""
        return timedelta(seconds=self.initial_delay + self.period * self.failures)


@dataclass(frozen=True, slots=True)
class Pace:
    """What a workload's spec says about how its pods are replaced, made and ended.

    `surge`, `unavailable`: maxSurge and maxUnavailable as they are written, None where they are not. `in_order`: pods
    are made and ended one after another (a StatefulSet with `podManagementPolicy: OrderedReady`).
    """

    surge: int | str | None
    unavailable: int | str | None
    in_order: bool
    min_ready: timedelta
    startup_probes: tuple[StartupProbe, ...]


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A Deployment, StatefulSet or DaemonSet as one read showed it.

    `replicas` is how many pods are wanted: for a DaemonSet what its controller wants. `template` is a digest of the pod
    template; `current_revision` and `update_revision` are a StatefulSet's. `surge` is how many more there may be while
    it rolls out, `host_ports` whether a pod takes ports of its node, `variables` the names of the environment variables
    in its template, `resources` what says how much a pod of it takes (`runbook.kube.quotas`).
    """

    workload: Workload
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    replicas: int
    paused: bool
    strategy: str
    partition: int
    surge: int
    progress_deadline: int | None
    grace_period: timedelta
    pace: Pace
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    template: str
    template_labels: Mapping[str, str]
    template_annotations: Mapping[str, str]
    selector: LabelSelector
    owner: str | None
    volumes: Volumes
    host_ports: bool
    variables: frozenset[str]
    resources: Mapping[str, Any]
    current: int
    updated: int
    ready: int
    available: int
    unavailable: int
    terminating: int
    current_revision: str
    update_revision: str
    conditions: Mapping[str, Condition]
    managers: tuple[FieldManager, ...]

    @property
    def fence(self) -> str | None:
        """Which run, and which epoch of it, may change this object."""
        return self.annotations.get(RUN_ANNOTATION)

    @property
    def restart_id(self) -> str | None:
        """Which restart made its present pod template."""
        return self.template_annotations.get(RESTART_ANNOTATION)

    @property
    def recorded_replicas(self) -> str | None:
        """What its annotation says that its replicas were before a drain."""
        return self.annotations.get(REPLICAS_ANNOTATION)

    def last_writer(self, *path: str) -> FieldManager | None:
        """Return who else than we wrote the field at this path last, if anybody is known to."""
        writers = [manager for manager in self.managers if manager.name != FIELD_MANAGER and manager.wrote(*path)]
        return max(writers, key=lambda manager: manager.at or datetime.min.replace(tzinfo=UTC), default=None)


@dataclass(frozen=True, slots=True)
class ReplicaSetView:
    """A ReplicaSet as the drain and the rollout see it.

    `template` is a digest of its pod template without the label that its Deployment's controller adds: the one that
    has its Deployment's is the present one. `lives`: its own deletion was not asked for. `failure` says why a pod of it
    could not be made.
    """

    name: str
    uid: str
    owner: str | None
    owner_uid: str | None
    lives: bool
    created_at: datetime | None
    generation: int
    observed_generation: int
    replicas: int
    current: int
    template: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as the drain and the rollout see it.

    `deleted_by` is its deletionTimestamp: the end of its grace, not its begin. `ends` are those of containers that
    have ended. `obstacle` is what keeps it from being Ready.
    """

    name: str
    uid: str
    owner_uid: str | None
    phase: str
    ready: bool
    node: str
    address: str
    grace: timedelta
    created_at: datetime | None
    deleted_by: datetime | None
    deletion_grace: timedelta
    labels: Mapping[str, str]
    revision: str
    restart_id: str | None
    ends: tuple[ContainerEnd, ...]
    waiting_reason: str
    obstacle: Obstacle | None = None

    @property
    def terminal(self) -> bool:
        """Whether all its containers have stopped for good."""
        return self.phase in TERMINAL

    @property
    def terminating(self) -> bool:
        """Whether it was asked to end."""
        return self.deleted_by is not None

    @property
    def ending_since(self) -> datetime | None:
        """When it was asked to end: its deletionTimestamp less the grace that it was given."""
        return self.deleted_by - self.deletion_grace if self.deleted_by is not None else None


def counted(count: int, noun: str) -> str:
    """Say how many: `1 pod`, `3 pods`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def reference(workload: Workload) -> str:
    """Return `type/name`, as the configuration and the record write it."""
    return f"{workload.type}/{workload.name}"


def workload_view(workload: Workload, document: Mapping[str, Any]) -> WorkloadView:
    """Read a workload of apps/v1."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    template = spec["template"]
    template_metadata = template.get("metadata") or {}
    update = spec.get("strategy") or spec.get("updateStrategy") or {}
    daemon = workload.type == "daemonset"
    grace = template["spec"].get("terminationGracePeriodSeconds", 30)
    replicas = status.get("desiredNumberScheduled", 0) if daemon else spec.get("replicas", 1)
    return WorkloadView(
        workload=workload,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        replicas=replicas,
        paused=spec.get("paused", False),
        strategy=update.get("type", "RollingUpdate"),
        partition=(update.get("rollingUpdate") or {}).get("partition") or 0,
        surge=_surge(workload, update, replicas),
        progress_deadline=spec.get("progressDeadlineSeconds"),
        grace_period=timedelta(seconds=grace),
        pace=_pace(workload, spec, update.get("rollingUpdate") or {}),
        annotations=metadata.get("annotations") or {},
        labels=metadata.get("labels") or {},
        template=_digest(template),
        template_labels=template_metadata.get("labels") or {},
        template_annotations=template_metadata.get("annotations") or {},
        selector=label_selector(spec.get("selector")),
        owner=_owner(metadata, "name"),
        volumes=volumes(metadata["name"], spec),
        host_ports=_takes_host_ports(template["spec"]),
        resources=quotas.resources(template["spec"]),
        variables=frozenset(each["name"] for part in _containers(template["spec"]) for each in part.get("env") or ()),
        current=status.get("currentNumberScheduled" if daemon else "replicas", 0),
        updated=status.get("updatedNumberScheduled" if daemon else "updatedReplicas", 0),
        ready=status.get("numberReady" if daemon else "readyReplicas", 0),
        available=status.get("numberAvailable" if daemon else "availableReplicas", 0),
        unavailable=status.get("numberUnavailable" if daemon else "unavailableReplicas", 0),
        terminating=status.get("terminatingReplicas") or 0,
        current_revision=status.get("currentRevision", ""),
        update_revision=status.get("updateRevision", ""),
        conditions=dict(_conditions(status)),
        managers=tuple(_managers(metadata)),
    )


def replica_set_view(document: Mapping[str, Any]) -> ReplicaSetView:
    """Read a ReplicaSet of apps/v1."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    return ReplicaSetView(
        name=metadata["name"],
        uid=metadata["uid"],
        owner=_owner(metadata, "name"),
        owner_uid=_owner(metadata, "uid"),
        lives="deletionTimestamp" not in metadata,
        created_at=_instant(metadata.get("creationTimestamp")),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        replicas=spec.get("replicas", 1),
        current=status.get("replicas", 0),
        template=_digest(spec.get("template") or {}),
        failure=replica_failure(dict(_conditions(status))),
    )


def pod_state(document: Mapping[str, Any]) -> PodState:
    """Read a core/v1 Pod."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    containers = status.get("containerStatuses") or ()
    states = [each.get("state") or {} for each in containers]
    grace = timedelta(seconds=spec.get("terminationGracePeriodSeconds", 30))
    deletion_grace = metadata.get("deletionGracePeriodSeconds")
    return PodState(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=_owner(metadata, "uid"),
        phase=status.get("phase", "Unknown"),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()),
        node=spec.get("nodeName", ""),
        address=status.get("podIP", ""),
        grace=grace,
        created_at=_instant(metadata.get("creationTimestamp")),
        deleted_by=_instant(metadata.get("deletionTimestamp")),
        deletion_grace=grace if deletion_grace is None else timedelta(seconds=deletion_grace),
        labels=metadata.get("labels") or {},
        revision=(metadata.get("labels") or {}).get("controller-revision-hash", ""),
        restart_id=(metadata.get("annotations") or {}).get(RESTART_ANNOTATION),
        ends=container_ends(document),
        waiting_reason=next((state["waiting"].get("reason", "") for state in states if "waiting" in state), ""),
        obstacle=pod_obstacle(document),
    )


def _pace(workload: Workload, spec: Mapping[str, Any], rolling: Mapping[str, Any]) -> Pace:
    ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    return Pace(
        surge=rolling.get("maxSurge"),
        unavailable=rolling.get("maxUnavailable"),
        in_order=workload.type == "statefulset" and ordered,
        min_ready=timedelta(seconds=spec.get("minReadySeconds") or 0),
        startup_probes=tuple(_startup_probes(spec["template"]["spec"])),
    )


def _startup_probes(pod: Mapping[str, Any]) -> Iterable[StartupProbe]:
    """Yield those of the containers that are started for good; the defaults are the API's."""
    sidecars = (each for each in pod.get("initContainers") or () if each.get("restartPolicy") == "Always")
    for in_turn, containers in ((True, sidecars), (False, pod.get("containers") or ())):
        for container in containers:
            if (probe := container.get("startupProbe")) is not None:
                yield StartupProbe(
                    container=container.get("name", ""),
                    initial_delay=probe.get("initialDelaySeconds") or 0,
                    period=probe.get("periodSeconds") or 10,
                    failures=probe.get("failureThreshold") or 3,
                    in_turn=in_turn,
                )


def _digest(template: Mapping[str, Any]) -> str:
    """Return what is equal for equal pod templates, whether or not a controller has labelled one."""
    metadata = template.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != TEMPLATE_HASH_LABEL}
    written = {name: value for name, value in {**metadata, "labels": labels}.items() if value}
    text = json.dumps({**template, "metadata": written}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _surge(workload: Workload, update: Mapping[str, Any], replicas: int) -> int:
    """Return how many pods more than wanted a rolling update may make; a percentage is rounded up."""
    if update.get("type", "RollingUpdate") != "RollingUpdate":
        return 0
    most = (update.get("rollingUpdate") or {}).get("maxSurge", _DEFAULT_SURGE[workload.type])
    return most if isinstance(most, int) else -(-replicas * int(most.rstrip("%")) // 100)


def _takes_host_ports(spec: Mapping[str, Any]) -> bool:
    """Tell whether two pods of this spec cannot listen on one node at once."""
    ports = [port for part in _containers(spec) for port in part.get("ports") or ()]
    return any(port.get("hostPort") for port in ports) or bool(spec.get("hostNetwork") and ports)


def _containers(spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))


def replica_failure(conditions: Mapping[str, Condition]) -> str:
    """Return why a pod could not be made, as the condition of a Deployment or a ReplicaSet says; empty if it could."""
    found = conditions.get("ReplicaFailure")
    return found.message if found is not None and found.status == "True" else ""


def _conditions(status: Mapping[str, Any]) -> Iterable[tuple[str, Condition]]:
    for each in status.get("conditions") or ():
        yield each["type"], Condition(each["status"], each.get("reason", ""), each.get("message", ""))


def _owner(metadata: Mapping[str, Any], part: str) -> str | None:
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner[part]) if part == "uid" else f"{owner['kind']}/{owner['name']}"
    return None


def _managers(metadata: Mapping[str, Any]) -> Iterable[FieldManager]:
    for entry in metadata.get("managedFields") or ():
        yield FieldManager(
            name=entry.get("manager", ""),
            operation=entry.get("operation", ""),
            at=_instant(entry.get("time")),
            fields=entry.get("fieldsV1") or {},
            subresource=entry.get("subresource") or "",
        )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
