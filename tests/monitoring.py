"""A real Prometheus and Alertmanager in a cluster's network, with short intervals, and a webhook that they page.

All three share a loopback address of their own.
"""

import http.client
import json
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from alerts import rule_text
from alerts.settings import Value
from tests import alertmanager
from tests.bench import needs, waiting
from tests.bench.cluster import Cluster
from tests.helm_release import PORT, Release
from tests.rendered_chart import render

SCRAPE, EVALUATION, GROUP_WAIT, GROUP_INTERVAL = 0.5, 0.5, 0.2, 0.3
"""Seconds."""
HOLD = 1.0
"""The `for` of every alert here, in seconds."""
QUICK: Mapping[str, Value] = {path: "1s" for path in rule_text.SETTINGS if path.endswith(".for")}
EVERY_STALE_ONE_IS_URGENT: Mapping[str, Value] = {
    f"restartDeadlineNear.{tier}.{limit}": value
    for tier in ("warning", "critical")
    for limit, value in (("windowFraction", 10), ("maximumDays", 1000))
}
"""Settings by which the deadline is near, in both tiers, as soon as it is known."""


Discover = Callable[[], list[dict[str, Any]]]
"""What Prometheus' HTTP service discovery asks for: groups of targets, with the labels that they get."""


@dataclass(frozen=True)
class Delivery:
    """One alert as the webhook received it; `at` is on the monotonic clock."""

    at: float
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels["alertname"]


@dataclass
class Pager:
    """What was delivered so far."""

    deliveries: list[Delivery] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, document: Mapping[str, Any]) -> None:
        """Take what Alertmanager posts."""
        at = time.monotonic()
        with self._changed:
            self.deliveries += [
                Delivery(at, alert["status"], alert["labels"], alert["annotations"]) for alert in document["alerts"]
            ]
            self._changed.notify_all()

    def wait(self, name: str, status: str, /, *, after: float = 0.0, seconds: float = 60, **labels: str) -> Delivery:
        """Wait for an alert with these labels to be delivered in a status, at or after a moment."""

        def delivered() -> Delivery | None:
            wanted = {"alertname": name, **labels}.items()
            matching = (each for each in self.deliveries if each.at >= after and wanted <= each.labels.items())
            return next((each for each in matching if each.status == status), None)

        with self._changed:
            if not self._changed.wait_for(delivered, seconds):
                seen = [(each.name, each.status, each.labels.get("severity")) for each in self.deliveries]
                raise waiting.TooLateError(f"waited {seconds:g} s for {name} to be delivered as {status}; {seen}")
            found = delivered()
            assert found is not None
            return found

    def status(self, name: str, /, **labels: str) -> str | None:
        """The last status in which such an alert was delivered."""
        wanted = {"alertname": name, **labels}.items()
        matching = [each.status for each in self.deliveries if wanted <= each.labels.items()]
        return matching[-1] if matching else None


@dataclass(frozen=True)
class Monitoring:
    """A running Prometheus, and whom it pages."""

    cluster: Cluster
    address: str
    pager: Pager

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression gives now; fails where Prometheus refuses it."""
        data = self._ask("query", query=expression)
        assert data["resultType"] in ("vector", "scalar"), data
        result: list[dict[str, Any]] = data["result"]
        return result

    def values(self, expression: str) -> list[float]:
        """The values of that vector, in order."""
        return sorted(float(each["value"][1]) for each in self.query(expression))

    def firing(self) -> set[tuple[str, str]]:
        """Name and severity of the alerts that fire now."""
        vector = self.query('ALERTS{alertstate="firing"}')
        return {(each["metric"]["alertname"], each["metric"]["severity"]) for each in vector}

    def was_pending(self, name: str) -> bool:
        """Whether such an alert was ever pending."""
        return bool(self.query(f'max_over_time(ALERTS{{alertname="{name}", alertstate="pending"}}[1h])'))

    def wait(self, what: str, reached: Callable[[], object], seconds: float = 60) -> None:
        """Wait until Prometheus says something."""
        waiting.until(what, reached, seconds, interval=0.1)

    def scraped(self, exporters: int) -> bool:
        """Whether the last scrape of so many exporters succeeded; `LookupError` says what is known of each."""
        seen = self.query("up")
        if [each["value"][1] for each in seen] != ["1"] * exporters:
            targets = self._ask("targets")["activeTargets"]
            raise LookupError(f"{seen}; {[(each['scrapeUrl'], each['lastError']) for each in targets]}")
        return True

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.address, 9090)
        connection.sock = self.cluster.connect(self.address, 9090)
        try:
            connection.request("GET", f"/api/v1/{what}?{urllib.parse.urlencode(parameters)}")
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status == 503:
            raise ConnectionError("Prometheus is still starting")
        answer = json.loads(body)
        assert answer["status"] == "success", (parameters, answer)
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def monitoring(
    cluster: Cluster,
    folder: Path,
    exporter: str,
    values: Mapping[str, Value] | None = None,
    *,
    others: Sequence[str] = (),
) -> Iterator[Monitoring]:
    """Run Prometheus and Alertmanager on an exporter's address until the block ends.

    Args:
        cluster: in whose network they run.
        folder: where their files go.
        exporter: host and port to scrape.
        values: settings of the rules, besides a `for` of a second.
        others: hosts and ports of further exporters.
    """
    exporters = [exporter, *others]
    groups = [{"targets": exporters}]
    scrape = {"job_name": "certlag-exporter", "honor_labels": True, "static_configs": groups}
    rules = rule_text.rules_file({**QUICK, **(values or {})})
    with running(cluster, folder, rules, scrape, lambda: groups) as made:
        yield made


@contextmanager
def monitoring_of(
    release: Release,
    folder: Path,
    values: Path,
    *,
    honor_labels: bool = True,
    labels: Mapping[str, str] | None = None,
    others: Discover = list,
) -> Iterator[Monitoring]:
    """Run them as prometheus-operator would for a release: its monitor and its rules, with a `for` of a second.

    Args:
        release: what is scraped.
        folder: where their files go.
        values: the release's values.
        honor_labels: whether the server does what the monitor asks for in this.
        labels: what the server attaches besides.
        others: what else is scraped.
    """
    options = ("--set=serviceMonitor.enabled=true", "--set=rules.enabled=true")
    rendering = render(*options, values=values, namespace=release.namespace, release=release.name)
    rules = rendering.only("PrometheusRule")["spec"]
    for rule in rules["groups"][0]["rules"]:
        if "for" in rule:
            rule["for"] = f"{HOLD:g}s"
    (endpoint,) = rendering.only("ServiceMonitor")["spec"]["endpoints"]
    (job,) = (each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job")

    def discover() -> list[dict[str, Any]]:
        """Every pod, Ready or not, as prometheus-operator has it; Debian's Prometheus cannot ask Kubernetes itself."""
        found = ((pod["metadata"]["name"], pod["status"].get("podIP")) for pod in release.pods())
        attached = {"namespace": release.namespace, "service": release.exporter, "container": "exporter"}
        attached |= labels or {}
        own = [{"targets": [f"{ip}:{PORT}"], "labels": {**attached, "pod": name}} for name, ip in found if ip]
        return own + others()

    scrape = {"job_name": job, "honor_labels": endpoint["honorLabels"] and honor_labels}
    with running(release.cluster, folder, json.dumps(rules), scrape, discover) as made:
        yield made


