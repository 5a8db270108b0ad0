"""Until when an answer may come, and how much of it is read. Of urllib3 only the connections are changed.

urllib3's timeouts are for one `recv`: a byte a minute keeps any answer for ever, be it in the head, in a refusal, in
the size of a chunk or in what is compressed. So the deadline stands where bytes arrive, beneath all of that: every
read of a connection looks at the clock.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, BytesIO, RawIOBase
from ssl import SSLCertVerificationError, SSLError
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from certlag.clock import Clock


class LateError(TimeoutError):
    """The deadline has passed; to urllib3 it is a read that timed out."""


class TooLongError(HTTPError):
    """An answer has more bytes than were asked for."""


class Deadline:
    """When one answer is given up. Anyone who reads it may put that off."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Begin to count how many seconds pass until the answer is whole."""
        self._clock = clock
        self.extend(seconds, f"not whole after {seconds:g} s")

    def extend(self, seconds: float, late: str) -> None:
        """Count again; `late` is what is wrong once this many seconds have passed."""
        self._ends, self.on_timeout = self._clock.monotonic() + seconds, late

    def check(self) -> None:
        """Go on if there is time.

        Raises:
            LateError: there is none.
        """
        if self._clock.monotonic() > self._ends:
            raise LateError(self.on_timeout)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Have the answers that this thread begins to read meanwhile keep it."""
        former = _OF_THIS_THREAD.set(self)
        try:
            yield
        finally:
            _OF_THIS_THREAD.reset(former)


_OBJECT = re.compile(r"^\w+\(host='[^']*', port=\w+\): ")
"""How urllib3's messages begin, which name its own classes."""
_OF_THIS_THREAD: ContextVar[Deadline] = ContextVar("deadline")
"""urllib3 has no way to give a request something for its connection, but asks in the same thread."""


def with_deadlines(pool: PoolManager) -> PoolManager:
    """Make every answer of a pool keep the deadline under which it is asked for."""
    pool.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    return pool


def read_all(response: BaseHTTPResponse, most: int) -> bytes:
    """Read an answer, decompressed.

    Raises:
        TooLongError: it has more than this many bytes, and no more of it is read.
        HTTPError: it broke off, or is not whole in time.
    """
    text = BytesIO()
    while piece := response.read1(65536):
        text.write(piece)
        if text.tell() > most:
            raise TooLongError(f"more than {most} bytes")
    return text.getvalue()


def cause(error: HTTPError) -> str:
    """Return what is to be told of a request that failed, in words of the system, of OpenSSL or of the deadline."""
    match error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None):
        case SSLCertVerificationError(verify_message=reason):
            return f"the server's certificate is not trusted: {reason}"
        case SSLError(reason=str(reason)):
            return f"no TLS: {reason.lower().replace('_', ' ')}"
        case socket.gaierror(strerror=reason):
            return f"its name is not known: {reason}"
        case OSError(strerror=str(reason)):
            return reason
        case LateError() | OSError() | HTTPException() as origin:
            return str(origin)
    return _OBJECT.sub("", str(error))


class _Reader(RawIOBase):
    """The bytes of a connection, as long as there is time."""

    def __init__(self, received: RawIOBase, deadline: Deadline) -> None:
        self._received = received
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._deadline.check()  # before it waits: what came while the process slept is heard
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fp = BufferedReader(_Reader(self.fp.detach(), _OF_THIS_THREAD.get()))


class PlainConnection(HTTPConnection):
    """Its answers keep the deadline."""

    response_class = _Answer


class TlsConnection(HTTPSConnection):
    """Its answers keep the deadline."""

    response_class = _Answer


class Pool(HTTPConnectionPool):
    """Its name stands in messages."""

    ConnectionCls = PlainConnection


class TlsPool(HTTPSConnectionPool):
    """Its name stands in messages."""

    ConnectionCls = TlsConnection
