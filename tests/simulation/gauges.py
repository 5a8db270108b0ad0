"""What the gauges do say: read from the text that a scrape would get."""

from certlag.model import Target
from tests.metrics import Metrics
from tests.simulation.truth import Gauges


def shown(metrics: Metrics, target: Target) -> Gauges:
    """Return what is shown of one target."""

    def value(name: str) -> float | None:
        return metrics.value(name, target=target.name)

    def by(label: str, name: str) -> tuple[tuple[str, float], ...]:
        return tuple((sample.labels[label], sample.value) for sample in metrics.all(name, target=target.name))

    return Gauges(
        needs_restart=value("certlag_needs_restart"),
        state=metrics.state("certlag_renewal_window_state", target=target.name),
        deadline=value("certlag_restart_deadline_timestamp_seconds"),
        issuer_changed=value("certlag_issuer_changed"),
        pods=by("state", "certlag_pods"),
        runbook_state=metrics.state("certlag_runbook_state", target=target.name) or "absent",
        heartbeat=value("certlag_runbook_heartbeat_timestamp_seconds"),
        expected=tuple(sorted(by("worker", "certlag_workers_expected_replicas"))),
        replicas=tuple(sorted(by("worker", "certlag_workers_replicas"))),
    )
