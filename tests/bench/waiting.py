"""Waiting for something to become true: the one place in the bench that polls, always with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

INTERVAL = 0.05


class TooLateError(AssertionError):
    """What was waited for did not come: says what, for how long, and the last thing that stood in the way."""


def until(
    what: str,
    look: Callable[[], Seen | None],
    seconds: float = 60,
    *,
    interval: float = INTERVAL,
    pause: Callable[[float], object] = time.sleep,
) -> Seen:
    """Look until something true is seen, and return it.

    `OSError` and `LookupError` from `look` mean "not yet": a server that does not answer, an object that is
    not there. `pause` is what passes the time between two looks; it may raise, to give up early.
    """
    end = time.monotonic() + seconds
    obstacle = "nothing was seen"
    while True:
        try:
            seen = look()
        except (OSError, LookupError) as error:
            obstacle = f"{type(error).__name__}: {error}"
        else:
            if seen:
                return seen
            obstacle = f"saw {seen!r}"
        if time.monotonic() >= end:
            raise TooLateError(f"waited {seconds:g} s for {what}; at the end: {obstacle}")
        pause(interval)
