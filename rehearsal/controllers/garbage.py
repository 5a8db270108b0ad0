"""What is left behind: objects whose owner is gone, and Events that are an hour old."""

from datetime import datetime, timedelta

from rehearsal.api.resources import (
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.objects import Document, controller_uid, instant, is_ending, name_of, namespace_of, uid_of

EVENT_TTL = timedelta(hours=1)
"""kube-apiserver's --event-ttl."""

_OWNED: tuple[Resource, ...] = (REPLICA_SETS, PODS, CERTIFICATE_REQUESTS)
_OWNERS: tuple[Resource, ...] = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, CERTIFICATES)


class GarbageCollector:
    """Deletes the dependents of what was deleted (background propagation)."""

    watches = (*_OWNED, *_OWNERS)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, _now: datetime) -> None:
        """Delete whatever has an owner that is not there."""
        storage = self._api.storage
        alive = {uid_of(owner) for resource in _OWNERS for owner in storage.all(resource).values()}
        for resource in _OWNED:
            for document in tuple(storage.all(resource).values()):
                owner = controller_uid(document)
                if owner is not None and owner not in alive and not is_ending(document):
                    self._api.delete(resource, _key(document))


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
