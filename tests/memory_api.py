"""An API server in memory: documents by their path, versions, and the answers of a real one. No I/O.

It holds what is put there, applies merge patches (RFC 7386) under optimistic concurrency, counts generations, and
answers 404, 409 and 422 as `ClusterError`. An update that changes nothing leaves the resourceVersion alone, as the real
one does. Who watches it is told of each write that was done, with the document before and after.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from certlag.errors import ClusterError, ClusterErrorReason
from runbook.effects import Change, Verb

Document = dict[str, Any]
Witness = Callable[[Change, Document | None, Document], None]
"""Is shown a write: what was asked for, the document before it (None: created) and after it."""

US = "certlag"


def failure(status: int | None, detail: str = "refused by the test", *, message: str = "") -> ClusterError:
    """What a request raises: with a status a refusal, without one an answer that never came."""
    reasons = {403: ClusterErrorReason.FORBIDDEN, 404: ClusterErrorReason.NOT_FOUND, None: ClusterErrorReason.TIMEOUT}
    reason = reasons.get(status, ClusterErrorReason.SERVER_ERROR)
    return ClusterError(reason, detail, status=status, message=message)


def merged(document: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, leaving both alone."""
    if not isinstance(patch, dict):
        return patch
    after = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = merged(after.get(key), value)
    return after


@dataclass
class MemoryApi:
    """The server: what it holds, and what was written to it by the program under test."""

    documents: dict[str, Document] = field(default_factory=dict)
    witnesses: list[Witness] = field(default_factory=list)
    _version: int = 0

    # --- what the program under test asks for ----------------------------------------------------------

    def get(self, path: str) -> Document | None:
        """Return a document, None if there is none."""
        return self.documents.get(path)

    def list(self, collection: str) -> list[Document]:
        """Return all documents of a collection."""
        return [document for _, document in self.within(collection)]

    def change(self, change: Change) -> Document:
        """Do one write and return the document after it.

        Raises:
            ClusterError: 409, 404 or 422, and nothing was done.
        """
        before = self.documents.get(change.path)
        after = self._create(change) if change.verb is Verb.CREATE else self._patch(change)
        for witness in self.witnesses:
            witness(change, before if change.verb is Verb.PATCH else None, after)
        return after

    # --- what others do ----------------------------------------------------------------------------------

    def within(self, collection: str) -> Iterator[tuple[str, Document]]:
        """Yield path and document of all that is in a collection, as it is held."""
        prefix = f"{collection}/"
        yield from [(path, held) for path, held in self.documents.items() if path.startswith(prefix)]

    def put(self, path: str, document: Mapping[str, Any]) -> Document:
        """Create a document, or one again: with a uid of its own."""
        self._version += 1
        metadata = {**document.get("metadata", {}), "uid": f"uid-{self._version}", "generation": 1}
        metadata.setdefault("name", path.rpartition("/")[2])
        held: Document = merged({}, {**document, "metadata": metadata})
        return self._store(path, held)

    def edit(self, path: str, patch: Mapping[str, Any], *, manager: str = "kubectl") -> None:
        """Patch a document as somebody else, whatever its version; nothing if it is gone."""
        if path in self.documents:
            self._apply(path, patch, manager)

    def delete(self, path: str) -> None:
        """Remove a document."""
        self.documents.pop(path, None)

    # --- parts ---------------------------------------------------------------------------------------------

    def _create(self, change: Change) -> Document:
        path = f"{change.path}/{change.body['metadata']['name']}"
        if path in self.documents:
            raise failure(409, f"{path} already exists")
        if "resourceVersion" in change.body["metadata"]:
            raise failure(422, "resourceVersion should not be set on objects to be created")
        return self.put(path, change.body)

    def _patch(self, change: Change) -> Document:
        held = self.documents.get(change.path)
        if held is None:
            raise failure(404, f"{change.path} not found")
        wanted = change.body["metadata"].get("resourceVersion")
        if wanted is not None and wanted != held["metadata"]["resourceVersion"]:
            raise failure(409, f"{change.path}: the object has been modified")
        if (change.body.get("spec") or {}).get("replicas", 0) < 0:
            raise failure(422, f"{change.path}: replicas must not be negative")
        return self._apply(change.path, change.body, US)

    def _apply(self, path: str, patch: Mapping[str, Any], manager: str) -> Document:
        held = self.documents[path]
        metadata = {key: value for key, value in patch.get("metadata", {}).items() if key != "resourceVersion"}
        after: Document = merged(held, {**patch, "metadata": metadata})
        if after == held:
            return held
        if after.get("spec") != held.get("spec"):
            after["metadata"]["generation"] += 1
        after["metadata"]["managedFields"] = _managed(held, manager, patch)
        return self._store(path, after)

    def _store(self, path: str, document: Document) -> Document:
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self.documents[path] = document
        return document


def _managed(held: Document, manager: str, patch: Mapping[str, Any]) -> list[Document]:
    """Say who owns which fields after a patch: anyone who wrote a field last."""
    fields = _fields(patch)
    before = {each["manager"]: each["fieldsV1"] for each in held["metadata"].get("managedFields", ())}
    owned = {each: _without(of_each, fields) for each, of_each in before.items()}
    owned[manager] = merged(owned.get(manager, {}), fields)
    entry = {"operation": "Update", "time": "2026-06-01T12:00:00Z"}
    return [{"manager": each, **entry, "fieldsV1": of_each} for each, of_each in owned.items() if of_each]


def _fields(patch: Any) -> Document:
    return {f"f:{key}": _fields(value) for key, value in patch.items()} if isinstance(patch, dict) else {}


def _without(owned: Document, fields: Document) -> Document:
    """Take away the leaves of `fields`."""
    left = {key: _without(below, fields[key]) if key in fields else below for key, below in owned.items()}
    return {key: below for key, below in left.items() if below or key not in fields}
