"""A resolver that answers, or never does, and programs that ask nobody else. Touches the cluster's loopback."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.cluster import Cluster

ADDRESS, PORT = f"127.0.53.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))}", 53
"""Each xdist worker has its own, in the one network of the cluster."""
A_RECORD = b"\x00\x01"
OWN_FILES = """
set -e
for file in resolv.conf nsswitch.conf; do mount --bind "$0/$file" "/etc/$file"; done
exec "$@"
"""


@dataclass
class NameServer:
    """It knows every name as loopback, and says so only while it is `answering`."""

    answering: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        """Answer until an empty datagram comes."""
        while query := listener.recvfrom(512):
            question, client = query
            if not question:
                return
            self.asked.set()
            if self.answering.is_set():
                listener.sendto(_answer(question), client)


@contextmanager
def name_server(cluster: Cluster) -> Iterator[NameServer]:
    """Run one in the cluster's network until the block ends."""
    with cluster.entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with listener:
        listener.bind((ADDRESS, PORT))
        made = NameServer()
        thread = threading.Thread(target=made.serve, args=(listener,), name="name server")
        thread.start()
        try:
            yield made
        finally:
            listener.sendto(b"", (ADDRESS, PORT))
            thread.join(10)


def asking(folder: Path, seconds: int) -> tuple[str, ...]:
    """Return the command that becomes another one, which asks this resolver once and waits so long for an answer."""
    (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:{seconds} attempts:1\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", OWN_FILES, str(folder))


def _answer(query: bytes) -> bytes:
    """Answer one question (RFC 1035 §4): an A record with the same name, or none of any other type."""
    end = query.index(0, 12) + 5
    address = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton("127.0.0.1")
    record = address if query[end - 4 : end - 2] == A_RECORD else b""
    counts = b"\x00\x01" + (b"\x00\x01" if record else b"\x00\x00") + b"\x00\x00\x00\x00"
    return query[:2] + b"\x81\x80" + counts + query[12:end] + record
