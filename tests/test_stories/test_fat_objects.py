"""Anyone who may create a few hundred Certificates makes them as fat as etcd takes: it neither ends nor blinds us.

A real API server and real certificates, as many as a page of a list has room for; held against what is true.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmark import outside
from tests.benchmark.outside import MIB
from tests.field.record import case
from tests.figures import Figures
from tests.test_stories.watched_population import CERTIFICATES, WatchedPopulation, watched_population

pytestmark = pytest.mark.small_bench

MANY = 300
FAT = 1000 * 1000
"""Bytes of an object: etcd takes 1.5 MiB."""
MOST_RESIDENT = 200
"""MiB; the chart's limit is 256."""
RENEWALS = 3


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedPopulation]:
    """One of its own: it ends with this module, and what is so fat with it."""
    with watched_population(tmp_path_factory.mktemp("population")) as made:
        yield made


@case(
    "W39",
    kind="Found by tests: a peer that used up time or memory",
    situation="300 Certificates have a megabyte each.",
    says="They are read in smaller pages. Before: one page filled the memory.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("N9")
def test_300_certificates_of_a_megabyte_each_are_read_within_200_mib(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    population.more(MANY - CERTIFICATES)
    population.annotate(FAT)
    began = time.monotonic()
    with population.exporter(tmp_path, waiter=180) as exporter:
        took = time.monotonic() - began
        metrics = exporter.metrics()
        population.renew(RENEWALS)
        renewed = population.wait_true(exporter, 10)
        peak = outside.usage(exporter.process.pid).peak / MIB
    assert {each.value for each in metrics.all("certlag_watch_errors_total")} == {0.0}
    assert peak < MOST_RESIDENT
    figures(
        f"{MANY} certificates of {FAT / 1e6:g} MB: all true {took:.1f} s after its start, renewals in {renewed:.1f} s; "
        f"resident at most {peak:.0f} MiB"
    )
