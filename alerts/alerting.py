"""The alerts, as data: what wakes whom, with which words. Pure.

Thresholds follow each certificate's own lifetime. Tiers of one alert share its name, so that Alertmanager's usual
inhibition (critical mutes warning of the same name and namespace) needs no configuration. Every description ends in
what to do: a complete command of the runbook.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from alerts.promql import held
from alerts.recording import (
    DEADLINE,
    DEADLINE_NEAR_TIERS,
    EXPIRY,
    FOUND,
    KNOWN_BUDGET,
    KNOWN_WINDOW,
    LEFT_DRAINED,
    LIFETIME,
    MISLABELLED,
    NEAR_DAYS,
    NEAR_FRACTION,
    PROBE_SUCCESS,
    REFUSAL,
    REMINDER,
    RENEWAL_DUE,
    RESTART_LEFT,
    RESTART_WINDOW,
    RUN_DEADLINE,
    SCRAPED,
    UNKNOWN_PODS,
    UNRENEWED,
    WATCH_SILENCE,
    WATCH_SYNCED,
)
from alerts.settings import (
    CHOICE,
    EXPORTERS,
    EXTRA_ONLY,
    FROM,
    GRAFANA_URL,
    HEARTBEAT_SECONDS,
    IN_NAMESPACE,
    JOB,
    NAMESPACE,
    NAMESPACE_LABEL,
    RUNBOOK_URL,
    WHERE,
    Setting,
)

DASHBOARD_UID = "certlag"
CRITICAL, WARNING = "critical", "warning"


@dataclass(frozen=True)
class Alert:
    """An alerting rule; marks in its texts stand for settings. `key` is where those are in the chart's values."""

    name: str
    key: str
    severity: str
    wait: str
    expr: str
    summary: str
    description: str
    comment: str
    settings: tuple[Setting, ...] = ()
    variables: tuple[str, ...] = ("namespace", "workload")
    """The labels that choose what the dashboard shows."""
    immediate: bool = False
    """It has no `for`: the expression itself waits."""
    kind: tuple[tuple[str, str], ...] = ()
    """A label that tells rules of one name and severity apart."""
    of_exporter: bool = False
    """It is about the exporter itself: no series has the label `namespace`."""

    @property
    def enabled_setting(self) -> Setting:
        """Whether there is such a rule at all."""
        return Setting(f"{self.key}.enabled", default=True, comment=self.comment)

    @property
    def severity_setting(self) -> Setting:
        """Its label `severity`."""
        return Setting(f"{self.key}.severity", self.severity)

    @property
    def for_setting(self) -> Setting:
        """Its `for`."""
        return Setting(f"{self.key}.for", self.wait)

    @property
    def all_settings(self) -> Iterator[Setting]:
        """Everything that may be set about it."""
        yield from (self.enabled_setting, self.severity_setting, self.for_setting)
        yield from self.settings

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it adds."""
        where = {"namespace": str(NAMESPACE)} if self.of_exporter else {}
        return {"severity": str(self.severity_setting), **where, **dict(self.kind)}

    @property
    def annotations(self) -> dict[str, str]:
        """The texts that it brings."""
        return {"summary": self.summary, "description": self.description}

    @property
    def links(self) -> Iterator[tuple[str, Setting, str]]:
        """The links that it brings: name, the setting without which there is none, and the address."""
        values = {"namespace": str(IN_NAMESPACE), "workload": "{{ $labels.workload }}"}
        chosen = "&".join(f"var-{name}={values[name]}" for name in self.variables)
        query = f"?{chosen}{CHOICE}" if chosen else ""
        yield "runbook_url", RUNBOOK_URL, f"{RUNBOOK_URL}/{self.name}"
        yield "dashboard_url", GRAFANA_URL, f"{GRAFANA_URL}/d/{DASHBOARD_UID}{query}"


# --- words ----------------------------------------------------------------------------------------

WORKLOAD = f"{{{{ $labels.workload_type }}}}/{{{{ $labels.workload }}}} in {IN_NAMESPACE}{WHERE}"
CERTIFICATE = f"Certificate {{{{ $labels.certificate }}}} in {IN_NAMESPACE}{WHERE}"
LEFT = (
    "{{ if gt $value 0.0 }}is accepted for {{ $value | humanizeDuration }} more{{ else }}is no longer accepted{{ end }}"
)
RESTART = (
    f"{{{{ if $labels.target }}}}Run `runbook restart-{{{{ $labels.target }}}} {FROM}`."
    "{{ else }}Run `runbook restart --workload {{ $labels.workload_type }}/{{ $labels.workload }}"
    f" -n {IN_NAMESPACE}`, with --worker KIND/NAME for what must be drained first.{{{{ end }}}}"
)


def of_target(command: str) -> str:
    """Return a sentence with the runbook's command for the alert's target."""
    return f"Run `runbook {command}-{{{{ $labels.target }}}} {FROM}`"


# --- a restart is needed --------------------------------------------------------------------------

_FRACTION = Setting("needsRestart.windowFraction", 0.1, "The same, as a part of the restart window.")
_SHORT = Setting("needsRestart.shortWindowHours", 10, "Windows shorter than this wait that part instead of `for`.")
_STALE = f"""({REMINDER.value} < Inf) - time()
and {RESTART_WINDOW.value} {{comparison}} {_SHORT} * 3600"""


def _needs_restart(comparison: str, *, waiting: str = "") -> Alert:
    return Alert(
        name="CertlagNeedsRestart",
        key="needsRestart",
        severity=WARNING,
        wait="1h",
        immediate=bool(waiting),
        kind=(("window", "short" if waiting else "long"),),
        expr=_STALE.format(comparison=comparison) + waiting,
        summary="A workload presents an older certificate than the one issued.",
        description=f"{WORKLOAD} still presents an older certificate than cert-manager issued for"
        f" {{{{ $labels.certificate }}}}; it {LEFT}. {RESTART}",
        comment="A restart is needed; a run that is open mutes it.",
        settings=(_SHORT, _FRACTION),
    )


NEEDS_RESTART = _needs_restart(">=")
NEEDS_RESTART_SHORT = _needs_restart(
    "<",
    waiting=f"""
