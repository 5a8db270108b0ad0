"""The recording rules, as data: what is told at this moment, without the exporter's own labels. Pure.

Aggregation drops `instance` and `pod`, so that neither a restart of the exporter nor a second replica makes another
alert. `alerts.alerting` reads what is recorded here with `held`. All rules stand in one group, in this order, so that
an alert sees what was recorded in its own evaluation. Names follow Prometheus' practice: level, metric, operation.
"""

from dataclasses import dataclass

from alerts.promql import CERTIFICATE, RUN, TARGET, USE, WATCH, held
from alerts.settings import HEARTBEAT_SECONDS, JOB


@dataclass(frozen=True)
class Recording:
    """A recording rule; marks in `expr` stand for settings."""

    record: str
    expr: str


def _aggregated(level: str, metric: str, labels: str, *, by: str = "max", of: str = "") -> Recording:
    """Record a metric, or an expression about it, over all exporters."""
    return Recording(f"{level}:{metric}:{by}", f"{by} by ({labels}) ({of or metric})")


def _instant(level: str, metric: str, labels: str, *, by: str = "max") -> Recording:
    """Record an instant; 0 is none. An unguarded `0 - time()` would be the worst of all deadlines."""
    return _aggregated(level, metric, labels, by=by, of=f"{metric} > 0")


# --- a workload's use of a certificate ------------------------------------------------------------

NEEDS_RESTART = _aggregated("workload", "certlag_needs_restart", USE)
DEADLINE = _instant("workload", "certlag_restart_deadline_timestamp_seconds", USE, by="min")
"""Of two exporters' deadlines the earlier: a restart that comes too soon harms less than one that comes too late."""
RESTART_LEFT = Recording(
    "workload:certlag_restart_left_seconds",
    f"({held(DEADLINE.record)} unless {held(NEEDS_RESTART.record)} == 0) - time()",
)
"""The deadline's series ends when nothing is stale; it must then not be remembered."""
RESTART_WINDOW = _aggregated("workload", "certlag_restart_window_seconds", USE)
ISSUER_CHANGED = _aggregated("workload", "certlag_issuer_changed", USE)
UNKNOWN_PODS = Recording("workload:certlag_pods_unknown:max", f'max by ({USE}) (certlag_pods{{state="unknown"}})')

# --- a target and its run -------------------------------------------------------------------------

BUDGET = _aggregated("target", "certlag_restart_budget_seconds", RUN)
CLIENT_AUTH = _aggregated("target", "certlag_target_client_auth", RUN)
FOUND = _aggregated("target", "certlag_target_found", TARGET)
RUN_STATE = _aggregated("target", "certlag_runbook_state", f"{RUN}, state")
IDLE = held(f'{RUN_STATE.record}{{state="idle"}}') + " == 1"
"""No run is open: the series about one have ended, and must not be remembered."""
RUN_DEADLINE = _instant("target", "certlag_runbook_deadline_timestamp_seconds", RUN)

_HEARTBEAT = "certlag_runbook_heartbeat_timestamp_seconds"
RUN_BEATS = Recording(
    "target:certlag_runbook_beats:max",
    f"""max by ({RUN}) (
  (timestamp({_HEARTBEAT}) - {_HEARTBEAT} <= bool {HEARTBEAT_SECONDS})
  * ({_HEARTBEAT} - on (instance, job) group_left () process_start_time_seconds > bool 30)
)""",
)
"""Age at the time of the scrape: a gap in scraping stops no heart. The first that an exporter sees of a Lease tells of
the exporter's start, not of the run's life: it does not count."""

_EXPECTED, _REPLICAS = "certlag_workers_expected_replicas", "certlag_workers_replicas"
WORKERS_BELOW = Recording(
    "target:certlag_workers_below_expected:max",
    f"max by ({RUN}) ({_EXPECTED} > bool ({_REPLICAS} or {_EXPECTED} * 0))",
)
"""A worker that no longer exists has no replicas: none of those expected."""

# --- a certificate --------------------------------------------------------------------------------

NOT_AFTER, NOT_BEFORE, RENEWAL_TIME = (
    _instant("certificate", f"certlag_certificate_{what}_timestamp_seconds", CERTIFICATE)
    for what in ("not_after", "not_before", "renewal")
)
RENEWAL_DUE = Recording(
    "certificate:certlag_renewal_due_timestamp_seconds",
    f"""{held(RENEWAL_TIME.record)}
or {held(NOT_AFTER.record)} - ({held(NOT_AFTER.record)} - {held(NOT_BEFORE.record)}) / 3""",
)
"""Without a renewal time (renewal is disabled): when a third of the lifetime is left, as cert-manager has it."""

# --- the exporter itself --------------------------------------------------------------------------

_OURS = f'{{job="{JOB}"}}'
_CONTACT = "certlag_watch_last_contact_timestamp_seconds"
WATCH_SILENCE = Recording(
    "watch:certlag_watch_silence_seconds:max", f"max by ({WATCH}) (timestamp({_CONTACT}) - ({_CONTACT}{_OURS} > 0))"
)
WATCH_SYNCED = _aggregated("watch", "certlag_watch_synced", WATCH, by="min", of=f"certlag_watch_synced{_OURS}")
PROBE_SUCCESS = _aggregated("job", "certlag_probe_success", "job", of=f"certlag_probe_success{_OURS}")

RECORDINGS = (
    NEEDS_RESTART,
    DEADLINE,
    RESTART_LEFT,
    RESTART_WINDOW,
    ISSUER_CHANGED,
    UNKNOWN_PODS,
    BUDGET,
    CLIENT_AUTH,
    FOUND,
    RUN_STATE,
    RUN_DEADLINE,
    RUN_BEATS,
    WORKERS_BELOW,
    NOT_AFTER,
    NOT_BEFORE,
    RENEWAL_TIME,
    RENEWAL_DUE,
    WATCH_SILENCE,
    WATCH_SYNCED,
    PROBE_SUCCESS,
)
"""In the order of evaluation."""
