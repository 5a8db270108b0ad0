"""An API server that follows a script: each request gets the script's next answer, to the byte.

    with scripted_api(page([...], "5"), watch(event("ADDED", {...}), HOLD)) as api:
        client = ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path))
        ...
        first = api.next_request()

When the script is at its end, requests stay without an answer until the test ends. Requests are recorded in
the order of their arrival.
"""

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.tls_servers import HOST, listening, reset

HEADERS_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """One request. `connection` numbers the connections, from 0, in the order in which they asked first."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    connection: int
    body: bytes = b""


Answer = Callable[[socket.socket, threading.Event], bool]
"""Writes to the connection; tells whether it may be used again. Gets the event that says that the test has ended."""


@dataclass
class ScriptedApi:
    """The server: what it was asked, and where it is."""

    port: int
    requests: SimpleQueue[Request] = field(default_factory=SimpleQueue)
    scheme: str = "http"

    def next_request(self) -> Request:
        """Wait for the next request that was not looked at yet."""
        return self.requests.get(timeout=20)

    @property
    def url(self) -> str:
        """The server in a kubeconfig's words."""
        return f"{self.scheme}://{HOST}:{self.port}"

    def kubeconfig(self, directory: Path, *, namespace: str | None = None, **user: Any) -> str:
        """Write a kubeconfig, with a token if nothing is said of the user, and return its path."""
        context = {"cluster": "scripted", "user": "tester", **({"namespace": namespace} if namespace else {})}
        path = directory / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": context}],
                    "clusters": [{"name": "scripted", "cluster": {"server": self.url}}],
                    "users": [{"name": "tester", "user": user or {"token": "secret-token"}}],
                }
            )
        )
        return str(path)


@contextmanager
def scripted_api(*script: Answer, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedApi]:
    """Serve a script."""
    answers, lock = iter(script), threading.Lock()
    connections = 0

    def handle(plain: socket.socket, stop: threading.Event) -> None:
        nonlocal connections
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            with lock:
                number, connections = connections, connections + 1
            usable = True
            while usable and (read := _read_request(connection, stop)):
                with lock:
                    api.requests.put(_request(*read, number))
                    answer = next(answers, silence)
                usable = answer(connection, stop)

    with listening(handle) as server:
        api = ScriptedApi(server.port, scheme="https" if tls else "http")
        yield api


def _read_request(connection: socket.socket, stop: threading.Event) -> tuple[str, bytes] | None:
    """Read the headers and the body that they announce; nothing if the client, or the test, ended."""
    data = b""
    connection.settimeout(0.1)  # nobody can wake a reader of TLS from outside
    while not _is_whole(data) and not stop.is_set():
        try:
            received = connection.recv(65536)
        except TimeoutError:
            continue
        if not received:
            return None
        data += received
    connection.settimeout(20)
    head, _, body = data.partition(HEADERS_END)
    return None if stop.is_set() else (head.decode("latin-1"), body)


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(HEADERS_END)
    announced = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and len(body) >= (int(announced[1]) if announced else 0)


def _request(head: str, body: bytes, connection: int) -> Request:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, connection, body)


# --- answers --------------------------------------------------------------------------------------


def silence(_: socket.socket, stop: threading.Event) -> bool:
    """Say nothing, and keep the connection."""
    stop.wait()
    return False


def hang_up(_: socket.socket, __: threading.Event) -> bool:
    """Close without an answer."""
    return False


def rst(connection: socket.socket, _: threading.Event) -> bool:
    """Reset the connection."""
    reset(connection)
    return False


def answer(body: bytes, *, status: int = 200, content_type: str = "application/json", **headers: str) -> Answer:
    """Give one whole answer; `Retry_After="5"` is a header."""
    fields = {"Content-Type": content_type, "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    def write(connection: socket.socket, _: threading.Event) -> bool:
        connection.sendall(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body)
        return True

    return write


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    """Write one chunk of a body in chunks."""
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def drip(beginning: bytes, drop: bytes, before_each: Callable[[], None], drops: int = 4) -> Answer:
    """Give an answer that never ends: a beginning, a few drops, then nothing."""

    def write(connection: socket.socket, stop: threading.Event) -> bool:
        connection.sendall(beginning)
        for _ in range(drops):
            before_each()
            connection.sendall(drop)
        return silence(connection, stop)

    return write


def page(items: Sequence[Any], resource_version: str, *, following: str | None = None) -> Answer:
    """Give a page of a list; with `following` it is not the last one."""
    metadata = {"resourceVersion": resource_version, **({"continue": following} if following else {})}
    return answer(json.dumps({"kind": "List", "metadata": metadata, "items": items}).encode())


def refusal(status: int, reason: str = "", **headers: str) -> Answer:
    """Give a Status object, as the API server refuses."""
    document = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": "refused"}
    return answer(json.dumps(document).encode(), status=status, **headers)


def html(status: int = 200) -> Answer:
    """Give what a proxy gives."""
    return answer(b"<html><body>Please log in</body></html>", status=status, content_type="text/html")


def after(gate: threading.Event, then: Answer) -> Answer:
    """Give an answer once the test allows it."""

    def write(connection: socket.socket, stop: threading.Event) -> bool:
        assert gate.wait(20)
        return then(connection, stop)

    return write


CUT = b""
"""In a watch: close the connection without ending the answer."""


def watch(*pieces: bytes | threading.Event, hold: bool = False) -> Answer:
    """Stream pieces, each as one HTTP chunk; an event in between is waited for. Ends cleanly unless told otherwise.

    Args:
        pieces: bytes; `CUT` closes the connection; an event is waited for.
        hold: do not end, but stay silent.
    """

    def write(connection: socket.socket, stop: threading.Event) -> bool:
        connection.sendall(CHUNKED)
        for piece in pieces:
            if isinstance(piece, threading.Event):
                assert piece.wait(20)
            elif piece == CUT:
                return False
            else:
                connection.sendall(chunk(piece))
        if hold:
            return silence(connection, stop)
        connection.sendall(b"0\r\n\r\n")
        return True

    return write


def event(kind: str, document: Any) -> bytes:
    """Write one line of a watch."""
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def bookmark(resource_version: str) -> bytes:
    """Write a bookmark."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": resource_version}})


def error_event(code: int, reason: str = "") -> bytes:
    """Write an error within a watch."""
    return event("ERROR", {"kind": "Status", "code": code, "reason": reason, "message": "refused"})
