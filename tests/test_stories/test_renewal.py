"""The straight line, on real parts: a certificate is renewed, the daemon keeps the old one, somebody restarts it."""

import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import hashes

from tests.bench import accounts, needs
from tests.bench.opschain import BUILD_SERVICE, PORT, Opschain
from tests.exporter_process import running
from tests.figures import Figures, distribution
from tests.metrics import Metrics
from tests.test_stories.ground import Ground
from tests.test_stories.latency import delay, ready

SEEN_STALE_WITHIN = 1.0
SEEN_CURRENT_WITHIN = 2.0
USE = {"target": "build-service", "certificate": BUILD_SERVICE}


@pytest.mark.cluster
@pytest.mark.serial
@pytest.mark.parametrize("renewals", [10, pytest.param(60, marks=pytest.mark.proof)])
def test_a_renewed_certificate_is_seen_as_not_loaded_until_the_daemon_restarts(
    renewals: int, opschain: Opschain, tmp_path: Path, figures: Figures
) -> None:
    cluster, namespace = opschain.cluster, opschain.namespace
    ground = Ground(cluster, namespace, tmp_path)
    ground.wait_issued(BUILD_SERVICE)
    kubeconfig = accounts.exporter_kubeconfig(cluster, namespace, tmp_path)
    until_stale, until_current = [], []
    with running(cluster, kubeconfig, tmp_path) as exporter:
        exporter.wait_ready()
        metrics = exporter.wait("its target to be judged", lambda seen: seen.value("certlag_target_found") is not None)
        assert_settled(metrics, opschain)
        assert_accepted_by_promtool(exporter.get("/metrics")[2])
        for _ in range(renewals):
            loaded = opschain.issued()
            until_stale.append(delay(exporter, lambda: ground.announced_renewal(BUILD_SERVICE), needs_restart))
            metrics = exporter.metrics()
            assert metrics.state("certlag_renewal_window_state", **USE) == "needs_restart"
            deadline = metrics.value("certlag_restart_deadline_timestamp_seconds", **USE)
            assert deadline == loaded.not_valid_after_utc.timestamp()
            assert metrics.value("certlag_loaded_not_after_timestamp_seconds", **USE) == deadline
            assert metrics.value("certlag_certificate_not_after_timestamp_seconds", certificate=BUILD_SERVICE) == (
                opschain.issued().not_valid_after_utc.timestamp()
            )
            until_current.append(delay(exporter, lambda: restart(ground), needs_no_restart))
            assert_settled(exporter.metrics(), opschain)
    figures(distribution("revision changed → needs_restart 1", until_stale))
    figures(distribution("new pod Ready, old one terminating → needs_restart 0", until_current))
    assert max(until_stale) < SEEN_STALE_WITHIN
    assert max(until_current) < SEEN_CURRENT_WITHIN
    assert_used_exactly_its_rights(cluster.audit_events(accounts.user(namespace)))


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
    assert metrics.state("certlag_runbook_state", target="build-service") == "idle"
    assert metrics.value("certlag_restart_budget_seconds", target="build-service") == 65 * 60


def assert_accepted_by_promtool(exposition: bytes) -> None:
    """Prometheus' own linter reads the text and finds nothing."""
    linted = subprocess.run(
        (needs.tool("promtool"), "check", "metrics"), input=exposition, capture_output=True, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


def assert_used_exactly_its_rights(asked: list[dict[str, dict[str, object]]]) -> None:
    """The audit log: no request was refused, none read a Secret, and every right in the Role was used."""
    assert {event["responseStatus"]["code"] for event in asked if "responseStatus" in event} == {200}
    used = {(event["objectRef"]["resource"], event["objectRef"].get("name"), event["verb"]) for event in asked}
    documents = yaml.safe_load_all(accounts.EXPORTER_RIGHTS.read_text())
    (role,) = (each for each in documents if each["kind"] == "Role")
    granted = {
        (resource, name, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [None])
        for verb in rule["verbs"]
    }
    assert used == granted
    assert "secrets" not in {resource for resource, _, _ in used}


def needs_restart(metrics: Metrics) -> bool:
    return metrics.value("certlag_needs_restart", **USE) == 1


def needs_no_restart(metrics: Metrics) -> bool:
    return metrics.value("certlag_needs_restart", **USE) == 0


def restart(ground: Ground) -> float:
    """Restart the daemon; return when the new pod was Ready and the old one terminating."""
    before = {pod["metadata"]["uid"] for pod in ground.pods(BUILD_SERVICE)}
    ground.cluster.kubectl("rollout", "restart", f"deployment/{BUILD_SERVICE}", namespace=ground.namespace)
    return ready(ground, BUILD_SERVICE, before)
