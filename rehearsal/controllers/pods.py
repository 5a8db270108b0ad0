"""What the workload controllers share: how a pod is made from a template, and when it counts. Pure."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import EVENTS, PODS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.objects import (
    Document,
    clone,
    condition,
    controller_uid,
    instant,
    is_ending,
    is_true,
    name_of,
    namespace_of,
    owner_reference,
    timestamp,
    uid_of,
)

MANAGER = "kube-controller-manager"
RETRY = timedelta(seconds=5)
"""From a pod that was refused to the next try; the real controllers wait longer each time."""

_HASH_DIGITS = "bcdfghjklmnpqrstvwxz2456789"


def by_owner(documents: Iterable[Document]) -> Mapping[str | None, list[Document]]:
    """Sort objects by the UID of what controls them."""
    owned: defaultdict[str | None, list[Document]] = defaultdict(list)
    for document in documents:
        owned[controller_uid(document)].append(document)
    return owned


def template_hash(template: Mapping[str, Any]) -> str:
    """Return a short hash of a pod template, fit for a label."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_HASH_DIGITS[byte % len(_HASH_DIGITS)] for byte in digest[:10])


def create_pod(
    api: Verbs, owner: Document, *, name: str | None = None, labels: Mapping[str, str] | None = None, node: str = ""
) -> Document:
    """Create a pod of an owner's template; with a node it is bound to it already, as a DaemonSet's are."""
    template = clone(owner["spec"]["template"])
    metadata = template["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **(labels or {})}
    metadata["ownerReferences"] = [owner_reference(owner)]
    metadata |= {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    if node:
        template["spec"]["nodeName"] = node
    return api.create(PODS, owner["metadata"]["namespace"], template, MANAGER)


def try_to_create_pod(
    api: Verbs,
    owner: Document,
    now: datetime,
    *,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    node: str = "",
) -> str:
    """Create a pod; where that is refused, say so in an Event on the owner, and return the refusal's message."""
    try:
        create_pod(api, owner, name=name, labels=labels, node=node)
    except Refusal as refusal:
        what = f"Create Pod {name} in StatefulSet {name_of(owner)} failed error" if name else "Error creating"
        kind = owner["kind"].lower()
        warn(api, owner, now, reason="FailedCreate", message=f"{what}: {refusal}", source=f"{kind}-controller")
        return str(refusal)
    return ""


def warn(api: Verbs, about: Document, now: datetime, *, reason: str, message: str, source: str) -> None:
    """Create an Event of type Warning; one that says the same of the same object is counted on."""
    at, namespace = timestamp(now), namespace_of(about)
    for key, event in api.storage.all(EVENTS).items():
        same = (event["involvedObject"].get("uid"), event.get("reason"), event.get("message")) == (
            uid_of(about),
            reason,
            message,
        )
        if same:
            api.patch(EVENTS, key, {"count": event["count"] + 1, "lastTimestamp": at}, MERGE_PATCH, source)
            return
    event = {
        "metadata": {"generateName": f"{name_of(about)}."},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": namespace,
            "name": name_of(about),
            "uid": uid_of(about),
        },
        "reason": reason,
        "message": message,
        "type": "Warning",
        "source": {"component": source},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
    api.create(EVENTS, namespace, event, source)


def delete_pod(api: Verbs, pod: Document) -> None:
    """Ask for a pod's end, by its own grace period."""
    api.delete(PODS, Key(pod["metadata"]["namespace"], pod["metadata"]["name"]))


def has_ended(pod: Document) -> bool:
    """Tell whether none of its containers will run again."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def is_active(pod: Document) -> bool:
    """Tell whether a pod counts as a replica: neither ended nor ending (k8s.io/kubernetes/pkg/controller)."""
    return not is_ending(pod) and not has_ended(pod)


def is_ready(pod: Document) -> bool:
    """Tell whether it is Ready."""
    return is_true(pod, "Ready")


def available_at(pod: Document, owner: Document) -> datetime | None:
    """Return when a ready pod is, or was, available: ready for minReadySeconds; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    return instant(ready["lastTransitionTime"]) + timedelta(seconds=owner["spec"].get("minReadySeconds", 0))


def is_available(pod: Document, owner: Document, now: datetime) -> bool:
    """Tell whether it is available."""
    at = available_at(pod, owner)
    return at is not None and at <= now
