"""Who else wants to say how many replicas there are: a HorizontalPodAutoscaler, and KEDA's ScaledObject.

The HPA has no metrics here: it keeps the replicas within its bounds, and lets a workload at zero alone unless its
minReplicas is zero too (k8s.io/kubernetes/pkg/controller/podautoscaler/horizontal.go).

KEDA is two things (kedacore/keda, controllers/keda/scaledobject_controller.go and pkg/scaling/executor, as of 2.20,
keda#7664). A scale loop polls: what is active goes up to the minimum, at least 1; what is idle goes down to
`idleReplicaCount` or the minimum, zero included (keda#2453). A reconcile decides whether that loop runs: it comes when
the ScaledObject or a pause on it changes, and for all of them when the operator starts. `paused` stops the loop, at
whatever count; `paused-replicas` stops it too, and has the reconcile scale to its number, whatever was done to the
workload since. The condition Paused tells which it is (Unknown until the first pause).
"""

from datetime import datetime, timedelta

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import AUTOSCALERS, DEPLOYMENTS, SCALED_OBJECTS, STATEFUL_SETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import MANAGER
from rehearsal.faults import Faults
from rehearsal.objects import Document, annotations_of, condition, name_of, namespace_of, uid_of, with_condition

HPA_PERIOD = timedelta(seconds=15)
"""kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
KEDA_PERIOD = timedelta(seconds=1)
"""KEDA reacts to what it watches; a second keeps two controllers from undoing each other in no time."""
KEDA = "keda"
"""The field manager of its operator's binary."""
_PAUSES = ("autoscaling.keda.sh/paused-replicas", "autoscaling.keda.sh/paused")
Pauses = tuple[int, str | None, str | None]
"""A ScaledObject's generation, and its annotations that pause it."""

_SCALABLE = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}


class Polls:
    """When who polls acts: a period after something differs. While nothing does, a poll would change nothing."""

    def __init__(self, period: timedelta) -> None:
        self._period = period
        self._due: dict[str, datetime] = {}

    def at(self, autoscaler: Document, now: datetime, *, differs: bool) -> datetime | None:
        """Return when something is done for an autoscaler, None if there is nothing to do."""
        if not differs:
            self._due.pop(uid_of(autoscaler), None)
            return None
        return self._due.setdefault(uid_of(autoscaler), now + self._period)


class HorizontalPodAutoscalerController:
    """Keeps replicas within the bounds of HorizontalPodAutoscalers."""

    watches = (AUTOSCALERS, DEPLOYMENTS, STATEFUL_SETS)

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._polls = Polls(HPA_PERIOD)

    def run(self, now: datetime) -> datetime | None:
        """Look at each, and come back where something is to be done."""
        autoscalers = tuple(self._api.storage.all(AUTOSCALERS).values())
        return earliest(*(self._sync(each, now) for each in autoscalers))

    def _sync(self, autoscaler: Document, now: datetime) -> datetime | None:
        spec = autoscaler["spec"]
        found = _scaled(self._api, autoscaler)
        if found is None:
            return None
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
        active_condition = {"type": kind, "status": status, "reason": why, "message": message}
        conditions = with_condition(autoscaler["status"].get("conditions") or (), active_condition, now)
        status_document = {"currentReplicas": replicas, "desiredReplicas": wanted, "conditions": conditions}
        key = Key(namespace_of(autoscaler), name_of(autoscaler))
        self._api.update(AUTOSCALERS, key, {"status": status_document}, MANAGER, subresource="status")
        due = self._polls.at(autoscaler, now, differs=wanted != replicas)
        if due is not None and due <= now:
            _rescale(self._api, autoscaler, wanted, MANAGER)
        return due


class ScaledObjectController:
    """KEDA's operator."""

    watches = (SCALED_OBJECTS, DEPLOYMENTS, STATEFUL_SETS)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._polls = Polls(KEDA_PERIOD)
        self._reconciled: dict[str, Pauses] = {}
        """Of each ScaledObject, by its UID, what stood on it when it was reconciled last."""

    def run(self, now: datetime) -> datetime | None:
        """Reconcile what has changed, and poll for what is not paused."""
        if self._faults.keda_down:
            self._reconciled.clear()
            return None
        objects = tuple(self._api.storage.all(SCALED_OBJECTS).values())
        return earliest(*(self._poll(each, now) for each in objects if not self._reconcile(each, now)))

    def _reconcile(self, scaled_object: Document, now: datetime) -> bool:
        """Do what a pause says, if it is new; return whether there is one."""
        pauses = (scaled_object["metadata"]["generation"], *map(annotations_of(scaled_object).get, _PAUSES))
        _, replicas, paused = pauses
        is_paused = replicas is not None or paused == "true"
        if self._reconciled.get(uid_of(scaled_object)) != pauses:
            self._reconciled[uid_of(scaled_object)] = pauses
            self._report(scaled_object, now, is_paused=is_paused)
            if replicas is not None and _scaled(self._api, scaled_object) is not None:
                _rescale(self._api, scaled_object, int(replicas), KEDA)
        return is_paused

    def _report(self, scaled_object: Document, now: datetime, *, is_paused: bool) -> None:
        conditions = (scaled_object.get("status") or {}).get("conditions") or ()
        was_paused = condition(scaled_object, "Paused") is not None
        status = "True" if is_paused else "False" if was_paused else "Unknown"
        reported = with_condition(conditions, {"type": "Paused", "status": status}, now)
        key = Key(namespace_of(scaled_object), name_of(scaled_object))
        patch = {"status": {"conditions": reported}}
        self._api.patch(SCALED_OBJECTS, key, patch, MERGE_PATCH, KEDA, subresource="status")

    def _poll(self, scaled_object: Document, now: datetime) -> datetime | None:
        found = _scaled(self._api, scaled_object)
        if found is None:
            return None
        replicas, spec = found["spec"]["replicas"], scaled_object["spec"]
        least = spec.get("minReplicaCount", 0)
        is_idle = name_of(scaled_object) in self._faults.idle
        wanted = spec.get("idleReplicaCount", least) if is_idle else max(replicas, least, 1)
        due = self._polls.at(scaled_object, now, differs=wanted != replicas)
        if due is not None and due <= now:
            _rescale(self._api, scaled_object, wanted, KEDA)
        return due


def _scaled(api: Verbs, autoscaler: Document) -> Document | None:
    reference = autoscaler["spec"]["scaleTargetRef"]
    resource = _SCALABLE.get(reference.get("kind", "Deployment"))
    return api.storage.get(resource, Key(namespace_of(autoscaler), reference["name"])) if resource else None


def _rescale(api: Verbs, autoscaler: Document, replicas: int, manager: str) -> None:
    reference = autoscaler["spec"]["scaleTargetRef"]
    resource = _SCALABLE[reference.get("kind", "Deployment")]
    key = Key(namespace_of(autoscaler), reference["name"])
    api.patch(resource, key, {"spec": {"replicas": replicas}}, MERGE_PATCH, manager, subresource="scale")
