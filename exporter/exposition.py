"""Judgements to Prometheus' text format: the one module that knows the metrics' names. Pure.

`FAMILIES` is the public contract (docs/metrics.md is checked against it). Each judgement is rendered once, when it
changes, into a piece; `Page` keeps the pieces and joins them, family by family, as the format wants them.
An instant that is not known has no sample.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from exporter.cluster.decode import SkipReason
from exporter.cluster.resources import Watch
from exporter.cluster.watch import WatchHealth
from exporter.errors import ClusterErrorReason
from exporter.model import (
    Assessment,
    Evidence,
    Leaf,
    ObjectKey,
    PodAssessment,
    ProbeFailure,
    SightAssessment,
    Target,
    UseAssessment,
    Verdict,
    WindowState,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_CERTIFICATE = ("namespace", "certificate")
_USE = ("namespace", "workload", "workload_type", "certificate", "target")
_PLACE = (*_USE, "pod", "container", "port")
_RUN = ("namespace", "workload", "workload_type", "target")
_WATCH = ("resource", "watch_namespace")


class Family(NamedTuple):
    """A metric family: one row of the contract."""

    name: str
    labels: tuple[str, ...]
    help: str
    type: str = "gauge"


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
    "1 if some container presents an older certificate than the issued one, 0 if none.",
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
    "0 if the configured workload or certificate does not exist.",
)
PROBE_FAILURES = Family(
    "certlag_probe_failures_total", ("reason",), "Handshakes that showed no certificate.", "counter"
)
WATCH_SYNCED = Family("certlag_watch_synced", _WATCH, "1 if a complete list was read and is followed.")
WATCH_LAST_CONTACT = Family(
    "certlag_watch_last_contact_timestamp_seconds", _WATCH, "When the API server last sent something."
)
WATCH_RELISTS = Family("certlag_watch_relists_total", (*_WATCH, "reason"), "Complete lists that were begun.", "counter")
WATCH_ERRORS = Family(
    "certlag_watch_errors_total", (*_WATCH, "reason"), "Failed requests to the API server.", "counter"
)
OBJECTS_SKIPPED = Family(
    "certlag_objects_skipped_total", ("resource", "reason"), "Objects that could not be read.", "counter"
)
BUILD_INFO = Family("certlag_build_info", ("version", "revision"), "1; the version of certlag.")

JUDGED: tuple[Family, ...] = (
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
)
"""Rendered when a judgement changes."""

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

FAMILIES = JUDGED + LIVE

RELIST_REASONS = ("start", "expired", "safety")
POD_STATES = (Verdict.CURRENT, Verdict.STALE, Verdict.UNKNOWN, Verdict.UNPROBED)


class Sample(NamedTuple):
    """One line of the text. `labels` are the values, in the family's order."""

    family: Family
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class TargetAssessment:
    """What is said of a target apart from certificates: whether it exists, and how long a run may take."""

    target: Target
    found: bool
    budget: timedelta | None


class Page:
    """The text of everything judged, kept in pieces so that one change renders one piece."""

    def __init__(self) -> None:
        self._pieces: list[dict[ObjectKey | str, str]] = [{} for _ in JUDGED]

    def put(self, key: ObjectKey | str, samples: Iterable[Sample]) -> bool:
        """Replace what is said under a key (nothing, if there are no samples); tell whether the text changed."""
        lines: dict[Family, list[str]] = {}
        for sample in samples:
            lines.setdefault(sample.family, []).append(_line(sample))
        changed = False
        for family, pieces in zip(JUDGED, self._pieces, strict=True):
            piece = "".join(lines.get(family, ()))
            if pieces.get(key, "") != piece:
                changed = True
                if piece:
                    pieces[key] = piece
                else:
                    del pieces[key]
        return changed

    def text(self) -> str:
        """Return the exposition of all pieces."""
        return "".join(
            part
            for family, pieces in zip(JUDGED, self._pieces, strict=True)
            if pieces
            for part in (_head(family), *pieces.values())
        )


def render(families: Iterable[Family], samples: Iterable[Sample]) -> str:
    """Return the exposition of samples, grouped by family in the given order."""
    lines: dict[Family, list[str]] = {family: [] for family in families}
    for sample in samples:
        lines[sample.family].append(_line(sample))
    return "".join(part for family, body in lines.items() if body for part in (_head(family), *body))


# --- what is said of whom -------------------------------------------------------------------------


def of_certificate(assessment: Assessment) -> Iterator[Sample]:
    """Yield the samples of one judgement."""
    yield from _issued(assessment)
    for use in assessment.uses:
        where = (*use.workload[:1], use.workload.name, use.workload.type, assessment.key.name, use.target)
        yield from _use(where, use)
        for pod in use.pods:
            for assessed in pod.sights:
                yield from _place(where, pod, assessed, use.evidence)


def of_target(assessment: TargetAssessment) -> Iterator[Sample]:
    """Yield the samples of one configured target."""
    target = assessment.target
    yield Sample(TARGET_FOUND, (target.name, target.workload.namespace), assessment.found)
    if assessment.budget is not None:
        where = (target.workload.namespace, target.workload.name, target.workload.type, target.name)
        yield Sample(RESTART_BUDGET, where, assessment.budget.total_seconds())


def of_exporter(
    watches: Mapping[Watch, WatchHealth],
    probe_failures: Mapping[ProbeFailure, int],
    version: str,
    revision: str,
) -> Iterator[Sample]:
    """Yield the samples about the exporter itself; counters of closed sets start at 0."""
    skipped: dict[tuple[str, SkipReason], int] = {}
    for watch, health in watches.items():
        where = (watch.resource.name, watch.namespace)
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


def _place(
    where: tuple[str, ...], pod: PodAssessment, assessed: SightAssessment, evidence: Evidence
) -> Iterator[Sample]:
    endpoint, observation = assessed.sight.endpoint, assessed.sight.observation
    place = (*where, pod.pod.name, endpoint.container, str(endpoint.port or ""))
    if evidence is Evidence.START_TIME:
        yield Sample(LOADED_INFO, (*place, "", "", evidence), 1)
    if observation is None:
        return
    yield Sample(PROBE_SUCCESS, place, observation.success)
    yield Sample(PROBE_DURATION, place, observation.duration.total_seconds())
    yield from _instant(PROBE_LAST_SUCCESS, place, observation.last_success_at)
    if observation.loaded is not None:
        yield from _loaded(place, observation.loaded.leaf, evidence)


def _loaded(place: tuple[str, ...], leaf: Leaf, evidence: Evidence) -> Iterator[Sample]:
    yield from _instant(LOADED_NOT_BEFORE, place, leaf.not_before)
    yield from _instant(LOADED_NOT_AFTER, place, leaf.not_after)
    yield Sample(LOADED_INFO, (*place, leaf.fingerprint_sha256, leaf.serial_number, evidence), 1)


def _instant(family: Family, labels: tuple[str, ...], at: datetime | None) -> Iterator[Sample]:
    if at is not None:
        yield Sample(family, labels, at.timestamp())


# --- text -----------------------------------------------------------------------------------------

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _head(family: Family) -> str:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"


def _line(sample: Sample) -> str:
    pairs = zip(sample.family.labels, sample.labels, strict=True)
    labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
    return f"{sample.family.name}{{{labels}}} {_number(sample.value)}\n"


def _number(value: float) -> str:
    """Write a number exactly; whole ones (nearly all are) without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)
