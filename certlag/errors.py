"""The failures of talking to a Kubernetes API server, as this project names them.

Pure. `kube.transport`, with `kube.kubeconfig`, is the one place that turns what its libraries raise into these;
nothing above it knows those libraries. Expected outcomes (a failed probe, a refused configuration) are values or
errors of their own modules, not these.
"""

import re
from enum import StrEnum

_DENIED = re.compile(r'admission webhook ".*" denied the request|ValidatingAdmissionPolicy .* denied request')
_NOT_AUTHORIZED = re.compile(r'forbidden: User "')


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
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    UNREACHABLE = "unreachable"


class ClusterError(Exception):
    """A request to the API server did not give an answer that can be used.

    Attributes:
        reason: which kind of failure.
        status: the HTTP status of the answer, also where its body then broke off; None: none came.
        retry_after: seconds that the server asked us to wait, if it did.
        message: what the API server itself says of its refusal, in a Status object; empty if it sent none.
    """

    def __init__(
        self,
        reason: ClusterErrorReason,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        message: str = "",
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.message = message

    @property
    def refused(self) -> bool:
        """The server said no, and nothing was done. Else it may or may not have been: look before you ask again.

        A 5xx is no such no: the API server answers 504 while a write goes on, 500 when etcd did not confirm one, and
        what stands before it answers 502 to 504 knowing nothing.
        """
        return self.status is not None and 300 <= self.status < 500

    @property
    def denied(self) -> bool:
        """Admission denied the object: a webhook, a ValidatingAdmissionPolicy, a quota, Pod Security, a LimitRange.

        The same object would be denied again for every client. A webhook or a policy chooses its status (400 and 422
        by default); the others answer 403 as the authorizer does, whose words are always `User "…" cannot …`: that
        may change while we wait (k8s.io/apiserver, `responsewriters.Forbidden` and `webhook/errors.ToStatusErr`).
        """
        if _DENIED.search(self.message):
            return True
        return self.status == 403 and bool(self.message) and not _NOT_AUTHORIZED.search(self.message)


class ClusterConfigError(Exception):
    """There is no usable way to the cluster: no kubeconfig, no such context, broken credentials."""
