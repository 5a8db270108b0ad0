"""The recording rules, as data: what each exporter says, then what is so. Pure.

What is assessed of several metrics is assessed of one exporter's first (`exporter:…`), then joined over all of them:
the worst counts of those that have contact (`promql.joined`). What is fine is recorded as well (as 0, or an instant
that never comes), so that it ends what is remembered, and is never taken from a series that is absent. Joining drops
`instance` and `pod`: neither a restart of an exporter nor a second replica makes another alert. `alerts.alerting` reads
what is recorded here with `held`. All rules stand in one group, in this order, so that an alert sees what was recorded
in its own evaluation. Names follow Prometheus' practice: level, metric, operation.
"""

from alerts.promql import (
    CERTIFICATE,
    EXPORTER,
    JOBS,
    LOST_CONTACT,
    NAMESPACE,
    RUN,
    TARGET,
    USE,
    WATCH,
    WORKLOAD,
    Recording,
    held,
    joined,
    last_within,
    said_by_one,
    with_contact,
)
from alerts.settings import (
    DEADLINE_MEMORY,
    EXPORTERS,
    EXTRA_ONLY,
    HEARTBEAT_SECONDS,
    JOB,
    MEMORY,
    NAMESPACE_OF,
    OTHER_NAMESPACE,
    Setting,
)

_CERTIFICATES = ("certificates", "certificaterequests")
_WORKLOADS = ("deployments", "statefulsets", "daemonsets")
_PODS = (*_CERTIFICATES, "pods", "replicasets")
_RECORDS = ("configmaps",)

_NEEDS_RESTART = "certlag_needs_restart"
_STATE = "certlag_runbook_state"

# --- a workload's use of a certificate ------------------------------------------------------------

_DEADLINE_SAID = Recording(
    "exporter:certlag_restart_deadline_timestamp_seconds",
    f"""certlag_restart_deadline_timestamp_seconds > 0 unless {_NEEDS_RESTART} == 0
or ({_NEEDS_RESTART} == 0) + Inf""",
)
_REMINDER_SAID = Recording(
    "exporter:certlag_restart_reminder_timestamp_seconds",
    f"""{_DEADLINE_SAID.record} and {_NEEDS_RESTART} == 1
  unless on ({said_by_one(RUN)}) {_STATE}{{state!="idle"}} == 1
or {_NEEDS_RESTART} + Inf""",
)
DEADLINE = joined(
    "workload:certlag_restart_deadline_timestamp_seconds:min",
    _DEADLINE_SAID.record,
    by="min",
    over=USE,
    watches=_PODS,
    bad="< Inf",
    worst="the earliest deadline",
)
REMINDER = joined(
    "workload:certlag_restart_reminder_timestamp_seconds:min",
    _REMINDER_SAID.record,
    by="min",
    over=USE,
    watches=(*_PODS, *_RECORDS),
    bad="< Inf",
    worst="the earliest deadline for which no run is open",
)
RESTART_WINDOW = joined(
    "workload:certlag_restart_window_seconds:max",
    "certlag_restart_window_seconds",
    by="max",
    over=USE,
    watches=_CERTIFICATES,
    worst="the longest window",
)
_REFUSAL_SAID = Recording(
    "exporter:certlag_new_clients_refused",
    f"certlag_issuer_changed * on ({said_by_one(RUN)}) group_left () certlag_target_client_auth",
)
REFUSAL = joined(
    "workload:certlag_new_clients_refused:max",
    _REFUSAL_SAID.record,
    by="max",
    over=USE,
    watches=_PODS,
    bad="== 1",
    worst="the issuer changed, and clients are checked",
)
UNKNOWN_PODS = joined(
    "workload:certlag_pods_unknown:max",
    'certlag_pods{state="unknown"}',
    by="max",
    over=USE,
    watches=_PODS,
    bad="> 0",
    worst="the most unknown pods",
)

# --- a target and its run -------------------------------------------------------------------------

