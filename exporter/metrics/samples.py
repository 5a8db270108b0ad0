"""Assessments to Prometheus' text format: the one module that knows the metrics' names. Pure.

`FAMILIES` is the public contract (docs/metrics.md is checked against it). Each assessment is rendered once, when it
changes; `text` keeps the pieces. An instant that is not known has no sample: none is ever 0.

No two samples have the same labels. What samples are about is told by its labels: a Certificate by namespace and name,
its use by the workload and the target's name (none has two targets of one name), an endpoint by pod, container and
port, a watch by what it asks for.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from certlag.assessment import Assessment, EndpointAssessment, PodAssessment, UseAssessment, Verdict, WindowState
from certlag.errors import ClusterErrorReason
from certlag.kube.decode import SkipReason
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import Watch
from certlag.model import Evidence, Leaf, Observation, ProbeFailure
from certlag.run_record import RunState
from certlag.target_assessment import TargetAssessment
from exporter.metrics.text import Family, Sample

_CERTIFICATE = ("namespace", "certificate")
_USE = ("namespace", "workload", "workload_type", "certificate", "target")
_PLACE = (*_USE, "pod", "container", "port")
_RUN = ("namespace", "workload", "workload_type", "target")
_WATCH = ("resource", "watch_namespace", "name")


CERTIFICATE_NOT_BEFORE = Family(
    "certlag_certificate_not_before_timestamp_seconds", _CERTIFICATE, "Not-before of the issued certificate."
)
CERTIFICATE_NOT_AFTER = Family(
    "certlag_certificate_not_after_timestamp_seconds", _CERTIFICATE, "Not-after of the issued certificate."
)
CERTIFICATE_RENEWAL = Family(
    "certlag_certificate_renewal_timestamp_seconds",
    _CERTIFICATE,
    "When cert-manager will renew the certificate.",
)
CERTIFICATE_INFO = Family(
    "certlag_certificate_info",
    (
        *_CERTIFICATE,
        "secret",
        "issuer_kind",
        "issuer_name",
        "issuer_group",
        "fingerprint_sha256",
        "serial_number",
        "issued_evidence",
    ),
    "1; identifies the issued certificate, and tells how it is known.",
)
CA_NOT_AFTER = Family(
    "certlag_ca_not_after_timestamp_seconds",
    _CERTIFICATE,
    "Not-after of the CA in CertificateRequest.status.ca.",
)
RENEWAL_WINDOW_STATE = Family(
    "certlag_renewal_window_state", (*_USE, "state"), "State set of the renewal window: exactly one is 1."
)
NEEDS_RESTART = Family(
    "certlag_needs_restart",
    _USE,
    "1 if some container presents an older certificate than the issued one, 0 if none does.",
)
RESTART_DEADLINE = Family(
    "certlag_restart_deadline_timestamp_seconds", _USE, "When what stale pods present is no longer accepted."
)
RESTART_WINDOW = Family(
    "certlag_restart_window_seconds", _USE, "Nominal length of the restart window: the effective renewBefore."
)
RESTART_BUDGET = Family(
    "certlag_restart_budget_seconds", _RUN, "Drain timeout and restart timeout: how long a run may take."
)
ISSUER_CHANGED = Family(
    "certlag_issuer_changed",
    _USE,
    "1 if what stale pods present no longer verifies to the CA that issues now.",
)
PODS = Family("certlag_pods", (*_USE, "state"), "Running pods by what they present.")
LOADED_NOT_BEFORE = Family(
    "certlag_loaded_not_before_timestamp_seconds",
    _PLACE,
    "Not-before of the leaf that the container presents.",
)
LOADED_NOT_AFTER = Family(
    "certlag_loaded_not_after_timestamp_seconds", _PLACE, "Not-after of the leaf that the container presents."
)
LOADED_INFO = Family(
    "certlag_loaded_info",
    (*_PLACE, "fingerprint_sha256", "serial_number", "evidence"),
    "1; identifies the leaf that the container presents, and tells how it is known.",
)
PROBE_SUCCESS = Family("certlag_probe_success", _PLACE, "1 if the last handshake showed a certificate, else 0.")
PROBE_DURATION = Family("certlag_probe_duration_seconds", _PLACE, "How long the last handshake took.")
PROBE_LAST_SUCCESS = Family(
    "certlag_probe_last_success_timestamp_seconds", _PLACE, "When a handshake last showed a certificate."
)
TARGET_FOUND = Family(
    "certlag_target_found",
    ("target", "namespace"),
    "0 if the configured workload does not exist, or no certificate of it.",
)
TARGET_CLIENT_AUTH = Family(
    "certlag_target_client_auth", _RUN, "1 if the target is configured to check its clients' certificates, else 0."
)
RUNBOOK_STATE = Family(
    "certlag_runbook_state", (*_RUN, "state"), "State set of the target's run: exactly one is 1; idle without one."
)
RUNBOOK_STARTED = Family("certlag_runbook_started_timestamp_seconds", _RUN, "When the open run was begun.")
RUNBOOK_DEADLINE = Family(
    "certlag_runbook_deadline_timestamp_seconds", _RUN, "Latest end of the open run by its own timeouts."
)
RUNBOOK_HEARTBEAT = Family(
    "certlag_runbook_heartbeat_timestamp_seconds",
    _RUN,
    "When the exporter last saw the Lease of the open run change, by the exporter's clock.",
)
RUNBOOK_HEARTBEAT_AWAITED = Family(
    "certlag_runbook_heartbeat_awaited_timestamp_seconds",
    _RUN,
    "Since when the exporter has known the open run without seeing its Lease change; ends with the first change.",
)
RUNBOOK_LAST_FINISHED = Family(
    "certlag_runbook_last_finished_timestamp_seconds", _RUN, "When the last finished run ended."
)
RUNBOOK_LAST_OUTCOME = Family("certlag_runbook_last_outcome", (*_RUN, "outcome"), "1; how the last finished run ended.")
WORKERS_EXPECTED = Family(
    "certlag_workers_expected_replicas", (*_RUN, "worker"), "Replicas that the open run recorded before its drain."
)
WORKERS_REPLICAS = Family(
    "certlag_workers_replicas",
    (*_RUN, "worker"),
    "Replicas that the worker is set to, while a run is open; 0 if the worker does not exist.",
)
PROBE_FAILURES = Family(
    "certlag_probe_failures_total", ("reason",), "Handshakes that showed no certificate.", "counter"
)
WATCH_SYNCED = Family("certlag_watch_synced", _WATCH, "1 if a complete list was read and is followed.")
WATCH_LAST_CONTACT = Family(
    "certlag_watch_last_contact_timestamp_seconds",
    _WATCH,
    "When the API server last told something: a page of a list, or an event.",
)
WATCH_RELISTS = Family("certlag_watch_relists_total", (*_WATCH, "reason"), "Complete lists that were begun.", "counter")
WATCH_ERRORS = Family(
    "certlag_watch_errors_total", (*_WATCH, "reason"), "Failed requests to the API server.", "counter"
)
OBJECTS_SKIPPED = Family(
    "certlag_objects_skipped_total", ("resource", "reason"), "Objects that could not be read.", "counter"
)
BUILD_INFO = Family("certlag_build_info", ("version", "revision"), "1; the version of certlag.")

ASSESSED: tuple[Family, ...] = (
    CERTIFICATE_NOT_BEFORE,
    CERTIFICATE_NOT_AFTER,
    CERTIFICATE_RENEWAL,
    CERTIFICATE_INFO,
    CA_NOT_AFTER,
    RENEWAL_WINDOW_STATE,
    NEEDS_RESTART,
    RESTART_DEADLINE,
    RESTART_WINDOW,
    RESTART_BUDGET,
    ISSUER_CHANGED,
    PODS,
    LOADED_NOT_BEFORE,
    LOADED_NOT_AFTER,
    LOADED_INFO,
    PROBE_SUCCESS,
    PROBE_DURATION,
    PROBE_LAST_SUCCESS,
    TARGET_FOUND,
    TARGET_CLIENT_AUTH,
    RUNBOOK_STATE,
    RUNBOOK_STARTED,
    RUNBOOK_DEADLINE,
    RUNBOOK_HEARTBEAT,
    RUNBOOK_HEARTBEAT_AWAITED,
    RUNBOOK_LAST_FINISHED,
    RUNBOOK_LAST_OUTCOME,
    WORKERS_EXPECTED,
    WORKERS_REPLICAS,
)
"""Rendered when an assessment changes."""

LIVE: tuple[Family, ...] = (
    PROBE_FAILURES,
    WATCH_SYNCED,
    WATCH_LAST_CONTACT,
    WATCH_RELISTS,
    WATCH_ERRORS,
    OBJECTS_SKIPPED,
    BUILD_INFO,
)
"""About the exporter itself, which changes all the time."""

FAMILIES = ASSESSED + LIVE

RELIST_REASONS = ("start", "expired", "safety")
POD_STATES = (Verdict.CURRENT, Verdict.STALE, Verdict.UNKNOWN, Verdict.UNPROBED)


# --- what is said of whom -------------------------------------------------------------------------


def of_certificate(assessment: Assessment) -> Iterator[Sample]:
    """Yield the samples of one assessment."""
    yield from _issued(assessment)
    for use in assessment.uses:
        where = _where(assessment, use)
        yield from _use(where, use)
        for pod in use.pods:
            for assessed in pod.endpoints:
                yield from _endpoint(_place(where, pod, assessed), assessed)


def of_probes(assessment: Assessment) -> Iterator[Sample]:
    """Yield, of the samples of one assessment, those that every probe changes, whatever it found."""
    for use in assessment.uses:
        where = _where(assessment, use)
        for pod in use.pods:
            for assessed in pod.endpoints:
                if assessed.observed.observation is not None:
                    yield from _timing(_place(where, pod, assessed), assessed.observed.observation)


def of_target(assessment: TargetAssessment) -> Iterator[Sample]:
    """Yield the samples of one configured target and of its run."""
    target, run, last = assessment.target, assessment.run, assessment.last
    where = (target.workload.namespace, target.workload.name, target.workload.type, target.name)
    yield Sample(TARGET_FOUND, (target.name, target.workload.namespace), assessment.found)
    yield Sample(TARGET_CLIENT_AUTH, where, target.client_auth)
    if assessment.budget is not None:
        yield Sample(RESTART_BUDGET, where, assessment.budget.total_seconds())
    yield from (Sample(RUNBOOK_STATE, (*where, state), state is assessment.state) for state in RunState)
    if run is not None:
        yield from _instant(RUNBOOK_STARTED, where, run.begun_at)
        yield from _instant(RUNBOOK_DEADLINE, where, run.deadline_at)
        yield from _instant(RUNBOOK_HEARTBEAT, where, assessment.heartbeat_at)
        yield from _instant(RUNBOOK_HEARTBEAT_AWAITED, where, assessment.heartbeat_awaited_at)
    if last is not None:
        yield from _instant(RUNBOOK_LAST_FINISHED, where, last.finished_at)
        yield Sample(RUNBOOK_LAST_OUTCOME, (*where, last.outcome), 1)
    for replicas in assessment.workers:
        worker = (*where, f"{replicas.worker.type}/{replicas.worker.name}")
        yield Sample(WORKERS_EXPECTED, worker, replicas.expected)
        yield Sample(WORKERS_REPLICAS, worker, replicas.current or 0)


def of_exporter(
    watches: Mapping[Watch, WatchHealth],
    probe_failures: Mapping[ProbeFailure, int],
    version: str,
    revision: str,
) -> Iterator[Sample]:
    """Yield the samples about the exporter itself; counters of closed sets start at 0."""
    skipped: dict[tuple[str, SkipReason], int] = {}
    for watch, health in watches.items():
        where = (watch.resource.name, watch.namespace, watch.name or "")
        yield Sample(WATCH_SYNCED, where, health.synced)
        yield from _instant(WATCH_LAST_CONTACT, where, health.last_contact_at)
        yield from (Sample(WATCH_RELISTS, (*where, reason), health.relists[reason]) for reason in RELIST_REASONS)
        yield from (Sample(WATCH_ERRORS, (*where, reason), health.errors[reason]) for reason in ClusterErrorReason)
        for reason in SkipReason:
            key = (watch.resource.name, reason)
            skipped[key] = skipped.get(key, 0) + health.skipped[reason]
    yield from (Sample(OBJECTS_SKIPPED, key, count) for key, count in skipped.items())
    yield from (Sample(PROBE_FAILURES, (reason,), probe_failures.get(reason, 0)) for reason in ProbeFailure)
    yield Sample(BUILD_INFO, (version, revision), 1)


def _issued(assessment: Assessment) -> Iterator[Sample]:
    key, certificate, issued = tuple(assessment.key), assessment.certificate, assessment.issued
    if certificate is None:
        return
    yield from _instant(CERTIFICATE_RENEWAL, key, certificate.renewal_at)
    chain = issued.chain if issued else None
    info = (
        *key,
        certificate.secret,
        *certificate.issuer,
        chain.leaf.fingerprint_sha256 if chain else "",
        chain.leaf.serial_number if chain else "",
        issued.evidence if issued else "",
    )
    yield Sample(CERTIFICATE_INFO, info, 1)
    if issued is not None:
        yield from _instant(CERTIFICATE_NOT_BEFORE, key, issued.not_before)
        yield from _instant(CERTIFICATE_NOT_AFTER, key, issued.not_after)
    if chain is not None:
        yield from _instant(CA_NOT_AFTER, key, chain.authority_not_after)


def _use(where: tuple[str, ...], use: UseAssessment) -> Iterator[Sample]:
    if use.state is not None:
        yield from (Sample(RENEWAL_WINDOW_STATE, (*where, state), state is use.state) for state in WindowState)
    if use.needs_restart is not None:
        yield Sample(NEEDS_RESTART, where, use.needs_restart)
    if use.issuer_changed is not None:
        yield Sample(ISSUER_CHANGED, where, use.issuer_changed)
    yield from _instant(RESTART_DEADLINE, where, use.deadline)
    if use.window is not None:
        yield Sample(RESTART_WINDOW, where, use.window.total_seconds())
    for state in POD_STATES:
        yield Sample(PODS, (*where, state), sum(pod.verdict is state for pod in use.pods))


def _where(assessment: Assessment, use: UseAssessment) -> tuple[str, ...]:
    workload = use.workload
    return (workload.namespace, workload.name, workload.type, assessment.key.name, use.target)


def _place(where: tuple[str, ...], pod: PodAssessment, assessed: EndpointAssessment) -> tuple[str, ...]:
    endpoint = assessed.observed.endpoint
    return (*where, pod.pod.name, endpoint.container, str(endpoint.port or ""))


def _endpoint(place: tuple[str, ...], assessed: EndpointAssessment) -> Iterator[Sample]:
    observation, evidence = assessed.observed.observation, assessed.evidence
    if evidence is Evidence.START_TIME:
        yield Sample(LOADED_INFO, (*place, "", "", evidence), 1)
    if observation is None:
        return
    yield Sample(PROBE_SUCCESS, place, observation.failure is None)
    yield from _timing(place, observation)
    if observation.loaded is not None:
        yield from _loaded(place, observation.loaded.leaf, evidence)


def _timing(place: tuple[str, ...], observation: Observation) -> Iterator[Sample]:
    yield Sample(PROBE_DURATION, place, observation.duration.total_seconds())
    yield from _instant(PROBE_LAST_SUCCESS, place, observation.last_success_at)


def _loaded(place: tuple[str, ...], leaf: Leaf, evidence: Evidence) -> Iterator[Sample]:
    yield from _instant(LOADED_NOT_BEFORE, place, leaf.not_before)
    yield from _instant(LOADED_NOT_AFTER, place, leaf.not_after)
    yield Sample(LOADED_INFO, (*place, leaf.fingerprint_sha256, leaf.serial_number, evidence), 1)


def _instant(family: Family, labels: tuple[str, ...], at: datetime | None) -> Iterator[Sample]:
    if at is not None and at.timestamp() != 0:  # the epoch itself stands for "none" where it is written
        yield Sample(family, labels, at.timestamp())
