"""All scenarios, by the alert that they are about."""

from collections.abc import Mapping

from alerts.scenario import Scenario
from alerts.scenarios import (
    deadline_near,
    everything,
    exporter_down,
    issuer_changed,
    loaded_unknown,
    monitoring_degraded,
    needs_restart,
    renewal_disabled,
    renewal_overdue,
    runbook_stalled,
    target_missing,
    workers_left_drained,
)

OF_ALERT: Mapping[str, tuple[Scenario, ...]] = {
    module.ALERT: module.SCENARIOS
    for module in (
        needs_restart,
        deadline_near,
        issuer_changed,
        renewal_overdue,
        renewal_disabled,
        loaded_unknown,
        target_missing,
        workers_left_drained,
        runbook_stalled,
        monitoring_degraded,
        exporter_down,
    )
}
OF_ALL = everything.SCENARIOS
WITHOUT_A_METRIC = everything.WITHOUT_A_METRIC
