"""Pods on real sockets: each has an address of 127.0.0.0/8, and its TLS servers listen on it. Touches sockets.

On Linux all of 127.0.0.0/8 is there without asking. A cluster takes 254 addresses, 127.a.b.0/24, and holds a port of
the first of them as long as it lives, so that two clusters on one machine do not take the same. Where only 127.0.0.1
is there (macOS, unless aliases are given to lo0), every pod has that one: then two pods cannot serve on one port at a
time, and the second ends with exit code 1, as a daemon does whose port is taken.
"""

import asyncio
import itertools
import random
import socket
import ssl
from collections import deque

from rehearsal.live.tls import server_context
from rehearsal.node.network import SHARE, KeyPair

KUBELET_PORT = 10250
"""The port by which a block of addresses is held: the kubelet's own, on the node's address."""

_ATTEMPTS = 50
_ONLY = "127.0.0.1"


class LoopbackNetwork:
    """The addresses and servers of one cluster. Used from the thread of its event loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held, addresses = _block()
        self._free = deque(addresses)
        self._servers: dict[tuple[str, int], _TlsServer] = {}

    def assign(self) -> str:
        """Return the address that has been free for longest."""
        return self._free.popleft() if self._free else _ONLY

    def release(self, address: str) -> None:
        """Take an address back."""
        if address != _ONLY:
            self._free.append(address)

    def listen(self, address: str, port: int, pair: KeyPair, old: KeyPair | None = None) -> None:
        """Serve TLS there; with `old` every tenth connection is answered by a process that has loaded that.

        Raises:
            OSError: the port is taken, or the key pair is none.
        """
        self._servers[address, port] = _TlsServer(self._loop, address, port, _context(pair, old))

    def close(self, address: str, port: int) -> None:
        """Serve there no longer, and drop anyone who is connected."""
        if server := self._servers.pop((address, port), None):
            server.close()

    async def end(self) -> None:
        """Give everything back."""
        for place in tuple(self._servers):
            self.close(*place)
        if self._held is not None:
            self._held.close()
        await asyncio.sleep(0)  # transports close in the loop's next round


def _context(pair: KeyPair, old: KeyPair | None) -> ssl.SSLContext:
    """Return the server's side of TLS; with an old process, of each tenth connection that of the other.

    Raises:
        OSError: a key pair cannot be read.
    """
    context = server_context(pair)
    if old is not None:
        other, connections = server_context(old), itertools.count(1)

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            if next(connections) % SHARE == 0:
                connection.context = other

        context.sni_callback = choose
    return context


class _TlsServer:
    """A daemon that speaks TLS, and says nothing to those whom it lets in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, port: int, context: ssl.SSLContext) -> None:
        self._writers: set[asyncio.StreamWriter] = set()
        # Bound and listening at once, so that a port that is taken is noticed here; accepting begins with the loop.
        self._socket = socket.create_server((address, port))
        self._server: asyncio.Server | None = None
        self._starting = loop.create_task(self._start(context))

    def close(self) -> None:
        self._starting.cancel()
        if self._server is None:
            self._socket.close()
        else:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _start(self, context: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket, ssl=context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await reader.read(4096):
                pass
        except OSError:
            pass  # the client is gone
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


def _block() -> tuple[socket.socket | None, tuple[str, ...]]:
    """Take 254 addresses of one's own; none where there is only 127.0.0.1."""
    chance = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        prefix = f"127.{chance.randrange(1, 255)}.{chance.randrange(0, 255)}"
        try:
            held = socket.create_server((f"{prefix}.1", KUBELET_PORT))
        except OSError:
            continue
        return held, tuple(f"{prefix}.{number}" for number in range(2, 255))
    return None, ()
