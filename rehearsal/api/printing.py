"""How objects are shown, by the Accept header: as they are, their metadata, or as the table of kubectl. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from rehearsal.api.resources import (
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from rehearsal.objects import Document, condition, instant, is_ending, name_of

_UNTYPED_ITEMS = ("", "apps", "coordination.k8s.io", "autoscaling", "policy")
"""Groups whose lists leave out the kind of each item, as Go's types do; custom resources have it."""


def one(resource: Resource, accept: str, document: Document, now: datetime) -> Document:
    """Show one object."""
    if "as=PartialObjectMetadata" in accept:
        return _metadata_only(document)
    if "as=Table" in accept:
        return _table(resource, [document], {"resourceVersion": document["metadata"]["resourceVersion"]}, now)
    return document


def many(resource: Resource, accept: str, documents: Iterable[Document], metadata: Document, now: datetime) -> Document:
    """Show a list of objects, or a page of it."""
    if "as=PartialObjectMetadataList" in accept:
        listed = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return {**listed, "items": [_metadata_only(document) for document in documents]}
    if "as=Table" in accept:
        return _table(resource, documents, metadata, now)
    items = list(documents)
    if resource.group in _UNTYPED_ITEMS:
        items = [
            {name: part for name, part in document.items() if name not in ("kind", "apiVersion")} for document in items
        ]
    kind, version = f"{resource.kind}List", resource.api_version
    return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}


def _metadata_only(document: Document) -> Document:
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**kind, "metadata": document["metadata"]}


def _table(resource: Resource, documents: Iterable[Document], metadata: Document, now: datetime) -> Document:
    columns = (("Name", name_of), *_COLUMNS.get(resource, ()), ("Age", lambda document: _age(document, now)))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": name,
                "type": "string",
                "format": "name" if name == "Name" else "",
                "priority": 0,
                "description": "",
            }
            for name, _ in columns
        ],
        "rows": [
            {"cells": [str(cell(document)) for _, cell in columns], "object": _metadata_only(document)}
            for document in documents
        ],
    }


def _age(document: Document, now: datetime) -> str:
    seconds = int((now - instant(document["metadata"]["creationTimestamp"])).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _counted(*path: str) -> Callable[[Document], str]:
    def cell(document: Document) -> str:
        found: Any = document
        for step in path:
            found = (found or {}).get(step)
        return str(found or 0)

    return cell


def _ready_of_replicas(document: Document) -> str:
    return f"{document['status'].get('readyReplicas', 0)}/{document['spec'].get('replicas', 0)}"


def _containers_ready(pod: Document) -> str:
    statuses = pod["status"].get("containerStatuses") or ()
    return f"{sum(bool(each['ready']) for each in statuses)}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Document) -> str:
    if is_ending(pod):
        return "Terminating"
    for each in pod["status"].get("containerStatuses") or ():
        if reason := each["state"].get("waiting", {}).get("reason"):
            return str(reason)
    return str(pod["status"].get("phase", ""))


def _restarts(pod: Document) -> str:
    return str(sum(each["restartCount"] for each in pod["status"].get("containerStatuses") or ()))


def _condition(kind: str) -> Callable[[Document], str]:
    return lambda document: str((condition(document, kind) or {"status": ""})["status"])


_COLUMNS: dict[Resource, tuple[tuple[str, Callable[[Document], str]], ...]] = {
    PODS: (("Ready", _containers_ready), ("Status", _pod_status), ("Restarts", _restarts)),
    DEPLOYMENTS: (
        ("Ready", _ready_of_replicas),
        ("Up-to-date", _counted("status", "updatedReplicas")),
        ("Available", _counted("status", "availableReplicas")),
    ),
    STATEFUL_SETS: (("Ready", _ready_of_replicas),),
    DAEMON_SETS: (
        ("Desired", _counted("status", "desiredNumberScheduled")),
        ("Ready", _counted("status", "numberReady")),
        ("Up-to-date", _counted("status", "updatedNumberScheduled")),
    ),
    REPLICA_SETS: (
        ("Desired", _counted("spec", "replicas")),
        ("Current", _counted("status", "replicas")),
        ("Ready", _counted("status", "readyReplicas")),
    ),
    LEASES: (("Holder", lambda lease: str((lease.get("spec") or {}).get("holderIdentity") or "")),),
    CERTIFICATES: (
        ("Ready", _condition("Ready")),
        ("Secret", lambda certificate: str(certificate["spec"]["secretName"])),
        ("Not-After", lambda certificate: str(certificate["status"].get("notAfter", ""))),
        ("Renewal", lambda certificate: str(certificate["status"].get("renewalTime", ""))),
    ),
    CERTIFICATE_REQUESTS: (
        ("Approved", _condition("Approved")),
        ("Ready", _condition("Ready")),
        ("Issuer", lambda request: str(request["spec"]["issuerRef"]["name"])),
    ),
}
