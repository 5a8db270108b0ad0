"""What is stored, and everything that happened to it: objects by resource and key, versions, events. Pure.

One counter gives every write its resourceVersion, as etcd's revision does. Documents are never changed once they are
stored, so a list, a watch and a page of a list may share them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rehearsal.api.resources import Resource
from rehearsal.objects import Document, name_of, namespace_of

FIRST_VERSION = 100
"""A new cluster has a past that nobody can watch."""
HISTORY = 20_000
"""Events that are kept for watches; a watch from before the oldest has to list again (410)."""


class Key(NamedTuple):
    """Where an object is within its resource; the namespace is empty for what has none."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `document` is the object after it, or as it was when it was removed; `before` None if it is new."""

    version: int
    type: str
    resource: Resource
    document: Document
    before: Document | None


class Storage:
    """The objects of a cluster."""

    def __init__(self) -> None:
        self.version = FIRST_VERSION
        self._objects: defaultdict[Resource, dict[Key, Document]] = defaultdict(dict)
        self._changed: dict[Resource, int] = {}
        self._events: list[Event] = []
        self._oldest = FIRST_VERSION
        self._listeners: list[Callable[[], None]] = []

    def get(self, resource: Resource, key: Key) -> Document | None:
        """Return one object."""
        return self._objects[resource].get(key)

    def all(self, resource: Resource) -> Mapping[Key, Document]:
        """Return all objects of a resource."""
        return self._objects[resource]

    def changed(self, resource: Resource) -> int:
        """Return the version at which an object of a resource changed last; 0 if none ever did."""
        return self._changed.get(resource, 0)

    def put(self, resource: Resource, document: Document) -> Document:
        """Store an object under a new version, and return it with that version."""
        key = Key(namespace_of(document), name_of(document))
        before = self._objects[resource].get(key)
        stored = self._versioned(document)
        self._objects[resource][key] = stored
        self._happened("ADDED" if before is None else "MODIFIED", resource, stored, before)
        return stored

    def remove(self, resource: Resource, key: Key) -> Document:
        """Remove an object, and return it with the version of its removal."""
        before = self._objects[resource].pop(key)
        removed = self._versioned(before)
        self._happened("DELETED", resource, removed, before)
        return removed

    def since(self, version: int, resource: Resource) -> Iterator[Event] | None:
        """Return what happened to a resource after a version; None if nobody knows any more."""
        if version < self._oldest:
            return None
        events = self._events[max(0, version - self._oldest) :]
        return (event for event in events if event.resource is resource)

    def compact(self) -> None:
        """Forget the past: every watch that is not up to date has to list again."""
        self._events.clear()
        self._oldest = self.version

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a listener after every write; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def notify(self) -> None:
        """Have every listener look, though nothing was written."""
        for listener in tuple(self._listeners):
            listener()

    def _versioned(self, document: Document) -> Document:
        self.version += 1
        return {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}

    def _happened(self, what: str, resource: Resource, document: Document, before: Document | None) -> None:
        self._changed[resource] = self.version
        self._events.append(Event(self.version, what, resource, document, before))
        if len(self._events) > HISTORY:
            dropped = len(self._events) - HISTORY // 2
            self._oldest = self._events[dropped - 1].version
            del self._events[:dropped]
        self.notify()
