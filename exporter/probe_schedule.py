"""When is which endpoint to be probed? Pure: told the time, it answers who is due.

An endpoint is due at once when its container becomes ready and when its certificate is issued again; a container
that is not ready gets ten seconds first. After a success it is due an interval later, give or take a tenth, so
that a thousand pods do not come due together; after a failure after 0.2 s, doubled each time up to the interval.
Where several processes answer at one port, one attempt says little: once an endpoint has presented two certificates,
thirty attempts follow at 0.2 s, and as many after each interval in which both are still seen.

A thousand dead ones, each of which holds a prober for its whole timeout, must not keep those that live from being seen.
So there are three queues: endpoints that answered when they were last asked come first, then those of which nothing is
known, and of those that failed only a few are taken at once.
"""

import heapq
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from certlag.assessment import CONFIRMATIONS
from certlag.model import Endpoint

INTERVAL = 300.0
"""Seconds from one probe of an endpoint to the next."""
RETRY_FIRST = 0.2
"""Seconds until a failed probe is repeated the first time; doubled each time, up to the interval."""
CONFIRM_AFTER = 0.2
"""Seconds between two attempts at an endpoint that has presented several certificates."""
NOT_READY_DELAY = 10.0
"""Seconds after which a container that is not ready is probed."""
SPREAD = 0.1
"""By which fraction of itself an interval varies."""
FAILING_AT_ONCE = 8
"""Endpoints that failed last time and are probed at once."""

_Queue = list[tuple[float, int, Endpoint]]
"""When each is due; the number breaks ties, since endpoints have no order."""

Owner = TypeVar("Owner")
"""Whatever wants endpoints probed; equal owners replace what they wanted before."""


@dataclass(slots=True)
class _Entry:
    due_at: float
    ready: bool
    owners: int = 0
    failures: int = 0
    in_flight: bool = False
    again: bool = False
    confirmations: int = CONFIRMATIONS
    """Attempts that may follow at once while it presents several certificates; as many again after an interval."""
    attempted: bool = False
    answered: bool = False
    """Whether it did when it was asked last."""


class Schedule(Generic[Owner]):
    """Who is due. All times are seconds on the clock's monotonic scale."""

    def __init__(self, *, interval: float = INTERVAL, jitter: random.Random) -> None:
        self._interval = interval
        self._jitter = jitter
        self._entries: dict[Endpoint, _Entry] = {}
        self._wanted: dict[Owner, Mapping[Endpoint, bool]] = {}
        self._answering: _Queue = []
        self._unknown: _Queue = []
        self._failing: _Queue = []
        self._failing_in_flight: set[Endpoint] = set()
        self._pushed = itertools.count()

    def set_endpoints(self, owner: Owner, wanted: Mapping[Endpoint, bool], now: float) -> None:
        """Say which endpoints an owner wants probed from now on, each with whether its container is ready."""
        before = self._wanted.get(owner, {})
        if wanted:
            self._wanted[owner] = wanted
        else:
            self._wanted.pop(owner, None)
        for endpoint, ready in wanted.items():
            entry = self._entries.get(endpoint)
            if entry is None:
                entry = self._entries[endpoint] = _Entry(0.0, ready)
                self._due(endpoint, entry, now if ready else now + NOT_READY_DELAY)
            elif ready and not entry.ready:
                self._hurry(endpoint, entry, now)
            entry.ready = ready
            entry.owners += endpoint not in before
        for endpoint in before.keys() - wanted.keys():
            entry = self._entries[endpoint]
            entry.owners -= 1
            if entry.owners == 0:
                del self._entries[endpoint]

    def expedite(self, owner: Owner, now: float) -> None:
        """Make everything that an owner wants due at once."""
        for endpoint in self._wanted.get(owner, {}):
            self._hurry(endpoint, self._entries[endpoint], now)

    def take(self, now: float, room: int) -> list[Endpoint]:
        """Return up to `room` endpoints that are due; each is in flight until `done` is called."""
        taken = self._take(self._answering, now, room)
        taken += self._take(self._unknown, now, room - len(taken))
        failing = self._take(self._failing, now, min(room - len(taken), self._room_for_failing))
        self._failing_in_flight.update(failing)
        return taken + failing

    def done(self, endpoint: Endpoint, now: float, *, success: bool, unconfirmed: bool = False) -> None:
        """Say that an attempt ended.

        Args:
            endpoint: what was probed.
            now: seconds.
            success: whether it presented a certificate.
            unconfirmed: whether it has presented several, so that only further attempts tell which of them are gone.
        """
        self._failing_in_flight.discard(endpoint)
        entry = self._entries.get(endpoint)
        if entry is None:
            return
        entry.in_flight, entry.attempted, entry.answered = False, True, success
        entry.failures = 0 if success else min(entry.failures + 1, 30)
        if entry.again:
            entry.again = False
            delay = 0.0
        elif success and unconfirmed and entry.confirmations > 0:
            entry.confirmations -= 1
            delay = CONFIRM_AFTER
        elif success:
            entry.confirmations = CONFIRMATIONS
            delay = self._interval
        else:
            delay = min(self._interval, RETRY_FIRST * 2 ** (entry.failures - 1))
        self._due(endpoint, entry, now + delay * self._jitter.uniform(1 - SPREAD, 1 + SPREAD))

    @property
    def next_due(self) -> float | None:
        """When `take` will next have something to return (or find that it was withdrawn), None if never."""
        queues = (self._answering, self._unknown, self._failing if self._room_for_failing else [])
        return min((queue[0][0] for queue in queues if queue), default=None)

    @property
    def first_round_ended(self) -> bool:
        """Tell whether every endpoint whose container is ready was attempted."""
        return all(entry.attempted for entry in self._entries.values() if entry.ready)

    @property
    def _room_for_failing(self) -> int:
        return FAILING_AT_ONCE - len(self._failing_in_flight)

    def _take(self, queue: _Queue, now: float, room: int) -> list[Endpoint]:
        taken: list[Endpoint] = []
        while queue and queue[0][0] <= now and len(taken) < room:
            due_at, _, endpoint = heapq.heappop(queue)
            entry = self._entries.get(endpoint)
            if entry is not None and entry.due_at == due_at and not entry.in_flight:
                entry.in_flight = True
                taken.append(endpoint)
        return taken

    def _hurry(self, endpoint: Endpoint, entry: _Entry, now: float) -> None:
        entry.failures = 0  # what made it fail may be over: it is a new chance
        if entry.in_flight:
            entry.again = True
        elif entry.due_at > now:
            self._due(endpoint, entry, now)

    def _due(self, endpoint: Endpoint, entry: _Entry, at: float) -> None:
        entry.due_at = at
        queue = self._failing if entry.failures else self._answering if entry.answered else self._unknown
        heapq.heappush(queue, (at, next(self._pushed), endpoint))
