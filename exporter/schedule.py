"""When is which endpoint to be probed? Pure: told the time, it answers who is due.

An endpoint is due at once when its container becomes ready and when its certificate is issued anew; a container
that is not ready gets ten seconds first. After a success it is due an interval later, give or take a tenth, so
that a thousand pods do not come due together; after a failure after a second, doubled each time up to the interval.
"""

import heapq
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.model import Endpoint

INTERVAL = 300.0
RETRY_FIRST = 1.0
NOT_READY_DELAY = 10.0
SPREAD = 0.1

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
    attempted: bool = False


class Schedule(Generic[Owner]):
    """Who is due. All times are seconds on the clock's monotonic scale."""

    def __init__(self, *, interval: float = INTERVAL, jitter: random.Random) -> None:
        self._interval = interval
        self._jitter = jitter
        self._entries: dict[Endpoint, _Entry] = {}
        self._wanted: dict[Owner, Mapping[Endpoint, bool]] = {}
        # The count breaks ties: endpoints have no order.
        self._heap: list[tuple[float, int, Endpoint]] = []
        self._pushed = itertools.count()

    def want(self, owner: Owner, wanted: Mapping[Endpoint, bool], now: float) -> None:
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

    def hurry(self, owner: Owner, now: float) -> None:
        """Make everything that an owner wants due at once."""
        for endpoint in self._wanted.get(owner, {}):
            self._hurry(endpoint, self._entries[endpoint], now)

    def take(self, now: float, room: int) -> list[Endpoint]:
        """Return up to `room` endpoints that are due; each is in flight until `done` is called."""
        taken: list[Endpoint] = []
        while self._heap and self._heap[0][0] <= now and len(taken) < room:
            due_at, _, endpoint = heapq.heappop(self._heap)
            entry = self._entries.get(endpoint)
            if entry is not None and entry.due_at == due_at and not entry.in_flight:
                entry.in_flight = True
                taken.append(endpoint)
        return taken

    def done(self, endpoint: Endpoint, now: float, *, success: bool) -> None:
        """Say that an attempt ended."""
        entry = self._entries.get(endpoint)
        if entry is None:
            return
        entry.in_flight, entry.attempted = False, True
        entry.failures = 0 if success else min(entry.failures + 1, 30)
        if entry.again:
            entry.again = False
            delay = 0.0
        elif success:
            delay = self._interval
        else:
            delay = min(self._interval, RETRY_FIRST * 2 ** (entry.failures - 1))
        self._due(endpoint, entry, now + delay * self._jitter.uniform(1 - SPREAD, 1 + SPREAD))

    @property
    def next_due(self) -> float | None:
        """When `take` will next have something to return (or find that it was withdrawn), None if never."""
        return self._heap[0][0] if self._heap else None

    @property
    def first_round_ended(self) -> bool:
        """Tell whether every endpoint whose container is ready was attempted."""
        return all(entry.attempted for entry in self._entries.values() if entry.ready)

    def _hurry(self, endpoint: Endpoint, entry: _Entry, now: float) -> None:
        if entry.in_flight:
            entry.again = True
        elif entry.due_at > now:
            self._due(endpoint, entry, now)

    def _due(self, endpoint: Endpoint, entry: _Entry, at: float) -> None:
        entry.due_at = at
        heapq.heappush(self._heap, (at, next(self._pushed), endpoint))
