"""What all Kubernetes objects have in common, as JSON documents: names, owners, labels, conditions, instants. Pure.

Stored documents are never changed in place: anyone who changes one works on a `clone`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]


def clone(value: Any) -> Any:
    """Return a deep copy of a JSON value; much faster than copy.deepcopy, which allows for more."""
    if isinstance(value, dict):
        return {name: clone(part) for name, part in value.items()}
    if isinstance(value, list):
        return [clone(part) for part in value]
    return value


def timestamp(at: datetime) -> str:
    """Write an instant as metav1.Time does: UTC, whole seconds."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def instant(text: str) -> datetime:
    """Read what `timestamp` wrote."""
    return datetime.fromisoformat(text)


def name_of(document: Mapping[str, Any]) -> str:
    """Return an object's name."""
    return str(document["metadata"]["name"])


def namespace_of(document: Mapping[str, Any]) -> str:
    """Return an object's namespace; empty for what has none."""
    return str(document["metadata"].get("namespace", ""))


def uid_of(document: Mapping[str, Any]) -> str:
    """Return an object's UID."""
    return str(document["metadata"]["uid"])


def labels_of(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return an object's labels."""
    return document["metadata"].get("labels") or {}


def annotations_of(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return an object's annotations."""
    return document["metadata"].get("annotations") or {}


def is_ending(document: Mapping[str, Any]) -> bool:
    """Tell whether its deletion was asked for."""
    return "deletionTimestamp" in document["metadata"]


def controller_uid(document: Mapping[str, Any]) -> str | None:
    """Return the UID of the owner that controls it."""
    references = document["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def owner_reference(owner: Mapping[str, Any]) -> Document:
    """Refer to an object as the controller of another."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(document: Mapping[str, Any], kind: str) -> Document | None:
    """Return an object's condition of a type, None if it has none."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), None)


def is_true(document: Mapping[str, Any], kind: str) -> bool:
    """Tell whether a condition holds."""
    found = condition(document, kind)
    return found is not None and found["status"] == "True"


def with_condition(conditions: Iterable[Document], new: Document, now: datetime) -> list[Document]:
    """Set a condition among others; `lastTransitionTime` stays as long as its status does."""
    conditions = list(conditions)
    old = next((each for each in conditions if each["type"] == new["type"]), None)
    kept = old is not None and old["status"] == new["status"]
    since = old["lastTransitionTime"] if old is not None and kept else timestamp(now)
    made = {**new, "lastTransitionTime": since}
    if old is None:
        return [*conditions, made]
    return [made if each is old else each for each in conditions]
