"""The soak itself: deeds until the time is over, every scrape looked at, then quiet, and the truth."""

import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import exporter_process
from tests.again import again_and_again
from tests.api_proxy import api_proxy
from tests.bench import waiting
from tests.benchmark import ground, outside
from tests.benchmark.ground import CONFIGURATION, Ground
from tests.benchmark.outside import MIB, Usage
from tests.benchmark.population import Population
from tests.exporter_process import ExporterProcess
from tests.metrics import Metrics
from tests.soak.deeds import DEEDS, FULL, ONCE, Place, change_pods, fill_memory, renew_some, restart_some
from tests.soak.servers import servers
from tests.soak.trend import Trend, trend
from tests.soak.truth import Truth, Watcher

EVERY = 1.0
"""Seconds between two scrapes."""
PAGE_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""What asyncio's pool for the pages may still start (concurrent.futures' default)."""
LONG_ENOUGH = 30.0
"""Minutes below which a slope says nothing: everything still grows to its size."""


@dataclass
class Course:
    """What was seen while it went on."""

    usages: list[tuple[float, Usage]] = field(default_factory=list)
    scrapes: int = 0
    unanswered: int = 0
    verdicts: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What came of a soak; trends are for an hour, of the second half."""

    minutes: float
    deeds: Counter[str]
    course: Course
    recovered_after: float
    untrue: str
    """What was not the truth in the end, though there was time; else empty."""
    quiet: Usage

    @property
    def resident(self) -> Trend:
        """MiB an hour."""
        return trend([(at, usage.resident / MIB) for at, usage in self.second_half])

    @property
    def descriptors(self) -> Trend:
        """Descriptors an hour."""
        return trend([(at, float(usage.descriptors)) for at, usage in self.second_half])

    @property
    def second_half(self) -> Sequence[tuple[float, Usage]]:
        """What it used once it had seen the most of what there is to see."""
        return self.course.usages[len(self.course.usages) // 2 :]

    @property
    def troubles(self) -> Sequence[str]:
        """Say what should not be."""
        course, before = self.course, self.second_half[0][1].threads
        found = [*course.broken[:20], *([self.untrue] if self.untrue else [])]
        if course.unanswered > course.scrapes / 100:
            found.append(f"{course.unanswered} scrapes were not answered")
        if not before <= self.quiet.threads <= before + PAGE_THREADS:
            found.append(f"{before} threads became {self.quiet.threads}")
        if self.minutes >= LONG_ENOUGH:
            found += [
                f"{what} grow: {slope} an hour"
                for what, slope in (("MiB", self.resident), ("descriptors", self.descriptors))
                if slope.is_rising
            ]
        return found

    @property
    def figures(self) -> Sequence[str]:
        """What is told of it, the most important first."""
        course, quiet = self.course, self.quiet
        residents = [usage.resident / MIB for _, usage in self.second_half]
        deeds = ", ".join(f"{name} {times}" for name, times in sorted(self.deeds.items()))
        seen = (
            f"{self.minutes:g} min, {sum(self.deeds.values())} deeds, {course.scrapes} scrapes: "
            f"wrong {len(course.broken)}, unanswered {course.unanswered}; "
            f"{min(residents):.0f} to {max(residents):.0f} MiB, {self.resident} an hour"
        )
        used = f"descriptors {self.descriptors} an hour, in the end {quiet.descriptors}; threads {quiet.threads}"
        truth = "not all true" if self.untrue else "all true"
        shown = f"{course.verdicts} verdicts seen; {truth} {self.recovered_after:.1f} s after the last deed"
        return (seen, used, shown, f"what was done: {deeds}")


def soak(population: Population, minutes: float, seed: int, directory: Path) -> Report:
    """Run it.

    Raises:
        AssertionError: the exporter ended.
    """
    with ground.control_plane() as cluster, ground.populated(cluster, population, directory) as filled:
        return _soak(filled, minutes, seed)


def _soak(filled: Ground, minutes: float, seed: int) -> Report:
    (filled.directory / "config.yaml").write_text(CONFIGURATION)
    options = ["--config", str(filled.directory / "config.yaml"), "--probe-interval", "10"]
    token = json.loads(filled.kubeconfig.read_text())["users"][0]["user"]["token"]
    truth = Truth.of(filled.population)
    authorities = {it.number: filled.population.authorities[it.namespace].pem for it in truth.members}
    with api_proxy(filled.cluster) as proxy, servers(filled.directory, authorities) as restarted:
        kubeconfig = proxy.kubeconfig(filled.directory, token, "default")
        with exporter_process.running(filled.cluster, kubeconfig, filled.directory, options) as exporter:
            exporter.wait_ready(60)
            chance = random.Random(seed)  # noqa: S311 - faults, no secrets
            place = Place(filled, proxy, exporter, restarted, truth, chance, threading.Event())
            fill_memory(place, FULL if minutes >= LONG_ENOUGH else 1)
            place.wait_until_true()
            with _watched(exporter, Watcher(truth)) as course:
                deeds = _do_deeds(place, minutes)
                healed = time.monotonic()
                for deed in (renew_some, restart_some, change_pods):  # to be seen, everything must see again
                    deed(place)
                untrue = ""
                try:
                    place.wait_until_true()
                except waiting.TooLateError as error:
                    untrue = str(error)
                recovered_after = time.monotonic() - healed
            return Report(minutes, deeds, course, recovered_after, untrue, outside.usage(exporter.process.pid))


def _do_deeds(place: Place, minutes: float) -> Counter[str]:
    done: Counter[str] = Counter()
    end = time.monotonic() + minutes * 60
    each = [*ONCE, *dict.fromkeys(DEEDS)]
    ahead = place.chance.sample(each, len(each))  # then as it comes
    while ahead or time.monotonic() < end:
        deed = ahead.pop() if ahead else place.chance.choice(DEEDS)
        deed(place)
        done[deed.__name__] += 1
        assert place.exporter.process.poll() is None, f"the exporter ended after {deed.__name__}"
        place.wait(0.2, 2)
    return done


@contextmanager
def _watched(exporter: ExporterProcess, watcher: Watcher) -> Iterator[Course]:
    """Scrape and look at the process until the block ends, in a thread of its own."""
    course, begun = Course(), time.monotonic()

    def look() -> None:
        course.usages.append((time.monotonic() - begun, outside.usage(exporter.process.pid)))
        try:
            status, _, scrape = exporter.get("/metrics")
        except (OSError, http.client.HTTPException):  # no descriptor was left for it
            course.unanswered += 1
            return
        course.scrapes += 1
        if status != 200:
            course.broken.append(f"status {status}")
            return
        try:
            course.broken += watcher.broken(Metrics.parse(scrape.decode()))
        except AssertionError as error:
            course.broken.append(str(error))
        course.verdicts = watcher.looked_at

    with again_and_again(look, EVERY):
        yield course
