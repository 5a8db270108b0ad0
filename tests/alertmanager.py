"""A real Alertmanager: in a cluster's network, or on this machine as a laptop reaches one.

Each has a loopback address of its own, so that the usual port is free whatever else runs there.
"""

import http.client
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench import needs, waiting
from tests.bench.cluster import Cluster

PORT = 9093
Labels = frozenset[tuple[str, str]]
"""What makes an alert that alert."""

QUIET = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
"""A configuration that tells nobody anything, and inhibits nothing."""


def loopback() -> str:
    """An address of the loopback that nobody else has."""
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 2}.{secrets.randbelow(250) + 2}"


def labels(name: str, severity: str, namespace: str) -> Labels:
    """An alert as the rules make them."""
    return frozenset({"alertname": name, "severity": severity, "namespace": namespace}.items())


@dataclass(frozen=True)
class MadeSilence:
    """A silence as Alertmanager has it."""

    id: str
    state: str
    ends: datetime
    by: str


@dataclass(frozen=True)
class Alertmanager:
    """One that runs."""

    process: subprocess.Popen[bytes]
    host: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{PORT}"

    def fire(self, *alerts: Labels) -> None:
        """Have alerts fire, as a Prometheus does."""
        self._ask("POST", "/api/v2/alerts", [{"labels": dict(each)} for each in alerts])
        waiting.until("the alerts to fire", lambda: {*alerts} <= {*self._alerts()}, 10)

    def silenced(self) -> set[Labels]:
        """The alerts that fire and nobody hears of, because of a silence."""
        return {each for each, alert in self._alerts().items() if alert["status"]["silencedBy"]}

    def silences(self) -> list[MadeSilence]:
        """All silences, those that have ended too."""
        return [
            MadeSilence(
                each["id"], each["status"]["state"], datetime.fromisoformat(each["endsAt"]), str(each["createdBy"])
            )
            for each in self._ask("GET", "/api/v2/silences")
        ]

    def kill(self) -> None:
        """End it; its address then refuses connections."""
        self.process.kill()
        self.process.wait()

    def _alerts(self) -> dict[Labels, dict[str, Any]]:
        return {frozenset(each["labels"].items()): each for each in self._ask("GET", "/api/v2/alerts")}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with closing(http.client.HTTPConnection(self.host, PORT, timeout=5)) as connection:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answered = response.read()
        assert response.status == 200, answered
        return json.loads(answered) if answered else None


@contextmanager
def running(
    folder: Path,
    configuration: Mapping[str, Any] | None = None,
    *,
    inside: Cluster | None = None,
    address: str | None = None,
) -> Iterator[Alertmanager]:
    """Run one until the block ends; it may not answer yet when the block begins.

    Args:
        folder: where its files go.
        configuration: who is told of what; by default nobody of anything.
        inside: the cluster in whose network it runs, else the machine's own.
        address: a loopback address that is free; by default a new one.
    """
    host = address or loopback()
    # JSON is YAML too.
    file = folder / "alertmanager.json"
    file.write_text(json.dumps(configuration or QUIET))
    argv = [
        *(str(needs.tool("prometheus-alertmanager")), "--config.file", str(file)),
        *("--storage.path", str(folder / "alertmanager")),
        *("--cluster.listen-address=", f"--web.listen-address={host}:{PORT}"),
    ]
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(inside.inside(argv) if inside else argv, stdout=log, stderr=subprocess.STDOUT)
    made = Alertmanager(process, host)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def on_the_machine(folder: Path) -> Iterator[Alertmanager]:
    """Run one on this machine until the block ends; it answers when the block begins."""
    folder.mkdir(exist_ok=True)
    with running(folder) as made:
        waiting.until("Alertmanager to answer", lambda: made.silences() == [], 30)
        yield made
