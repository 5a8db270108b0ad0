"""A client within the process: the interface of the exporter's client and of the runbook's connection, without HTTP.

For simulations on a fake clock: nothing waits, and a watch ends when it has said what there is. Touches nothing but the
cluster that it is given.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from certlag.errors import ClusterError, ClusterErrorReason
from rehearsal.api.server import Answer, Api, Forwarding, Request
from rehearsal.api.watching import Watching
from rehearsal.objects import clone

_REASONS = {
    401: ClusterErrorReason.UNAUTHORIZED,
    403: ClusterErrorReason.FORBIDDEN,
    404: ClusterErrorReason.NOT_FOUND,
    410: ClusterErrorReason.EXPIRED,
    429: ClusterErrorReason.THROTTLED,
}


class InProcessClient:
    """GET, watches and writes, answered at once. `after` is called after each request: to step the cluster."""

    clock_skew: timedelta | None = timedelta(0)

    def __init__(
        self, api: Api, token: str, *, namespace: str = "default", after: Callable[[], None] = lambda: None
    ) -> None:
        self.server = "https://rehearsal"
        self.namespace = namespace
        self._api = api
        self._authorization = f"Bearer {token}"
        self._after = after

    def get(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        timeout: float | None = None,  # noqa: ARG002 - nothing waits
    ) -> Any:
        """Return the JSON answer to one GET.

        Raises:
            ClusterError: there is none.
        """
        return self._answer(Request("GET", path, parameters, self._headers(accept)))

    @contextmanager
    def page(self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json") -> Iterator[bytes]:
        """Yield the text of a page of a list.

        Raises:
            ClusterError: there is none.
        """
        yield json.dumps(self.get(path, parameters, accept=accept)).encode()

    @contextmanager
    def stream(
        self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json"
    ) -> Iterator[Iterator[bytes]]:
        """Open a watch: yields an iterator over the lines that there are now.

        Raises:
            ClusterError: it cannot be opened.
        """
        watching = self._handle(Request("GET", path, parameters, self._headers(accept)))
        if not isinstance(watching, Watching):
            raise ClusterError(ClusterErrorReason.GARBLED, f"{path}: not a watch")
        yield (json.dumps(event).encode() for event in watching.poll())
        watching.end()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        content_type: str,
        parameters: Mapping[str, str] | None = None,
        timeout: float = 10.0,  # noqa: ARG002 - nothing waits
    ) -> Any:
        """Change something: JSON in and out.

        Raises:
            ClusterError: it was refused.
        """
        headers = {**self._headers("application/json"), "content-type": content_type}
        return self._answer(Request(method, path, parameters or {}, headers, clone(body)))

    def close(self) -> None:
        """Nothing is open."""

    def _headers(self, accept: str) -> dict[str, str]:
        return {"authorization": self._authorization, "accept": accept, "user-agent": "certlag/rehearsal"}

    def _answer(self, request: Request) -> Any:
        answered = self._handle(request)
        if not isinstance(answered, Answer):
            raise ClusterError(ClusterErrorReason.GARBLED, f"{request.path}: not one answer")
        return clone(answered.body)

    def _handle(self, request: Request) -> Answer | Watching | Forwarding:
        answered = self._api.handle(request)
        self._after()
        if isinstance(answered, Answer) and answered.code >= 300:
            reason = _REASONS.get(answered.code, ClusterErrorReason.SERVER_ERROR)
            wait = next((float(value) for name, value in answered.headers if name == "Retry-After"), None)
            detail = f"{request.path}: HTTP {answered.code}: {json.dumps(answered.body)[:2048]}"
            raise ClusterError(reason, detail, status=answered.code, retry_after=wait)
        return answered
