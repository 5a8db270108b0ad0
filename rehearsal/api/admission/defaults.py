"""What the API server fills in and refuses when an object is written. Pure.

Defaults are those of k8s.io/kubernetes, pkg/apis/{apps,core,autoscaling}/v{1,2}/defaults.go, as far as something here
looks at the field; so is what is refused.
"""

from collections.abc import Callable, Iterator
from typing import Any

from rehearsal.api.refusals import Refusal, invalid
from rehearsal.api.resources import (
    AUTOSCALERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    WORKLOADS,
    Resource,
)
from rehearsal.api.selectors import matches
from rehearsal.objects import Document, name_of


def fill_in(resource: Resource, document: Document) -> None:
    """Set the defaults of a document that is about to be stored, in place; maps that are empty are none.

    Parts of it may be shared with the document that it replaces: that one lacks nothing, so nothing is changed in it.
    """
    if resource is NAMESPACES:
        document["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(document)
    _drop_empty(document["metadata"])
    default = _DEFAULTS.get(resource)
    if default is not None:
        default(document.setdefault("spec", {}))


def refusal(resource: Resource, old: Document | None, new: Document) -> Refusal | None:
    """Return why an object cannot be as it is about to be stored, None if it can."""
    if resource not in WORKLOADS:
        return None
    spec, name = new["spec"], name_of(new)
    replicas = spec.get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        return invalid(resource, name, "spec.replicas", why)
    if not matches(spec["selector"], spec["template"].get("metadata", {}).get("labels") or {}):
        why = "Invalid value: `selector` does not match template `labels`"
        return invalid(resource, name, "spec.template.metadata.labels", why)
    if old is not None and old["spec"]["selector"] != spec["selector"]:
        return invalid(resource, name, "spec.selector", "Invalid value: field is immutable")
    return None


def _deployment(spec: Document) -> None:
    _defaults(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _defaults(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _defaults(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    else:
        strategy.pop("rollingUpdate", None)
    _template(spec)


def _replica_set(spec: Document) -> None:
    _defaults(spec, replicas=1)
    _template(spec)


def _stateful_set(spec: Document) -> None:
    _defaults(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", serviceName="")
    strategy = spec.setdefault("updateStrategy", {})
    _defaults(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _defaults(strategy.setdefault("rollingUpdate", {}), partition=0)
    _defaults(spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), whenDeleted="Retain", whenScaled="Retain")
    _template(spec)


def _job(spec: Document) -> None:
    _defaults(spec, backoffLimit=6, completions=1, parallelism=1, suspend=False)
    _template(spec)


def _cron_job(spec: Document) -> None:
    _job(spec.setdefault("jobTemplate", {}).setdefault("spec", {}))


def _daemon_set(spec: Document) -> None:
    _defaults(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _defaults(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _defaults(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _template(spec: Document) -> None:
    template = spec.setdefault("template", {})
    _drop_empty(template.setdefault("metadata", {}))
    _pod(template.setdefault("spec", {}))


def _pod(spec: Document) -> None:
    _defaults(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    for container in (*spec.setdefault("containers", []), *spec.get("initContainers", ())):
        _defaults(
            container,
            resources={},
            terminationMessagePath="/dev/termination-log",
            terminationMessagePolicy="File",
            imagePullPolicy="IfNotPresent",
        )
        for port in container.get("ports") or ():
            _defaults(port, protocol="TCP")
    for source in _secret_volumes(spec):
        _defaults(source, defaultMode=420)


def _secret_volumes(spec: Document) -> Iterator[Document]:
    return (volume["secret"] for volume in spec.get("volumes") or () if "secret" in volume)


def _autoscaler(spec: Document) -> None:
    _defaults(spec, minReplicas=1)


def _drop_empty(metadata: Document) -> None:
    """Leave out labels and annotations of which there are none, as Go's `omitempty` does."""
    for name in ("labels", "annotations"):
        if not metadata.get(name, True):
            del metadata[name]


def _defaults(target: Document, **values: Any) -> None:
    for name, value in values.items():
        target.setdefault(name, value)


_DEFAULTS: dict[Resource, Callable[[Document], None]] = {
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    STATEFUL_SETS: _stateful_set,
    DAEMON_SETS: _daemon_set,
    JOBS: _job,
    CRON_JOBS: _cron_job,
    PODS: _pod,
    AUTOSCALERS: _autoscaler,
}
