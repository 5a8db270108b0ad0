"""A clock that stands still until a test moves it, and one of a machine that has another time."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements `certlag.clock.Clock`. Wall time and interval time move together, except where a test sets one."""

    def __init__(self, now: datetime = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Return the present instant."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set(self, now: datetime) -> None:
        """Set wall time, as an operator or NTP does; no time passes."""
        self._now = now


class HurriedClock(FakeClock):
    """A clock on which this many seconds pass with each look at its interval time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def monotonic(self) -> float:
        """Return seconds since some fixed point, more of them each time."""
        self.advance(self._seconds)
        return super().monotonic()


class NotedClock(FakeClock):
    """A clock that tells when somebody has looked at its interval time."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = threading.Semaphore(0)

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        seconds = super().monotonic()
        self._looks.release()
        return seconds

    def advance_after_a_look(self, seconds: float) -> None:
        """Wait for the next look that was not waited for yet, then let time pass."""
        assert self._looks.acquire(timeout=20), "nobody looks"
        self.advance(seconds)


@dataclass
class SkewedClock(FakeClock):
    """Moves with another clock; its wall time is wrong by `skew`."""

    true: FakeClock
    skew: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Return what its machine takes for the present instant."""
        return self.true.now() + self.skew

    def monotonic(self) -> float:
        """Return the other's: nobody sets intervals."""
        return self.true.monotonic()

    def advance(self, seconds: float) -> None:
        """Let time pass, for both."""
        self.true.advance(seconds)

    def set(self, now: datetime) -> None:
        """Set its wall time."""
        self.skew = now - self.true.now()
