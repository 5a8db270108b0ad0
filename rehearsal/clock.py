"""Clocks for a cluster: one that is moved by hand, and the present that a moved one can become."""

from datetime import UTC, datetime, timedelta

from certlag.clock import Clock, SystemClock


class SteppedClock:
    """A clock that stands still until it is moved, and may be let go: then it goes on as the system's.

    A cluster that is to have a past begins on such a clock months ago, is taken through what happened, and is let go
    when it has come to the present.
    """

    def __init__(self, now: datetime, system: Clock | None = None) -> None:
        self._system = system or SystemClock()
        self._now: datetime | None = now
        self._monotonic = 1000.0
        self._let_go_at = 0.0

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        return self._system.now() if self._now is None else self._now

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        if self._now is None:
            return self._monotonic + self._system.monotonic() - self._let_go_at
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, while it stands still."""
        if self._now is not None:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def let_go(self) -> None:
        """Stand still no longer: from now on it is the system's clock."""
        self._let_go_at = self._system.monotonic()
        self._now = None


def ago(length: timedelta, system: Clock | None = None) -> SteppedClock:
    """Return a clock that stands at an instant of the past."""
    now = (system or SystemClock()).now().astimezone(UTC)
    return SteppedClock(now - length, system)
