"""What the gauges do say: read from the text that a scrape would get."""

import re
from collections import defaultdict
from collections.abc import Mapping

from exporter.model import Target
from tests.simulation.truth import Gauges

_NAMES = (
    *("needs_restart", "renewal_window_state", "restart_deadline_timestamp_seconds", "issuer_changed", "pods"),
    *("runbook_state", "runbook_heartbeat_timestamp_seconds", "workers_expected_replicas", "workers_replicas"),
)
_SAMPLE = re.compile(rf"^(certlag_(?:{'|'.join(_NAMES)}))\{{(.*)\}} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Series = Mapping[str, list[tuple[dict[str, str], float]]]


def read(text: str) -> Series:
    """Read what is compared of an exposition (labels here hold nothing that is escaped)."""
    series: defaultdict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for name, labels, value in _SAMPLE.findall(text):
        series[name].append((dict(_LABEL.findall(labels)), float(value)))
    return series


def shown(series: Series, target: Target) -> Gauges:
    """Return what is shown of one target."""

    def all_of(name: str) -> list[tuple[dict[str, str], float]]:
        return [(labels, value) for labels, value in series.get(name, ()) if labels["target"] == target.name]

    def value(name: str) -> float | None:
        found = all_of(name)
        assert len(found) <= 1, f"{name} of {target.name}: {found}"
        return found[0][1] if found else None

    def state(name: str) -> str | None:
        found = all_of(name)
        chosen = [labels["state"] for labels, value in found if value == 1]
        assert len(chosen) == bool(found), f"{name} of {target.name}: not exactly one state is 1: {found}"
        return chosen[0] if chosen else None

    def by(label: str, name: str) -> tuple[tuple[str, float], ...]:
        return tuple((labels[label], value) for labels, value in all_of(name))

    return Gauges(
        needs_restart=value("certlag_needs_restart"),
        state=state("certlag_renewal_window_state"),
        deadline=value("certlag_restart_deadline_timestamp_seconds"),
        issuer_changed=value("certlag_issuer_changed"),
        pods=by("state", "certlag_pods"),
        runbook_state=state("certlag_runbook_state") or "absent",
        heartbeat=value("certlag_runbook_heartbeat_timestamp_seconds"),
        expected=tuple(sorted(by("worker", "certlag_workers_expected_replicas"))),
        replicas=tuple(sorted(by("worker", "certlag_workers_replicas"))),
    )
