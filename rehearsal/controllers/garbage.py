"""What is left behind: objects whose owner is gone, and Events that are an hour old."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import (
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    CRON_JOBS,
    EVENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    WORKLOADS,
    Resource,
)
from rehearsal.api.storage import Key
from rehearsal.api.verbs import ORPHAN, Verbs
from rehearsal.objects import Document, instant, is_ending, name_of, namespace_of, uid_of

EVENT_TTL = timedelta(hours=1)
"""kube-apiserver's --event-ttl."""

_OWNED: tuple[Resource, ...] = (REPLICA_SETS, JOBS, PODS, PERSISTENT_VOLUME_CLAIMS, CERTIFICATE_REQUESTS, SECRETS)
_OWNERS: tuple[Resource, ...] = (*WORKLOADS, CRON_JOBS, JOBS, PODS, CERTIFICATES)
_KINDS = frozenset(resource.kind for resource in _OWNERS)


class GarbageCollector:
    """Deletes the dependents of what was deleted (background propagation), or cuts them loose (orphan).

    An owner is there if kind, name and UID agree. A dependent is deleted once none of its owners is there; owners of
    kinds that this cluster does not have count as there, as they do where the collector can't look for them.
    """

    watches = (*_OWNED, *_OWNERS)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, _now: datetime) -> None:
        """Delete whatever only has owners that are not there."""
        storage = self._api.storage
        owners = [(each, owner) for each in _OWNERS for owner in storage.all(each).values()]
        for resource, owner in owners:
            if ORPHAN in (owner["metadata"].get("finalizers") or ()) and is_ending(owner):
                self._orphan(resource, owner)
        there = {(owner["kind"], namespace_of(owner), name_of(owner), uid_of(owner)) for _, owner in owners}
        for resource in _OWNED:
            for document in tuple(storage.all(resource).values()):
                references = document["metadata"].get("ownerReferences") or ()
                if (
                    references
                    and not is_ending(document)
                    and not any(_found(each, document, there) for each in references)
                ):
                    self._api.delete(resource, _key(document))

    def _orphan(self, resource: Resource, owner: Document) -> None:
        """Take an owner out of its dependents, then let it go."""
        for dependents in _OWNED:
            for document in tuple(self._api.storage.all(dependents).values()):
                references = document["metadata"].get("ownerReferences") or []
                others = [each for each in references if each["uid"] != uid_of(owner)]
                if len(others) < len(references):
                    self._patch(dependents, document, {"ownerReferences": others or None})
        finalizers = [each for each in owner["metadata"]["finalizers"] if each != ORPHAN]
        self._patch(resource, owner, {"finalizers": finalizers or None})

    def _patch(self, resource: Resource, document: Document, metadata: Document) -> None:
        self._api.patch(resource, _key(document), {"metadata": metadata}, MERGE_PATCH, "kube-controller-manager")


def _found(reference: Document, dependent: Document, there: AbstractSet[tuple[str, ...]]) -> bool:
    identity = (reference["kind"], namespace_of(dependent), reference["name"], reference["uid"])
    return reference["kind"] not in _KINDS or identity in there


class EventExpiry:
    """Deletes Events that nobody needs any more."""

    watches = (EVENTS,)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, now: datetime) -> datetime | None:
        """Delete what is too old; return when the next one is."""
        events = tuple(self._api.storage.all(EVENTS).values())
        for event in events:
            if _expires(event) <= now:
                self._api.delete(EVENTS, _key(event))
        return min((_expires(event) for event in self._api.storage.all(EVENTS).values()), default=None)


def _expires(event: Document) -> datetime:
    return instant(event["metadata"]["creationTimestamp"]) + EVENT_TTL


def _key(document: Document) -> Key:
    return Key(namespace_of(document), name_of(document))
