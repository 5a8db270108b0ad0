"""Clients that mean no good, in a process of their own: `python -m tests.hostile_clients KIND PORT`.

Each comes back when it was cut off. The process says so once all of them have come in; when its input ends, so does it,
and says how often one came.
"""

import asyncio
import base64
import itertools
import json
import random
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from exporter.http.server import MAX_HEADERS
from tests.page_server import PATH
from tests.tls_servers import HOST

READY = b"all of them are there\n"
HEAD = b"GET %s HTTP/1.1\r\nHost: here\r\n" % PATH.encode()
NOW_AND_THEN = 0.25
"""Seconds between two signs of life, and before one who was cut off comes back."""
REST = (0.5, 1.5)
"""Seconds before one of very many who was cut off comes back: not all in the same instant."""
MALFORMED = itertools.cycle(
    (
        b"hello\r\n\r\n",
        b"GET /\r\n\r\n",
        HEAD + b"Bad Header: x\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    )
)


async def say_nothing(connection: socket.socket) -> None:
    """Stay until cut off."""
    await asyncio.get_running_loop().sock_recv(connection, 1)
    await asyncio.sleep(NOW_AND_THEN)


async def drip(connection: socket.socket) -> None:
    """Send a byte of a header now and then: slow loris."""
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(connection, HEAD + b"X-Drip: ")
        while True:
            await asyncio.sleep(NOW_AND_THEN)
            await asyncio.get_running_loop().sock_sendall(connection, b"x")
    await asyncio.sleep(random.uniform(*REST))  # noqa: S311 - no secret


async def take_nothing(connection: socket.socket) -> None:
    """Ask for the whole page and never read it."""
    await asyncio.get_running_loop().sock_sendall(connection, HEAD + b"\r\n")
    while not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # noqa: ASYNC110 - no event tells this
        await asyncio.sleep(NOW_AND_THEN)


async def boast(connection: socket.socket) -> None:
    """Send a header that is too long."""
    await _say(connection, HEAD + b"X-Long: " + b"x" * 8 * MAX_HEADERS + b"\r\n\r\n")


async def babble(connection: socket.socket) -> None:
    """Send what is no request."""
    await _say(connection, next(MALFORMED))


async def _say(connection: socket.socket, words: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, words)
    while await loop.sock_recv(connection, 65536):
        pass


async def guess(connection: socket.socket) -> None:
    """Try a password that nobody has."""
    credentials = base64.b64encode(b"prometheus:%d" % random.getrandbits(64))
    await _say(connection, HEAD + b"Connection: close\r\nAuthorization: Basic %s\r\n\r\n" % credentials)


@dataclass(frozen=True)
class Crowd:
    """So many that do the same."""

    size: int
    does: Callable[[socket.socket], Awaitable[None]]
    contends: bool = False
    """Whether they are more than the server takes, and each shows that it is there and sees when it is cut off."""


CROWDS: Mapping[str, Crowd] = {
    "slow loris": Crowd(500, drip, contends=True),
    "idle": Crowd(500, say_nothing),
    "oversized headers": Crowd(8, boast),
    "malformed requests": Crowd(8, babble),
    "silent before TLS": Crowd(300, say_nothing),
    "never read": Crowd(300, take_nothing),
    "wrong passwords": Crowd(60, guess),
}


async def attack(crowd: Crowd, port: int) -> int:
    """Go on until the input ends; return how often one came."""
    came = itertools.count(1)
    all_there, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def keep_coming() -> None:
        while True:
            with socket.socket() as connection, suppress(OSError):
                connection.setblocking(False)  # noqa: FBT003
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(connection, (HOST, port))
                if next(came) == crowd.size:
                    all_there.set()
                await crowd.does(connection)

    def await_end() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(over.set)

    tasks = [asyncio.create_task(keep_coming()) for _ in range(crowd.size)]
    await all_there.wait()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    threading.Thread(target=await_end, daemon=True).start()
    await over.wait()
    for task in tasks:
        task.cancel()
    return next(came) - 1


def main() -> None:
    """Be hostile."""
    kind, port = sys.argv[1:]
    print(json.dumps(asyncio.run(attack(CROWDS[kind], int(port)))))


if __name__ == "__main__":
    main()
