"""ResourceQuotas as far as they count pods: what is used, and what would be too much. Pure.

After k8s.io/apiserver/pkg/admission/plugin/resourcequota. Processor and memory are not counted here.
"""

from rehearsal.api.refusals import Refusal, exceeds_quota
from rehearsal.api.resources import PODS, QUOTAS
from rehearsal.api.storage import Storage
from rehearsal.objects import Document, name_of, namespace_of

COUNTED = ("pods", "count/pods")
"""What of `spec.hard` counts pods: those that have not ended, and all of them."""


def used(storage: Storage, namespace: str, name: str) -> int:
    """Return how much of a counted resource is used."""
    pods = (pod for pod in storage.all(PODS).values() if namespace_of(pod) == namespace)
    return sum(name == "count/pods" or pod["status"].get("phase") not in ("Succeeded", "Failed") for pod in pods)


def status(storage: Storage, quota: Document) -> Document:
    """Return the status of a quota."""
    hard = quota["spec"].get("hard") or {}
    counted = {name: str(used(storage, namespace_of(quota), name)) for name in COUNTED if name in hard}
    return {"hard": hard, "used": counted}


def denial(storage: Storage, pod: Document) -> Refusal | None:
    """Return how a new pod is denied by the first quota that it would exceed, None if it fits."""
    namespace = namespace_of(pod)
    for quota in storage.all(QUOTAS).values():
        hard = quota["spec"].get("hard") or {}
        full = [name for name in COUNTED if name in hard and used(storage, namespace, name) >= int(hard[name])]
        if full and namespace_of(quota) == namespace:
            counts = [(name, 1, used(storage, namespace, name), hard[name]) for name in full]
            return exceeds_quota(PODS, name_of(pod), name_of(quota), counts)
    return None
