"""The connection to the API server: one request, one answer or one `ClusterError`. Touches the API server.

What urllib3 and the `kubernetes` package raise is translated here and in `certlag.kube.kubeconfig`, once. Reading is
`certlag.kube.client`'s; who else holds a connection stands in the import contracts.
"""

import json
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from certlag.clock import Clock, SystemClock
from certlag.errors import ClusterConfigError, ClusterError, ClusterErrorReason
from certlag.kube import schema
from certlag.kube.credential import Credential
from certlag.kube.deadline import Deadline, TooLongError, cause, read_all, with_deadlines
from certlag.logs import REQUESTS
from certlag.version import VERSION

if TYPE_CHECKING:
    from certlag.kube.kubeconfig import Access

CONNECT_TIMEOUT = 5.0
"""Seconds."""
MAX_BODY = 256 * 1024 * 1024
"""Bytes of one answer: far more than any that is asked for, far less than would exhaust a machine."""
MAX_REFUSAL = 64 * 1024
"""Bytes of a refusal that are read: policies write long messages."""
MAX_SHOWN = 2048
"""Bytes of one that go into a message."""
ANSWER_TIMEOUT = 120.0
"""Seconds for an answer, from the request to its end; of a watch, to its head.

The API server itself ends such a request after 60 (`--request-timeout`), so that what still comes then is what
something between us drips: else each byte would gain time.
"""

_requests = logging.getLogger(REQUESTS)

_USER_AGENT = f"certlag/{VERSION}"

_STATUS_REASONS = {
    401: ClusterErrorReason.UNAUTHORIZED,
    403: ClusterErrorReason.FORBIDDEN,
    404: ClusterErrorReason.NOT_FOUND,
    410: ClusterErrorReason.EXPIRED,
    429: ClusterErrorReason.THROTTLED,
}

Given = TypeVar("Given")

