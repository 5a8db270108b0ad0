"""The recording rules, as data: what is known at this moment, with memory and without the exporter's own labels. Pure.

`alerts.alerting` compares it with thresholds. All rules stand in one group, in this order, so that an alert sees what
was recorded in its own evaluation. Names follow Prometheus' practice: level, metric, operation.
"""

from dataclasses import dataclass

from alerts.promql import CERTIFICATE, RUN, TARGET, USE, WATCH, WORKER, held, held_instant, held_result, while_open
from alerts.settings import HEARTBEAT_SECONDS, JOB, MEMORY


@dataclass(frozen=True)
class Recording:
    """A recording rule; marks in `expr` stand for settings."""

    record: str
    expr: str


NEEDS_RESTART = Recording("workload:certlag_needs_restart:held", held("certlag_needs_restart", USE))

_DEADLINE = "certlag_restart_deadline_timestamp_seconds"
RESTART_LEFT = Recording(
    "workload:certlag_restart_left_seconds:held",
    f"""(
  min by ({USE}) ({_DEADLINE} > 0)
  or (
    min by ({USE}) (last_over_time({_DEADLINE}[{MEMORY}]) > 0)
    unless max by ({USE}) (certlag_needs_restart) == 0
  )
) - time()""",
)
"""The deadline vanishes when nothing is stale; its memory must then not speak. min: the earlier of two is meant."""

RESTART_WINDOW = Recording("workload:certlag_restart_window_seconds:held", held("certlag_restart_window_seconds", USE))
ISSUER_CHANGED = Recording("workload:certlag_issuer_changed:held", held("certlag_issuer_changed", USE))
UNKNOWN_PODS = Recording("workload:certlag_pods_unknown:held", held('certlag_pods{state="unknown"}', USE))

BUDGET = Recording("target:certlag_restart_budget_seconds:held", held("certlag_restart_budget_seconds", RUN))
CLIENT_AUTH = Recording("target:certlag_target_client_auth:held", held("certlag_target_client_auth", RUN))
FOUND = Recording("target:certlag_target_found:held", held("certlag_target_found", TARGET))
RUN_OPEN = Recording("target:certlag_runbook_open:held", held('certlag_runbook_state{state!="idle"}', RUN))
LEFT_DRAINED = Recording(
    "target:certlag_runbook_left_drained:held", held('certlag_runbook_state{state="left_drained"}', RUN)
)
RUN_DEADLINE = Recording(
    "target:certlag_runbook_deadline_timestamp_seconds:held",
    while_open(held_instant("certlag_runbook_deadline_timestamp_seconds", RUN)),
)

_HEARTBEAT = "certlag_runbook_heartbeat_timestamp_seconds"
RUN_BEATS = Recording(
    "target:certlag_runbook_beats:held",
    held_result(
        f"""(timestamp({_HEARTBEAT}) - {_HEARTBEAT} <= bool {HEARTBEAT_SECONDS})
* ({_HEARTBEAT} - on (instance, job) group_left () process_start_time_seconds > bool 30)""",
        RUN,
    ),
)
"""Age at the time of the scrape: a gap in scraping stops no heart. The first that an exporter sees of a Lease tells of
the exporter's start, not of the run's life: it does not count."""

_EXPECTED, _REPLICAS = "certlag_workers_expected_replicas", "certlag_workers_replicas"
WORKERS_BELOW = Recording(
    "target:certlag_workers_below_expected:held",
    while_open(
        held_result(
            f"""max by ({WORKER}) ({_EXPECTED})
> bool (min by ({WORKER}) ({_REPLICAS}) or max by ({WORKER}) ({_EXPECTED}) * 0)""",
            RUN,
        )
    ),
)
"""A worker that no longer exists has no replicas: none of those expected."""

_NOT_BEFORE, _NOT_AFTER, _RENEWAL = (
    f"certlag_certificate_{what}_timestamp_seconds" for what in ("not_before", "not_after", "renewal")
)
NOT_AFTER = Recording(f"certificate:{_NOT_AFTER}:held", held_instant(_NOT_AFTER, CERTIFICATE))
NOT_BEFORE = Recording(f"certificate:{_NOT_BEFORE}:held", held_instant(_NOT_BEFORE, CERTIFICATE))
RENEWAL = Recording(
    f"certificate:{_RENEWAL}:held",
    f"""{held_instant(_RENEWAL, CERTIFICATE)}
or {NOT_AFTER.record} - ({NOT_AFTER.record} - {NOT_BEFORE.record}) / 3""",
)
"""Without a renewal time (renewal is disabled): when a third of the lifetime is left, as cert-manager has it."""

_CONTACT = f'certlag_watch_last_contact_timestamp_seconds{{job="{JOB}"}}'
WATCH_SILENCE = Recording(
    "watch:certlag_watch_silence_seconds:held", held_result(f"timestamp({_CONTACT}) - ({_CONTACT} > 0)", WATCH)
)
WATCH_SYNCED = Recording(
    "watch:certlag_watch_synced:held", held(f'certlag_watch_synced{{job="{JOB}"}}', WATCH, aggregation="min")
)
PROBE_SUCCESS = Recording("job:certlag_probe_success:held", held(f'certlag_probe_success{{job="{JOB}"}}', "job"))

RECORDINGS = (
    NEEDS_RESTART,
    RESTART_LEFT,
    RESTART_WINDOW,
    ISSUER_CHANGED,
    UNKNOWN_PODS,
    BUDGET,
    CLIENT_AUTH,
    FOUND,
    RUN_OPEN,
    LEFT_DRAINED,
    RUN_DEADLINE,
    RUN_BEATS,
    WORKERS_BELOW,
    NOT_AFTER,
    NOT_BEFORE,
    RENEWAL,
    WATCH_SILENCE,
    WATCH_SYNCED,
    PROBE_SUCCESS,
)
"""In the order of evaluation."""
