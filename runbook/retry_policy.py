"""Retries of API requests: which errors, how often, which are final. Pure.

An error is never an answer: "forbidden" or "no connection" does not mean that there are no pods. What the server
refuses for a reason that time does not fix (a malformed request, an object that is gone, one that admission denies)
is raised at once.

A run retries by `with_retries`, which keeps the lock. What is read before a run is begun goes through
`session.PatientClient`, by the same rules.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from certlag.errors import ClusterError
from runbook.effects import Emit, Steps, T
from runbook.events import Level, Notice

CONFLICT = 409
FINAL = frozenset({400, 404, 405, 413, 415, 422})
"""HTTP statuses that another try would get again."""
DELAYS = (0.2, 0.5, 1.0, 2.0, *(5.0,) * 720)
"""Seconds between tries, an hour in all. Tries are counted, so a laptop that slept has not used them up."""
MINUTE = DELAYS[:16]
"""The same, a minute in all: for what comes before anything was changed."""
TOLD_AFTER = frozenset({2, 10, 60, 300})
"""Tries after which a failure is worth a line."""
LONGEST_WISH = 30.0
"""Seconds of a server's `Retry-After` that are heeded at most."""


class RetriesExhaustedError(Exception):
    """It was tried in vain for so long that it makes no sense to go on."""


class Keeper(Protocol):
    """What keeps the lock: `runbook.guard.lock.Leases`."""

    def renew_if_due(self) -> Steps[None]:
        """Return only while the lock is ours."""
        ...

    def wait(self, seconds: float) -> Steps[object]:
        """Wait, and keep the lock."""
        ...


def is_final(error: ClusterError) -> bool:
    """Tell whether another try of the same request would get the same answer."""
    return error.denied or error.status in FINAL


def pause_after(error: ClusterError, delay: float) -> float:
    """Return the seconds to wait after a failure that is not final: as planned, or as long as the server asks for."""
    return max(delay, min(error.retry_after or 0.0, LONGEST_WISH))


def with_retries(
    what: str, request: Callable[[], Steps[T]], lock: Keeper, delays: Sequence[float] = DELAYS
) -> Steps[T]:
    """Make a request until it is answered.

    Args:
        what: said to people when it fails.
        request: makes the effects of one try; it must be safe to make again.
        lock: is held before each try and through each wait, so that none is made without it.
        delays: seconds between tries.

    Raises:
        ClusterError: the server refused it for good.
        RetriesExhaustedError: all tries were in vain; it says what the last one got.
    """
    vain: ClusterError | None = None
    for tried, delay in enumerate(delays):
        yield from lock.renew_if_due()
        try:
            return (yield from request())
        except ClusterError as error:
            if is_final(error):
                raise
            vain = error
            if tried in TOLD_AFTER:
                yield Emit(Notice(Level.WARNING, f"{what}: {error}; trying again"))
            if error.status != CONFLICT:  # a conflict is answered by reading again, and that is done
                yield from lock.wait(pause_after(error, delay))
    raise RetriesExhaustedError(f"{what}: tried {len(delays)} times in vain, the last time: {vain}")
