"""The exporter without sockets: API documents and handshakes in, exposition and status out.

Everything between is the real thing: documents are decoded from JSON as the API sends it, folded, assessed, rendered.
Only the transport is left out: no API server is asked, and a handshake's outcome is what the test says the server at
that address and port presents.
"""

import json
import random
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from certlag.config.schema import parse
from certlag.errors import ClusterErrorReason
from certlag.kube.reflector import Change, Changed, Listed, Removed, WatchHealth
from certlag.kube.resources import (
    ALL_NAMESPACES,
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    LEASES,
    PODS,
    REPLICA_SETS,
    RUN_RECORDS,
    WORKLOADS,
    Resource,
    Watch,
    watches,
)
from certlag.model import Endpoint, ObjectKey, Presented, Probe, ProbeError, ProbeFailure
from certlag.x509.certificates import read_chain
from exporter.reconciler import Reconciler
from exporter.snapshot import Snapshot
from exporter.status_page.render import Renderer
from tests.fake_clock import FakeClock
from tests.metrics import Metrics
from tests.pki import Issued

NAMESPACE = "shop"
DISCOVER = "discovery: {namespaces: ['*'], probe: declared-ports}"
"""A configuration without a target."""
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)

Outcome = Issued | ProbeFailure | Presented | ProbeError
"""What a server presents, or why a handshake with it fails, or what came of a real handshake."""
Server = Outcome | Callable[[Endpoint], Outcome]
"""The same for each handshake, or decided by each (by its server name, say, or in turn)."""

_RESOURCES: Mapping[str, Resource] = {
    "Certificate": CERTIFICATES,
    "CertificateRequest": CERTIFICATE_REQUESTS,
    "Pod": PODS,
    "ReplicaSet": REPLICA_SETS,
    "ConfigMap": RUN_RECORDS,
    "Lease": LEASES,
    "Deployment": WORKLOADS["deployment"],
    "StatefulSet": WORKLOADS["statefulset"],
    "DaemonSet": WORKLOADS["daemonset"],
}
_MOST_ROUNDS = 500


class Exporter:
    """One exporter; a restart of it is a new one."""

    def __init__(self, configuration: str = DISCOVER, *, now: datetime = NOW, interval: float = 300.0) -> None:
        self.clock = FakeClock(now)
        self._configuration = parse(configuration, source="test", default_namespace=NAMESPACE)
        self._watches = watches(self._configuration)
        self.health = {watch: WatchHealth() for watch in self._watches}
        self._snapshot = Snapshot(self.clock, version="0", revision="test")
        self._reconciler = Reconciler(
            self._configuration,
            self._snapshot,
            self.clock,
            self.health,
            interval=interval,
            jitter=random.Random(1),  # noqa: S311 - spreads probes
        )
        self._servers: dict[tuple[str, int], Server] = {}
        self.probed: list[Endpoint] = []

    # --- in -------------------------------------------------------------------------------------------

    def serve(self, address: str, port: int, server: Server) -> None:
        """Say what answers at a pod's address and port; where nothing was said, connections are refused."""
        self._servers[address, port] = server

    def listed(self, *documents: str, forbidden: Container[str] = ()) -> None:
        """Have every watch hand over its complete list, of what these YAML documents hold.

        A watch of one object that is `forbidden` (`deployments/worker`) is refused by the API server.
        """
        objects = list(_objects(documents))
        changes: list[Change] = []
        for watch in self._watches:
            if f"{watch.resource.name}/{watch.name}" in forbidden:
                self.health[watch].errors[ClusterErrorReason.FORBIDDEN] += 1
                continue
            mine = [item for item in objects if _in_scope(item, watch)]
            changes.append(Listed(watch, tuple(filter(None, (_decoded(item) for item in mine))), frozenset()))
            self.health[watch].synced = True
        self.bookmark()
        self._run(changes)

    def bookmark(self) -> None:
        """Have the API server tell every watch that it is up to date, as it does once a minute."""
        for health in self.health.values():
            if health.synced:
                health.last_contact_at = self.clock.now()

    def changed(self, *documents: str) -> None:
        """Have the watches report that these objects were created or modified."""
        self._run(
            Changed(watch, item)
            for document in _objects(documents)
            for watch in self._watches
            if _in_scope(document, watch) and (item := _decoded(document)) is not None
        )

    def removed(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """Have the watches report that an object was deleted."""
        document = {"kind": kind, "metadata": {"name": name, "namespace": namespace}}
        key = ObjectKey(namespace, name)
        self._run(Removed(watch, key) for watch in self._watches if _in_scope(document, watch))

    def wait(self, seconds: float) -> None:
        """Let time pass, with each probe that falls due in it."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while (left := (end - self.clock.now()).total_seconds()) > 0:
            self.clock.advance(min(left, max(self._reconciler.due_in, 0.001)))
            self._run(())

    # --- out ------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The exposition as a scrape gets it."""
        return b"".join(self._snapshot.scrape(gzip=False)).decode()

    def scrape(self) -> Metrics:
        """The exposition, parsed."""
        return Metrics.parse(self.text())

    def status(self) -> dict[str, Any]:
        """The status document (`/api/v1/status`)."""
        document: dict[str, Any] = json.loads(self._snapshot.status_json())
        return document

    def page(self) -> str:
        """The status page as HTML."""
        return Renderer().page(self._snapshot.status())

    # --- between --------------------------------------------------------------------------------------

    def _run(self, messages: Iterable[Change | Probe]) -> None:
        """Take rounds until nothing is due at this instant."""
        due = self._reconciler.round(messages)
        for _ in range(_MOST_ROUNDS):
            if not due:
                return
            due = self._reconciler.round([self._shake_hands(endpoint) for endpoint in due])
        raise AssertionError("the exporter does not come to rest")

    def _shake_hands(self, endpoint: Endpoint) -> Probe:
        self.probed.append(endpoint)
        server = self._servers.get((endpoint.address, endpoint.port), ProbeFailure.CONNECTION_REFUSED)
        outcome = server(endpoint) if callable(server) else server
        shown: Presented | ProbeError
        match outcome:
            case Issued():
                shown = Presented(read_chain(outcome.chain))
            case ProbeFailure():
                shown = ProbeError(outcome, "as the test says")
            case _:
                shown = outcome
        return Probe(endpoint, shown, self.clock.now(), timedelta(milliseconds=2))


def _objects(documents: Iterable[str]) -> Iterable[dict[str, Any]]:
    for text in documents:
        yield from filter(None, yaml.safe_load_all(text))


def _in_scope(document: Mapping[str, Any], watch: Watch) -> bool:
    metadata = document["metadata"]
    return (
        _RESOURCES[document["kind"]] == watch.resource
        and watch.namespace in (ALL_NAMESPACES, metadata.get("namespace"))
        and watch.name in (None, metadata["name"])
    )


def _decoded(document: Mapping[str, Any]) -> Any:
    """Read an object from JSON as the API would send it."""
    text = json.dumps(document, default=lambda at: at.isoformat().replace("+00:00", "Z"))
    return _RESOURCES[document["kind"]].decode(text.encode())