unless max_over_time(timestamp({DEADLINE.record} == Inf)[{NEEDS_RESTART.for_setting}:1m])
  > time() - {held(RESTART_WINDOW.record)} * {_FRACTION}""",
)
"""`for` is a constant, a part of the window is not: what counts here is when the workload was last seen as current."""


def _deadline_near(tier: str, expression: str, settings: tuple[Setting, ...]) -> Alert:
    return Alert(
        name="CertlagRestartDeadlineNear",
        key=f"restartDeadlineNear.{tier}",
        severity=tier,
        wait="1m",
        expr=expression,
        summary="The certificate that a workload presents soon expires.",
        description=f"What {WORKLOAD} presents for {{{{ $labels.certificate }}}} {LEFT}: afterwards every connection"
        f" fails. A renewal does not help. {RESTART}",
        comment="The certificate that is presented expires; no run mutes it.",
        settings=settings,
    )


_URGENT_FRACTION = Setting(
    "restartDeadlineNear.critical.windowFraction", 0.25, "Less than this part of the restart window is left, …"
)
_URGENT_DAYS = Setting("restartDeadlineNear.critical.maximumDays", 3, "… or less than this, whichever is less.")
_BUDGETS = Setting(
    "restartDeadlineNear.critical.budgets", 2, "Less is left than this many times the longest that a restart may take."
)
DEADLINE_NEAR = _deadline_near(WARNING, DEADLINE_NEAR_TIERS.record, (NEAR_FRACTION, NEAR_DAYS))
DEADLINE_NEAR_CRITICAL = _deadline_near(
    CRITICAL,
    f"""{RESTART_LEFT.record} < clamp_max({KNOWN_WINDOW} * {_URGENT_FRACTION}, {_URGENT_DAYS} * 86400)
