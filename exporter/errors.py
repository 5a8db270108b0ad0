"""The failures of talking to a Kubernetes API server, as this project names them.

Pure. `cluster.client` is the one place that turns what its libraries raise into these; nothing above it knows
those libraries. Expected outcomes (a failed probe, a refused configuration) are values or errors of their own
modules, not these.
"""

from enum import StrEnum


class ClusterErrorReason(StrEnum):
    """Why a request to the API server failed: a closed set, the `reason` label of `certlag_watch_errors_total`."""

    EXPIRED = "expired"
    FORBIDDEN = "forbidden"
    GARBLED = "garbled"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    SHORT_WATCH = "short_watch"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    UNAUTHORIZED = "unauthorized"
    UNREACHABLE = "unreachable"


class ClusterError(Exception):
    """A request to the API server did not give an answer that can be used.

    Attributes:
        reason: which kind of failure.
        retry_after: seconds that the server asked us to wait, if it did.
    """

    def __init__(self, reason: ClusterErrorReason, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


class ClusterConfigError(Exception):
    """There is no usable way to the cluster: no kubeconfig, no such context, broken credentials."""
