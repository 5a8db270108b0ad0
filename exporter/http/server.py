"""The HTTP server: bounded, and never busy with a client for longer than that client deserves.

One thread runs an event loop; an idle, slow or silent client costs a few kilobytes and a timer. What is served is
bytes that others made: a page is a function that returns them. HTTP itself is h11's.

Who may come in is the web configuration's say, as its file has it at the moment of each request. A connection that was
let in by other demands than it has now ends; one whose certificate of ours was renewed since ends with its next answer.

Bounds: 8 KiB of headers, 256 connections, 10 s for the first request to begin, for any to arrive and for its answer to
be taken, 120 s of idling between requests; of an answer that is not taken, one chunk here and a quarter of a MiB in
the kernel. GET and HEAD only. Where there are too many connections, the one whose client has kept us waiting for the
longest makes room: however many come and say nothing, a scrape is served.
"""

import asyncio
import logging
import socket
import threading
from asyncio import sslproto
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11

from exporter import memory
from exporter.http.auth import Admission, BasicAuth
from exporter.http.web_config import WebConfig, WebConfigFile

log = logging.getLogger("certlag")

MAX_HEADERS = 8 * 1024
"""Bytes of a request's line and headers."""
MAX_CONNECTIONS = 256
QUEUE = 100
"""Connections that the kernel keeps until they are accepted."""
CHUNK = 64 * 1024
"""Bytes that are handed to the kernel at once (docs/performance.md)."""
SEND_BUFFER = 128 * 1024
"""What the kernel is asked to keep of an answer until it is taken (Linux doubles it); else that may be megabytes."""
TLS_BUFFER = 16 * 1024
"""What a TLS connection reads into: a record's size. asyncio's own is 256 KiB, and taken before the first byte."""
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 120.0
REST_SECONDS = 1.0
"""How long who is to come again later waits for that answer: else he comes again at once, thousands of times."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a page may look at: the path, and the headers with names in lower case."""

    path: str
    headers: Mapping[str, str]

    @property
    def accepts_gzip(self) -> bool:
        """Tell whether the client takes gzip (RFC 9110 §12.5.3)."""
        weights = {"*": "q=0"}
        for offer in self.headers.get("accept-encoding", "").split(","):
            coding, _, weight = offer.partition(";")
            weights[coding.strip().lower()] = weight.replace(" ", "").lower()
        return weights.get("gzip", weights["*"]) not in ("q=0", "q=0.", "q=0.0", "q=0.00", "q=0.000")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Its length is the server's business; `headers` are any more than the content's type.

    `more` are further parts of the body, which are sent one after another: nobody has to join what is long.
    """

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())
    more: tuple[bytes, ...] = ()


PageFunction = Callable[[Request], Response]


class Server:
    """Serves pages by path, from its own thread, until closed."""

    def __init__(self, pages: Mapping[str, PageFunction], web: WebConfigFile) -> None:
        self._pages = pages
        self._web = web
        self._auth = BasicAuth()
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # Who serves the connections on which it is the client's turn, the one that keeps us waiting longest first.
        self._awaited: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address and port that were bound.

        Raises:
            OSError: the address cannot be had.
        """
        self._thread.start()
        sslproto.SSLProtocol.max_size = TLS_BUFFER
        # asyncio tries to accept as often as its queue is long. Where no descriptor is left, each try fails, is logged
        # and begins again after a second: a hundred at once become thousands. So it gets a queue of one.
        listening = asyncio.start_server(self._serve, host, port, limit=MAX_HEADERS, backlog=1)
        self._listening = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        for accepting in self._listening.sockets:
            with accepting.dup() as same:
                same.listen(QUEUE)
                _bound_sending(same)
        address, bound, *_ = self._listening.sockets[0].getsockname()
        return address, bound

    def _run(self) -> None:
        self._loop.set_exception_handler(_failed)
        try:
            self._loop.run_forever()
        except MemoryError:
            memory.abort_out_of_memory()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._ending = True
        # First no more are accepted, and the server closed last: asyncio (until 3.12) leaves a connection open that
        # was accepted in the same moment in which its server closes.
        for listening in self._listening.sockets if self._listening is not None else ():
            self._loop.remove_reader(listening)
        for task in self._awaited.values():
            task.cancel()  # as in `_make_room`
        self._auth.close()
        for writer in self._writers - self._awaited.keys():
            writer.transport.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                # Again and again: a connection that was just accepted becomes a conversation only now.
                while others := asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(others)
        if self._listening is not None:
            self._listening.close()
        await asyncio.sleep(0)  # the transports close in the loop's next round

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        _keep_one_chunk(writer)
        try:
            if self._ending:
                return
            if len(self._writers) > MAX_CONNECTIONS and not self._make_room():
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return
            self._await(writer)
            config = self._web.current()
            if config.tls is not None:
                # The handshake is this connection's own affair: a silent client holds up nobody else.
                await writer.start_tls(config.tls, ssl_handshake_timeout=REQUEST_SECONDS)
                _keep_one_chunk(writer)
            await self._handle_connection(reader, writer, config)
            # It counts until the client has taken the last of its answer.
            self._await(writer)
            writer.close()
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.CancelledError) as error:  # slow, gone, no TLS as we want it, made room
            writer.transport.abort()
            _let_go(error)
        finally:
            self._writers.discard(writer)
            self._awaited.pop(writer, None)
            writer.close()

    def _await(self, writer: asyncio.StreamWriter) -> None:
        """Note that it is the client's turn now."""
        self._awaited.pop(writer, None)
        if (task := asyncio.current_task()) is not None:
            self._awaited[writer] = task

    def _make_room(self) -> bool:
        """Drop the connection that has kept us waiting for the longest; tell whether there is one."""
        if not self._awaited:
            return False
        writer = next(iter(self._awaited))
        self._writers.discard(writer)
        # Not by aborting its transport: asyncio (3.11) then takes an unfinished TLS handshake for a finished one.
        self._awaited.pop(writer).cancel()
        return True

    async def _handle_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, config: WebConfig
    ) -> None:
        """Answer requests on one connection until it ends; it was let in by this configuration."""
        address = str((writer.get_extra_info("peername") or [""])[0])
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        # There may be nobody: when many come at once, Linux answers with SYN cookies, and of a client that went before
        # its turn came a connection may remain that no packet will ever end.
        idle_timeout = REQUEST_SECONDS
        while True:
            self._await(writer)
            try:
                request = await _read_request(connection, reader, idle_timeout)
            except h11.RemoteProtocolError as error:
                _let_go(error)
                await _answer(connection, writer, _refusal(HTTPStatus(error.error_status_hint)), (), head=False)
                return
            if request is None:
                return
            self._awaited.pop(writer, None)
            present = self._web.current()
            if present.demands != config.demands:
                return
            method, asked = request
            admission = await self._auth.admission(asked.headers, address, present, reader.at_eof)
            response = await self._respond(method, asked, admission)
            self._await(writer)
            if admission is Admission.BUSY:
                await asyncio.sleep(REST_SECONDS)
            headers = present.headers if present.tls is config.tls else (*present.headers, ("Connection", "close"))
            await _answer(connection, writer, response, headers, head=method == "HEAD")
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            idle_timeout = IDLE_SECONDS

    async def _respond(self, method: str, request: Request, admission: Admission) -> Response:
        """Return the page, or why there is none for this client."""
        match admission:
            case Admission.ADMITTED:
                return await asyncio.to_thread(self._page, method, request)
            case Admission.REFUSED:
                return _refusal(HTTPStatus.UNAUTHORIZED, ("WWW-Authenticate", 'Basic realm="certlag"'))
            case Admission.BUSY:
                return _refusal(HTTPStatus.TOO_MANY_REQUESTS, ("Retry-After", f"{REST_SECONDS:g}"))

    def _page(self, method: str, request: Request) -> Response:
        page = self._pages.get(request.path.partition("?")[0])
        if page is None:
            return _refusal(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        try:
            return page(request)
        except MemoryError:
            raise
        except Exception:
            log.exception("a page failed", extra={"path": request.path})
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR)


