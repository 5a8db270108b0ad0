"""Entering a cluster's network from outside, for as long as it takes to make a socket.

A socket stays in the network namespace in which it was made. So a thread enters the namespace, connects and
leaves, and goes on talking through the socket from outside.
"""

import ctypes
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

FIRST_PORT, KERNELS_OWN = 10000, 32768


@contextmanager
def entered(netns: Path | None) -> Iterator[None]:
    """Have this thread, and threads that it starts meanwhile, in a network namespace; other threads stay outside."""
    if netns is None:
        yield
        return
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(netns)
        try:
            yield
        finally:
            _set(outside, "its own network namespace again")
    finally:
        os.close(outside)


def connect(netns: Path | None, host: str, port: int, timeout: float = 10) -> socket.socket:
    """Connect to an address as it is meant inside a network namespace; without one, plainly."""
    with entered(netns):
        connection = socket.create_connection((host, port), timeout)
    # Else a request waits up to 40 ms for the acknowledgement of what was sent before it, as of a handshake's end.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def free_ports_in_a_row(count: int) -> int:
    """Return the first of so many TCP ports in a row that nobody listens on, below those that the kernel gives out."""
    for _ in range(100):
        first = secrets.randbelow(KERNELS_OWN - FIRST_PORT - count) + FIRST_PORT
        with suppress(OSError), ExitStack() as bound:
            for port in range(first, first + count):
                bound.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise LookupError(f"no {count} ports in a row are free")


def _enter(netns: Path) -> None:
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(descriptor, str(netns))
    finally:
        os.close(descriptor)


def _set(descriptor: int, what: str) -> None:
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"entering {what}: {os.strerror(number)}: run as root, with CAP_SYS_ADMIN")
