"""A release of the chart on a cluster: helm as its users run it."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.bench import parts, waiting
from tests.bench.cluster import Cluster, Object
from tests.metrics import Metrics
from tests.rendered_chart import CHART

NAME = "certlag"
EXPORTER = "certlag-exporter"
PORT = 9871


@dataclass(frozen=True)
class Release:
    """A release in a namespace."""

    cluster: Cluster
    namespace: str
    name: str = NAME

    @property
    def exporter(self) -> str:
        """The name of the exporter's Deployment and Service."""
        return f"{self.name}-exporter" if NAME in self.name else f"{self.name}-{NAME}-exporter"

    def helm(self, *arguments: str | Path) -> str:
        """Run helm, and return what it printed."""
        argv = (parts.binary("helm"), *arguments, f"--namespace={self.namespace}")
        ran = subprocess.run(
            self.cluster.inside(argv), env=self.cluster.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"helm {' '.join(map(str, arguments))}: {ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def install(self, *options: str, chart: Path = CHART) -> str:
        """Install it and wait until it is Ready; returns its notes."""
        return self.helm("install", self.name, chart, "--wait", "--timeout=90s", *options)

    def wait_served(self) -> Metrics:
        """Wait until its Service leads to it, which nodes learn a moment after it is Ready; returns the scrape."""
        last: list[Metrics] = []

        def scrape() -> bool:
            last[:] = [self.scrape(self.service())]
            return True

        waiting.until("the exporter to answer through its Service", scrape)
        return last[0]

    def upgrade(self, *options: str, chart: Path = CHART) -> str:
        """Upgrade it and wait until its new pods are Ready and the old ones are gone."""
        return self.helm("upgrade", self.name, chart, "--wait", "--timeout=90s", *options)

    def pods(self) -> list[Object]:
        """The exporter's pods that are not ending."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dexporter"
        found: list[Object] = self.cluster.api("GET", path)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def service(self) -> str:
        """The address of the exporter's Service."""
        service = self.cluster.api("GET", f"/api/v1/namespaces/{self.namespace}/services/{self.exporter}")
        return str(service["spec"]["clusterIP"])

    def scrape(self, address: str, timeout: float = 10) -> Metrics:
        """Scrape once, and parse the exposition; as `exposition`."""
        return Metrics.parse(self.exposition(address, timeout))

    def exposition(self, address: str = "", timeout: float = 10) -> str:
        """Scrape once, by default its Service, by a connection of its own; 10 s is Prometheus' own patience.

        Raises:
            OSError, HTTPException: there was no answer.
            AssertionError: it was not 200.
        """
        address = address or self.service()
        connection = HTTPConnection(address, PORT)
        connection.sock = self.cluster.connect(address, PORT, timeout)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, body
        return body.decode()


@dataclass
class Scrapes:
    """How scrapes came out: how many there were, and what those that brought nothing met with."""

    count: int = 0
    gaps: list[str] = field(default_factory=list)


@contextmanager
def scraped(
    release: Release, addresses: Callable[[], list[str]], wanted: Callable[[Metrics], object]
) -> Iterator[Scrapes]:
    """Scrape five times a second while the block runs; a gap is when no address answers with what is wanted."""
    seen, ended = Scrapes(), threading.Event()

    def scrape() -> None:
        while not ended.is_set():
            began, failures = time.monotonic(), []
            for address in addresses():
                try:
                    if wanted(release.scrape(address)):
                        break
                    failures.append(f"{address}: it does not say what it said before")
                except (OSError, HTTPException, AssertionError) as error:
                    failures.append(f"{address}: {error!r}")
            else:
                seen.gaps.append(f"{time.strftime('%X')} {failures}")
            seen.count += 1
            ended.wait(max(0.0, 0.2 - (time.monotonic() - began)))

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def values(document: Object, file: Path) -> str:
    """Write values into a file, and return the option that names it."""
    file.write_text(json.dumps(document))
    return f"--values={file}"