or {RESTART_LEFT.record} < {_BUDGETS} * {KNOWN_BUDGET}
or {RESTART_LEFT.record} < 0""",
    (_URGENT_FRACTION, _URGENT_DAYS, _BUDGETS),
)

ISSUER_CHANGED_ALERT = Alert(
    name="CertlagIssuerChanged",
    key="issuerChanged",
    severity=CRITICAL,
    wait="5m",
    expr=f"{REFUSAL.value} == 1",
    summary="The issuer of a workload's certificate changed: it refuses new clients.",
    description=f"{WORKLOAD} checks its clients by the CA that it read when it started, and"
    f" {{{{ $labels.certificate }}}} is now signed by another one: clients with new certificates are refused already."
    f" {RESTART}",
    comment="On targets with clientAuth: new clients are refused now.",
)

# --- a restart will not help ----------------------------------------------------------------------


def _renewal_overdue(tier: str, condition: str, said: str, settings: tuple[Setting, ...]) -> Alert:
    return Alert(
        name="CertlagRenewalOverdue",
        key=f"renewalOverdue.{tier}",
        severity=tier,
        wait="1m",
        expr=condition,
        summary="A certificate was not renewed when it was due.",
        description=f"cert-manager has not renewed {CERTIFICATE}: {said}. A restart does not help. Run `kubectl -n"
        f" {IN_NAMESPACE} describe certificate {{{{ $labels.certificate }}}}`: its events name what fails.",
        comment="A renewal is overdue; switch it off where cert-manager's own mixin watches the same.",
        settings=settings,
        variables=("namespace",),
    )


def _limits(tier: str, fraction: float, what: str, unit: str, most: int) -> tuple[Setting, Setting]:
    key = f"renewalOverdue.{tier}"
    return (
        Setting(f"{key}.windowFraction", fraction, f"{what} part of the time from renewal to expiry, …"),
        Setting(f"{key}.maximum{unit}", most, "… or than this, whichever is less."),
    )


_EXPIRY, _DUE = EXPIRY.value, RENEWAL_DUE.value
_LATE = _limits(WARNING, 0.25, "Late by more than this", "Hours", 24)
_LAST = _limits(CRITICAL, 0.5, "Less is left than this", "Days", 7)
RENEWAL_OVERDUE = _renewal_overdue(
    WARNING,
    f"time() - {_DUE}\n> clamp_max(({_EXPIRY} - {_DUE}) * {_LATE[0]}, {_LATE[1]} * 3600)",
    "it is late by {{ $value | humanizeDuration }}",
    _LATE,
)
RENEWAL_OVERDUE_CRITICAL = _renewal_overdue(
    CRITICAL,
    f"{_EXPIRY} - time()\n< clamp_max(({_EXPIRY} - {_DUE}) * {_LAST[0]}, {_LAST[1]} * 86400)",
    "{{ if gt $value 0.0 }}it expires in {{ $value | humanizeDuration }}{{ else }}it has expired{{ end }}",
    _LAST,
)


def _renewal_disabled(tier: str, fraction: float, days: int) -> Alert:
    key = f"renewalDisabled.{tier}"
    part = Setting(f"{key}.lifetimeFraction", fraction, "Less than this part of its lifetime is left, …")
    most = Setting(f"{key}.maximumDays", days, "… or less than this, whichever is less.")
    return Alert(
        name="CertlagRenewalDisabled",
        key=key,
        severity=tier,
        wait="1m",
        expr=f"""({UNRENEWED.value} < Inf) - time()
