"""List and watch one resource: a complete picture first, then each change of it, through any failure.

Theory of operation. `Reflector.run` lists in pages, hands over the complete list, then watches from the list's
resourceVersion and hands over each change. It goes back to listing only when the server says that the resourceVersion
has expired (410, as an answer or within the stream), or once in about 45 minutes to be safe: such a list may fail,
and the watch goes on. Any other failure watches again from where it was. Every failure waits first: full jitter
between 0.8 and 30 s, doubled each time and started again only by an event or a watch that lived for two minutes, since
a server that accepts and drops at once would otherwise be asked without end. A watch without an event for 75 s is
cut: bookmarks come once a minute, so silence means a dead connection. These are client-go's figures
(tools/cache/reflector.go) where it has them, and what it lacks (a read timeout, a bound on one event and on one page)
is added. A page that is too large is asked for again with half as many objects: anyone who may fill a few hundred of
them would else blind us.

Only what is told is contact: a page of a list, or an event. A proxy's login page and blank lines are not. So a quiet
watch has to live until its first bookmark, which comes after a minute or 2 s before the end that was asked for
(apiserver, storage/cacher/cache_watcher.go). Where something on the way cuts what is idle sooner, an earlier end is
asked for: earlier than the watch lived that broke without an event. And the server keeps to that end, which nobody
else knows: where there are no bookmarks, that is contact.

Half a list is never handed over; an object that cannot be read is counted, and what was known of it stays.
Touches the API server through `client` only, and never writes.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from certlag.clock import Clock
from certlag.config.shard import WHOLE, Shard
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube import decode, schema
from certlag.kube.decode import SkipReason, UndecodableError
from certlag.kube.paging import Limit
from certlag.kube.resources import Watch
from certlag.model import ObjectKey

BACKOFF_FIRST, BACKOFF_MOST = 0.8, 30.0
"""Seconds between two attempts: the first time, and at most; doubled each time."""
HEALTHY_AFTER = 120.0
"""Seconds that a watch must have lived to count as a success if no event came."""
SHORT = 1.0
"""Seconds: a watch that ends cleanly before, without an event, counts as a failure."""
RETRY_AFTER_MOST = 60.0
"""Seconds of a Retry-After that are waited at most."""
RELIST_AFTER = (1800.0, 3600.0)
"""Seconds from one list to the next that is only to be safe: between these, by chance."""
RELIST_AGAIN_AFTER = (60.0, 300.0)
"""Seconds until a list that was only to be safe, and failed, is tried again."""
WATCH_SECONDS = (290, 570)
CUT_AFTER = 10.0
"""Seconds: that a watch broke sooner says nothing of an idle connection. Else we would ask without end."""
BEFORE_THE_CUT = 5
"""Seconds by which a watch is to end before the last one broke: the bookmark 2 s before its end may be 1 s late."""
PUNCTUAL = 2.0
"""Seconds within which the server's end of a watch comes: less than a cut comes after it, by `BEFORE_THE_CUT`."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The complete content of a watch's scope. `unreadable` exist but could not be decoded."""

    watch: Watch
    objects: tuple[Any, ...]
    unreadable: frozenset[ObjectKey]


@dataclass(frozen=True, slots=True)
class Changed:
    """An object was created or modified."""

    watch: Watch
    object: Any


@dataclass(frozen=True, slots=True)
class Removed:
    """An object was deleted."""

    watch: Watch
    key: ObjectKey


Change = Listed | Changed | Removed


@dataclass(slots=True)
class WatchHealth:
    """Whether one watch can see. Written by its own thread, read by others at any time."""

    synced: bool = False
    last_contact_at: datetime | None = None
    """When it was last told something; that a watch was opened tells nothing."""
    failure: ClusterErrorReason | None = None
    """Why the last request failed; None once the server has answered again."""
    failing_since: datetime | None = None
    """When the first of the requests failed that have all failed since."""
    relists: Counter[str] = field(default_factory=Counter)
    errors: Counter[ClusterErrorReason] = field(default_factory=Counter)
    skipped: Counter[SkipReason] = field(default_factory=Counter)


class Client(Protocol):
    """What a reflector needs of `client.ClusterClient`."""

    def page(self, path: str, parameters: Mapping[str, str], *, accept: str = ...) -> AbstractContextManager[bytes]:
        """Read a page of a list: a context manager over its text."""
        ...

    def stream(self, path: str, parameters: Mapping[str, str], *, accept: str = ...) -> Any:
        """Open a watch: a context manager over an iterator of lines."""
        ...


class Reflector:
    """The loop over one watch; `run` is a thread's whole life."""

    def __init__(
        self,
        watch: Watch,
        client: Client,
        sink: Callable[[Change], None],
        clock: Clock,
        stop: threading.Event,
        *,
        jitter: random.Random,
        log: Callable[[Watch, ClusterError, float], None],
        shard: Shard = WHOLE,
    ) -> None:
        self.watch = watch
        self._shard = shard
        self.health = WatchHealth()
        self._client = client
        self._sink = sink
        self._clock = clock
        self._stop = stop
        self._jitter = jitter
        self._log = log
        self._failures = 0
        self._limit = Limit()
        self._resource_version: str | None = None
        self._relist_at = 0.0
        self._watch_seconds = WATCH_SECONDS

    def run(self) -> None:
        """List and watch until stopped."""
        reason = "start"
        while not self._stop.is_set():
            try:
                if self._resource_version is None:
                    self._list(reason)
                elif self._clock.monotonic() >= self._relist_at:
                    self._list_to_be_safe()
                self._watch()
            except ClusterError as error:
                if self._stop.is_set():
                    return
                if error.reason is ClusterErrorReason.EXPIRED:
                    reason, self._resource_version = "expired", None
                    self.health.synced = False
                self._fail(error)

    def _list_to_be_safe(self) -> None:
        """List again; a list that fails makes nothing worse: the watch goes on from where it was."""
        try:
            self._list("safety")
        except ClusterError as error:
            if self._stop.is_set():
                raise
            later = max(self._jitter.uniform(*RELIST_AGAIN_AFTER), min(error.retry_after or 0.0, RETRY_AFTER_MOST))
            self._relist_at = self._clock.monotonic() + later
            self._count(error, later)

    def _list(self, reason: str) -> None:
        """Hand over a complete list, and begin again at its resourceVersion."""
        self.health.relists[reason] += 1
        objects: list[Any] = []
        unreadable: set[ObjectKey] = set()
        metadata = self._read_page(None, objects, unreadable)
        while metadata.continue_:
            metadata = self._read_page(metadata.continue_, objects, unreadable)
        self._sink(Listed(self.watch, tuple(objects), frozenset(unreadable)))
        self.health.synced = True
        self._limit = Limit()
        self._resource_version = metadata.resource_version
        self._relist_at = self._clock.monotonic() + self._jitter.uniform(*RELIST_AFTER)
        self._watch_seconds = WATCH_SECONDS

    def _read_page(self, following: str | None, objects: list[Any], unreadable: set[ObjectKey]) -> schema.ListMetadata:
        """Add what is in one page, of which nothing else is kept; return where the list stands.

        Raises:
            ClusterError: there is none; also if a single object is too large.
        """
        parameters = {**self.watch.parameters, **({"continue": following} if following else {})}
        accept = self.watch.resource.accept_list

        def read(limit: str) -> schema.ListMetadata:
            with self._client.page(self.watch.path, {"limit": limit, **parameters}, accept=accept) as text:
                return self._add(_page(text), objects, unreadable)

        return self._limit.ask(read)

    def _add(self, page: schema.ListPage, objects: list[Any], unreadable: set[ObjectKey]) -> schema.ListMetadata:
        self._contact()
        for item in page.items or ():
            if self._is_foreign(item):
                continue
            try:
                found = self.watch.resource.decode(item)
                if found is not None:
                    objects.append(found)
            except UndecodableError as error:
                self.health.skipped[error.reason] += 1
                with suppress(UndecodableError):  # without a key there is nothing to keep
                    unreadable.add(decode.key(item))
        return page.metadata

    def _watch(self) -> None:
        """Hand over changes until the server ends the watch or we are stopped."""
        seconds = self._jitter.randint(*self._watch_seconds)
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._resource_version or "",
            "timeoutSeconds": str(seconds),
            **self.watch.parameters,
        }
        started, events = self._clock.monotonic(), 0
        with self._client.stream(self.watch.path, parameters, accept=self.watch.resource.accept_watch) as lines:
            self._answered()
            try:
                for line in lines:
                    if not line.strip():
                        continue
                    event = _event(line)
                    self._contact()
                    events += 1
                    if event.type in ("BOOKMARK", "ERROR") or not self._is_foreign(event.object):
                        self._apply(event.type, event.object)
                    self._failures = 0
                    self._resource_version = decode.resource_version(event.object) or self._resource_version
                    if self._stop.is_set():
                        return
            finally:
                lived = self._clock.monotonic() - started
                if not events and CUT_AFTER <= lived < seconds:
                    sooner = int(lived) - BEFORE_THE_CUT
                    self._watch_seconds = (sooner, sooner)
        if not events and 0 <= lived - seconds < PUNCTUAL:
            self._contact()
        if lived >= HEALTHY_AFTER:
            self._failures = 0
        elif lived < SHORT and not events:
            raise ClusterError(ClusterErrorReason.SHORT_WATCH, f"{self.watch.path}: ended after {lived:.3f} s")

    def _apply(self, kind: str, document: schema.Document) -> None:
        if kind == "ERROR":
            raise _error_event(document)
        try:
            if kind == "DELETED":
                self._sink(Removed(self.watch, decode.key(document)))
            elif kind in ("ADDED", "MODIFIED"):
                found = self.watch.resource.decode(document)
                if found is None:  # no longer, or never, what is looked for
                    self._sink(Removed(self.watch, decode.key(document)))
                else:
                    self._sink(Changed(self.watch, found))
        except UndecodableError as error:
            self.health.skipped[error.reason] += 1

    def _is_foreign(self, document: schema.Document) -> bool:
        """Tell whether an object belongs to another shard; one without a name is everybody's to count."""
        if self._shard is WHOLE:
            return False
        with suppress(UndecodableError):
            return not self._shard.owns(decode.key(document).namespace)
        return False

    def _contact(self) -> None:
        self.health.last_contact_at = self._clock.now()
        self._answered()

    def _answered(self) -> None:
        self.health.failure = self.health.failing_since = None

    def _fail(self, error: ClusterError) -> None:
        """Count a failure and wait before the next try."""
        ceiling = min(BACKOFF_MOST, BACKOFF_FIRST * 2**self._failures)
        delay = self._jitter.uniform(BACKOFF_FIRST / 2, ceiling) if ceiling > BACKOFF_FIRST else ceiling
        delay = max(delay, min(error.retry_after or 0.0, RETRY_AFTER_MOST))
        self._failures = min(self._failures + 1, 10)
        self._count(error, delay)
        self._stop.wait(delay)

    def _count(self, error: ClusterError, delay: float) -> None:
        self.health.errors[error.reason] += 1
        self.health.failure = error.reason
        self.health.failing_since = self.health.failing_since or self._clock.now()
        self._log(self.watch, error, delay)


