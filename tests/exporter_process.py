"""The exporter as its users run it: a process of its own, asked over HTTP."""

import gzip
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import waiting
from tests.bench.cluster import Cluster
from tests.metrics import Metrics


@dataclass(frozen=True)
class ExporterProcess:
    """A running exporter in a cluster's network."""

    cluster: Cluster
    process: subprocess.Popen[bytes]
    log_file: Path
    host: str
    port: int

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one GET."""
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.cluster.connect(self.host, self.port)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        received = {name.lower(): value for name, value in response.headers.items()}
        return response.status, received, gzip.decompress(body) if "content-encoding" in received else body

    def metrics(self) -> Metrics:
        """One scrape."""
        status, _, body = self.get("/metrics")
        assert status == 200, body
        return Metrics.parse(body.decode())

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until it says that it sees everything."""
        waiting.until("the exporter to be ready", lambda: self.get("/readyz")[0] == 200, seconds)

    def wait(self, what: str, reached: Callable[[Metrics], object], seconds: float = 30) -> Metrics:
        """Scrape until it is as wanted, and return that scrape."""
        last: list[Metrics] = []

        def scrape() -> object:
            last[:] = [self.metrics()]
            return reached(last[0])

        waiting.until(what, scrape, seconds)
        return last[0]

    def log(self) -> list[dict[str, object]]:
        """What it has logged so far."""
        return _log(self.log_file)


@contextmanager
def running(
    cluster: Cluster,
    kubeconfig: Path,
    directory: Path,
    options: Sequence[str] = (),
    *,
    name: str = "exporter",
    within: Sequence[str | Path] = (),
) -> Iterator[ExporterProcess]:
    """Run an exporter on a free port of the cluster's loopback; it must end well on SIGTERM.

    `within` is a command that becomes the one that follows it, as with limits or mounts of its own.
    """
    log_file = directory / f"{name}.log"
    argv = [
        *within,
        *(sys.executable, "-m", "exporter", "--kubeconfig", str(kubeconfig)),
        *("--web.listen-address", "127.0.0.1:0", "--log-format", "json"),
        *options,
    ]
    with log_file.open("wb") as log:
        process = subprocess.Popen(cluster.inside(argv), stderr=log, env=cluster.environment)
    try:
        waiting.until(
            "the exporter to listen", lambda: process.poll() is not None or _address(log_file) is not None, 30
        )
        address = _address(log_file)
        assert address is not None, f"the exporter ended with {process.poll()}: {log_file.read_text()}"
        host, _, port = address.rpartition(":")
        yield ExporterProcess(cluster, process, log_file, host, int(port))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(timeout=20) == 0, log_file.read_text()
            finally:
                process.kill()


def _log(log_file: Path) -> list[dict[str, object]]:
    # The last line may be in the midst of being written.
    return [json.loads(line) for line in log_file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _address(log_file: Path) -> str | None:
    addresses = (str(line["address"]) for line in _log(log_file) if line["msg"] == "listening")
    return next(addresses, None)
