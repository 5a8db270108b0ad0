"""Who else wants to say how many replicas there are: a HorizontalPodAutoscaler, and KEDA's ScaledObject.

The HPA has no metrics here: it keeps the replicas within its bounds, and lets a workload at zero alone unless its
minReplicas is zero too (k8s.io/kubernetes/pkg/controller/podautoscaler/horizontal.go). KEDA puts what is at zero back
to its minimum, unless `paused-replicas` or `paused` is annotated (kedacore/keda#2453).
"""

from datetime import datetime, timedelta

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import AUTOSCALERS, DEPLOYMENTS, SCALED_OBJECTS, STATEFUL_SETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.pods import MANAGER
from rehearsal.objects import Document, annotations_of, name_of, namespace_of, with_condition

HPA_PERIOD = timedelta(seconds=15)
"""kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
KEDA_PERIOD = timedelta(seconds=1)
"""KEDA reacts to what it watches; a second keeps two controllers from undoing each other in no time."""
KEDA = "keda-operator"

_SCALABLE = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}


class HorizontalPodAutoscalerController:
    """Keeps replicas within the bounds of HorizontalPodAutoscalers."""

    watches = (AUTOSCALERS,)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, now: datetime) -> datetime | None:
        """Look at each, and come back after a period."""
        autoscalers = tuple(self._api.storage.all(AUTOSCALERS).values())
        for autoscaler in autoscalers:
            self._sync(autoscaler, now)
        return now + HPA_PERIOD if autoscalers else None

    def _sync(self, autoscaler: Document, now: datetime) -> None:
        spec = autoscaler["spec"]
        found = _scaled(self._api, autoscaler)
        if found is None:
            return
        replicas = found["spec"]["replicas"]
        active = replicas > 0 or spec["minReplicas"] == 0
        wanted = min(max(replicas, spec["minReplicas"]), spec["maxReplicas"]) if active else replicas
        if spec["minReplicas"] == 0 and replicas == 0:
            wanted = 1  # it has no metric that says zero; the branch that leaves zero alone does not apply
        reason = (
            ("ScalingActive", "True", "ValidMetricFound") if active else ("ScalingActive", "False", "ScalingDisabled")
        )
        kind, status, why = reason
        message = "" if active else "scaling is disabled since the replica count of the target is zero"
        condition = {"type": kind, "status": status, "reason": why, "message": message}
        conditions = with_condition(autoscaler["status"].get("conditions") or (), condition, now)
        status_document = {"currentReplicas": replicas, "desiredReplicas": wanted, "conditions": conditions}
        key = Key(namespace_of(autoscaler), name_of(autoscaler))
        self._api.update(AUTOSCALERS, key, {"status": status_document}, MANAGER, subresource="status")
        _rescale(self._api, autoscaler, wanted, MANAGER)


class ScaledObjectController:
    """KEDA: never below its minimum, unless it is paused."""

    watches = (SCALED_OBJECTS,)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, now: datetime) -> datetime | None:
        """Look at each, and come back after a period."""
        objects = tuple(self._api.storage.all(SCALED_OBJECTS).values())
        for scaled_object in objects:
            self._sync(scaled_object)
        return now + KEDA_PERIOD if objects else None

    def _sync(self, scaled_object: Document) -> None:
        annotations = annotations_of(scaled_object)
        found = _scaled(self._api, scaled_object)
        if found is None:
            return
        if (paused := annotations.get("autoscaling.keda.sh/paused-replicas")) is not None:
            _rescale(self._api, scaled_object, int(paused), KEDA)
        elif annotations.get("autoscaling.keda.sh/paused") != "true":
            least = max(1, scaled_object["spec"].get("minReplicaCount", 0))
            _rescale(self._api, scaled_object, max(found["spec"]["replicas"], least), KEDA)


def _scaled(api: Verbs, autoscaler: Document) -> Document | None:
    reference = autoscaler["spec"]["scaleTargetRef"]
    resource = _SCALABLE.get(reference.get("kind", "Deployment"))
    return api.storage.get(resource, Key(namespace_of(autoscaler), reference["name"])) if resource else None


def _rescale(api: Verbs, autoscaler: Document, replicas: int, manager: str) -> None:
    reference = autoscaler["spec"]["scaleTargetRef"]
    resource = _SCALABLE[reference.get("kind", "Deployment")]
    key = Key(namespace_of(autoscaler), reference["name"])
    api.patch(resource, key, {"spec": {"replicas": replicas}}, MERGE_PATCH, manager, subresource="scale")
