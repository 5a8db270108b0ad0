"""A reverse proxy before a bench's API server: a program outside the cluster's network reaches it, like a laptop.

    with api_proxy(cluster) as proxy:
        proxy.after = lambda request: Drop() if request.is_write else Pass()
        kubeconfig = proxy.kubeconfig(tmp_path, token, namespace)

It speaks plain HTTP to its clients and TLS to the API server, with whatever credentials the client sends. Each
connection carries one request: answers are streamed as they come, upgraded connections (a port-forward) are tunnelled.
Two callbacks, run in the thread of the connection, may do anything to the world and say what becomes of the request:
`before` it reaches the API server, and `after` its answer came and before the client gets it. The body of an answer
that passes may be treated on its way (`answer_body.Body`): cut, in other chunks, slow, with garbage in it. A callback
that raises fails the test when the block ends.
"""

import json
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, assert_never
from urllib.parse import parse_qsl, urlsplit

from tests.answer_body import AS_IT_CAME, Body
from tests.bench.cluster import Cluster

HOST = "127.0.0.1"
HEAD_END = b"\r\n\r\n"
CHUNK = 65536
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PATIENCE = 20.0
"""Seconds within which every thread must have ended."""


# --- what becomes of a request --------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """Let it go on; `after`, with its body treated."""

    body: Body = AS_IT_CAME


@dataclass(frozen=True)
class Drop:
    """Close the connection: `before`, the API server never sees the request; `after`, the client no answer."""


