"""A change that makes the exporter ten times slower or bigger fails here: ratios of work in one process, no times.

What is compared with is done on the same machine a moment before: Python's own JSON decoder on the same lists.
"""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from statistics import median

import pytest

from certlag.kube.reflector import Changed
from certlag.kube.resources import CERTIFICATES, Watch
from tests.benchmark.in_process import POPULATION, Exporter, lists
from tests.figures import Figures
from tests.metrics import Metrics

pytestmark = pytest.mark.thorough


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
    metrics = Metrics.parse(b"".join(exporter.snapshot.scrape(gzip=False)).decode())
    assert len(list(metrics.all("certlag_certificate_not_after_timestamp_seconds"))) == POPULATION.certificates
    figures(f"reading {listing / bare:.1f}, assessing {judging / bare:.1f} x json.loads")
    assert listing < 12 * bare
    assert judging < 16 * bare


def test_one_change_costs_a_small_part_of_everything(figures: Figures) -> None:
    exporter = Exporter()
    exporter.list()
    everything = seconds(exporter.judge)
    for gzipped in (False, True):
        exporter.snapshot.scrape(gzip=gzipped)
    population = POPULATION
    watch = Watch(CERTIFICATES, "*")
    renewed = [CERTIFICATES.decode(population.certificate(member, 2)) for member in list(population.members())[:50]]

    def change_and_scrape() -> None:
        for certificate in renewed:
            exporter.reconciler.round([Changed(watch, certificate)])
            exporter.snapshot.scrape(gzip=True)

    one = seconds(change_and_scrape) / len(renewed)
    figures(f"one change and its scrape: 1/{everything / one:.0f} of assessing everything")
    assert one < everything / 20


def test_renewals_leave_nothing_behind(figures: Figures) -> None:
    exporter = Exporter()
    exporter.list()
    exporter.judge()
    watch, members = Watch(CERTIFICATES, "*"), list(POPULATION.members())[-200:]

    def renew_all(revisions: range) -> int:
        for revision in revisions:
            for member in members:
                certificate = CERTIFICATES.decode(POPULATION.certificate(member, revision))
                exporter.reconciler.round([Changed(watch, certificate)])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = renew_all(range(2, 22)), renew_all(range(22, 62))
    finally:
        tracemalloc.stop()
    figures(f"{(after - before) / 1000:+.0f} KB after 8,000 renewals of 200 certificates")
    assert after - before < 300_000


def test_a_certificate_takes_a_few_kilobytes(figures: Figures) -> None:
    lists()
    gc.collect()
    tracemalloc.start()
    try:
        exporter = Exporter()
        exporter.list()
        exporter.judge()
        exporter.changes.clear()
        exporter.snapshot.scrape(gzip=True)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    figures(f"{kept / POPULATION.certificates:,.0f} bytes for each certificate, its lines in the exposition among them")
    assert kept < POPULATION.certificates * 12_000
