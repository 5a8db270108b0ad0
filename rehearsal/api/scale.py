"""The subresource `scale`: a workload's number of replicas as an object of its own (autoscaling/v1). Pure."""

from typing import Any

from rehearsal.objects import Document


def scale_of(document: Document) -> Document:
    """Return a workload's Scale (autoscaling/v1)."""
    metadata, spec = document["metadata"], document["spec"]
    shown = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {
            "replicas": document.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        },
    }


def patch_of(scale: Any) -> Document:
    """Return the merge patch of the workload that a Scale, or a patch of one, asks for."""
    patch: Document = {"spec": {"replicas": (scale.get("spec") or {}).get("replicas", 0)}}
    if version := (scale.get("metadata") or {}).get("resourceVersion"):
        patch["metadata"] = {"resourceVersion": version}
    return patch