@contextmanager
def running(
    cluster: Cluster, folder: Path, rule_file: str, scrape: Mapping[str, Any], discover: Discover
) -> Iterator[Monitoring]:
    """Run Prometheus and Alertmanager until the block ends.

    Args:
        cluster: in whose network they run.
        folder: where their files go.
        rule_file: the text of the rules.
        scrape: how exporters are scraped, as Prometheus' `scrape_config` has it; without `static_configs` it asks
            `discover` again and again.
        discover: which exporters there are.
    """
    address = alertmanager.loopback()
    pager = Pager()
    rules = folder / "rules.yaml"
    rules.write_text(rule_file)
    # JSON is YAML too.
    file = folder / "prometheus.json"
    file.write_text(json.dumps(_prometheus(address, rules, scrape)))
    argv = [
        *(str(needs.tool("prometheus")), "--config.file", str(file)),
        *("--storage.tsdb.path", str(folder / "prometheus"), f"--web.listen-address={address}:9090"),
    ]
    with (
        _webhook(cluster, address, pager, discover),
        alertmanager.running(folder, _routes(address), inside=cluster, address=address),
        (folder / "prometheus.log").open("wb") as log,
    ):
        process = subprocess.Popen(cluster.inside(argv), stdout=log, stderr=subprocess.STDOUT)
        try:
            made = Monitoring(cluster, address, pager)
            made.wait("Prometheus to have scraped each exporter", lambda: made.scraped(_count(discover())), 180)
            yield made
        finally:
            process.kill()
            process.wait()


def _count(groups: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(group["targets"]) for group in groups)


def _prometheus(address: str, rules: Path, scrape: Mapping[str, Any]) -> dict[str, Any]:
    interval = f"{SCRAPE * 1000:g}ms"
    # Prometheus waits for an answer no longer than this interval (discovery/http): half a second is short here.
    asked = {"url": f"http://{address}:9999/", "refresh_interval": "2s"}
    found = {} if "static_configs" in scrape else {"http_sd_configs": [asked]}
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": f"{EVALUATION * 1000:g}ms"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{address}:{alertmanager.PORT}"]}]}]},
        "scrape_configs": [{**scrape, **found}],
    }


def _routes(address: str) -> dict[str, Any]:
    """The route by namespace and the inhibition are those that kube-prometheus-stack comes with."""
    return {
        "route": {
            "receiver": "pager",
            "group_by": ["namespace"],
            "group_wait": f"{GROUP_WAIT * 1000:g}ms",
            "group_interval": f"{GROUP_INTERVAL * 1000:g}ms",
        },
        "inhibit_rules": [
            {
                "source_matchers": ["severity = critical"],
                "target_matchers": ["severity =~ warning|info"],
                "equal": ["namespace", "alertname"],
            }
        ],
        "receivers": [
            {"name": "pager", "webhook_configs": [{"url": f"http://{address}:9999/", "send_resolved": True}]}
        ],
    }


@contextmanager
def copied(cluster: Cluster, text: str) -> Iterator[str]:
    """Serve one exposition again and again until the block ends; returns host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, "text/plain; version=0.0.4", text.encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    address = alertmanager.loopback()
    with _served(cluster, address, PORT, Handler):
        yield f"{address}:{PORT}"


@contextmanager
def _webhook(cluster: Cluster, address: str, pager: Pager, discover: Discover) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, "application/json", json.dumps(discover()).encode())

        def do_POST(self) -> None:
            pager.receive(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with _served(cluster, address, 9999, Handler):
        yield


def _answer(request: BaseHTTPRequestHandler, content_type: str, body: bytes) -> None:
    request.send_response(200)
    request.send_header("content-type", content_type)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def _served(cluster: Cluster, address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    with cluster.entered():
        # No HTTPServer: it asks for its address's name, and waits six seconds for a resolver that is not there.
        server = ThreadingTCPServer((address, port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