< clamp_max({LIFETIME.value} * {part}, {most} * 86400)""",
        summary="A certificate expires soon and its renewal is disabled.",
        description=f"{CERTIFICATE} {{{{ if gt $value 0.0 }}}}expires in {{{{ $value | humanizeDuration }}}}"
        "{{ else }}has expired{{ end }}, and cert-manager does not renew it: its renewal policy is Disabled. Run `cmctl"
        f" renew -n {IN_NAMESPACE} {{{{ $labels.certificate }}}}`, then restart the workloads that use it.",
        comment="A certificate expires whose renewal is disabled.",
        settings=(part, most),
        variables=("namespace",),
    )


RENEWAL_DISABLED = _renewal_disabled(WARNING, 0.25, 21)
RENEWAL_DISABLED_CRITICAL = _renewal_disabled(CRITICAL, 0.1, 7)

# --- we should know, and do not -------------------------------------------------------------------

LOADED_UNKNOWN = Alert(
    name="CertlagLoadedCertificateUnknown",
    key="loadedCertificateUnknown",
    severity=WARNING,
    wait="30m",
    expr=f"{UNKNOWN_PODS.value} > 0",
    summary="What a workload presents is not known.",
    description="Of {{ $value }} pods of " + WORKLOAD + " it is not known what they present for"
    " {{ $labels.certificate }}, nor whether it is the one issued. {{ if $labels.target }}Run"
    f" `runbook check-{{{{ $labels.target }}}} {FROM}`: it says why."
    "{{ else }}Run `runbook page CertlagLoadedCertificateUnknown`: it says how to ask the exporter.{{ end }}",
    comment="A pod should be known and is not.",
)
TARGET_MISSING = Alert(
    name="CertlagTargetMissing",
    key="targetMissing",
    severity=WARNING,
    wait="15m",
    expr=f"{FOUND.value} == 0",
    summary="No certificate is watched for a configured target.",
    description=f"Target {{{{ $labels.target }}}} in {IN_NAMESPACE}{WHERE} is not watched: its workload does not exist,"
    " or the Certificate that it names does not, or no Certificate was found for the Secrets that its pods use. "
    + of_target("check")
    + ": it says which. Then correct the target in the configuration.",
    comment="A configured workload or Certificate does not exist, or no Certificate was found for a target.",
    variables=("namespace",),
)

# --- runs -----------------------------------------------------------------------------------------

WORKERS_LEFT_DRAINED = Alert(
    name="CertlagWorkersLeftDrained",
    key="workersLeftDrained",
    severity=CRITICAL,
    wait="2m",
    expr=f"{LEFT_DRAINED.value} == 1",
    summary="A restart was begun and nobody is finishing it: workers are missing.",
    description=f"The workers of {WORKLOAD} were drained for a restart that has stopped. "
    + of_target("resume")
    + f" to go on with it, or `runbook abort-{{{{ $labels.target }}}} {FROM}` to put the workers back.",
    comment="A run has stopped and its workers are still drained.",
    settings=(HEARTBEAT_SECONDS,),
)
_PAST = Setting("runbookStalled.minutes", 30, "So long past its own deadline.")
RUNBOOK_STALLED = Alert(
    name="CertlagRunbookStalled",
    key="runbookStalled",
    severity=WARNING,
    wait="1m",
    expr=f"time() - {RUN_DEADLINE.value} > {_PAST} * 60",
    summary="A restart is open long past its own deadline.",
    description=f"The restart of {WORKLOAD} should have ended {{{{ $value | humanizeDuration }}}} ago and is still"
    f" open; while it is, no other can begin. Run `runbook history {{{{ $labels.target }}}} {FROM}` to see where it"
    f" stands, then `runbook resume-{{{{ $labels.target }}}} {FROM}` or"
    f" `runbook abort-{{{{ $labels.target }}}} {FROM}`.",
    comment="A run is open although its own timeouts have passed.",
    settings=(_PAST,),
)

# --- the exporter itself --------------------------------------------------------------------------

_SILENCE = Setting("monitoringDegraded.silent.seconds", 900, "A watch that heard nothing for so long is blind.")


def _exporter(
    name: str,
    *,
    key: str,
    wait: str,
    expr: str,
    summary: str,
    description: str,
    comment: str,
    settings: tuple[Setting, ...] = (),
    severity: str = WARNING,
    reason: str = "",
) -> Alert:
    return Alert(
        name=name,
        key=key,
        severity=severity,
        wait=wait,
        expr=expr,
        summary=summary,
        description=description,
        comment=comment,
        settings=settings,
        variables=(),
        kind=(("reason", reason),) if reason else (),
        of_exporter=True,
    )


_BLIND = "The exporter does not see what it should: its verdicts are old."
_BLIND_COMMENT = "The exporter runs, but sees nothing new."
_WATCHED = (
    "{{ $labels.resource }}{{ if $labels.name }}/{{ $labels.name }}{{ end }}"
    '{{ if ne $labels.watch_namespace "*" }} in {{ $labels.watch_namespace }}{{ end }}'
)
_PODS = "-l app.kubernetes.io/part-of=certlag,app.kubernetes.io/component=exporter"
_LOG = f"`kubectl -n {NAMESPACE} logs {_PODS}`"
"""A rule's own labels are not among the `$labels` of its texts."""

