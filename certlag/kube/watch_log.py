"""Log lines of watches that fail: the first of a reason at once, then one in five minutes while it goes on."""

import logging

from certlag.clock import Clock
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.resources import Watch

AGAIN_AFTER = 300.0
"""Seconds for which a failure of the same reason is not logged again."""

log = logging.getLogger("certlag")


class WatchLog:
    """Remembers what was logged of each watch. Each watch has a thread of its own, and touches only its own entry."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged: dict[Watch, tuple[ClusterErrorReason, float]] = {}

    def failed(self, watch: Watch, error: ClusterError, delay: float) -> None:
        """Log a failed request, which is tried again after `delay` seconds, unless that was logged just now."""
        reason, at = self._logged.get(watch, (None, 0.0))
        now = self._clock.monotonic()
        if error.reason is reason and now - at < AGAIN_AFTER:
            return
        self._logged[watch] = error.reason, now
        about = {"resource": watch.resource.name, "namespace": watch.namespace, "object": watch.name or ""}
        retry = {"error": str(error), "retry_in_seconds": round(delay, 1)}
        log.warning("watch failed", extra={**about, **retry})
