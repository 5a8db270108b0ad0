"""`check-…` and the exporter's gauges, asked at the same moment of the same cluster: they cannot disagree."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.bench import servers
from tests.exporter_process import ExporterProcess
from tests.metrics import Metrics
from tests.test_stories.drained_ground import TARGET, DrainedGround, Fault, drained_ground
from tests.test_stories.ground import Ground

pytestmark = pytest.mark.cluster

EXIT_CODES = {"settled": 0, "needs_restart": 1, "renewal_due": 1, "expired": 2, "unknown": 3}


def test_settled_needs_restart_run_open_left_drained_and_settled_again(ground: Ground) -> None:
    with drained_ground(ground, renewed=False) as drained, watched(drained) as exporter:
        assert_agreed(drained, exporter, "settled", "idle")
        ground.renew(TARGET)
        assert_agreed(drained, exporter, "needs_restart", "idle")

        busy, hanging = drained.fault(Fault.BUSY), drained.fault(Fault.HANG)
        run = drained.runbook.start(*drained.words("restart", "--restart-timeout=6s"))
        run.wait_for("progress", phase="draining")
        assert_agreed(drained, exporter, "needs_restart", "draining")
        busy.unlink()
        assert run.wait().code == 6
        assert_agreed(drained, exporter, "needs_restart", "left_drained")

        hanging.unlink()
        assert drained.run("resume").code == 0
        assert_agreed(drained, exporter, "settled", "idle")


def test_what_cannot_be_asked_is_unknown_to_both(ground: Ground) -> None:
    with drained_ground(ground, renewed=False, port=9) as drained, watched(drained) as exporter:
        assert_agreed(drained, exporter, "unknown", "idle")


def test_a_renewal_that_does_not_come_is_due_to_both(ground: Ground) -> None:
    due_at_once = servers.certificate(TARGET, duration="1h", renewBefore="59m54s")
    issuer = f"/apis/cert-manager.io/v1/namespaces/{ground.namespace}/issuers/{servers.ISSUER}"
    withdrawn = partial(ground.cluster.api, "DELETE", issuer)
    with (
        drained_ground(ground, renewed=False, certificate=due_at_once, when_issued=withdrawn) as drained,
        watched(drained) as exporter,
    ):
        assert_agreed(drained, exporter, "renewal_due", "idle")


def test_what_has_expired_is_expired_to_both(ground: Ground) -> None:
    short = servers.certificate(TARGET, duration="24s", renewBefore="12s")
    with drained_ground(ground, renewed=False, certificate=short) as drained, watched(drained) as exporter:
        assert_agreed(drained, exporter, "expired", "idle")


# --- parts ----------------------------------------------------------------------------------------


@contextmanager
def watched(drained: DrainedGround) -> Iterator[ExporterProcess]:
    """Run an exporter with the operator's configuration."""
    with drained.ground.watched([drained.target]) as exporter:
        yield exporter


@dataclass(frozen=True)
class Said:
    """What one of them says: state, needs restart, deadline, verdicts of pods, state of the run."""

    state: str | None
    needs_restart: bool | None
    deadline: float | None
    pods: Counter[str]
    run: str | None


def assert_agreed(drained: DrainedGround, exporter: ExporterProcess, state: str, run: str) -> None:
    """Both say this state, and the same of all else."""

    def reached(metrics: Metrics) -> bool:
        said = _of(metrics)
        return (said.state, said.run) == (state, run)

    exporter.wait(f"{state}, {run}", reached, 60)
    checked = drained.run("check")
    (document,) = checked.events
    (answer,) = document["targets"]
    answered = _answered(answer)
    # The exporter gives a container that is not ready ten seconds before it asks.
    exporter.wait(f"the gauges to say {answered}", lambda seen: _of(seen) == answered)
    assert (answer["state"], checked.code, document["exit_code"]) == (state, EXIT_CODES[state], EXIT_CODES[state])


def _of(metrics: Metrics) -> Said:
    needs = metrics.value("certlag_needs_restart", certificate=TARGET)
    pods = {sample.labels["state"]: int(sample.value) for sample in metrics.all("certlag_pods", certificate=TARGET)}
    return Said(
        metrics.state("certlag_renewal_window_state", certificate=TARGET),
        None if needs is None else needs == 1,
        metrics.value("certlag_restart_deadline_timestamp_seconds", certificate=TARGET),
        Counter({state: count for state, count in pods.items() if count}),
        metrics.state("certlag_runbook_state", target=TARGET),
    )


def _answered(answer: dict[str, Any]) -> Said:
    deadline = answer["deadline"]
    return Said(
        answer["state"],
        answer["needs_restart"],
        None if deadline is None else datetime.fromisoformat(deadline).timestamp(),
        Counter(pod["verdict"] for pod in answer["pods"]),
        answer["run_state"],
    )
