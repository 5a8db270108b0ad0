"""What could not be beaten on the same machine: bytes served by nginx, bare handshakes, a bare list and decode.

Each does one thing only of what the exporter does, with the same bytes and the same servers.
"""

import getpass
import gzip
import http.client
import json
import queue
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson

from tests.bench import needs, network, parts, waiting
from tests.bench.cluster import Cluster
from tests.benchmark.population import ADDRESS

PAGE = 500
PROBERS = 16
NGINX = """
user {user}; daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type text/plain;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}/root; gzip_static on; }}
}}
"""


@dataclass(frozen=True)
class Load:
    """How a server answered: seconds of each answer in order of length, and the bytes of one."""

    seconds: tuple[float, ...]
    size: int

    def quantile(self, share: float) -> float:
        """The time within which this share of the answers came."""
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


def load(url: str, *, connections: int, requests: int, gzipped: bool) -> Load:
    """Ask for a page so often, over so many connections at once."""
    argv = [str(parts.binary("httpload")), url, str(connections), str(requests), *(["gzip"] if gzipped else [])]
    said = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    return Load(tuple(sorted(said["seconds"])), said["bytes"])


@contextmanager
def nginx(exposition: bytes, directory: Path) -> Iterator[str]:
    """Serve an exposition as a file, gzipped beforehand too; yields its URL."""
    folder = directory / "nginx"
    (folder / "root").mkdir(parents=True)
    (folder / "root" / "metrics").write_bytes(exposition)
    (folder / "root" / "metrics.gz").write_bytes(gzip.compress(exposition, 6))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(user=getpass.getuser(), folder=folder, port=port))
    process = subprocess.Popen([str(needs.tool("nginx")), "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        waiting.until("nginx", lambda: network.connect(None, "127.0.0.1", port, 1), 10).close()
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait()


def handshakes(ports: Iterable[int]) -> float:
    """Shake hands with each server, as few lines as can be, from as many threads as we; return how many a second."""
    waiting_ports: queue.SimpleQueue[int] = queue.SimpleQueue()
    for port in ports:
        waiting_ports.put(port)
    count, context = waiting_ports.qsize(), _context()
    threads = [threading.Thread(target=_shake_all, args=(waiting_ports, context)) for _ in range(PROBERS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.monotonic() - began)


def processor_per_handshake(ports: Iterable[int], per_second: float) -> float:
    """Shake hands with each server at a pace; return the processor seconds of each.

    At a pace, because a processor that does other things in between has its caches full of those: the same handshake
    costs up to twice as much as one of thousands in a row.
    """
    context, pause, shaken, spent = _context(), threading.Event(), 0, 0.0
    for port in ports:
        began = time.thread_time()
        _shake(port, context)
        spent += time.thread_time() - began
        shaken += 1
        pause.wait(1 / per_second)
    return spent / shaken


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _shake_all(ports: "queue.SimpleQueue[int]", context: ssl.SSLContext) -> None:
    while True:
        try:
            port = ports.get_nowait()
        except queue.Empty:
            return
        _shake(port, context)


def _shake(port: int, context: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with socket.create_connection((ADDRESS, port), 10) as connection:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))


def list_and_decode(cluster: Cluster, times: int = 3) -> float:
    """Read all certificates and their requests with the fastest JSON decoder that keeps everything; seconds, median."""
    return median(_listed(cluster) for _ in range(times))


def _listed(cluster: Cluster) -> float:
    client = cluster.client
    context = ssl.create_default_context(cafile=str(client.authority))
    began = time.monotonic()
    connection = http.client.HTTPSConnection(client.host, client.port, context=context)
    for resource in ("certificates", "certificaterequests"):
        following = ""
        while True:
            path = f"/apis/cert-manager.io/v1/{resource}?limit={PAGE}&continue={following}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {client.token}"})
            page = orjson.loads(connection.getresponse().read())
            following = page["metadata"].get("continue", "")
            if not following:
                break
    connection.close()
    return time.monotonic() - began
