"""Trouble between the exporter and what it watches never turns settled into stale, nor stale into settled."""

import base64
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests import pki
from tests.bench import servers
from tests.bench.api import MERGE_PATCH
from tests.exporter_process import ExporterProcess
from tests.figures import Figures
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.pod_process import process_of

OUTAGE = 60.0
CLOSELY = 0.05
EXPECTED = {"fine": ("settled", 0.0), "behind": ("needs_restart", 1.0)}


def told(metrics: Metrics) -> dict[str, tuple[str | None, float | None]]:
    """State and needs_restart of each certificate that has a verdict."""
    found = {
        name: (
            metrics.state("certlag_renewal_window_state", certificate=name),
            metrics.value("certlag_needs_restart", certificate=name),
        )
        for name in EXPECTED
    }
    return {name: verdict for name, verdict in found.items() if verdict != (None, None)}


def one_fine_one_behind(ground: Ground) -> None:
    """Two servers: `fine` presents what was issued, `behind` does not."""
    for name in EXPECTED:
        ground.apply(servers.certificate(name), servers.deployment(name, [servers.go(name)]))
    ground.wait_available(*EXPECTED)
    ground.renew("behind")


TARGETS = [a_target(name) for name in EXPECTED]


def watch_closely(exporter: ExporterProcess, seconds: float) -> Iterator[Metrics]:
    """Scrape every 50 ms for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield exporter.metrics()
        time.sleep(CLOSELY)


@pytest.mark.fault("F2")
@pytest.mark.cluster
@pytest.mark.serial
def test_an_api_server_killed_for_a_minute_changes_no_verdict_and_the_watches_tell(
    ground: Ground, figures: Figures
) -> None:
    one_fine_one_behind(ground)
    with ground.watched(TARGETS) as exporter:
        exporter.wait("both verdicts", lambda seen: told(seen) == EXPECTED)
        ground.cluster.kill("kube-apiserver")
        try:
            scrapes = [(told(metrics), metrics) for metrics in watch_closely(exporter, OUTAGE)]
        finally:
            ground.cluster.start("kube-apiserver")
        back_at, back_on = time.monotonic(), time.time()
        assert all(verdicts == EXPECTED for verdicts, _ in scrapes)
        last = scrapes[-1][1]
        contact = last.value("certlag_watch_last_contact_timestamp_seconds", resource="pods")
        assert contact is not None
        assert time.time() - contact > OUTAGE * 0.9
        assert last.value("certlag_watch_errors_total", resource="pods", reason="unreachable")
        assert exporter.get("/livez")[0] == 200
        ground.cluster.wait(ground.path("certificates", "fine"), lambda _seen: True)
        # Their own watches take a minute or more to come back; they are not what is tested, here or in what follows.
        for controller in ("cert-manager", "kube-controller-manager"):
            ground.cluster.kill(controller)
            ground.cluster.start(controller)
        ground.renew("fine")
        both = dict.fromkeys(EXPECTED, EXPECTED["behind"])
        exporter.wait("the renewal after the outage", lambda seen: told(seen) == both, 90)
        figures(f"API server back → next renewal seen: {time.monotonic() - back_at:.1f} s (backoff is at most 30 s)")
        figures(f"scrapes during the outage: {len(scrapes)}, wrong: 0")
        # Where nothing changes, the next contact is the bookmark of the minute.
        exporter.wait("all watches to be in contact", lambda seen: earliest_contact(seen) > back_on, 120)


def earliest_contact(metrics: Metrics) -> float:
    """When the watch that was silent for longest last heard from the API server."""
    return min(sample.value for sample in metrics.all("certlag_watch_last_contact_timestamp_seconds"))


@pytest.mark.cluster
def test_a_restart_of_the_exporter_shows_the_right_verdict_or_none(ground: Ground, figures: Figures) -> None:
    one_fine_one_behind(ground)
    scrapes = 0
    for _ in range(3):
        with ground.watched(TARGETS, ready=False) as exporter:
            for metrics in watch_closely(exporter, 2):
                scrapes += 1
                verdicts = told(metrics)
                assert verdicts.items() <= EXPECTED.items(), verdicts
            exporter.wait_ready()
            assert told(exporter.metrics()) == EXPECTED
            exporter.process.kill()
            exporter.process.wait()
    figures(f"scrapes while starting: {scrapes}, wrong: 0")


@pytest.mark.cluster
def test_a_server_that_no_longer_answers_keeps_its_verdict(ground: Ground) -> None:
    one_fine_one_behind(ground)
    with ground.watched(TARGETS, options=["--probe-interval", "1"]) as exporter:
        exporter.wait("both verdicts", lambda seen: told(seen) == EXPECTED)
        with frozen(ground, *EXPECTED):
            exporter.wait("the probes to fail", lambda seen: probes(seen) == {0.0}, 60)
            assert all(told(metrics) == EXPECTED for metrics in watch_closely(exporter, 4))
            seen_last = exporter.metrics().value("certlag_probe_last_success_timestamp_seconds", certificate="fine")
            assert seen_last is not None
        metrics = exporter.wait("the probes to succeed again", lambda seen: probes(seen) == {1.0}, 60)
        assert told(metrics) == EXPECTED


def probes(metrics: Metrics) -> set[float]:
    """The successes and failures of all last probes."""
    return {sample.value for sample in metrics.all("certlag_probe_success")}


@contextmanager
def frozen(ground: Ground, *names: str) -> Iterator[None]:
    """Stop the processes of these servers: the kernel still takes their connections, and nobody answers."""
    pids = [process_of(pod, "tlsserve") for name in names for pod in ground.pods(name)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.fault("F30")
@pytest.mark.cluster
@pytest.mark.serial
def test_a_secret_written_before_the_revision_makes_nothing_stale(ground: Ground, figures: Figures) -> None:
    """cert-manager's order of writes, played slowly by hand: each step is looked at every 50 ms."""
    ground.apply(servers.certificate("fine"), servers.deployment("fine", [servers.go("fine")]))
    ground.wait_available("fine")
    with ground.watched([a_target("fine")]) as exporter:
        exporter.wait("the verdict", lambda seen: told(seen) == {"fine": EXPECTED["fine"]})
        ground.cluster.kill("cert-manager")
        scrapes = 0
        for _ in _renew_by_hand(ground, "fine"):
            for metrics in watch_closely(exporter, 1.5):
                scrapes += 1
                assert told(metrics) == {"fine": EXPECTED["fine"]}
        exporter.wait("it to be stale", lambda seen: told(seen) == {"fine": EXPECTED["behind"]})
        figures(f"scrapes between the writes: {scrapes}, wrong: 0")


