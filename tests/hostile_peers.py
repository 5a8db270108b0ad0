"""Handlers of connections that answer a handshake with something else, one for each way in which a probe may fail."""

import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from certlag.model import ProbeFailure
from tests import forged_tls
from tests.pki import Issued
from tests.tls_servers import Handler, reset, server_context

TLS_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
HELLO_REQUEST = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"
"""A server's call to negotiate again (RFC 5246 §7.4.1.1), which a client ignores while it negotiates."""
CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"
ENDLESS = b"\x16\x03\x03\x40\x00\x02\x00\xff\xff" + bytes(1000)
"""The beginning of a message that is longer than anybody waits for."""
HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"


def peers(leaf: Issued) -> Mapping[ProbeFailure, Handler]:
    """Return who makes a probe fail in each way that takes somebody who answers."""
    return {
        ProbeFailure.ALERT: answering(alert(49)),
        ProbeFailure.CONNECTION_RESET: resetting,
        ProbeFailure.INVALID_CERTIFICATE: of_version_4(leaf),
        ProbeFailure.NOT_TLS: answering(HTTP),
        ProbeFailure.NO_COMMON_CIPHER: answering(alert(40)),
        ProbeFailure.NO_COMMON_VERSION: answering(alert(70)),
        ProbeFailure.PROTOCOL: flooding(CHANGE_CIPHER_SPEC),
        ProbeFailure.SERVER_ERROR: answering(alert(80)),
        ProbeFailure.TIMEOUT: lambda connection, stop: drip(connection, stop, ENDLESS),
        ProbeFailure.TOO_LARGE: flooding(HELLO_REQUEST),
        ProbeFailure.UNRECOGNIZED_NAME: answering(alert(112)),
    }


def alert(number: int, *, level: int = 2) -> bytes:
    """Write the record of an alert (RFC 8446 §6), a fatal one unless the level is 1."""
    return b"\x15\x03\x03\x00\x02" + bytes([level, number])


def drip(connection: socket.socket, stop: threading.Event, data: bytes) -> None:
    """Send a byte every ten milliseconds: no single one of them is late."""
    for byte in data:
        if stop.wait(0.01):
            return
        connection.sendall(bytes([byte]))


def resetting(connection: socket.socket, _: threading.Event) -> None:
    """Hear the client out and reset the connection."""
    connection.recv(65536)
    reset(connection)


def answering(data: bytes) -> Handler:
    """Return a handler that waits for the client to speak, says one thing, and waits for it to go."""

    def handle(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(data)
        while connection.recv(65536):
            pass

    return handle


def flooding(record: bytes) -> Handler:
    """Return a handler that sends one record again and again."""

    def handle(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        while True:
            connection.sendall(record * 4096)

    return handle


def of_version_4(leaf: Issued) -> Handler:
    """Return a handler with a certificate that OpenSSL takes, which does not look at its version, and X.509 has not."""
    version_4 = leaf.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    context = server_context(leaf, versions=TLS_1_2)

    def handle(connection: socket.socket, _: threading.Event) -> None:
        flight = server_flight(context, connection.recv(65536))
        connection.sendall(with_certificates(flight, [version_4]))
        connection.recv(65536)

    return handle


def server_flight(context: ssl.SSLContext, hello: bytes) -> bytes:
    """Return what a real server says to a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read()


def with_certificates(flight: bytes, chain: Sequence[bytes]) -> bytes:
    """Put other certificates into a flight of TLS 1.2."""
    return forged_tls.records(
        b"".join(
            forged_tls.certificate_message_1_2(chain) if message[0] == forged_tls.CERTIFICATE else message
            for message in forged_tls.messages(flight)
        )
    )