MONITORING_DEGRADED_SILENT = _exporter(
    "CertlagMonitoringDegraded",
    key="monitoringDegraded.silent",
    reason="silent",
    wait="1m",
    expr=f"{held(WATCH_SILENCE.record)} > {_SILENCE}",
    summary=_BLIND,
    description=f"The exporter has heard nothing of {_WATCHED}{WHERE} for {{{{ $value | humanizeDuration }}}}. Run"
    f" {_LOG}: it names the error.",
    comment=_BLIND_COMMENT,
    settings=(_SILENCE,),
)
MONITORING_DEGRADED_UNSYNCED = _exporter(
    "CertlagMonitoringDegraded",
    key="monitoringDegraded.unsynced",
    reason="unsynced",
    wait="15m",
    expr=f"{held(WATCH_SYNCED.record)} == 0",
    summary=_BLIND,
    description=f"The exporter has not been able to list {_WATCHED}{WHERE}: what depends on it is not assessed before"
    f" it has. Run {_LOG}: it names the error, most often a permission that is missing.",
    comment=_BLIND_COMMENT,
)
MONITORING_DEGRADED_UNANSWERED = _exporter(
    "CertlagMonitoringDegraded",
    key="monitoringDegraded.unanswered",
    reason="unanswered",
    wait="15m",
    expr=f"{held(PROBE_SUCCESS.record)} == 0",
    summary=_BLIND,
    description=f"An exporter{WHERE} has not completed a handshake with any pod: a restart would not be noticed."
    f" Look for a NetworkPolicy between it and the pods, then run {_LOG}: it names the failures.",
    comment=_BLIND_COMMENT,
)
MONITORING_DEGRADED_MISLABELLED = _exporter(
    "CertlagMonitoringDegraded",
    key="monitoringDegraded.mislabelled",
    reason="mislabelled",
    wait="15m",
    expr=f"{held(MISLABELLED.record)} > 0",
    summary=_BLIND,
    description="{{ $value }} series" + str(WHERE) + " do not have the certificate's namespace in the label"
    f" {NAMESPACE_LABEL}, by which the rules tell workloads apart: alerts name a wrong namespace, and workloads of one"
    " name are taken for one. Set `rules.namespaceLabel` to the label that holds it (`kubectl get prometheus"
    " --all-namespaces -o yaml` shows `overrideHonorLabels`), or scrape with `honorLabels: true`.",
    comment="The setting `namespaceLabel` is not what the server does.",
)


def _exporter_down(severity: str, condition: str, consequence: str, comment: str) -> Alert:
    return _exporter(
        "CertlagExporterDown",
        key=f"exporterDown.{severity}",
        wait="10m",
        expr=f"{SCRAPED.record} < {EXPORTERS}{condition}",
        summary="The exporter is down: certificates are not watched.",
        description=f"Too few exporters are scraped under the job {JOB}{WHERE} (needed: {EXPORTERS}): not everything is"
        f" watched. {consequence} Run `kubectl -n {NAMESPACE} get pods {_PODS}`, then"
        " `runbook page CertlagExporterDown`: it says what to do.",
        comment=comment,
        settings=(EXPORTERS,),
        severity=severity,
    )


EXPORTER_DOWN_CRITICAL = _exporter_down(
    CRITICAL,
    f"\nand on ({EXTRA_ONLY}) {DEADLINE_NEAR_TIERS.record}",
    "A deadline is near: CertlagRestartDeadlineNear names the workload, by what was last known; nobody can tell whether"
    " it was restarted since.",
    "The same, while a deadline is near.",
)
EXPORTER_DOWN = _exporter_down(
    WARNING,
    "",
    "Deadlines that were known stay known for some days; every other alert keeps what was known for a while and then"
    " ends without its cause being gone.",
    "No exporter is scraped, or fewer than there are shards.",
)

ALERTS = (
    NEEDS_RESTART,
    NEEDS_RESTART_SHORT,
    DEADLINE_NEAR_CRITICAL,
    DEADLINE_NEAR,
    ISSUER_CHANGED_ALERT,
    RENEWAL_OVERDUE_CRITICAL,
    RENEWAL_OVERDUE,
    RENEWAL_DISABLED_CRITICAL,
    RENEWAL_DISABLED,
    LOADED_UNKNOWN,
    TARGET_MISSING,
    WORKERS_LEFT_DRAINED,
    RUNBOOK_STALLED,
    MONITORING_DEGRADED_SILENT,
    MONITORING_DEGRADED_UNSYNCED,
    MONITORING_DEGRADED_UNANSWERED,
    MONITORING_DEGRADED_MISLABELLED,
    EXPORTER_DOWN_CRITICAL,
    EXPORTER_DOWN,
)
"""In the order of evaluation, which is that of sending: what inhibits comes before what it inhibits."""