def _page(body: bytes) -> schema.ListPage:
    """Read a page of a list; a proxy's page in good JSON is no list."""
    try:
        page = schema.read(body, schema.ListPage)
    except schema.MalformedError as error:
        raise ClusterError(ClusterErrorReason.GARBLED, f"the answer is not a list of the API: {error}") from error
    if page.metadata.resource_version is None:
        raise ClusterError(ClusterErrorReason.GARBLED, "the answer is not a list of the API: it has no resourceVersion")
    return page


def _event(line: bytes) -> schema.Event:
    try:
        return schema.read(line, schema.Event)
    except schema.MalformedError as error:
        raise ClusterError(ClusterErrorReason.GARBLED, f"not an event of a watch: {error}") from error


def _error_event(document: schema.Document) -> ClusterError:
    """Translate a Status inside the stream. Servers say `Expired` or `Gone`, sometimes with only the code."""
    try:
        status = schema.read(document, schema.Status)
    except schema.MalformedError as error:
        return ClusterError(ClusterErrorReason.GARBLED, f"not a Status: {error}")
    message = (status.message or "")[:200]
    if status.code == 410 or status.reason in ("Expired", "Gone"):
        return ClusterError(ClusterErrorReason.EXPIRED, message)
    kind = ClusterErrorReason.THROTTLED if status.code == 429 else ClusterErrorReason.SERVER_ERROR
    return ClusterError(kind, f"in the watch: {status.code} {status.reason}: {message}")
