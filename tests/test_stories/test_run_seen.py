"""A run of the runbook as the exporter sees it; here the test writes what the runbook will write."""

import json
import time
from typing import Any

import pytest

from tests.bench import servers
from tests.bench.api import MERGE_PATCH
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target

RECORD = "certlag-run-one"
LEASE = "certlag-deployment-one"
RUN = {
    "id": "run-1",
    "epoch": 1,
    "step": "scaled_down",
    "begun": "2026-11-24T04:00:00Z",
    "deadline": "2026-11-24T05:05:00Z",
    "workers": {"deployment/worker": 3},
}


@pytest.mark.cluster
def test_a_run_is_seen_from_its_begin_to_its_end(ground: Ground) -> None:
    worker = servers.Server(("/bin/sh", "-c", "exec sleep 1000000"), (), (), name="worker")
    ground.apply(
        servers.certificate("one"),
        servers.deployment("one", [servers.go("one")]),
        servers.deployment("worker", [worker], replicas=0),
    )
    ground.wait_available("one")
    target = a_target("one", workers=["deployment/worker"], drainTimeout="1h", restartTimeout="5m")
    with ground.watched([target]) as exporter:
        metrics = exporter.wait("it to be idle", lambda seen: state(seen) == "idle")
        assert metrics.value("certlag_restart_budget_seconds") == 65 * 60
        assert metrics.value("certlag_runbook_started_timestamp_seconds") is None
        assert metrics.value("certlag_workers_expected_replicas") is None

        write_record(ground, {"schema": 1, "run": RUN, "finished": []})
        touch_lease(ground, "2026-11-24T04:00:00.000000Z")
        metrics = exporter.wait("it to drain", lambda seen: state(seen) == "draining")
        assert heartbeat(metrics) is None, "the first sight of a Lease is no heartbeat"
        assert metrics.value("certlag_runbook_heartbeat_awaited_timestamp_seconds", target="one") is not None
        assert metrics.value("certlag_workers_expected_replicas", worker="deployment/worker") == 3
        assert metrics.value("certlag_workers_replicas", worker="deployment/worker") == 0
        deadline, started = (
            metrics.value(f"certlag_runbook_{name}_timestamp_seconds") for name in ("deadline", "started")
        )
        assert deadline is not None
        assert started is not None
        assert deadline - started == 65 * 60

        touch_lease(ground, "2026-11-24T04:00:15.000000Z")
        first = heartbeat(exporter.wait("the first heartbeat", heartbeat))
        assert first is not None
        assert abs(time.time() - first) < 30, "by the exporter's clock, whatever the Lease says"
        touch_lease(ground, "2026-11-24T04:00:30.000000Z")
        exporter.wait("the next heartbeat", lambda seen: (heartbeat(seen) or 0) > first)

        ended = {"at": "2026-11-24T04:30:00Z", "outcome": "restart_failed"}
        write_record(ground, {"schema": 1, "run": {**RUN, "step": "restarting", "ended": ended}, "finished": []})
        exporter.wait("the workers to be left drained", lambda seen: state(seen) == "left_drained")

        past = {"id": "run-1", "begun": RUN["begun"], "finished": "2026-11-24T04:40:00Z", "outcome": "done"}
        write_record(ground, {"schema": 1, "run": None, "finished": [past]})
        metrics = exporter.wait("it to be idle again", lambda seen: state(seen) == "idle")
        assert metrics.value("certlag_runbook_last_outcome", outcome="done") == 1
        assert metrics.value("certlag_runbook_last_finished_timestamp_seconds") == started + 40 * 60
        assert heartbeat(metrics) is None

        write_record(ground, {"schema": 2, "run": "of a later version"})
        metrics = exporter.wait(
            "the record to be skipped",
            lambda seen: seen.value("certlag_objects_skipped_total", resource="configmaps", reason="wrong_type"),
        )
        assert state(metrics) == "idle", "what was known stays"


def state(metrics: Metrics) -> str | None:
    return metrics.state("certlag_runbook_state", target="one")


def heartbeat(metrics: Metrics) -> float | None:
    return metrics.value("certlag_runbook_heartbeat_timestamp_seconds", target="one")


def write_record(ground: Ground, document: dict[str, Any]) -> None:
    """Write the run's record, as server-side apply does: whether or not it is there."""
    _write(ground, "configmaps", RECORD, {"data": {"record.json": json.dumps(document)}})


def touch_lease(ground: Ground, renewed: str) -> None:
    """Renew the Lease of the target's workload."""
    _write(ground, "leases", LEASE, {"spec": {"holderIdentity": "ann@laptop", "renewTime": renewed}})


def _write(ground: Ground, plural: str, name: str, content: dict[str, Any]) -> None:
    present = ground.cluster.api("GET", f"{ground.path(plural)}?fieldSelector=metadata.name%3D{name}")["items"]
    if present:
        ground.cluster.api("PATCH", ground.path(plural, name), content, MERGE_PATCH)
    else:
        ground.cluster.api("POST", ground.path(plural), {"metadata": {"name": name}, **content})
