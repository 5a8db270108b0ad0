"""managedFields: who set which field, and when. Pure.

As the API server keeps them for updates and patches (sigs.k8s.io/structured-merge-diff): a field belongs to the manager
that last changed its value, in an entry for each manager, operation and subresource; a field that is gone belongs to
nobody. Lists of objects are told apart by their key, all other lists are one field.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rehearsal.objects import Document

Path = tuple[str, ...]

_LIST_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "ownerReferences": "uid",
    "podIPs": "ip",
}
_UNTRACKED = frozenset(
    {
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"),
        *("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"),
    }
)


class Writer(NamedTuple):
    """Who writes: the field manager, and through which subresource (empty for the object itself)."""

    manager: str
    subresource: str = ""


def managed_fields(old: Document | None, new: Document, writer: Writer, now: str) -> list[Document]:
    """Return the managedFields of an object after a write.

    Args:
        old: the object as it was stored, None if it is being created.
        new: the object as it will be stored; its own managedFields are not looked at.
        writer: who writes it.
        now: the instant, as metadata has it.
    """
    before = _tracked(old) if old is not None else {}
    after = _tracked(new)
    entries = [
        (entry, set(_paths(entry["fieldsV1"])))
        for entry in (old or {"metadata": {}})["metadata"].get("managedFields", ())
    ]
    changed, removed = set(_changed(before, after)), set(_changed(after, before, only_missing=True))
    if not changed and not removed:
        return [entry for entry, _ in entries]
    kept: list[Document] = []
    own: set[Path] = set()
    for entry, paths in entries:
        remaining = paths - changed - removed
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            writer.manager,
            "Update",
            writer.subresource,
        ):
            own = remaining
        elif remaining:
            kept.append(entry if remaining == paths else {**entry, "fieldsV1": _nested(remaining)})
    if own | changed:
        kept.append(
            {
                "manager": writer.manager,
                "operation": "Update",
                "apiVersion": new["apiVersion"],
                "time": now,
                "fieldsType": "FieldsV1",
                "fieldsV1": _nested(own | changed),
                **({"subresource": writer.subresource} if writer.subresource else {}),
            }
        )
    return kept


def _tracked(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in document["metadata"].items() if name not in _UNTRACKED}
    parts = {name: value for name, value in document.items() if name not in ("apiVersion", "kind", "metadata")}
    return {"metadata": metadata, **parts}


def _changed(old: Any, new: Any, *, only_missing: bool = False, path: Path = (), name: str = "") -> Iterator[Path]:
    """Yield the leaves of `new` that differ from `old`; or those that `old` lacks altogether."""
    if old is new or old == new:
        return
    members = _members(new, name)
    if members is None:
        if not (only_missing and old is not None):
            yield path
        return
    others = _members(old, name) or {}
    if path and not others and not (only_missing and old is not None):
        yield path
    for step, value in members.items():
        yield from _changed(
            others.get(step), value, only_missing=only_missing, path=(*path, step), name=step.removeprefix("f:")
        )


def _members(value: Any, name: str) -> dict[str, Any] | None:
    """Return the parts of a value under their steps, None if it is one field as a whole."""
    if isinstance(value, dict) and value:
        return {f"f:{part}": inner for part, inner in value.items()}
    key = _LIST_KEYS.get(name)
    if key is not None and isinstance(value, list) and all(isinstance(each, dict) and key in each for each in value):
        return {f"k:{json.dumps({key: each[key]}, separators=(',', ':'))}": each for each in value}
    return None


def _nested(paths: set[Path]) -> Document:
    """Write paths as FieldsV1."""
    fields: Document = {}
    for path in sorted(paths):
        node = fields
        for step in path:
            node = node.setdefault(step, {})
    for path in paths:
        node = fields
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return fields


def _paths(fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Read paths from FieldsV1: its leaves, and what is marked with a dot."""
    for step, inner in fields.items():
        if step == ".":
            yield path
        elif inner:
            yield from _paths(inner, (*path, step))
        else:
            yield (*path, step)
