"""One size measured: the exporter as a process against a population, seen from outside."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

import msgspec

from exporter.probe_schedule import SPREAD
from tests import exporter_process
from tests.bench import waiting
from tests.benchmark import limits, outside
from tests.benchmark.etcd import prepared
from tests.benchmark.ground import CONFIGURATION, Ground, renewal_of
from tests.exporter_process import ExporterProcess
from tests.metrics import Metrics

PROBE_INTERVAL = 60.0
"""Seconds: five times as often as by default, so that a quiet minute probes everything once."""
HANDSHAKES = 500
"""Bare handshakes whose processor time is measured."""
BURST_MOST = 600.0
BETWEEN_SCRAPES = 0.1
"""Seconds between two looks at what has changed: they cost the exporter something too."""
USER = "system:serviceaccount:default:bench"
NOT_BEFORE = b"certlag_certificate_not_before_timestamp_seconds"
_NOT_BEFORE_LINE = re.compile(rb'certificate="([^"]*)"\} (\d+)$', re.MULTILINE)


@dataclass(frozen=True)
class Effort:
    """How much is measured: scrapes of each kind, single events, and the seconds that are called quiet."""

    scrapes: int = 300
    events: int = 50
    quiet: float = 60.0


class Scrapes(msgspec.Struct, frozen=True):
    """Scrapes of one kind: seconds."""

    median: float
    p99: float
    size: int


class Scraping(msgspec.Struct, frozen=True):
    """Both kinds: plain and gzip."""

    plain: Scrapes
    gzip: Scrapes


class Figures(msgspec.Struct, frozen=True):
    """Everything that is measured of one size. Seconds, bytes, and shares of one processor core."""

    certificates: int
    pods: int
    series: int
    certificates_after: float
    complete_after: float
    resident: int
    resident_after_scrapes: int
    resident_after_crowd: int
    peak: int
    quiet_processor: float
    quiet_processor_beyond_handshakes: float
    quiet_event_median: float
    quiet_event_p99: float
    burst_seconds: float
    burst_events_per_second: float
    burst_event_median: float
    burst_event_p99: float
    probes_per_second: float
    requests_at_start: int
    bytes_at_start: int
    requests_in_quiet: int
    scraping: Scraping
    nginx: Scraping
    crowd: Scraping
    """Of 16 at once."""
    nginx_crowd: Scraping
    handshakes_per_second: float
    processor_per_handshake: float
    list_and_decode: float


def measure(ground: Ground, effort: Effort) -> Figures:
    """Measure everything of one size."""
    (ground.directory / "config.yaml").write_text(CONFIGURATION)
    options = ["--config", str(ground.directory / "config.yaml"), "--probe-interval", f"{PROBE_INTERVAL:g}"]
    population, cluster = ground.population, ground.cluster
    ports = range(population.first_port, population.first_port + population.served)
    rate = limits.handshakes(ports)
    asked_before = _requests(ground)
    started = time.monotonic()
    with exporter_process.running(cluster, ground.kubeconfig, ground.directory, options) as exporter:
        pid = exporter.process.pid
        certificates_after = _when(exporter, started, b"\n" + NOT_BEFORE + b"{", population.certificates)
        waiting.until("all to be probed", lambda: exporter.get("/readyz")[0] == 200, 120, interval=0.02)
        complete_after = _when(exporter, started, b"\ncertlag_probe_success{", population.served)
        at_start = outside.usage(pid)
        requests_at_start = _requests(ground) - asked_before
        bytes_at_start = outside.received(pid, cluster.client.port)
        exposition = exporter.get("/metrics")[2]
        url = f"http://{exporter.host}:{exporter.port}/metrics"
        scraping = _scraping(url, effort)
        after_scrapes = outside.usage(pid)
        crowd = _scraping(url, effort, connections=16)
        after_crowd = outside.usage(pid)
        with limits.nginx(exposition, ground.directory) as static:
            nginx, nginx_crowd = _scraping(static, effort), _scraping(static, effort, connections=16)
        quiet, requests_in_quiet = _quiet(ground, exporter, effort.quiet)
        processor_per_handshake = limits.processor_per_handshake(ports[:HANDSHAKES], _pace(population.served))
        quiet_events = _single_events(ground, exporter, effort.events)
        burst = _burst(ground, exporter)
        peak = outside.usage(pid).peak
    probes = population.served * effort.quiet / PROBE_INTERVAL
    return Figures(
        certificates=population.certificates,
        pods=population.served,
        series=len(Metrics.parse(exposition.decode()).samples),
        certificates_after=certificates_after,
        complete_after=complete_after,
        resident=at_start.resident,
        peak=peak,
        resident_after_scrapes=after_scrapes.resident,
        resident_after_crowd=after_crowd.resident,
        quiet_processor=quiet / effort.quiet,
        quiet_processor_beyond_handshakes=(quiet - probes * processor_per_handshake) / effort.quiet,
        quiet_event_median=median(quiet_events),
        quiet_event_p99=_p99(quiet_events),
        burst_seconds=burst.seconds,
        burst_events_per_second=3 * population.certificates / burst.seconds,
        burst_event_median=median(burst.delays),
        burst_event_p99=_p99(burst.delays),
        probes_per_second=population.served / max(complete_after - certificates_after, 0.001),
        requests_at_start=requests_at_start,
        bytes_at_start=bytes_at_start,
        requests_in_quiet=requests_in_quiet,
        scraping=scraping,
        nginx=nginx,
        crowd=crowd,
        nginx_crowd=nginx_crowd,
        handshakes_per_second=rate,
        processor_per_handshake=processor_per_handshake,
        list_and_decode=limits.list_and_decode(cluster),
    )


# --- start and scrapes ----------------------------------------------------------------------------


def _when(exporter: ExporterProcess, started: float, line: bytes, wanted: int) -> float:
    """Scrape until there are so many lines of a kind; return the seconds since the start."""

    def complete() -> float | None:
        found = exporter.get("/metrics")[2].count(line) >= wanted
        return time.monotonic() - started if found else None

    return waiting.until(f"{wanted} lines of {line!r}", complete, 120, interval=0.02)


def _scraping(url: str, effort: Effort, connections: int = 1) -> Scraping:
    def scrapes(*, gzipped: bool) -> Scrapes:
        limits.load(url, connections=connections, requests=2 * connections, gzipped=gzipped)
        taken = limits.load(url, connections=connections, requests=effort.scrapes, gzipped=gzipped)
        return Scrapes(taken.quantile(0.5), taken.quantile(0.99), taken.size)

    return Scraping(plain=scrapes(gzipped=False), gzip=scrapes(gzipped=True))


# --- quiet ----------------------------------------------------------------------------------------


def _quiet(ground: Ground, exporter: ExporterProcess, seconds: float) -> tuple[float, int]:
    """Leave it alone for a while; return the processor seconds that it took, and the requests that it made."""
    before, asked = outside.usage(exporter.process.pid), _requests(ground)
    time.sleep(seconds)
    return outside.usage(exporter.process.pid).processor - before.processor, _requests(ground) - asked


def _pace(served: int) -> float:
    """Return how many probes a second come while they come: within what their intervals are spread by."""
    return served / (PROBE_INTERVAL * 2 * SPREAD)


def _requests(ground: Ground) -> int:
    """Count what the exporter has asked of the API server so far."""
    return len({event["auditID"] for event in ground.cluster.audit_events(USER)})


# --- events ---------------------------------------------------------------------------------------


def _single_events(ground: Ground, exporter: ExporterProcess, count: int) -> list[float]:
    """Renew certificates one by one; return the seconds from the last write to a scrape that shows each."""
    population = ground.population
    new = str(int(population.issued_at(2).timestamp())).encode()
    members = list(population.members())
    delays = []
    for member in members[:: max(1, len(members) // count)][:count]:
        name = member.name.encode()
        (written,) = ground.store.send([prepared(renewal_of(population, member))])
        line = b'certificate="%s"} %s\n' % (name, new)
        seen = waiting.until(f"{name!r} renewed", partial(_seen, exporter, line), 30, interval=0.005)
        delays.append(seen - written)
    return delays


def _seen(exporter: ExporterProcess, line: bytes) -> float | None:
    text = exporter.get("/metrics")[2]
    received = time.monotonic()
    return received if line in _family(text) else None


def _family(exposition: bytes) -> bytes:
    """Return the lines of the not-before family."""
    start = exposition.index(b"# TYPE " + NOT_BEFORE)
    return exposition[start : exposition.index(b"# HELP", start)]


@dataclass(frozen=True)
class _Burst:
    """Every certificate renewed at once: seconds until a scrape showed all, and of each from its write to a scrape."""

    seconds: float
    delays: list[float]


def _burst(ground: Ground, exporter: ExporterProcess) -> _Burst:
    population = ground.population
    new = str(int(population.issued_at(2).timestamp())).encode()
    shown = {name for name, at in _NOT_BEFORE_LINE.findall(_family(exporter.get("/metrics")[2])) if at == new}
    began = time.monotonic()
    seen: dict[bytes, float] = {}
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(ground.store.send, ground.renewal)
        while len(seen) + len(shown) < population.certificates:
            text = exporter.get("/metrics")[2]
            received = time.monotonic()
            for name, at in _NOT_BEFORE_LINE.findall(_family(text)):
                if at == new and name not in shown:
                    seen.setdefault(name, received)
            if received - began > BURST_MOST:
                raise AssertionError(f"{len(seen)} of {population.certificates} renewals shown in {BURST_MOST:g} s")
            time.sleep(BETWEEN_SCRAPES)
        written = dict(zip((member.name.encode() for member in population.members()), sending.result(), strict=True))
    return _Burst(time.monotonic() - began, [at - written[name] for name, at in seen.items()])


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]
