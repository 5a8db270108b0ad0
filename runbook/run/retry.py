"""Reads that are made again a few times where their failure may pass. Reads the API server.

`runbook.retry_policy` says which errors are final. A look at a target makes a dozen reads, so that one that fails
must not cost the whole look; what fails for longer, a run tries again by `with_retries`, which keeps the lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from certlag.errors import ClusterError
from certlag.kube.client import ClusterClient
from certlag.kube.transport import MAX_BODY, Connection
from runbook.retry_policy import is_final, pause_after


@dataclass(frozen=True, slots=True)
class Pace:
    """How a read is made again.

    Attributes:
        delays: seconds between tries.
        longest_wish: seconds of a server's `Retry-After` that are waited for at most; more is a failure.
        unanswered: whether a request without an answer is made again, too.
    """

    delays: tuple[float, ...]
    longest_wish: float
    unanswered: bool


BEFORE_RUN = Pace((0.2, 0.5, 1.0, 2.0, 5.0), longest_wish=30.0, unanswered=True)
"""Nothing was changed yet, and a person waits for the plan."""
IN_RUN = Pace((0.2, 0.5, 1.0), longest_wish=1.0, unanswered=False)
"""The lock is not renewed in that time, so it is short."""

Result = TypeVar("Result")


class RetryingClient(ClusterClient):
    """A client whose requests are made again where their failure may pass; from any thread.

    A refusal of permission is reported at once, and so is a server that was never reached: its address may be wrong.
    """

    def __init__(
        self,
        connection: Connection,
        pause: Callable[[float], None],
        warn: Callable[[str], None],
        pace: Pace = BEFORE_RUN,
    ) -> None:
        """Be ready to read.

        Args:
            connection: to the API server.
            pause: waits this many seconds; called from any thread.
            warn: gets a warning before the third try: what the second one got.
            pace: how often, and how long it may take.
        """
        super().__init__(connection)
        self.connection = connection
        self._pause = pause
        self._warn = warn
        self._pace = pace

    def get(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        timeout: float | None = None,
        most: int = MAX_BODY,
    ) -> Any:
        """Return the JSON answer to one GET, as `ClusterClient.get`."""
        read = super().get
        return self.retry(lambda: read(path, parameters, accept=accept, timeout=timeout, most=most))

    def retry(self, request: Callable[[], Result]) -> Result:
        """Make a request until it is answered, or has failed too often; it must be safe to make again.

        Raises:
            ClusterError: what the last try got.
        """
        for tried, delay in enumerate(self._pace.delays, 1):
            try:
                return request()
            except ClusterError as error:
                if not self._may_pass(error):
                    raise
                if tried > 1:
                    self._warn(f"{error}; trying again")
                self._pause(pause_after(error, delay))
        return request()

    def _may_pass(self, error: ClusterError) -> bool:
        if error.status is None:
            return self._pace.unanswered and self.connection.clock_skew is not None
        return not is_final(error) and error.status not in (401, 403) and self._is_patient(error)

    def _is_patient(self, error: ClusterError) -> bool:
        return (error.retry_after or 0.0) <= self._pace.longest_wish
