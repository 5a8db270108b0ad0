"""What is served: the last assessments as text and as JSON, joined with what the exporter says of itself.

Written by the main loop, read by the threads that answer requests. What was assessed is one immutable value, swapped
whole. The part about the exporter itself (watches, probe failures, process) moves all the time: it is rendered when it
is asked for, at most once a second.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

import prometheus_client

from certlag.assessment import Assessment
from certlag.clock import Clock
from certlag.config.release import Release
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import Watch
from certlag.model import ObjectKey, ProbeFailure
from certlag.target_assessment import TargetAssessment
from exporter import status_json
from exporter.metrics import samples as exposition
from exporter.metrics.compression import CompressedText, gzip_stream
from exporter.metrics.text import render
from exporter.status import Status

LIVE_SECONDS = 1.0
LOOP_SECONDS = 180.0
"""The main loop comes round once a minute at least; silent for thrice that, it hangs."""


@dataclass(frozen=True, slots=True)
class Published:
    """All that was assessed at one moment.

    `assessments` stays the main loop's own, which replaces values in it: a copy of ten thousand for each probe that
    ends would cost more than its assessment (docs/performance.md).
    """

    rows: tuple[CompressedText, ...] = ()
    assessments: Mapping[ObjectKey, Assessment] = field(default_factory=dict)
    targets: tuple[TargetAssessment, ...] = ()


@dataclass(frozen=True, slots=True)
class _Live:
    row: CompressedText
    until: float


class Snapshot:
    """What is served, and whether the process is alive and ready."""

    def __init__(
        self, clock: Clock, *, version: str, revision: str, server: str | None = None, release: Release | None = None
    ) -> None:
        """Begin with nothing assessed; `server`, the API server's URL, and `release` are shown."""
        self.ready = False
        self.clock = clock
        self._version = (version, revision)
        self._server = server
        self._release = release
        self._published = Published()
        self._live = _Live(CompressedText(()), float("-inf"))
        self._watches: Mapping[Watch, WatchHealth] = {}
        self._probe_failures: Mapping[ProbeFailure, int] = {}
        self._looped_at = clock.monotonic()
        self._process = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._process)
        prometheus_client.PlatformCollector(registry=self._process)

    def watch(self, watches: Mapping[Watch, WatchHealth], probe_failures: Mapping[ProbeFailure, int]) -> None:
        """Say where the exporter's own figures are kept."""
        self._watches, self._probe_failures = watches, probe_failures

    def publish(self, published: Published) -> None:
        """Replace what was assessed."""
        self._published = published

    def heartbeat(self) -> None:
        """Say that the main loop has come round."""
        self._looped_at = self.clock.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the main loop still comes round."""
        return self.clock.monotonic() - self._looped_at < LOOP_SECONDS

    def scrape(self, *, gzip: bool) -> tuple[bytes, ...]:
        """Return the whole exposition, in parts that are to be sent one after another."""
        rows = (*self._published.rows, self._own())
        return gzip_stream(rows) if gzip else tuple(piece for row in rows for piece in row.pieces)

    def status(self) -> Status:
        """Return the status as of now."""
        published = self._published
        assessments = tuple(published.assessments.values())  # in one call, during which the main loop changes none
        certificates = tuple(sorted(assessments, key=attrgetter("key")))
        return Status(
            self.clock.now(), self.ready, self._watches, published.targets, certificates, self._server, self._release
        )

    def status_json(self) -> bytes:
        """Return the status as JSON."""
        return json.dumps(status_json.document(self.status()), separators=(",", ":")).encode()

    def _own(self) -> CompressedText:
        now = self.clock.monotonic()
        if now >= self._live.until:
            samples = exposition.of_exporter(self._watches, self._probe_failures, *self._version)
            own = render(exposition.LIVE, samples)
            text = own + prometheus_client.generate_latest(self._process)
            self._live = _Live(CompressedText([text]), now + LIVE_SECONDS)
        return self._live.row
