"""The exporter's own chain from lists to published bytes in one thread, over a population: without network or API."""

import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from certlag.clock import SystemClock
from certlag.config.schema import Configuration
from certlag.config.shard import WHOLE, Shard
from certlag.kube.reflector import Change, Reflector
from certlag.kube.resources import CERTIFICATE_REQUESTS, CERTIFICATES, PODS, REPLICA_SETS, watches
from certlag.model import Discovery, DiscoveryProbe
from exporter.reconciler import Reconciler
from exporter.snapshot import Snapshot
from tests.benchmark.population import Document, Population

POPULATION = Population(2000, 200, namespaces=20)
CONFIGURATION = Configuration((), Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS))


@cache
def lists() -> Mapping[str, bytes]:
    """The answer to each list, by resource."""
    population, members = POPULATION, list(POPULATION.members())
    served = [member for member in members if member.port is not None]
    documents: dict[str, list[Document]] = {
        CERTIFICATES.name: [population.certificate(member, 1) for member in members],
        CERTIFICATE_REQUESTS.name: [population.request(member, 1, population.issue(member, 1)) for member in members],
        PODS.name: [population.pod(member) for member in served],
        REPLICA_SETS.name: [population.replica_set(member) for member in served],
    }
    metadata = {"resourceVersion": "1"}
    return {name: json.dumps({"metadata": metadata, "items": items}).encode() for name, items in documents.items()}


class Listing:
    """A client that answers each list in one page."""

    @contextmanager
    def page(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> Iterator[bytes]:
        """Yield the list."""
        del parameters, accept
        yield lists()[path.rpartition("/")[2]]

    def stream(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> object:
        """There is no watch here."""
        raise NotImplementedError((path, parameters, accept))


@dataclass
class Exporter:
    """The exporter's own chain from lists to published bytes, in this thread."""

    shard: Shard = WHOLE
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(SystemClock(), version="", revision=""))
    changes: list[Change] = field(default_factory=list)
    reflectors: list[Reflector] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock, stop, jitter = SystemClock(), threading.Event(), random.Random(1)  # noqa: S311 - spreads load
        self.reflectors = [
            Reflector(
                watch,
                Listing(),
                self.changes.append,
                clock,
                stop,
                jitter=jitter,
                log=lambda *_: None,
                shard=self.shard,
            )
            for watch in watches(CONFIGURATION)
        ]
        health = {reflector.watch: reflector.health for reflector in self.reflectors}
        self.reconciler = Reconciler(CONFIGURATION, self.snapshot, clock, health, interval=300, jitter=jitter)

    def list(self) -> None:
        """Read every list."""
        for reflector in self.reflectors:
            reflector._list("start")  # noqa: SLF001 - the loop around it would go on to watch

    def judge(self) -> None:
        """Assess everything that was read."""
        self.reconciler.round(self.changes)
