"""What the dashboard's panels ask Prometheus, and what each should be read as. Pure.

Every query takes the chosen namespaces and workloads; aggregation drops the exporter's own labels, as in the rules,
and where exporters differ it shows the worst that one of them says.
"""

from alerts.promql import CERTIFICATE, NAMESPACE, RUN, TARGET, USE, WATCH, said_by_one
from alerts.recording import SCRAPED
from alerts.settings import CONTAINER, EXPORTERS, EXTRA, FROM_MATCH, NAMESPACE_OF, POD

IN_NAMESPACE = f'{NAMESPACE_OF}=~"$namespace"'
CHOSEN = f'{IN_NAMESPACE}, workload=~"$workload"'
PLACE = f"{USE}, {POD}, {CONTAINER}, port"
WORKER = f"{RUN}, worker"

WINDOW_STATES = ("settled", "renewal_disabled", "unknown", "renewal_due", "needs_restart", "expired")
"""The worst last, as for `RUN_STATES`."""
RUN_STATES = ("idle", "draining", "restarting", "verifying", "restoring", "left_drained")


def numbered(metric: str, labels: str, states: tuple[str, ...]) -> str:
    """Return a state set as one series: the number of its state, counted from 1; of several exporters' the highest."""
    each = (f'{number} * ({metric}{{state="{state}", {CHOSEN}}} == 1)' for number, state in enumerate(states, 1))
    return f"max by ({labels}) (\n  " + "\n  or ".join(each) + "\n)"


def with_command(expression: str) -> str:
    """Return an expression whose series have the label `command`: what restarts the workload."""
    where = f'label_join({expression}, "command", "|", "{NAMESPACE_OF}", "workload_type", "workload", "target")'
    workload, target = "runbook restart --workload $2/$3 -n $1", f"runbook restart-$4 {FROM_MATCH}"
    part = "([^|]+)"
    without = f'label_replace({where}, "command", "{workload}", "command", "{part}[|]{part}[|]{part}[|]")'
    return f'label_replace({without}, "command", "{target}", "command", "{part}[|]{part}[|]{part}[|]{part}")'


# --- at a glance ----------------------------------------------------------------------------------

RESTARTS_NEEDED = f"sum(max by ({USE}) (certlag_needs_restart{{{CHOSEN}}}))"
NEAREST_DEADLINE = f"min(certlag_restart_deadline_timestamp_seconds{{{CHOSEN}}}) - time()"
WORKERS_DRAINED = (
    f"sum(clamp_min(max by ({WORKER}) (certlag_workers_expected_replicas{{{CHOSEN}}})"
    f" - min by ({WORKER}) (certlag_workers_replicas{{{CHOSEN}}}), 0))"
)
PODS_UNKNOWN = f'sum(max by ({USE}) (certlag_pods{{state="unknown", {CHOSEN}}}))'
BLIND = f"""max(
  (time() - certlag_watch_last_contact_timestamp_seconds > bool 900) == 1
  or 2 * (({SCRAPED.expr}) < bool {EXPORTERS})
  or certlag_watch_synced == bool 0
)"""
"""0: it sees, 1: it is blind, 2: somewhere too few are scraped."""

# --- through time ---------------------------------------------------------------------------------

WINDOW_STATE = numbered("certlag_renewal_window_state", f"{NAMESPACE}, workload, certificate", WINDOW_STATES)
RUN_STATE = numbered("certlag_runbook_state", f"{NAMESPACE}, workload, target", RUN_STATES)

# --- pods -----------------------------------------------------------------------------------------

_LOADED = f"min by ({PLACE}) (certlag_loaded_not_after_timestamp_seconds{{{CHOSEN}}})"
_SAME = f"on ({said_by_one(CERTIFICATE)}"
_INFO = (
    f'(certlag_loaded_info{{fingerprint_sha256!="", {CHOSEN}}}'
    f' and {_SAME}) certlag_certificate_info{{fingerprint_sha256!=""}})'
)
"""Where both are known: two that are not known are not the same."""
LOADED_UNTIL = with_command(f"{_LOADED} * 1000")
ISSUED_UNTIL = with_command(
    f"({_LOADED} * 0 + on ({CERTIFICATE}) group_left ()"
    f" min by ({CERTIFICATE}) (certlag_certificate_not_after_timestamp_seconds{{{IN_NAMESPACE}}})) * 1000"
)
IS_ISSUED = with_command(
    f"min by ({PLACE}) (({_INFO} and {_SAME}, fingerprint_sha256) certlag_certificate_info) or {_INFO} * 0)"
)
PROBED = with_command(f"min by ({PLACE}) (certlag_probe_success{{{CHOSEN}}})")

# --- expiry ---------------------------------------------------------------------------------------

ISSUED_LEFT = f"min by ({CERTIFICATE}) (certlag_certificate_not_after_timestamp_seconds{{{IN_NAMESPACE}}}) - time()"
RENEWAL_IN = f"min by ({CERTIFICATE}) (certlag_certificate_renewal_timestamp_seconds{{{IN_NAMESPACE}}}) - time()"
AUTHORITY_LEFT = f"min by ({CERTIFICATE}) (certlag_ca_not_after_timestamp_seconds{{{IN_NAMESPACE}}}) - time()"
LOADED_LEFT = f"min by ({USE}) (certlag_loaded_not_after_timestamp_seconds{{{CHOSEN}}}) - time()"
DEADLINE_LEFT = f"min by ({USE}) (certlag_restart_deadline_timestamp_seconds{{{CHOSEN}}}) - time()"

# --- runs -----------------------------------------------------------------------------------------

WORKERS_EXPECTED = f"max by ({WORKER}) (certlag_workers_expected_replicas{{{CHOSEN}}})"
WORKERS_NOW = f"min by ({WORKER}) (certlag_workers_replicas{{{CHOSEN}}})"
SINCE_LAST_RUN = f"time() - max by ({RUN}) (certlag_runbook_last_finished_timestamp_seconds{{{CHOSEN}}})"

# --- the exporter ---------------------------------------------------------------------------------

WATCH_SILENCE = f"time() - min by ({WATCH}) (certlag_watch_last_contact_timestamp_seconds)"
PROBE_FAILURES = f"sum by ({EXTRA}reason) (rate(certlag_probe_failures_total[$__rate_interval]))"
WATCH_ERRORS = f"sum by ({WATCH}, reason) (rate(certlag_watch_errors_total[$__rate_interval]))"
PROBE_DURATION = f"max by ({USE}) (certlag_probe_duration_seconds{{{CHOSEN}}})"
TARGETS_MISSING = f"min by ({TARGET}) (certlag_target_found{{{IN_NAMESPACE}}}) == 0"

# --- annotations and variables --------------------------------------------------------------------

RENEWALS = f"changes(certlag_certificate_not_before_timestamp_seconds{{{IN_NAMESPACE}}}[2m]) > 0"
_LOADED_FROM = f"min by ({USE}) (certlag_loaded_not_before_timestamp_seconds{{{CHOSEN}}}"
RESTARTS = f"{_LOADED_FROM}) > {_LOADED_FROM} offset 1m)"
NAMESPACES = f"label_values(certlag_pods, {NAMESPACE_OF})"
WORKLOADS = f"label_values(certlag_pods{{{IN_NAMESPACE}}}, workload)"
