"""Situations for the status page, assessed as the exporter does.

All are seen ten days after a renewal of certificates of 90 days, twenty days before the old ones end.
"""

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from certlag.assess import assess_certificate
from certlag.assessment import Assessment, AssessmentInput
from certlag.errors import ClusterErrorReason
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import CERTIFICATES, PODS, Watch
from certlag.model import ObjectKey, ProbeFailure, Workload
from certlag.run_record import FinishedRun, OpenRun, RunRecord, record_key
from certlag.target_assessment import TargetAssessment, assess_target
from exporter.http.routes import for_people
from exporter.http.server import Server
from exporter.http.web_config import WebConfigFile
from exporter.status import Status
from exporter.status_page.served import ServedPage
from tests.builders import (
    NAMESPACE,
    RENEWED_AT,
    a_certificate,
    a_leaf,
    a_pod,
    a_request,
    a_target,
    a_use,
    a_view,
    a_workload,
    an_observation,
    an_open_run,
    with_issued,
)
from tests.tls_servers import HOST

NOW = RENEWED_AT + timedelta(days=10)


@dataclass(frozen=True)
class Scene:
    """A target and what is seen of it: its pods by the label of the leaf that each presents (None: it refuses)."""

    name: str = "build-service"
    presents: tuple[str | None, ...] = ("first",)
    revision: int = 2
    run: OpenRun | None = None
    heartbeat: timedelta | None = timedelta(seconds=3)
    awaited: timedelta = timedelta(seconds=10)
    finished: tuple[FinishedRun, ...] = ()
    found: bool = True
    renewal_at: datetime | None = None
    current_workers: int = 0

    @property
    def workload(self) -> Workload:
        """What serves the certificate."""
        return Workload(NAMESPACE, "deployment", self.name)

    def assessment(self, now: datetime) -> Assessment:
        """Assess it as the exporter does."""
        key, target = (
            ObjectKey(NAMESPACE, self.name),
            a_target(name=self.name, workload=self.workload, certificate=self.name),
        )
        certificate = replace(a_certificate(self.revision), key=key, secret=self.name)
        if self.renewal_at is not None:
            certificate = replace(certificate, renewal_at=self.renewal_at)
        request = a_request(self.revision)
        views = (self._view(number, leaf) for number, leaf in enumerate(self.presents))
        use = replace(a_use(*views), workload=self.workload, target=target)
        return assess_certificate(with_issued(AssessmentInput(key, certificate, (request,), uses=(use,))), now)

    def _view(self, number: int, leaf: str | None) -> Any:
        pod = replace(a_pod(), key=ObjectKey(NAMESPACE, f"{self.name}-{number}"))
        seen = an_observation(a_leaf(leaf)) if leaf else an_observation(failure=ProbeFailure.CONNECTION_REFUSED)
        return a_view(pod, seen)

    def target(self, now: datetime) -> TargetAssessment:
        """Assess its run."""
        target = a_target(name=self.name, workload=self.workload, certificate=self.name)
        worker = target.workers[0]
        statuses = {self.workload: a_workload(self.workload), worker: a_workload(worker, replicas=self.current_workers)}
        return assess_target(
            target,
            certificate_found=self.found,
            workloads=statuses,
            record=RunRecord(record_key(target), self.run, self.finished),
            heartbeat_at=None if self.heartbeat is None else now - self.heartbeat,
            run_seen_at=now - self.awaited,
        )


def status(*scenes: Scene, now: datetime = NOW, watches: Mapping[Watch, WatchHealth] | None = None) -> Status:
    """Return the status of some targets."""
    return Status(
        now=now,
        ready=True,
        watches=seeing(now) if watches is None else watches,
        targets=tuple(scene.target(now) for scene in scenes),
        certificates=tuple(
            sorted((scene.assessment(now) for scene in scenes if scene.found), key=lambda each: each.key)
        ),
    )


def renamed(value: Any, fields: Collection[str], text: str) -> Any:
    """Return a value with `text` in every text field of these names, however deep it lies."""
    if isinstance(value, Mapping):
        return {renamed(key, fields, text): renamed(item, fields, text) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        found = value._asdict()
    elif isinstance(value, tuple):
        return tuple(renamed(item, fields, text) for item in value)
    else:
        return value
    changed = {
        name: text if name in fields and type(item) is str else renamed(item, fields, text)
        for name, item in found.items()
    }
    return type(value)(**changed)


def seeing(
    now: datetime = NOW, *, silent: timedelta = timedelta(seconds=5), failure: bool = False
) -> Mapping[Watch, WatchHealth]:
    """Return two watches that last heard something so long ago."""
    health = WatchHealth(synced=True, last_contact_at=now - silent)
    health.failure = ClusterErrorReason.UNREACHABLE if failure else None
    return {Watch(resource, NAMESPACE): health for resource in (CERTIFICATES, PODS)}


def running(now: datetime = NOW, **changes: Any) -> OpenRun:
    """Return a run that began half a minute ago."""
    begun = now - timedelta(seconds=30)
    return an_open_run(**{"begun_at": begun, "deadline_at": begun + timedelta(minutes=65), **changes})


def many(count: int) -> Iterable[Scene]:
    """Return this many targets: of a hundred, two are stale, one can't be told, one is overdue; the rest is settled."""
    for number in range(count):
        name = f"service-{number:04}"
        match number % 100:
            case 13 | 57:
                yield Scene(name, ("first", "second"))
            case 29:
                yield Scene(name, (None,))
            case 71:
                yield Scene(name, ("first",), revision=1)
            case _:
                yield Scene(name, ("second", "second"))


class Stage:
    """Serves the page of a status that may be exchanged while the page is looked at."""

    def __init__(self, shown: Status) -> None:
        self.shown = shown
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}/"

    def open(self) -> None:
        """Serve; again on the same port after it was closed."""
        self._server = Server(for_people(ServedPage(lambda: self.shown, time.monotonic)), WebConfigFile(None))
        _, self.port = self._server.start(HOST, self.port)

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()
            self._server = None


@contextmanager
def staged(shown: Status) -> Iterator[Stage]:
    """Serve a page until the block ends."""
    stage = Stage(shown)
    stage.open()
    try:
        yield stage
    finally:
        stage.close()
