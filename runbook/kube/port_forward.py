"""A connection to a port of a pod through the API server: touches one WebSocket, and starts no thread.

`kubernetes.stream.portforward` does the same with a thread for each connection, which outlives its user by as long as
the server takes to say goodbye, and without any timeout. The protocol is small enough to be read where it is used:
each binary frame begins with its channel; 0 carries the data, 1 what went wrong at the far end; the first frame of
each channel holds the port, two bytes, and is of no use here (the subprotocol `v4.channel.k8s.io`).
"""

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from urllib3.exceptions import HTTPError
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
)

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.transport import CONNECT_TIMEOUT, Connection, refusal, twice_if_unauthorized

SUBPROTOCOL = "v4.channel.k8s.io"

_DATA, _ERROR = 0, 1


class ForwardedConnection:
    """What a program needs of a connected `socket.socket`; its errors are a socket's. One thread at a time.

    The far end is asked to connect only after this one has begun. So that nothing listens there is heard from the
    first `recv`, as `ConnectionRefusedError`.
    """

    def __init__(self, websocket: WebSocket, connected: "DeadlineSocket", timeout: float) -> None:
        self._websocket = websocket
        self._connected = connected
        self._timeout = timeout
        self._begun: set[int] = set()
        self._received = b""
        self._ended = False

    def settimeout(self, value: float) -> None:
        """Set the seconds that each later call may take."""
        self._timeout = value

    def sendall(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            OSError: as of a socket; `TimeoutError` if it took too long.
        """
        try:
            self._websocket.settimeout(self._timeout)
            self._websocket.send_binary(bytes([_DATA]) + data)
        except WebSocketException as error:
            raise _as_of_a_socket(error) from error

    def recv(self, bufsize: int) -> bytes:
        """Return at least one byte and at most `bufsize`, or none if the far end has closed.

        Raises:
            OSError: as of a socket; `TimeoutError` if nothing came in time, `ConnectionRefusedError` if nothing
                listens on the pod's port.
        """
        self._connected.allow(self._timeout)
        while not self._received and not self._ended:
            self._take_frame()
        data, self._received = self._received[:bufsize], self._received[bufsize:]
        return data

    def close(self) -> None:
        """End the connection, at once: says goodbye and waits for no answer."""
        with suppress(WebSocketException, OSError):
            self._websocket.settimeout(0)
            self._websocket.send_close()
        self._websocket.shutdown()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _take_frame(self) -> None:
        try:
            kind, frame = self._websocket.recv_data_frame(control_frame=True)
        except WebSocketConnectionClosedException:
            self._ended = True
        except WebSocketException as error:
            raise _as_of_a_socket(error) from error
        else:
            if kind == ABNF.OPCODE_CLOSE:
                self._ended = True
            elif kind == ABNF.OPCODE_BINARY:
                self._take_message(frame.data)

    def _take_message(self, message: bytes) -> None:
        channel, content = message[:1], message[1:]
        if channel not in (bytes([_DATA]), bytes([_ERROR])):
            raise ConnectionError(f"a port-forward with a message of channel {channel!r}")
        if channel[0] not in self._begun:
            self._begun.add(channel[0])
        elif channel[0] == _DATA:
            self._received += content
        else:
            raise _said_by_the_far_end(content.decode(errors="replace"))


class DeadlineSocket:
    """A connected socket whose reads end in time, however slowly bytes come.

    The library's timeout is for one read of its socket: a byte at a time would keep its head, or a frame, for ever.
    """

    def __init__(self, connected: socket.socket, seconds: float) -> None:
        self._socket = connected
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Have all that is read from now on come within this many seconds."""
        self._ends = time.monotonic() + seconds

    def recv(self, bufsize: int) -> bytes:
        """Return what has come.

        Raises:
            TimeoutError: nothing has, or too late.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("not whole in time")
        self._socket.settimeout(left)
        return self._socket.recv(bufsize)

    def __getattr__(self, name: str) -> Any:
        """Be the socket in all else."""
        return getattr(self._socket, name)


def port_forward(connection: Connection, namespace: str, pod: str, port: int, *, timeout: float) -> ForwardedConnection:
    """Connect to a port of a pod, through the API server. Needs `get` and `create` on pods/portforward.

    Args:
        connection: to the API server.
        namespace: the pod's.
        pod: its name.
        port: the number on which something listens on the pod's loopback.
        timeout: seconds for each step of connecting, and for later calls until they are given others.

    Raises:
        ClusterError: the API server was not reached or refused.
    """
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
    step = min(CONNECT_TIMEOUT, timeout)

    def connect() -> ForwardedConnection:
        url = connection.url(path, {"ports": str(port)}).replace("http", "ws", 1)
        try:
            connected = DeadlineSocket(connection.dial(step), step)
            websocket = _upgraded(connected, url, connection.headers, timeout=step)
        except WebSocketBadStatusException as error:
            if error.status_code == 401:
                connection.refresh_credentials()
            headers = error.resp_headers or {}
            raise refusal(path, error.status_code, error.resp_body or b"", headers.get("retry-after", "")) from error
        except (WebSocketException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise _not_forwarded(path, error) from error
        return ForwardedConnection(websocket, connected, timeout)

    return twice_if_unauthorized(connect)


def _upgraded(connected: DeadlineSocket, url: str, headers: Mapping[str, str], *, timeout: float) -> WebSocket:
    """Ask over a connected socket for the subresource `portforward`; the socket is closed if that fails."""
    websocket = WebSocket(enable_multithread=False)
    websocket.connect(  # type: ignore[no-untyped-call]
        url,
        socket=connected,
        header=[f"{name}: {value}" for name, value in headers.items()],
        subprotocols=[SUBPROTOCOL],
        timeout=timeout,
        suppress_origin=True,
        redirect_limit=0,  # a token would go to wherever the answer points
    )
    return websocket


def _not_forwarded(path: str, error: Exception) -> ClusterError:
    timed_out = isinstance(error, TimeoutError | WebSocketTimeoutException)
    reason = ClusterErrorReason.TIMEOUT if timed_out else ClusterErrorReason.UNREACHABLE
    return ClusterError(reason, f"{path}: {error}")


def _as_of_a_socket(error: WebSocketException) -> OSError:
    kind = TimeoutError if isinstance(error, WebSocketTimeoutException) else ConnectionError
    return kind(str(error) or type(error).__name__)


def _said_by_the_far_end(message: str) -> OSError:
    kind = ConnectionRefusedError if "connection refused" in message else ConnectionError
    return kind(message[:2048])