BUDGET = joined(
    "target:certlag_restart_budget_seconds:max",
    "certlag_restart_budget_seconds",
    by="max",
    over=RUN,
    watches=_WORKLOADS,
    worst="the longest time",
)
FOUND = joined(
    "target:certlag_target_found:min",
    "certlag_target_found",
    by="min",
    over=TARGET,
    watches=(*_PODS, *_WORKLOADS),
    bad="== 0",
    worst="not found",
)
_RUN_DEADLINE_SAID = Recording(
    "exporter:certlag_runbook_deadline_timestamp_seconds",
    f"""certlag_runbook_deadline_timestamp_seconds > 0
or max without (state) ({_STATE}{{state="idle"}} == 1) + Inf""",
)
RUN_DEADLINE = joined(
    "target:certlag_runbook_deadline_timestamp_seconds:min",
    _RUN_DEADLINE_SAID.record,
    by="min",
    over=RUN,
    watches=_RECORDS,
    bad="< Inf",
    worst="the earliest deadline of an open run",
)

# --- a deadline that nobody tells of --------------------------------------------------------------

_KNOWN = Recording("workload:certlag_restart_deadline_timestamp_seconds:known", f"{DEADLINE.now} < Inf")
_KNOWN_AT = Recording("workload:certlag_restart_deadline_known_timestamp_seconds", f"{_KNOWN.record} * 0 + time()")
_KNOWN_WINDOW = Recording("workload:certlag_restart_window_seconds:known", f"{RESTART_WINDOW.now} and {_KNOWN.record}")
_KNOWN_BUDGET = Recording(
    "workload:certlag_restart_budget_seconds:known",
    f"{_KNOWN.record} * 0 + on ({RUN}) group_left () {BUDGET.now}",
)
"""Only of what has a deadline: to look back seven days at everything would take seconds in a large cluster."""
_OURS = f'{{job="{JOB}"}}'
SCRAPED = Recording(
    "job:up:sum",
    f"""sum by ({JOBS}) (up{_OURS})
or group by ({JOBS}) (last_over_time(up{_OURS}[{DEADLINE_MEMORY}])) * 0
or absent_over_time(up{_OURS}[{DEADLINE_MEMORY}]) * 0""",
)
"""How many exporters are scraped; 0 in a cluster of which there was one: `absent` alone sees none missing while any is
there. Where there never was one, nobody knows what is missing but the job."""
_PODS_WATCHED = (
    f'label_replace(certlag_watch_synced{{resource="pods"}}, "{NAMESPACE_OF}", "$1", "watch_namespace", "(.+)")'
)
_HEARD_AT = Recording(
    "namespace:certlag_heard_timestamp_seconds",
    f"""group by ({NAMESPACE}, watch_namespace) (
  {_PODS_WATCHED}
  unless on ({said_by_one(NAMESPACE)}) {LOST_CONTACT.record}{{resource=~"{"|".join(_PODS)}"}}
) * time()
and on ({EXTRA_ONLY}) {SCRAPED.record} >= {EXPORTERS}""",
)
"""When an exporter could last assess what is in a namespace (`*` is everywhere), and none was missing: a shard knows
nothing of what another one sees."""


def _unless_heard_later(labels: str, matcher: str = "") -> str:
    heard = f"last_over_time({_HEARD_AT.record}{matcher}[{DEADLINE_MEMORY}] offset {MEMORY})"
    return f"  unless {last_within(_KNOWN_AT.record)} < on ({labels}) group_left () {heard}"


RESTART_LEFT = Recording(
    "workload:certlag_restart_left_seconds",
    f"""(
  {last_within(_KNOWN.record)}
{_unless_heard_later(NAMESPACE)}
{_unless_heard_later(str(EXTRA_ONLY), '{watch_namespace="*"}')}
  unless {held(DEADLINE.record)} == Inf
) - time()""",
)
"""Also of a deadline that nobody tells of any more: it counts until an exporter says that it is met, or hears of the
namespace for a quarter of an hour and does not mention it. That an exporter is gone is no such word."""
KNOWN_WINDOW, KNOWN_BUDGET = last_within(_KNOWN_WINDOW.record), last_within(_KNOWN_BUDGET.record)

NEAR_FRACTION = Setting(
    "restartDeadlineNear.warning.windowFraction", 0.5, "Less than this part of the restart window is left, …"
)
NEAR_DAYS = Setting("restartDeadlineNear.warning.maximumDays", 14, "… or less than this, whichever is less.")
DEADLINE_NEAR_TIERS = Recording(
    "workload:certlag_restart_left_seconds:near",
    f"{RESTART_LEFT.record} < clamp_max({KNOWN_WINDOW} * {NEAR_FRACTION}, {NEAR_DAYS} * 86400)",
)

