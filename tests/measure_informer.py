"""Weighs our reflector against kubernetes' SharedInformer: the figures of docs/decisions/0004-watch.md.

    python -m tests.measure_informer

A server on loopback lists at once and then fails each watch in one way. Printed is how often each client asks again
within ten seconds. It is a program and not a test: it measures another project.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from kubernetes import client as kubernetes_client
from kubernetes.informer import SharedInformer

from certlag.clock import SystemClock
from certlag.kube.client import ClusterClient
from certlag.kube.reflector import Reflector
from certlag.kube.resources import PODS, Watch

SECONDS = 10.0
GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"}
LIST = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}
FAULTS: dict[str, tuple[int, bytes]] = {
    "HTTP 500": (500, b"{}"),
    "HTTP 429": (429, b"{}"),
    "HTTP 401": (401, b"{}"),
    "410 in the stream": (200, json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n"),
    "ends at once": (200, b""),
}


@contextmanager
def failing(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that lists, and answers each watch so; yields its address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one segment, or the client's acknowledgement is waited for

        def do_GET(self) -> None:
            asked.append(self.path)
            code, content = (status, body) if "watch=" in self.path else (200, json.dumps(LIST).encode())
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()


def theirs(url: str) -> Callable[[], None]:
    """Start kubernetes' informer; return how to stop it."""
    configuration = kubernetes_client.Configuration(host=url)
    api = kubernetes_client.CoreV1Api(kubernetes_client.ApiClient(configuration))
    informer = SharedInformer(api.list_namespaced_pod, namespace="default")
    informer.start()
    stop: Callable[[], None] = informer.stop
    return stop


def ours(url: str) -> Callable[[], None]:
    """Start our reflector; return how to stop it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "kubeconfig"
        file.write_text(
            json.dumps(
                {
                    "current-context": "a",
                    "clusters": [{"name": "a", "cluster": {"server": url}}],
                    "users": [{"name": "a", "user": {}}],
                    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                }
            )
        )
        client = ClusterClient.connect(kubeconfig=str(file))
    stop = threading.Event()
    reflector = Reflector(
        Watch(PODS, "default"),
        client,
        lambda _change: None,
        SystemClock(),
        stop,
        jitter=random.Random(1),  # noqa: S311 - spreads load, hides nothing
        log=lambda *_: None,
    )
    threading.Thread(target=reflector.run, daemon=True).start()
    return stop.set


def main() -> None:
    """Measure each fault with each client, and print a table."""
    print(f"| each watch | SharedInformer, requests in {SECONDS:.0f} s | ours |\n| --- | --- | --- |")
    for fault, (status, body) in FAULTS.items():
        counts = []
        for start in (theirs, ours):
            with failing(status, body) as (url, asked):
                stop = start(url)
                time.sleep(SECONDS)
                counts.append(len(asked))
                stop()
        print(f"| {fault} | {counts[0]:,} | {counts[1]} |", flush=True)


if __name__ == "__main__":
    main()