def _renew_by_hand(ground: Ground, name: str) -> Iterator[str]:
    """Write what cert-manager writes at a renewal, in its order; stop after each step but the last."""
    root = pki.authority("root")
    begins = datetime.now(UTC).replace(microsecond=0)
    leaf = root.leaf(name, not_before=begins, not_after=begins + timedelta(days=90))
    certificate = ground.cluster.api("GET", ground.path("certificates", name))
    (old,) = (
        request["metadata"]["name"]
        for request in ground.cluster.api("GET", ground.path("certificaterequests"))["items"]
        if request["metadata"]["annotations"]["cert-manager.io/certificate-name"] == name
    )
    request = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {
            "name": f"{name}-by-hand",
            "annotations": {
                "cert-manager.io/certificate-name": name,
                "cert-manager.io/certificate-revision": str(certificate["status"]["revision"] + 1),
            },
            "ownerReferences": [
                {
                    "apiVersion": "cert-manager.io/v1",
                    "kind": "Certificate",
                    "name": name,
                    "uid": certificate["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {"request": _base64(b"request"), "issuerRef": {"name": servers.ISSUER}},
    }
    made = ground.cluster.api("POST", ground.path("certificaterequests"), request)
    yield "requested"
    ready = {"type": "Ready", "status": "True", "reason": "Issued", "lastTransitionTime": _instant(begins)}
    made["status"] = {"certificate": _base64(leaf.chain_pem), "ca": _base64(root.pem), "conditions": [ready]}
    ground.cluster.api("PUT", f"{ground.path('certificaterequests', made['metadata']['name'])}/status", made)
    yield "signed"
    ground.cluster.api("DELETE", ground.path("certificaterequests", old))
    yield "the old request deleted"
    data = {"tls.crt": _base64(leaf.chain_pem), "tls.key": _base64(leaf.key_pem)}
    ground.cluster.api("PATCH", ground.path("secrets", name), {"data": data}, MERGE_PATCH)
    yield "the Secret written"
    ends = begins + timedelta(days=90)
    dates = {"notBefore": begins, "notAfter": ends, "renewalTime": ends - timedelta(days=30)}
    _patch_status(ground, name, {key: _instant(at) for key, at in dates.items()})
    yield "the dates written"
    _patch_status(ground, name, {"revision": certificate["status"]["revision"] + 1})


def _patch_status(ground: Ground, name: str, status: dict[str, object]) -> None:
    ground.cluster.api("PATCH", f"{ground.path('certificates', name)}/status", {"status": status}, MERGE_PATCH)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