# --- a run ----------------------------------------------------------------------------------------

AWAITED_SECONDS = 45
"""A run that lives renews its Lease every 15 seconds."""

LEASE_CONTACT = Recording(
    "exporter:certlag_lease_contact_timestamp_seconds",
    f"""label_replace(label_replace(label_replace(
  certlag_watch_last_contact_timestamp_seconds{{resource="leases"}},
  "{NAMESPACE_OF}", "$1", "watch_namespace", "(.+)"),
  "workload_type", "$1", "name", "certlag-([a-z]+)-.+"),
  "workload", "$1", "name", "certlag-[a-z]+-(.+)")""",
)
"""When the API server last told something of a workload's Lease. Its name is that of `run_record.lease_name`."""
_HEARTBEAT = "certlag_runbook_heartbeat_timestamp_seconds"
RUN_SILENT = Recording(
    "exporter:certlag_runbook_silent_since_timestamp_seconds",
    f"""{_HEARTBEAT}
  < on ({said_by_one(WORKLOAD)}) group_left () {LEASE_CONTACT.record} - {HEARTBEAT_SECONDS}
or certlag_runbook_heartbeat_awaited_timestamp_seconds
  < on ({said_by_one(WORKLOAD)}) group_left () {LEASE_CONTACT.record} - {AWAITED_SECONDS}""",
)
"""Of a run whose Lease has stood still while the exporter heard: measured up to the last contact, so that nobody who
has lost contact takes a run for dead. What was never seen to beat is told by a series of its own, not by one that is
absent."""
_RUN_BEATS = Recording(
    "exporter:certlag_runbook_heartbeat_timestamp_seconds",
    f"max_over_time({_HEARTBEAT}[{HEARTBEAT_SECONDS}s]) > time() - {HEARTBEAT_SECONDS}",
)
"""A heartbeat that anyone saw counts for all, and outlives who saw it: it says itself how old it is."""
_WORKERS_BELOW_SAID = Recording(
    "exporter:certlag_workers_below_expected:max",
    "max without (worker) (certlag_workers_expected_replicas > bool certlag_workers_replicas)",
)
_LEFT_DRAINED_SAID = Recording(
    "exporter:certlag_workers_left_drained",
    f"""max without (state) ({_STATE}{{state="left_drained"}} == 1)
or (
  {_WORKERS_BELOW_SAID.record} == 1
  and (
    {RUN_SILENT.record}
    or {
        with_contact(
            f"(certlag_runbook_deadline_timestamp_seconds > 0) < time() - {HEARTBEAT_SECONDS}",
            (*_RECORDS, *_WORKLOADS),
        )
    }
  )
  unless on ({RUN}) {_RUN_BEATS.record}
)
or max without (state) ({_STATE}{{state="idle"}} == 1) * 0
or {_WORKERS_BELOW_SAID.record} == 0
or ({_WORKERS_BELOW_SAID.record} and on ({RUN}) {_RUN_BEATS.record}) * 0""",
)
"""Nobody finishes a run that has given up, or that is silent with workers missing; where its Lease cannot be seen, one
that is past its own deadline. It is fine with evidence only: no run, no worker missing, or a heartbeat."""
LEFT_DRAINED = joined(
    "target:certlag_workers_left_drained:max",
    _LEFT_DRAINED_SAID.record,
    by="max",
    over=RUN,
    watches=(*_RECORDS, *_WORKLOADS),
    bad="== 1",
    worst="workers are missing and nobody works on it",
)

# --- a certificate --------------------------------------------------------------------------------

_NOT_AFTER = "certlag_certificate_not_after_timestamp_seconds"
_RENEWAL = "certlag_certificate_renewal_timestamp_seconds"
_DISABLED = 'certlag_renewal_window_state{state="renewal_disabled"} == 1'
_EXPIRED = 'certlag_renewal_window_state{state="expired"} == 1'

