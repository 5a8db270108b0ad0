"""One TLS handshake: what chain does a container present? Touches one connection; assesses nothing.

The handshake is driven through memory buffers (`ssl.MemoryBIO`) and stops before the client's second flight is
sent. The server then sees a connection that ended early, not a client that failed to authenticate; no client key
is needed, also where client certificates are required; and all versions of TLS take the same path.

When it may stop: the chain can be read as soon as it has come, but only the server's signature over the key exchange
(ServerKeyExchange up to TLS 1.2, CertificateVerify in 1.3) proves that it holds the key. In TLS 1.3 OpenSSL has checked
that when the handshake ends. In older versions it has when it queues the client's key exchange, for no key exchange
without a signature is offered. Any other pending output proves nothing: a server of TLS 1.3 can ask for a second
ClientHello, and send its certificates without waiting for it.
"""

import _ssl
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from typing import Protocol

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.model import Chain, Endpoint, Presented, Probe, ProbeError, ProbeFailure
from certlag.tls.handshake_failure import explain
from certlag.x509.certificates import InvalidCertificateError, read_chain
from certlag.x509.names import host_name

TIMEOUT = 3.0
"""Seconds for connections and handshakes together."""
MAX_BYTES = 256 * 1024
"""Bytes that a peer may send. OpenSSL itself refuses certificate messages over 100 KiB."""

ALPN = ("h2", "http/1.1")
"""The application protocols of the first handshake: servers of gRPC refuse one without h2 (moby/buildkit#2587)."""

# How servers that insist on another application protocol end a handshake: by the alert no_application_protocol, by
# another one, or by closing. What they say of the version or the server name has nothing to do with it.
_MAY_BE_FOR_ALPN = frozenset(
    {
        ProbeFailure.ALERT,
        ProbeFailure.CONNECTION_RESET,
        ProbeFailure.NO_COMMON_CIPHER,
        ProbeFailure.SERVER_ERROR,
    }
)

# Every cipher of TLS 1.2 and older whose key exchange the server signs, the strongest first: with static RSA, PSK or an
# anonymous exchange nothing in the server's flight proves that it holds the certificate's key. Level 0 allows short
# keys and SHA-1: whether the certificate is a good one is not asked here. Ciphers of TLS 1.3 are always signed.
_SIGNED_CIPHERS = "ECDHE:DHE:!aNULL:@SECLEVEL=0"
# `ssl` has a name for it since Python 3.12. OpenSSL refuses servers without RFC 5746 by default.
_OP_LEGACY_SERVER_CONNECT = 0x4


class Stream(Protocol):
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


Connect = Callable[[Endpoint, float], Stream]
"""Connects to an endpoint within this many seconds; raises `OSError` or `ClusterError`."""


def connect_tcp(endpoint: Endpoint, timeout: float) -> socket.socket:
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
    """A handshake without I/O: bytes in by `receive`, bytes out by `to_send`, until `chain` is known.

    Args:
        server_name: the name to send (SNI); none is sent if this is no host name.
        alpn: the application protocols to offer.
        max_bytes: how many the peer may send.
    """

    def __init__(self, server_name: str | None, *, alpn: tuple[str, ...] = ALPN, max_bytes: int = MAX_BYTES) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = _context(alpn).wrap_bio(
            self._incoming, self._outgoing, server_hostname=host_name(server_name or "")
        )
        self._max_bytes = max_bytes
        self.received = 0
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
            OverflowError: it has sent more than `max_bytes`.
        """
        self.received += len(data)
        if self.received > self._max_bytes:
            raise OverflowError(f"the server sent more than {MAX_BYTES} bytes")
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
    connect: Connect = connect_tcp,
    known: Chain | None = None,
) -> Probe:
    """Shake hands with an endpoint once; every outcome is a value.

    Args:
        endpoint: whom to ask.
        clock: when.
        timeout: seconds for all of it.
        connect: the way there.
        known: what it presented before; if it still does, that is the outcome, and nothing is read again.
    """
    started_at, started = clock.now(), clock.monotonic()
    outcome = _outcome(endpoint, clock, started + timeout, connect, known)
    duration = timedelta(seconds=clock.monotonic() - started)
    return Probe(endpoint, outcome, started_at, duration)


def _outcome(
    endpoint: Endpoint, clock: Clock, deadline: float, connect: Connect, known: Chain | None
) -> Presented | ProbeError:
    try:
        presented = _shake_hands(endpoint, _remaining(clock, deadline), connect)
        return Presented(known if known is not None and known.der == presented else read_chain(presented))
    except (OSError, ClusterError, OverflowError, InvalidCertificateError) as error:
        return explain(error)


def _shake_hands(endpoint: Endpoint, remaining: Iterator[float], connect: Connect) -> tuple[bytes, ...]:
    """Return the chain; ask once more without ALPN if the server may have ended the first handshake for it.

    If the second one fails too, what ended the first is raised.
    """
    first = Handshake(endpoint.server_name)
    try:
        return _handle_connection(first, endpoint, remaining, connect)
    except OSError as error:
        if explain(error).failure not in _MAY_BE_FOR_ALPN:
            raise
        second = Handshake(endpoint.server_name, alpn=(), max_bytes=MAX_BYTES - first.received)
        with suppress(OSError, ClusterError, OverflowError):
            return _handle_connection(second, endpoint, remaining, connect)
        raise


def _handle_connection(
    handshake: Handshake, endpoint: Endpoint, remaining: Iterator[float], connect: Connect
) -> tuple[bytes, ...]:
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
def _context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Make the client side, once: it compares fingerprints and trusts nothing, so it verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(_SIGNED_CIPHERS)
    context.options |= _OP_LEGACY_SERVER_CONNECT
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def _presented(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the chain in DER. Public since Python 3.13; before, the same call of the inner object."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain())
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or ())
