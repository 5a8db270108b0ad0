"""The API server's time, told by its `Date`: an operator's wrong clock decides nothing. Asks no clock of its own."""

from datetime import datetime, timedelta

from certlag.clock import Clock
from certlag.kube.transport import Connection

TOLERANCE = timedelta(seconds=5)
"""`Date` has whole seconds and is as old as its answer: a smaller difference says nothing."""


class ServerClock:
    """The local clock, put right by the API server's last answer where it is wrong. Intervals stay our own."""

    def __init__(self, clock: Clock, connection: Connection) -> None:
        self._clock = clock
        self._connection = connection

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        skew = self._connection.clock_skew
        return self._clock.now() + skew if skew is not None and abs(skew) > TOLERANCE else self._clock.now()

    def monotonic(self) -> float:
        """Return seconds since some fixed point; never steps back."""
        return self._clock.monotonic()