EXPIRY = joined(
    "certificate:certlag_certificate_not_after_timestamp_seconds:min",
    f"({_NOT_AFTER} > 0)",
    by="min",
    over=CERTIFICATE,
    watches=_CERTIFICATES,
    worst="the earliest expiry",
)
LIFETIME = joined(
    "certificate:certlag_certificate_lifetime_seconds:max",
    f"({_NOT_AFTER} - certlag_certificate_not_before_timestamp_seconds)",
    by="max",
    over=CERTIFICATE,
    watches=_CERTIFICATES,
    worst="the longest lifetime",
)
_RENEWAL_DUE_SAID = Recording(
    "exporter:certlag_renewal_due_timestamp_seconds",
    f"""{_RENEWAL} > 0 unless on ({said_by_one(CERTIFICATE)}) {_DISABLED}
or {_NOT_AFTER} + Inf""",
)
"""A certificate without a renewal time is never overdue: renewal is disabled, or nobody told us."""
RENEWAL_DUE = joined(
    "certificate:certlag_renewal_due_timestamp_seconds:min",
    _RENEWAL_DUE_SAID.record,
    by="min",
    over=CERTIFICATE,
    watches=_CERTIFICATES,
    bad="< Inf",
    worst="the earliest renewal time",
)
_UNRENEWED_SAID = Recording(
    "exporter:certlag_unrenewed_not_after_timestamp_seconds",
    f"""({_NOT_AFTER} > 0)
  and on ({said_by_one(CERTIFICATE)}) (
    {_DISABLED}
    or {_EXPIRED} unless on ({said_by_one(CERTIFICATE)}) {_RENEWAL} > 0
  )
or {_NOT_AFTER} + Inf""",
)
"""When a certificate expires that cert-manager will not renew. Its workloads are `expired` from then on, not
`renewal_disabled`: that must not end the alert."""
UNRENEWED = joined(
    "certificate:certlag_unrenewed_not_after_timestamp_seconds:min",
    _UNRENEWED_SAID.record,
    by="min",
    over=CERTIFICATE,
    watches=_PODS,
    bad="< Inf",
    worst="the earliest expiry without a renewal",
)

# --- the exporter itself --------------------------------------------------------------------------

_CONTACT = "certlag_watch_last_contact_timestamp_seconds"
_ELSEWHERE = f'{{job="{JOB}", {OTHER_NAMESPACE}}}'
WATCH_SILENCE = Recording(
    "watch:certlag_watch_silence_seconds:max", f"max by ({WATCH}) (timestamp({_CONTACT}) - ({_CONTACT}{_OURS} > 0))"
)
WATCH_SYNCED = Recording("watch:certlag_watch_synced:min", f"min by ({WATCH}) (certlag_watch_synced{_OURS})")
PROBE_SUCCESS = Recording(
    "job:certlag_probe_success:min", f"min by ({JOBS}) (max by ({EXPORTER}) (certlag_probe_success{_OURS}))"
)
"""Whether each exporter has had an answer from some pod: that another one has is no help to those it cannot reach."""
MISLABELLED = Recording(
    "job:certlag_other_namespace:count",
    f"count by ({JOBS}) (certlag_pods{_ELSEWHERE} or certlag_target_found{_ELSEWHERE})",
)
"""Series whose certificate's namespace stands in another label than the setting says."""

RECORDINGS = (
    LOST_CONTACT,
    _DEADLINE_SAID,
    DEADLINE,
    _REMINDER_SAID,
    REMINDER,
    RESTART_WINDOW,
    _REFUSAL_SAID,
    REFUSAL,
    UNKNOWN_PODS,
    BUDGET,
    FOUND,
    _RUN_DEADLINE_SAID,
    RUN_DEADLINE,
    _KNOWN,
    _KNOWN_AT,
    _KNOWN_WINDOW,
    _KNOWN_BUDGET,
    SCRAPED,
    _HEARD_AT,
    RESTART_LEFT,
    DEADLINE_NEAR_TIERS,
    LEASE_CONTACT,
    RUN_SILENT,
    _RUN_BEATS,
    _WORKERS_BELOW_SAID,
    _LEFT_DRAINED_SAID,
    LEFT_DRAINED,
    EXPIRY,
    LIFETIME,
    _RENEWAL_DUE_SAID,
    RENEWAL_DUE,
    _UNRENEWED_SAID,
    UNRENEWED,
    WATCH_SILENCE,
    WATCH_SYNCED,
    PROBE_SUCCESS,
    MISLABELLED,
)
"""In the order of evaluation."""
