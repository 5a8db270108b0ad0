"""The API server on a socket: HTTPS, kept connections, streamed watches, port-forwards. Touches sockets.

One event loop serves all. HTTP/1.1 itself is h11's, WebSockets are wsproto's; what a request means is `api.server`'s.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from certlag.clock import Clock
from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Answer, Api, Forwarding, Request, parsed
from rehearsal.api.watching import Watching
from rehearsal.live.forwarding import forward
from rehearsal.objects import Document

BOOKMARK_SECONDS = 60.0
CHUNK = 65536


class HttpServer:
    """Serves one API until it is closed. While `reachable` is False, anyone who connects is cut off."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self.reachable = True
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; return the port that was bound.

        Raises:
            OSError: the address cannot be had.
        """
        self._server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        self.drop_connections()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next round

    def drop_connections(self) -> None:
        """Cut off everybody, in the midst of whatever they are being told."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)
        if not self.reachable:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            await _Conversation(self._api, self._clock, reader, writer).run()
        except (OSError, h11.ProtocolError):
            pass  # the client is gone, or speaks something else
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if writer.is_closing() else writer.close()


class _Conversation:
    """One connection: request after request."""

    def __init__(self, api: Api, clock: Clock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._api = api
        self._clock = clock
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (asked := await self._next()) is not None:
            head, request = asked
            answered = self._api.handle(request) if isinstance(request, Request) else self._refused(request)
            if isinstance(answered, Watching):
                await self._watch(answered)
            elif isinstance(answered, Forwarding):
                await self._forward(head, answered)
                return
            else:
                await self._answer(answered)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _next(self) -> tuple[h11.Request, Request | Refusal] | None:
        """Read one request; None if the client has closed."""
        head, body = None, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
            elif isinstance(event, h11.Request):
                head = event
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, _request(head, body)
            else:
                return None

    def _refused(self, refusal: Refusal) -> Answer:
        return Answer(refusal.code, refusal.status, (("Date", self._api.date()),))

    async def _answer(self, answer: Answer) -> None:
        is_text = isinstance(answer.body, str)
        body = answer.body.encode() if is_text else json.dumps(answer.body).encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8" if is_text else "application/json"),
            ("Content-Length", str(len(body))),
            *answer.headers,
        ]
        reason = HTTPStatus(answer.code).phrase
        await self._send(h11.Response(status_code=answer.code, headers=headers, reason=reason))
        await self._send(h11.Data(data=body), h11.EndOfMessage())

    async def _watch(self, watching: Watching) -> None:
        """Stream a watch until its time is over, it is ended, or the client leaves."""
        headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"), ("Date", self._api.date())]
        await self._send(h11.Response(status_code=200, headers=headers, reason="OK"))
        # A client that watches sends nothing more; what comes is its end, or at the earliest its next request.
        left = asyncio.ensure_future(self._reader.read(CHUNK))
        try:
            async for events in _events(watching, left):
                lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
                await self._send(h11.Data(data=lines))
        finally:
            watching.end()
            left.cancel()
            with suppress(asyncio.CancelledError):
                self._http.receive_data(await left)
        await self._send(h11.EndOfMessage())

    async def _forward(self, head: h11.Request, forwarding: Forwarding) -> None:
        remains = self._http.trailing_data[0]
        await forward(head, remains, forwarding, self._reader, self._writer)

    async def _send(self, *events: h11.Event) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()


async def _events(watching: Watching, left: "asyncio.Future[bytes]") -> AsyncIterator[Iterable[Document]]:
    """Yield what is to be sent, as it comes."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    unsubscribe = watching.storage.on_change(changed.set)
    ends, bookmark = loop.time() + watching.seconds, loop.time() + BOOKMARK_SECONDS
    try:
        while True:
            changed.clear()
            if events := watching.poll():
                yield events
            now = loop.time()
            if watching.ended or now >= ends or left.done():
                return
            if watching.bookmarks and now >= bookmark:
                yield [watching.bookmark()]
                bookmark = now + BOOKMARK_SECONDS
            waiting = asyncio.ensure_future(changed.wait())
            either: set[asyncio.Future[Any]] = {waiting, left}
            await asyncio.wait(either, timeout=min(ends, bookmark) - now, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    finally:
        unsubscribe()


def _request(head: h11.Request, body: bytes) -> Request | Refusal:
    url = urlsplit(head.target.decode("ascii"))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    try:
        document = parsed(body, headers.get("content-type", ""))
    except Refusal as refusal:
        return refusal
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(head.method.decode("ascii"), unquote(url.path), parameters, headers, document)
