"""A change that makes the exporter ten times slower or bigger fails here: ratios of work in one process, no times.

What is compared with is done on the same machine a moment before: Python's own JSON decoder on the same lists.
"""

import gc
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import median

from exporter.clock import SystemClock
from exporter.cluster.resources import CERTIFICATE_REQUESTS, CERTIFICATES, PODS, REPLICA_SETS, Watch, watches
from exporter.cluster.watch import Change, Changed, Reflector
from exporter.configuration import Configuration
from exporter.model import Discovery, DiscoveryProbe
from exporter.publication import Publication
from exporter.rounds import Rounds
from tests.benchmark.population import Document, Population
from tests.figures import Figures

CERTIFICATES_COUNT, PODS_COUNT = 2000, 200
CONFIGURATION = Configuration((), Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS))


@cache
def lists() -> Mapping[str, bytes]:
    """The answer to each list, by resource."""
    population = Population(CERTIFICATES_COUNT, PODS_COUNT, namespaces=20)
    members = list(population.members())
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

    def read(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> bytes:
        """Return the list."""
        del parameters, accept
        return lists()[path.rpartition("/")[2]]

    def stream(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> object:
        """There is no watch here."""
        raise NotImplementedError((path, parameters, accept))


@dataclass
class Exporter:
    """The exporter's own chain from lists to published bytes, in this thread."""

    publication: Publication = field(default_factory=lambda: Publication(SystemClock(), version="", revision=""))
    changes: list[Change] = field(default_factory=list)
    reflectors: list[Reflector] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock, stop, jitter = SystemClock(), threading.Event(), random.Random(1)  # noqa: S311 - spreads load
        self.reflectors = [
            Reflector(watch, Listing(), self.changes.append, clock, stop, jitter=jitter, log=lambda *_: None)
            for watch in watches(CONFIGURATION)
        ]
        health = {reflector.watch: reflector.health for reflector in self.reflectors}
        self.rounds = Rounds(CONFIGURATION, self.publication, clock, health, interval=300, jitter=jitter)

    def list(self) -> None:
        """Read every list."""
        for reflector in self.reflectors:
            reflector._list("start")  # noqa: SLF001 - the loop around it would go on to watch

    def judge(self) -> None:
        """Judge everything that was read."""
        self.rounds.round(self.changes)


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def test_reading_and_judging_everything_costs_little_more_than_decoding_its_json(figures: Figures) -> None:
    bare = median(seconds(lambda: [json.loads(body) for body in lists().values()]) for _ in range(3))
    exporter = Exporter()
    listing, judging = seconds(exporter.list), seconds(exporter.judge)
    scrape = b"".join(exporter.publication.scrape(gzip=False))
    assert scrape.count(b"\ncertlag_certificate_not_after_timestamp_seconds{") == CERTIFICATES_COUNT
    figures(
        f"{CERTIFICATES_COUNT:,} certificates: reading {listing / bare:.1f}, judging {judging / bare:.1f} x json.loads"
    )
    assert listing < 12 * bare
    assert judging < 16 * bare


def test_one_change_costs_a_small_part_of_everything(figures: Figures) -> None:
    exporter = Exporter()
    exporter.list()
    everything = seconds(exporter.judge)
    for gzipped in (False, True):
        exporter.publication.scrape(gzip=gzipped)
    population = Population(CERTIFICATES_COUNT, PODS_COUNT, namespaces=20)
    watch = Watch(CERTIFICATES, "*")
    renewed = [CERTIFICATES.decode(population.certificate(member, 2)) for member in list(population.members())[:50]]

    def change_and_scrape() -> None:
        for certificate in renewed:
            exporter.rounds.round([Changed(watch, certificate)])
            exporter.publication.scrape(gzip=True)

    one = seconds(change_and_scrape) / len(renewed)
    figures(f"one change and its scrape: 1/{everything / one:.0f} of judging everything")
    assert one < everything / 60


def test_a_certificate_takes_a_few_kilobytes(figures: Figures) -> None:
    lists()
    gc.collect()
    tracemalloc.start()
    try:
        exporter = Exporter()
        exporter.list()
        exporter.judge()
        exporter.changes.clear()
        exporter.publication.scrape(gzip=True)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    figures(f"{kept / CERTIFICATES_COUNT:,.0f} bytes for each certificate, its lines in the exposition among them")
    assert kept < CERTIFICATES_COUNT * 12_000
