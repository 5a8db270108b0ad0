"""A real API server with a population, and exporters of which every scrape is held against the truth."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests import exporter_process
from tests.again import again_and_again
from tests.api_proxy import ApiProxy, api_proxy
from tests.bench import waiting
from tests.benchmark.etcd import Delete, Put, Step, prepared
from tests.benchmark.ground import CONFIGURATION, Ground, control_plane, populated
from tests.benchmark.population import Member, Population
from tests.exporter_process import ExporterProcess
from tests.metrics import Metrics
from tests.soak.truth import Truth, Watcher

CERTIFICATES, SERVED = 60, 30
EVERY = 0.1
"""Seconds between two scrapes."""


@dataclass
class Course:
    """What was scraped."""

    scrapes: int = 0
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)
    last: Metrics = field(default_factory=lambda: Metrics.parse(""))
    """The last scrape that was answered."""


class BehindProxy(NamedTuple):
    """An exporter, what stands between it and the API server, and what is scraped of it."""

    proxy: ApiProxy
    exporter: ExporterProcess
    course: Course


@dataclass(frozen=True)
class WatchedPopulation:
    """The API server, what is in it and what is true of it."""

    ground: Ground
    truth: Truth

    @property
    def token(self) -> str:
        """Of an account that may read everything."""
        return str(json.loads(self.ground.kubeconfig.read_text())["users"][0]["user"]["token"])

    def renew(self, number: int) -> None:
        """Renew so many of the certificates that are served and never were renewed; nobody loads them."""
        fresh = [each for each in self.truth.members if each.port and self.truth.revisions[each.number] == 1]
        self.write([self.truth.renew(member) for member in fresh[:number]])

    def more(self, number: int) -> list[Member]:
        """Add so many certificates that nobody serves."""
        population, namespaces = self.truth.population, [*self.truth.population.authorities]
        first = len(self.truth.members)
        added = [
            Member(each, namespaces[each % len(namespaces)], f"service-{each:05}", None)
            for each in range(first, first + number)
        ]
        self.truth.revisions |= dict.fromkeys(range(first, first + number), 1)
        self.truth.members += tuple(added)
        self.write(
            [
                (Put(population.request(each, 1, population.issue(each, 1))), Put(population.certificate(each, 1)))
                for each in added
            ]
        )
        return added

    def remove(self, members: Sequence[Member]) -> None:
        """Delete certificates that nobody serves."""
        gone = frozenset(members)
        self.truth.members = tuple(each for each in self.truth.members if each not in gone)
        self.write(
            [
                (
                    Delete("CertificateRequest", each.namespace, f"{each.name}-1"),
                    Delete("Certificate", each.namespace, each.name),
                )
                for each in members
            ]
        )

    def annotate(self, size: int) -> None:
        """Have an annotation of this size on every Certificate."""
        documents = [
            self.truth.population.certificate(each, self.truth.revisions[each.number]) for each in self.truth.members
        ]
        for document in documents:
            document["metadata"]["annotations"] = {"note": "x" * size}
        self.write([(Put(document),) for document in documents])

    def write(self, steps: Sequence[Step]) -> None:
        """Write into the store."""
        self.ground.store.send([prepared(step) for step in steps])

    @contextmanager
    def exporter(
        self,
        directory: Path,
        *,
        kubeconfig: Path | None = None,
        within: Sequence[str] = (),
        true: bool = True,
        waiter: float = 30,
    ) -> Iterator[ExporterProcess]:
        """Run an exporter, which shows the truth when the block begins unless that is not waited for.

        `waiter` is how many seconds it has to be ready.
        """
        configuration = directory / "config.yaml"
        configuration.write_text(CONFIGURATION)
        options = ["--config", str(configuration), "--probe-interval", "1"]
        way = kubeconfig or self.ground.kubeconfig
        with exporter_process.running(self.ground.cluster, way, directory, options, within=within) as exporter:
            if true:
                exporter.wait_ready(waiter)
                self.wait_true(exporter, 10)
            yield exporter

    @contextmanager
    def behind_a_proxy(self, directory: Path) -> Iterator["BehindProxy"]:
        """Run an exporter, which shows the truth when the block begins, behind a proxy that passes all."""
        with api_proxy(self.ground.cluster) as proxy:
            kubeconfig = proxy.kubeconfig(directory, self.token, "default")
            with self.exporter(directory, kubeconfig=kubeconfig) as exporter, self.looked_at(exporter) as course:
                yield BehindProxy(proxy, exporter, course)

    def is_true(self, exporter: ExporterProcess) -> bool:
        """Tell whether everything that is shown is the truth; LookupError says what is not."""
        try:
            metrics = exporter.metrics()
        except http.client.HTTPException as error:  # it ended in the midst of its answer
            raise LookupError(str(error)) from error
        return self.truth.is_shown_by(metrics)

    def wait_true(self, exporter: ExporterProcess, seconds: float) -> float:
        """Wait until everything that is shown is the truth; return how long it took."""
        began = time.monotonic()
        waiting.until("the truth", lambda: self.is_true(exporter), seconds)
        return time.monotonic() - began

    @contextmanager
    def looked_at(self, exporter: ExporterProcess) -> Iterator[Course]:
        """Scrape every tenth of a second, over one connection as Prometheus does; none may say what is not so."""
        watcher, course = Watcher(self.truth), Course()
        connection = http.client.HTTPConnection(exporter.host, exporter.port, timeout=5)

        def look() -> None:
            try:
                connection.request("GET", "/metrics")
                body = connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                course.unanswered += 1
                connection.close()  # the next request connects again
            else:
                course.scrapes += 1
                course.last = Metrics.parse(body.decode())
                course.wrong += watcher.broken(course.last)

        with closing(connection), again_and_again(look, EVERY):
            yield course
        assert course.wrong == []


@contextmanager
def watched_population(directory: Path) -> Iterator[WatchedPopulation]:
    """Run an API server, and put a population into it."""
    population = Population(CERTIFICATES, SERVED, namespaces=10)
    with control_plane() as cluster, populated(cluster, population, directory) as ground:
        yield WatchedPopulation(ground, Truth.of(ground.population))