def _failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what was raised where nobody waits for it."""
    if isinstance(context.get("exception"), MemoryError):
        memory.abort_out_of_memory()
    loop.default_exception_handler(context)


def _bound_sending(listening: socket.socket) -> None:
    """Bound what the kernel keeps for a client that takes nothing, and for how long; connections inherit it."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(REQUEST_SECONDS * 1000))


def _keep_one_chunk(writer: asyncio.StreamWriter) -> None:
    """Have each chunk taken by the kernel before the next one is made: blocks of one size are soon free again."""
    writer.transport.set_write_buffer_limits(high=1, low=0)


def _let_go(error: BaseException | None) -> None:
    """Forget where an error came through: a future holds it, it the frames, and they the future.

    Else each connection that was cut off would be kept, with TLS 26 KiB, until cycles are looked for.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader, idle_timeout: float
) -> tuple[str, Request] | None:
    """Return method and request, None if the client closed instead; it may take `idle_timeout` seconds to begin.

    A request's body, if it has one, is read and thrown away within the same bounds.
    """
    if connection.trailing_data[0] == b"":
        async with asyncio.timeout(idle_timeout):
            connection.receive_data(await reader.read(MAX_HEADERS))
    request = None
    async with asyncio.timeout(REQUEST_SECONDS):
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(MAX_HEADERS))
            elif isinstance(event, h11.Request):
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                request = (event.method.decode("ascii"), Request(event.target.decode("ascii"), headers))
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.ConnectionClosed):
                return None


async def _answer(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    response: Response,
    headers: tuple[tuple[str, str], ...],
    *,
    head: bool,
) -> None:
    """Send a response with these headers, unless it has another of that name itself."""
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    parts = (response.body, *response.more)
    described = [("Content-Type", response.content_type), ("Content-Length", str(sum(map(len, parts))))]
    if response.status is HTTPStatus.NOT_MODIFIED:
        described = []  # they would be taken for those of what has not been modified (RFC 9110 §15.4.5)
    ours = [*described, ("X-Content-Type-Options", "nosniff"), *response.headers]
    sent = {name.lower(): (name, value) for name, value in (*headers, *ours)}
    started = h11.Response(status_code=response.status, reason=response.status.phrase, headers=[*sent.values()])
    writer.write(connection.send(started) or b"")
    async with asyncio.timeout(REQUEST_SECONDS):
        for chunk in () if head else _chunks(parts):
            connection.send_with_data_passthrough(h11.Data(data=chunk))
            writer.write(chunk)
            del chunk  # nor is it kept by a task that was cut off
            await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()


def _chunks(parts: tuple[bytes, ...]) -> Iterator[bytes]:
    """Cut and join what is to be sent: each call of the kernel has its price, and what it does not take is copied."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > CHUNK:
            yield b"".join(gathered)
            gathered, size = [], 0
        if len(part) > CHUNK:
            yield from (part[start : start + CHUNK] for start in range(0, len(part), CHUNK))
        else:
            gathered.append(part)
            size += len(part)
    yield b"".join(gathered)


def _refusal(status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{status.value} {status.phrase}\n".encode(), headers=headers)
