"""A watch: from a version on, each change of what was asked for. Pure: the caller says when to look.

Each `poll` returns the events since the last; nothing waits. What the API server does to watches is here too:
bookmarks, the error 410 for a version from before the history, and ending.
"""

from collections.abc import Callable, Iterable
from typing import Any

from rehearsal.api.refusals import expired
from rehearsal.api.resources import Resource
from rehearsal.api.selectors import Selects
from rehearsal.api.storage import Event, Storage
from rehearsal.objects import Document

Shows = Callable[[Document], Document]


class Watching:
    """One open watch. `seconds` is how long it may live, by its client's wish; `ended` once no more is to come."""

    def __init__(
        self,
        storage: Storage,
        resource: Resource,
        selected: Selects,
        shows: Shows,
        *,
        since: int | None,
        bookmarks: bool,
        seconds: float,
    ) -> None:
        """Watch from a version on; without one, what is there comes first, as added."""
        self.storage = storage
        self.resource = resource
        self.bookmarks = bookmarks
        self.seconds = seconds
        self.ended = False
        self._selected = selected
        self._shows = shows
        self._position = storage.version if since is None else since
        self._first: Iterable[Document] = storage.all(resource).values() if since is None else ()

    def poll(self) -> list[Document]:
        """Return the events that came since the last time."""
        if self.ended:
            return []
        shown = [_event("ADDED", self._shows(document)) for document in self._first if self._selected(document)]
        self._first = ()
        events = self.storage.since(self._position, self.resource)
        if events is None:
            self.ended = True
            why = f"too old resource version: {self._position} ({self.storage.version})"
            return [_event("ERROR", expired(why).status)]
        shown.extend(filter(None, map(self._shown, events)))
        self._position = self.storage.version
        return shown

    def bookmark(self) -> Document:
        """Return a bookmark: how far this watch has come."""
        metadata = {"resourceVersion": str(self._position), "creationTimestamp": None}
        resource = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        return _event("BOOKMARK", {**resource, "metadata": metadata})

    def end(self) -> None:
        """Have it end: the client has to watch again."""
        self.ended = True

    def _shown(self, event: Event) -> Document | None:
        """Return how a change looks through the selectors: what no longer matches is gone for who watches."""
        before = event.before is not None and self._selected(event.before)
        after = event.type != "DELETED" and self._selected(event.document)
        if not before and not after:
            return None
        kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return _event(kind, self._shows(event.document))


def _event(kind: str, document: Any) -> Document:
    return {"type": kind, "object": document}