@dataclass(frozen=True)
class Answer:
    """Give this answer instead."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """As bytes of HTTP; a body that is no bytes is written as JSON."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        fields = {"Content-Type": "application/json", **self.headers}
        fields |= {"Content-Length": str(len(body)), "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} Whatever\r\n{lines}\r\n".encode("latin-1") + body


@dataclass(frozen=True)
class HoldBack:
    """Let it wait for an event, then go on as `then` says; the end of the test releases it too, into nothing."""

    released: threading.Event
    then: "Reaction" = Pass()


@dataclass(frozen=True)
class Delay:
    """Let it wait for so long, then go on as `then` says."""

    seconds: float
    then: "Reaction" = Pass()


Reaction = Pass | Drop | Answer | HoldBack | Delay


@dataclass(eq=False)
class Request:
    """One request as it came. The rest is filled in: whether it `reached` the API server, and what that answered."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    began: float
    reached: bool = False
    status: int | None = None
    answered: float | None = None

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def user_agent(self) -> str:
        """What program asked."""
        return self.headers.get("user-agent", "")

    @property
    def is_write(self) -> bool:
        """It would change something: no dry run, no question about one's own rights."""
        asks = self.path.rpartition("/")[2].startswith("selfsubject")
        return self.method in WRITES and "dryRun" not in self.query and not asks


Rule = Callable[[Request], Reaction]


def let_pass(_: Request) -> Reaction:
    """Let everything pass."""
    return Pass()


def every_watch_expired_once() -> Rule:
    """Make a rule: what each watch goes on from is too old, when it first asks."""
    asked: set[str] = set()

    def react(request: Request) -> Reaction:
        if "watch" not in request.query or request.path in asked:
            return Pass()
        asked.add(request.path)
        return Answer(410, {"kind": "Status", "code": 410, "reason": "Expired"})

    return react


def as_it_came(head: bytes) -> bytes:
    """Leave the head of an answer as it is."""
    return head


def nothing() -> None:
    """Do nothing."""


# --- the proxy ------------------------------------------------------------------------------------


@dataclass
class ApiProxy:
    """What the test sees: the rules, and the record of all requests in the order in which they came."""

    port: int
    before: Rule = let_pass
    after: Rule = let_pass
    head: Callable[[bytes], bytes] = as_it_came
    """What the client gets of an answer's first bytes: status line, headers, and what came with them."""
    idle: float | None = None
    """Seconds without a byte after which a connection is cut whose answer passes untreated; None: it is not."""
    requests: list[Request] = field(default_factory=list)
    cut: Callable[[], None] = nothing
    """Ends every connection that is open, watches among them."""

    @property
    def url(self) -> str:
        """The server in a kubeconfig's words."""
        return f"http://{HOST}:{self.port}"

    @property
    def writes(self) -> list[Request]:
        """The requests that would change something, whether or not they reached the API server."""
        return [request for request in tuple(self.requests) if request.is_write]

    def kubeconfig(self, directory: Path, token: str, namespace: str) -> Path:
        """Write a kubeconfig for the bearer of a token, and return its path."""
        context = {"cluster": "bench", "user": "operator", "namespace": namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "laptop",
            "clusters": [{"name": "bench", "cluster": {"server": self.url}}],
            "users": [{"name": "operator", "user": {"token": token}}],
            "contexts": [{"name": "laptop", "context": context}],
        }
        path = directory / "laptop.kubeconfig"
        path.write_text(json.dumps(document))
        return path


@contextmanager
def api_proxy(cluster: Cluster) -> Iterator[ApiProxy]:
    """Serve until the block ends; every connection, held request and thread ends with it.

    Raises:
        ExceptionGroup: what the callbacks raised, if the block itself did not raise.
    """
    with socket.create_server((HOST, 0), backlog=128) as listener, _Stop() as stop:
        proxy = ApiProxy(listener.getsockname()[1])
        serving = _Serving(cluster, proxy, stop)
        proxy.cut = serving.cut
        accepting = threading.Thread(target=serving.accept, args=(listener,), name="api proxy")
        accepting.start()
        try:
            yield proxy
        finally:
            stop.set()
            accepting.join(PATIENCE)
            serving.join()
    if serving.failures:
        raise ExceptionGroup("the API proxy's rules failed", serving.failures)


class _Stop:
    """The end of the test: an event for those who wait, and a descriptor for those who select."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reader, self._writer = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def set(self) -> None:
        self._event.set()
        os.write(self._writer, b"x")  # nobody reads it, so that everybody sees it

    def fileno(self) -> int:
        return self._reader

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


class _Stopped(Exception):  # noqa: N818 - no error
    """The test has ended."""


class _Serving:
    """The threads: one accepts, and one for each connection."""

    def __init__(self, cluster: Cluster, proxy: ApiProxy, stop: _Stop) -> None:
        self._cluster = cluster
        self._proxy = proxy
        self._stop = stop
        self._tls = ssl.create_default_context(cafile=cluster.client.authority)
        self._threads: list[tuple[threading.Thread, socket.socket]] = []
        self.failures: list[Exception] = []

    def accept(self, listener: socket.socket) -> None:
        """Accept until the test ends."""
        while not self._stop.is_set():
            sources: list[Any] = [listener, self._stop]
            readable, _, _ = select.select(sources, [], [])
            if listener in readable and not self._stop.is_set():
                connection, _ = listener.accept()
                self._threads = [each for each in self._threads if each[0].is_alive()]
                thread = threading.Thread(target=self._handle, args=(connection,), name="api proxy connection")
                self._threads.append((thread, connection))
                thread.start()

    def cut(self) -> None:
        """End every connection that is open."""
        for _, connection in tuple(self._threads):
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """End every connection, and wait for its thread."""
        self.cut()
        for thread, _ in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection of the API proxy did not end"

    def _handle(self, client: socket.socket) -> None:
        with client:
            try:
                self._serve(client)
            except (_Stopped, OSError):  # either side has gone: that is what they do
                pass
            except Exception as error:  # noqa: BLE001 - shown by the test, not by a thread's last words
                self.failures.append(error)

    def _serve(self, client: socket.socket) -> None:
        raw = self._read_head(client)
        request = _parse(raw)
        request.body = self._read_exactly(client, raw, int(request.headers.get("content-length", 0)))
        self._proxy.requests.append(request)
        if self._passing(self._proxy.before(request), client) is None:
            return
        with closing(self._connected()) as upstream:
            request.reached = True
            upstream.sendall(_for_upstream(request, raw, self._cluster) + request.body)
            answer = self._read_head(upstream)
            request.status, request.answered = int(answer.split(b" ", 2)[1]), time.monotonic()
            passing = self._passing(self._proxy.after(request), client)
            if passing is None:
                return
            if passing.body != AS_IT_CAME:
                self._treat(client, upstream, answer, passing.body)
                return
            client.sendall(self._proxy.head(answer))
            self._relay(client, upstream)

    def _passing(self, reaction: Reaction, client: socket.socket) -> Pass | None:
        """Do as a rule says; tell in which way the request, or its answer, goes on, None if it does not."""
        match reaction:
            case Pass():
                return reaction
            case Drop():
                return None
            case Answer():
                client.sendall(reaction.encoded())
                return None
            case HoldBack(released, then):
                while not released.wait(0.02):
                    if self._stop.is_set():
                        raise _Stopped
                return self._passing(then, client)
            case Delay(seconds, then):
                if self._stop.wait(seconds):
                    raise _Stopped
                return self._passing(then, client)
            case _:
                assert_never(reaction)

    def _connected(self) -> ssl.SSLSocket:
        api = self._cluster.client
        return self._tls.wrap_socket(self._cluster.connect(api.host, api.port), server_hostname=api.host)

    def _read_head(self, connection: socket.socket) -> bytes:
        """Read up to the end of the headers, and whatever came with them."""
        data = b""
        while HEAD_END not in data:
            data += self._receive(connection)
        return data

    def _read_exactly(self, connection: socket.socket, begun: bytes, length: int) -> bytes:
        """Read a body, whose beginning may have come with the head."""
        body = begun.partition(HEAD_END)[2]
        while len(body) < length:
            body += self._receive(connection)
        return body

    def _receive(self, connection: socket.socket) -> bytes:
        """Read what is next of a message that has not ended."""
        while (data := self._next(self._wait(connection)[0])) is None:
            pass
        if not data:
            raise ConnectionResetError("closed within a message")
        return data

    def _relay(self, client: socket.socket, upstream: ssl.SSLSocket) -> None:
        """Carry bytes both ways until one side ends: the rest of an answer, a watch, or a tunnel."""
        other: dict[socket.socket, socket.socket] = {client: upstream, upstream: client}
        while sources := self._wait(client, upstream, waiter=self._proxy.idle):
            for source in sources:
                data = self._next(source)
                if data == b"":
                    return
                if data:
                    other[source].sendall(data)

    def _treat(self, client: socket.socket, upstream: ssl.SSLSocket, answer: bytes, body: Body) -> None:
        """Give an answer in chunks of our own, its body treated."""
        head, _, begun = answer.partition(HEAD_END)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(self._proxy.head(_in_chunks(head)))
        for piece in body.pieces(self._blocks(client, upstream, head, begun)):
            if self._stop.wait(body.pause):
                raise _Stopped
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        if body.silent_after is None:
            client.sendall(b"0\r\n\r\n")
        else:
            self._receive(client)

    def _blocks(self, client: socket.socket, upstream: ssl.SSLSocket, head: bytes, begun: bytes) -> Iterator[bytes]:
        """Yield an answer's body as it comes, out of its chunks if it has some, as long as the client is there."""

        def receive() -> bytes:
            source = self._wait(client, upstream)[0]
            if (received := self._next(source)) == b"":
                raise ConnectionResetError("closed within a message")
            return received or b"" if source is upstream else b""

        incoming, fields = _Incoming(begun, receive), _fields(head)
        if "chunked" in fields.get("transfer-encoding", ""):
            yield from incoming.chunks()
        else:
            yield from incoming.block(int(fields["content-length"]))

    def _wait(self, *connections: socket.socket, waiter: float | None = None) -> list[socket.socket]:
        """Wait until one of these has something to read, at most so long; what TLS has deciphered already counts."""
        if pending := [each for each in connections if isinstance(each, ssl.SSLSocket) and each.pending()]:
            return [*pending]
        sources: list[Any] = [*connections, self._stop]
        readable, _, _ = select.select(sources, [], [], waiter)
        if self._stop.is_set():
            raise _Stopped
        return [each for each in connections if each in readable]

    @staticmethod
    def _next(connection: socket.socket) -> bytes | None:
        """Read what is there; empty at the end, None if it was for TLS itself, as a session ticket is."""
        waiter = connection.gettimeout()
        connection.settimeout(0)
        try:
            return connection.recv(CHUNK)
        except ssl.SSLWantReadError:
            return None
        finally:
            connection.settimeout(waiter)


class _Incoming:
    """A body that is still coming: what has come of it, and how more is received."""

    def __init__(self, begun: bytes, receive: Callable[[], bytes]) -> None:
        self._data = bytearray(begun)
        self._receive = receive

    def block(self, size: int) -> Iterator[bytes]:
        """Yield this many bytes, in pieces as they come."""
        while size > 0:
            while not self._data:
                self._data += self._receive()
            taken = bytes(self._data[:size])
            del self._data[: len(taken)]
            size -= len(taken)
            yield taken

    def chunks(self) -> Iterator[bytes]:
        """Yield what is in chunks (RFC 9112 §7.1), up to the last of them."""
        while size := int(self._line(), 16):
            yield from self.block(size)
            b"".join(self.block(2))

    def _line(self) -> bytes:
        while b"\r\n" not in self._data:
            self._data += self._receive()
        line = bytes(self._data).partition(b"\r\n")[0]
        del self._data[: len(line) + 2]
        return line


def _fields(head: bytes) -> dict[str, str]:
    """Return the headers, names in lower case."""
    _, *lines = head.partition(HEAD_END)[0].decode("latin-1").split("\r\n")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _in_chunks(head: bytes) -> bytes:
    """Write an answer's head again, for a body in chunks."""
    kept = {name: value for name, value in _fields(head).items() if name not in ("content-length", "transfer-encoding")}
    fields = kept | {"transfer-encoding": "chunked", "connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.partition(b"\r\n")[0] + b"\r\n" + lines.encode("latin-1") + b"\r\n"


def _parse(head: bytes) -> Request:
    method, target, _ = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    url = urlsplit(target)
    headers = _fields(head)
    if "transfer-encoding" in headers:
        raise NotImplementedError("a request in chunks")
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, b"", time.monotonic())


def _for_upstream(request: Request, head: bytes, cluster: Cluster) -> bytes:
    """Write the head again: for the API server's name, and for one request only unless it asks to upgrade."""
    first = head.partition(b"\r\n")[0]
    headers = request.headers | {"host": f"{cluster.client.host}:{cluster.client.port}"}
    if "upgrade" not in request.headers:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return first + b"\r\n" + lines.encode("latin-1") + b"\r\n"