Response = urllib3.BaseHTTPResponse


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body may still be on its way, and until when it may come."""

    path: str
    response: Response
    deadline: Deadline


class Connection:
    """Requests to one API server, from any thread."""

    def __init__(self, load: "Callable[[], Access]", clock: Clock) -> None:
        """Connect by what `load` returns; it is called again for fresh credentials when they are refused."""
        self._load = load
        self.clock = clock
        self._access = load()
        self._pool = with_deadlines(self._access.pool())
        self._open: set[Response] = set()
        self.server = self._access.server
        self.namespace = self._access.namespace
        self.context = self._access.context
        self.user = self._access.user
        self.in_cluster = self._access.in_cluster
        self.clock_skew: timedelta | None = None
        """The server's `Date` less our clock, at the last answer; None before the first.

        `Date` has whole seconds, and is as old as the answer took to come (RFC 9110 §6.6.1): it tells a wrong clock,
        not a late one.
        """

    @classmethod
    def find(
        cls, *, kubeconfig: str | None = None, context: str | None = None, clock: Clock | None = None
    ) -> "Connection":
        """Find the cluster as kubectl does: in a pod its own, else the kubeconfig.

        Args:
            kubeconfig: path of a kubeconfig; default: $KUBECONFIG, then ~/.kube/config.
            context: a context in it; default: its current one.
            clock: what the server's clock is compared with; default: the machine's.

        Raises:
            ClusterConfigError: there is no way to a cluster.
        """
        # The `kubernetes` package takes a third of a second: `--help` does not need it.
        from certlag.kube.kubeconfig import finder  # noqa: PLC0415 - see above

        return cls(finder(kubeconfig, context), clock or SystemClock())

    @property
    def credential(self) -> Credential:
        """What requests are authenticated with at present."""
        return self._access.credential

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        body: bytes | None = None,
        content_type: str | None = None,
        timeout: float,
    ) -> Iterator[Answer]:
        """Ask once and yield the answer, whose body was not read yet; any 2xx is one.

        It has `ANSWER_TIMEOUT`, refusals too, which anyone who reads a watch puts off.

        Args:
            method: of HTTP.
            path: on the server.
            parameters: the query.
            accept: the media type that is wanted.
            body: what is sent along.
            content_type: its media type.
            timeout: seconds without a byte before it is given up.

        Raises:
            ClusterError: there is no answer, it is a refusal, or it broke off while it was read. Refused credentials
                are loaded again for the next request.
        """
        headers = {"Accept": accept, **self.headers}
        if content_type is not None:
            headers["Content-Type"] = content_type
        deadline = Deadline(self.clock, ANSWER_TIMEOUT)
        began = self.clock.monotonic()
        try:
            with deadline.active():
                response = self._pool.request(
                    method,
                    self.url(path, parameters),
                    body=body,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
                    preload_content=False,
                    redirect=False,
                )
        except HTTPError as error:
            _requests.debug("%s %s: %s", method, path, cause(error))
            raise _unreachable(path, error) from error
        milliseconds = (self.clock.monotonic() - began) * 1000
        _requests.debug("%s %s: %s in %.0f ms", method, path, response.status, milliseconds)
        self._open.add(response)
        try:
            if (said := instant(response.headers.get("Date", ""))) is not None:
                self.clock_skew = said - self.clock.now()
            if response.status == 401:
                self.refresh_credentials()
            if not 200 <= response.status < 300:
                raise _refused(path, response)
            yield Answer(path, response, deadline)
        except HTTPError as error:
            raise _unreachable(path, error, status=response.status) from error
        finally:
            self._open.discard(response)
            # A response that was read to its end gives its connection back; any other is of no more use.
            if response.closed:
                response.release_conn()
            else:
                response.close()

    def url(self, path: str, parameters: Mapping[str, str]) -> str:
        """Return the address of something on the server."""
        return f"{self.server}{path}?{urlencode(parameters)}" if parameters else self.server + path

    @property
    def headers(self) -> dict[str, str]:
        """Who we are, as a request says it."""
        return {"User-Agent": _USER_AGENT, **self._access.authorization()}

    def dial(self, seconds: float) -> socket.socket:
        """Return a connection to the server with nothing on it yet.

        Raises:
            HTTPError, OSError: there is none, or not in time.
        """
        with Deadline(self.clock, seconds).active():
            return self._access.connect(seconds)

    def close(self) -> None:
        """End every answer that is being read: anyone who waits for it gets a `ClusterError` now."""
        for response in tuple(self._open):
            with suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself
                response.shutdown()

    def refresh_credentials(self) -> None:
        """Read tokens and run exec plugins again: the package does so only when its copy is a minute old, or never.

        New connections too: a client certificate belongs to the old ones.
        """
        with suppress(ClusterConfigError):  # the request that was refused says all there is to say
            access = self._load()
            former, self._access, self._pool = self._pool, access, with_deadlines(access.pool())
            former.clear()


def instant(date: str) -> datetime | None:
    """Read a `Date` header; None if there is none that can be read, or so late a one that no time could be added."""
    with suppress(ValueError, TypeError, OverflowError):
        said = parsedate_to_datetime(date)
        return said.replace(tzinfo=said.tzinfo or UTC) if said.year < 9000 else None
    return None


def body(answer: Answer, most: int) -> bytes:
    """Read an answer.

    Raises:
        ClusterError: it has more than this many bytes, and no more of it is read.
        HTTPError: it broke off, or is not whole in time; `Connection.request` translates it.
    """
    try:
        return read_all(answer.response, most)
    except TooLongError as error:
        detail = f"{answer.path}: {error}"
        raise ClusterError(ClusterErrorReason.TOO_LARGE, detail, status=answer.response.status) from error


def document(answer: Answer, most: int = MAX_BODY) -> Any:
    """Read an answer as JSON.

    Raises:
        ClusterError: it has more than this many bytes, or is no JSON.
        HTTPError: as `body`.
    """
    text = body(answer, most)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        detail = f"{answer.path}: not JSON: {error}"
        raise ClusterError(ClusterErrorReason.GARBLED, detail, status=answer.response.status) from error


# --- answers and errors ---------------------------------------------------------------------------


def twice_if_unauthorized(attempt: Callable[[], Given]) -> Given:
    """Do something, and once more with fresh credentials if those it was done with were refused: nothing was done then.

    Raises:
        ClusterError: it failed, the second time too.
    """
    try:
        return attempt()
    except ClusterError as error:
        if error.status != 401:
            raise
    return attempt()


def _refused(path: str, response: Response) -> ClusterError:
    body = response.read(MAX_REFUSAL, decode_content=True)
    return refusal(path, response.status, body, response.headers.get("Retry-After", ""))


def refusal(path: str, status: int, body: bytes, retry_after: str) -> ClusterError:
    """Return the error that a refusal by HTTP is, in the server's own words where it is the API server that speaks."""
    body = body[:MAX_REFUSAL]
    try:
        said = schema.read(body, schema.Status)
    except schema.MalformedError:  # it is somebody else's, or was cut
        said = schema.Status()
    told = (said.message or "")[:MAX_SHOWN]
    return ClusterError(
        _STATUS_REASONS.get(status, ClusterErrorReason.SERVER_ERROR),
        f"{path}: HTTP {status}: {told or body[:MAX_SHOWN].decode(errors='replace')}",
        status=status,
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
        message=told if said.kind == "Status" else "",  # a proxy refuses in its own words
    )


def _unreachable(path: str, error: HTTPError, *, status: int | None = None) -> ClusterError:
    timed_out = isinstance(error, ReadTimeoutError)
    reason = ClusterErrorReason.TIMEOUT if timed_out else ClusterErrorReason.UNREACHABLE
    return ClusterError(reason, f"{path}: {cause(error)}", status=status)
