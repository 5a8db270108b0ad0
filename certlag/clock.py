"""The one place that asks what time it is.

Instants are timezone-aware and UTC. Intervals are measured on a clock that runs on while the machine is
suspended, so that a laptop that slept for an hour knows it: CLOCK_BOOTTIME on Linux; on macOS CLOCK_MONOTONIC
already does (clock_gettime(3) there).
"""

import time
from datetime import UTC, datetime
from typing import Protocol

_INTERVAL_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the rest of the program may ask about time."""

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed point; never steps back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since boot, time asleep included."""
        return time.clock_gettime(_INTERVAL_CLOCK)
