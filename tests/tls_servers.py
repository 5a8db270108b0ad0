"""Real servers on loopback, well-behaved and not: what a probe may meet.

`listening(handler)` is any server at all: each accepted connection is given to the handler, in a thread of its own.
`tls_server` is Python's `ssl`; `openssl_server` is the program `openssl s_server`, another process.
Everything ends with its `with` block.
"""

import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from tests.pki import Issued, pem

HOST = "127.0.0.1"


@dataclass
class Listener:
    """A listening socket. `accepted` gets one entry from each handled connection: what its handler returned."""

    port: int
    stop: threading.Event = field(default_factory=threading.Event)
    accepted: SimpleQueue[object] = field(default_factory=SimpleQueue)

    def next(self) -> object:
        """Wait for a connection to have been handled."""
        return self.accepted.get(timeout=20)


Handler = Callable[[socket.socket, threading.Event], object]


@contextmanager
def listening(handler: Handler, host: str = HOST, port: int = 0) -> Iterator[Listener]:
    """Accept connections; a handler gets the socket and the event that says that the test has ended."""
    with socket.create_server((host, port)) as server, ExitStack() as connections:
        listener = Listener(server.getsockname()[1])
        threads: list[threading.Thread] = []

        def handle(connection: socket.socket) -> None:
            with connection:
                try:
                    listener.accepted.put(handler(connection, listener.stop))
                except OSError as error:
                    listener.accepted.put(error)

        def accept() -> None:
            while True:
                with suppress(OSError):
                    connection, _ = server.accept()
                    if listener.stop.is_set():
                        connection.close()
                        return
                    connections.callback(_hang_up, connection)
                    threads.append(threading.Thread(target=handle, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener
        finally:
            listener.stop.set()
            socket.create_connection((host, listener.port)).close()
            accepting.join(5)
            connections.close()
            for thread in threads:
                thread.join(5)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def server_context(
    issued: Issued,
    *,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    client_authority: Issued | None = None,
    by_name: Mapping[str, Issued] | None = None,
) -> ssl.SSLContext:
    """Make the server side; with a client authority it requires client certificates.

    `by_name` gives other certificates for server names, or for all under a wildcard, compared as they come.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = versions
    with tempfile.TemporaryDirectory() as directory:
        context.load_cert_chain(*issued.write(Path(directory)))
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority.pem.decode())
    others = {name: server_context(other, versions=versions) for name, other in (by_name or {}).items()}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        wildcard = f"*.{(name or '').partition('.')[2]}"
        if other := others.get(name or "") or others.get(wildcard):
            connection.context = other

    if others:
        context.sni_callback = choose
    return context


@dataclass(frozen=True)
class Seen:
    """What a server saw of one client: every byte, whether its handshake ended, and the name that was asked for."""

    received: bytes
    completed: bool


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[Listener]:
    """Serve TLS; each connection reports what was `Seen` of it when the client has gone."""

    def handle(connection: socket.socket, _: threading.Event) -> Seen:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        received = bytearray()
        completed = False
        while True:
            try:
                tls.do_handshake()
                completed = True
            except ssl.SSLWantReadError:
                pass
            connection.sendall(outgoing.read())
            data = connection.recv(65536)
            if not data or completed:
                return Seen(bytes(received), completed)
            received += data
            incoming.write(data)

    with listening(handle) as listener:
        yield listener


@contextmanager
def openssl_server(issued: Issued, directory: Path, *options: str) -> Iterator[int]:
    """Run `openssl s_server` and give its port."""
    files = issued.write(directory, "s_server")
    command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-naccept", "100000"]
    command += ["-cert", str(files.certificate), "-key", str(files.key)]
    if issued.intermediates:
        between = directory / "between.crt"
        between.write_bytes(b"".join(pem(der) for der in issued.intermediates))
        command += ["-cert_chain", str(between)]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            assert process.stdout is not None
            said = b""
            for line in process.stdout:
                said += line
                if line.startswith(b"ACCEPT"):
                    break
            else:
                raise AssertionError(f"openssl s_server ended: {said.decode(errors='replace')}")
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            yield int(line.rpartition(b":")[2])
        finally:
            process.kill()
            process.wait()
            drain.join(5)


def reset(connection: socket.socket) -> None:
    """Close with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
