"""One TLS handshake: what chain does a container present? Touches one connection; judges nothing.

The handshake is driven through memory buffers (`ssl.MemoryBIO`) and stops before the client's second flight is
sent. The server then sees a connection that ended early, not a client that failed to authenticate; no client key
is needed, also where client certificates are required; and TLS 1.2 and 1.3 take the same path.

When it may stop: the chain can be read as soon as it has come, but only the server's signature over the key exchange
(ServerKeyExchange in TLS 1.2, CertificateVerify in 1.3) proves that it holds the key. In TLS 1.3 OpenSSL has checked
that when the handshake ends. In TLS 1.2 it has when it queues the client's key exchange. Any other pending output
proves nothing: a server of TLS 1.3 can ask for a second ClientHello, and send its certificates without waiting for it.
"""

import _ssl
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from typing import Protocol

from exporter.certificates import InvalidCertificateError, read_chain
from exporter.clock import Clock
from exporter.errors import ClusterError, ClusterErrorReason
from exporter.model import Chain, Endpoint, Presented, Probe, ProbeFailure, Unanswered

TIMEOUT = 3.0
"""Seconds for connection and handshake together."""
MAX_BYTES = 256 * 1024
"""Bytes that a peer may send. OpenSSL itself refuses certificate messages over 100 KiB."""

# A server that speaks none of these may refuse the handshake ("no application protocol", moby/buildkit#2587).
_ALPN = ["h2", "http/1.1"]


class Connected(Protocol):
    """What a probe needs of a connection: a `socket.socket` is one, a port-forward another."""

    def settimeout(self, value: float, /) -> None:
        """Set the seconds that each later call may take."""
        ...

    def sendall(self, data: bytes, /) -> None:
        """Send bytes; `OSError` if it can't."""
        ...

    def recv(self, bufsize: int, /) -> bytes:
        """Return what came, nothing at the end; `OSError` if it broke."""
        ...

    def close(self) -> None:
        """End it."""
        ...


Connect = Callable[[Endpoint, float], Connected]
"""Connects to an endpoint within so many seconds; raises `OSError` or `ClusterError`."""


def directly(endpoint: Endpoint, timeout: float) -> socket.socket:
    """Connect over TCP to the endpoint's own address. A pod's is an IP address: no name is ever looked up.

    Raises:
        OSError: nobody answers there, or it is no address.
    """
    try:
        ip_address(endpoint.address)
    except ValueError as error:
        raise OSError(f"no address: {error}") from error
    return socket.create_connection((endpoint.address, endpoint.port), timeout)


class Handshake:
    """A handshake without I/O: bytes in by `receive`, bytes out by `to_send`, until `chain` is known."""

    def __init__(self, server_name: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = _context().wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        except (ValueError, TypeError, ssl.SSLError):
            # A Certificate may have a name that cannot be asked for: an empty label, or 64 characters without a dot.
            self._tls = _context().wrap_bio(self._incoming, self._outgoing)
        self._received = 0
        self._queued = b""
        self.chain: tuple[bytes, ...] | None = None
        self._step()

    def to_send(self) -> bytes:
        """Return what must be sent now: the first flight, or nothing once the chain is known."""
        if self.chain is not None:
            return b""
        queued, self._queued = self._queued, b""
        return queued

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; empty means that it closed.

        Raises:
            ssl.SSLError: it does not speak TLS, or broke it off.
            OverflowError: it has sent more than `MAX_BYTES`.
        """
        self._received += len(data)
        if self._received > MAX_BYTES:
            raise OverflowError(f"more than {MAX_BYTES} bytes in a handshake")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        self._step()

    def _step(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._queued += self._outgoing.read()
            if _is_second_flight(self._queued):
                self.chain = _presented(self._tls)
        else:
            self.chain = _presented(self._tls)


def _is_second_flight(queued: bytes) -> bool:
    """Tell whether this is a handshake record that begins with Certificate or ClientKeyExchange (RFC 5246 §7.4)."""
    return queued[:1] == b"\x16" and queued[5:6] in (b"\x0b", b"\x10")


def probe(
    endpoint: Endpoint,
    clock: Clock,
    *,
    timeout: float = TIMEOUT,
    connect: Connect = directly,
    known: Chain | None = None,
) -> Probe:
    """Shake hands with an endpoint once; every outcome is a value.

    Args:
        endpoint: whom to ask.
        clock: when.
        timeout: seconds for all of it.
        connect: the way there.
        known: what it presented before; if it still does, that is the outcome, and nothing is read anew.
    """
    started_at, started = clock.now(), clock.monotonic()
    outcome = _outcome(endpoint, clock, started + timeout, connect, known)
    duration = timedelta(seconds=clock.monotonic() - started)
    return Probe(endpoint, outcome, started_at, duration)


def _outcome(
    endpoint: Endpoint, clock: Clock, deadline: float, connect: Connect, known: Chain | None
) -> Presented | Unanswered:
    try:
        presented = _shake_hands(endpoint, clock, deadline, connect)
        return Presented(known if known is not None and known.der == presented else read_chain(presented))
    except InvalidCertificateError as error:
        return Unanswered(ProbeFailure.INVALID_CERTIFICATE, str(error))
    except OverflowError as error:
        return Unanswered(ProbeFailure.TOO_LARGE, str(error))
    except ClusterError as error:
        timed_out = error.reason is ClusterErrorReason.TIMEOUT
        return Unanswered(ProbeFailure.TIMEOUT if timed_out else ProbeFailure.UNREACHABLE, str(error))
    except OSError as error:
        failure = next(failure for kind, failure in _FAILURES if isinstance(error, kind))
        if failure is ProbeFailure.PROTOCOL and getattr(error, "reason", None) in _NOT_TLS:
            failure = ProbeFailure.NOT_TLS
        return Unanswered(failure, str(error) or type(error).__name__)


_FAILURES: tuple[tuple[type[OSError], ProbeFailure], ...] = (
    (TimeoutError, ProbeFailure.TIMEOUT),
    (ConnectionRefusedError, ProbeFailure.CONNECTION_REFUSED),
    (ConnectionError, ProbeFailure.CONNECTION_RESET),
    (ssl.SSLEOFError, ProbeFailure.CONNECTION_RESET),
    (ssl.SSLError, ProbeFailure.PROTOCOL),
    (OSError, ProbeFailure.UNREACHABLE),
)

# OpenSSL's reasons for bytes that are no TLS record at all.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


def _shake_hands(endpoint: Endpoint, clock: Clock, deadline: float, connect: Connect) -> tuple[bytes, ...]:
    handshake = Handshake(endpoint.server_name)
    remaining = _remaining(clock, deadline)
    with closing(connect(endpoint, next(remaining))) as connection:
        for seconds in remaining:
            connection.settimeout(seconds)
            if outgoing := handshake.to_send():
                connection.sendall(outgoing)
            if handshake.chain is not None:
                return handshake.chain
            handshake.receive(connection.recv(65536))
    raise AssertionError("unreachable: the remaining time ends by raising")


def _remaining(clock: Clock, deadline: float) -> Iterator[float]:
    """Yield the seconds left, again and again: one deadline for all, so that a drip of bytes gains no time."""
    while (left := deadline - clock.monotonic()) > 0:
        yield left
    raise TimeoutError("no handshake in time")


@cache
def _context() -> ssl.SSLContext:
    """Make the client side, once: it compares fingerprints and trusts nothing, so it verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    return context


def _presented(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the chain in DER. Public since Python 3.13; before, the same call of the inner object."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain())
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or ())
