"""The straight line, on real parts: a certificate is renewed, the daemon keeps the old one, somebody restarts it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from tests.bench import accounts, waiting
from tests.bench.cluster import Object
from tests.bench.opschain import BUILD_SERVICE, PORT, Opschain
from tests.exporter_process import ExporterProcess, running
from tests.figures import Figures, distribution
from tests.metrics import Metrics

RENEWALS = 10
SEEN_STALE_WITHIN = 1.0
SEEN_CURRENT_WITHIN = 2.0
CLOSELY = 0.005
USE = {"target": "build-service", "certificate": BUILD_SERVICE}


@pytest.mark.cluster
def test_a_renewed_certificate_is_seen_as_not_loaded_until_the_daemon_restarts(
    opschain: Opschain, tmp_path: Path, figures: Figures
) -> None:
    cluster, namespace = opschain.cluster, opschain.namespace
    kubeconfig = accounts.exporter_kubeconfig(cluster, namespace, tmp_path)
    until_stale, until_current = [], []
    with running(cluster, kubeconfig, tmp_path) as exporter:
        exporter.wait_ready()
        assert_settled(exporter.metrics(), opschain)
        for _ in range(RENEWALS):
            loaded = opschain.issued()
            until_stale.append(_delay(exporter, lambda: _renew(opschain), needs_restart=1))
            metrics = exporter.metrics()
            assert metrics.state("certlag_renewal_window_state", **USE) == "restart_due"
            deadline = metrics.value("certlag_restart_deadline_timestamp_seconds", **USE)
            assert deadline == loaded.not_valid_after_utc.timestamp()
            assert metrics.value("certlag_loaded_not_after_timestamp_seconds", **USE) == deadline
            assert metrics.value("certlag_certificate_not_after_timestamp_seconds", certificate=BUILD_SERVICE) == (
                opschain.issued().not_valid_after_utc.timestamp()
            )
            until_current.append(_delay(exporter, lambda: _restart(opschain), needs_restart=0))
            assert_settled(exporter.metrics(), opschain)
    figures(distribution("revision changed → needs_restart 1", until_stale))
    figures(distribution("new pod Ready, old one terminating → needs_restart 0", until_current))
    assert max(until_stale) < SEEN_STALE_WITHIN
    assert max(until_current) < SEEN_CURRENT_WITHIN
    asked = cluster.audit_events(accounts.user(namespace))
    assert {event["objectRef"]["resource"] for event in asked} == {
        *("certificates", "certificaterequests", "pods", "replicasets", "deployments", "configmaps", "leases")
    }
    assert {event["verb"] for event in asked} == {"list", "watch"}
    assert {event["responseStatus"]["code"] for event in asked if "responseStatus" in event} == {200}


def assert_settled(metrics: Metrics, opschain: Opschain) -> None:
    """All that the exporter says of a build service that presents what was issued."""
    issued, place = opschain.issued(), {**USE, "container": "buildkitd", "port": str(PORT)}
    fingerprint, serial = issued.fingerprint(hashes.SHA256()).hex(), f"{issued.serial_number:x}"
    assert metrics.state("certlag_renewal_window_state", **USE) == "settled"
    assert metrics.value("certlag_needs_restart", **USE) == 0
    assert metrics.value("certlag_restart_deadline_timestamp_seconds", **USE) is None
    assert metrics.value("certlag_restart_window_seconds", **USE) == 30 * 24 * 3600
    assert metrics.value("certlag_pods", **USE, state="current") == 1
    assert metrics.value("certlag_probe_success", **place) == 1
    (info,) = metrics.all("certlag_certificate_info", certificate=BUILD_SERVICE)
    assert (info.labels["fingerprint_sha256"], info.labels["serial_number"].lstrip("0")) == (fingerprint, serial)
    assert info.labels["issued_evidence"] == "certificate_request"
    (loaded,) = metrics.all("certlag_loaded_info", **place)
    assert (loaded.labels["fingerprint_sha256"], loaded.labels["evidence"]) == (fingerprint, "handshake")
    renewal = metrics.value("certlag_certificate_renewal_timestamp_seconds", certificate=BUILD_SERVICE)
    assert renewal == pytest.approx(issued.not_valid_after_utc.timestamp() - 30 * 24 * 3600, abs=1)
    assert metrics.value("certlag_target_found", target="build-service") == 1


def _renew(opschain: Opschain) -> float:
    """Renew; return when the API server announced the new revision."""
    before = opschain.cluster.ask_renewal(opschain.namespace, BUILD_SERVICE)

    def announced(seen: Object) -> bool:
        revision: int = seen["status"]["revision"]
        return revision > before

    opschain.cluster.wait(opschain.path("certificates", BUILD_SERVICE), announced)
    return time.monotonic()


def _restart(opschain: Opschain) -> float:
    """Restart the daemon; return when the new pod was Ready and the old one terminating."""
    old = {pod["metadata"]["uid"] for pod in opschain.pods(BUILD_SERVICE)}
    opschain.cluster.kubectl("rollout", "restart", f"deployment/{BUILD_SERVICE}", namespace=opschain.namespace)

    def replaced() -> bool:
        serving = [pod for pod in opschain.pods(BUILD_SERVICE) if "deletionTimestamp" not in pod["metadata"]]
        return len(serving) == 1 and serving[0]["metadata"]["uid"] not in old and _ready(serving[0])

    waiting.until("the new pod to be Ready and the old one terminating", replaced, interval=CLOSELY)
    return time.monotonic()


def _ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def _delay(exporter: ExporterProcess, change: Callable[[], float], *, needs_restart: float) -> float:
    """Make a change, and return the seconds from when it was announced until a scrape told of it."""

    def told() -> bool:
        return exporter.metrics().value("certlag_needs_restart", **USE) == needs_restart

    def scrape() -> float:
        waiting.until(f"needs_restart to be {needs_restart}", told, interval=CLOSELY)
        return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        scraping = pool.submit(scrape)
        announced = change()
    # A scrape may be ahead of the test's own watch.
    return max(0.0, scraping.result() - announced)
