"""Going on when the API server does not answer: what is tried again, how often, and what never is. Pure.

An error is never an answer: "forbidden" or "no connection" does not mean that there are no pods. What the server
refuses for a reason that time does not mend (a malformed request, an object that is gone) is raised at once.
"""

from collections.abc import Callable

from exporter.errors import ClusterError
from runbook.effects import Steps, T, Tell, Wait
from runbook.events import Level, Remark
from runbook.leases import CONFLICT, GivenUpError

FINAL = frozenset({400, 404, 405, 413, 415, 422})
"""HTTP statuses that another try would get again."""
DELAYS = (0.2, 0.5, 1.0, 2.0, *(5.0,) * 720)
"""Seconds between tries, an hour in all. Tries are counted, so a laptop that slept has not used them up."""
TOLD_AFTER = frozenset({2, 10, 60, 300})
"""Tries after which a failure is worth a line."""

Guard = Callable[[], Steps[None]]
"""What must hold before each try: the lock."""


def insist(what: str, request: Callable[[], Steps[T]], guard: Guard) -> Steps[T]:
    """Make a request until it is answered.

    Args:
        what: said to people when it fails.
        request: makes the effects of one try; it must be safe to make again.
        guard: goes before each try, so that none is made without the lock.

    Raises:
        ClusterError: the server refused it for good.
        GivenUpError: an hour of tries was in vain; it says what the last one got.
    """
    vain: ClusterError | None = None
    for tried, delay in enumerate(DELAYS):
        yield from guard()
        try:
            return (yield from request())
        except ClusterError as error:
            if error.status in FINAL:
                raise
            vain = error
            if tried in TOLD_AFTER:
                yield Tell(Remark(Level.WARNING, f"{what}: {error}; trying on"))
            if error.status != CONFLICT:  # a conflict is answered by reading again, and that is done
                yield Wait(max(delay, min(error.retry_after or 0.0, 30.0)), early=False)
    raise GivenUpError(f"{what}: tried for an hour in vain, the last time: {vain}")
