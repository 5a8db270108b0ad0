"""The one assessment: what is issued against what is loaded, for one Certificate at one instant. Pure.

`assess` is a function of everything known about a Certificate (`AssessmentInput`) and the time. The gauges, the status
page and the runbook all ask it. It never guesses: what cannot be told is unknown, with its reason, and a failed
probe alone changes nothing that was seen before.

The reading order is that of the definitions: what one leaf is (`compare`), what that makes of an endpoint
(`_assess_endpoint`), of a pod (`_pod`), of a workload (`_use`), and of its renewal window (`_state`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from certlag.assessment import (
    Assessment,
    AssessmentInput,
    CertificateUse,
    EndpointAssessment,
    ObservedEndpoint,
    PodAssessment,
    PodView,
    Reason,
    UseAssessment,
    Verdict,
    WindowState,
)
from certlag.compare import compare
from certlag.model import Certificate, Chain, Endpoint, Evidence, Issued, ObjectKey, ProbeFailure
from certlag.x509.certificates import verified_until

RELOAD_GRACE = timedelta(minutes=10)
"""How long a workload that reloads by itself may take: the kubelet's volume refresh and a file watcher's poll."""
START_TIME_DOUBT = timedelta(minutes=2)
"""Within this after issuance a container may have started with either: the kubelet's cache of the Secret."""

CLOSE = timedelta(days=3)
"""With less than this, or a quarter of the restart window, left until a deadline, a restart is urgent: as the alert
CertlagRestartDeadlineNear is critical by default."""

_WORST_FIRST = (Verdict.STALE, Verdict.UNKNOWN, Verdict.PENDING, Verdict.CURRENT, Verdict.UNPROBED)
_JUDGED = frozenset({Verdict.CURRENT, Verdict.STALE, Verdict.UNKNOWN})
_NO_TLS = frozenset({ProbeFailure.NOT_TLS, ProbeFailure.CONNECTION_REFUSED, ProbeFailure.CONNECTION_RESET})
"""What a port that serves no TLS makes of a ClientHello; a TLS server that is down may do the last two."""


def is_close(deadline: datetime | None, window: timedelta | None, now: datetime) -> bool:
    """Tell whether a restart is urgent, by its deadline and its restart window (None: not known)."""
    return deadline is not None and deadline - now < min((window or timedelta.max) / 4, CLOSE)


def assess(snapshot: Mapping[ObjectKey, AssessmentInput], now: datetime) -> dict[ObjectKey, Assessment]:
    """Assess every Certificate of a snapshot."""
    return {key: assess_certificate(subject, now) for key, subject in snapshot.items()}


def assess_certificate(subject: AssessmentInput, now: datetime) -> Assessment:
    """Assess one Certificate and every use of it."""
    issued = subject.issued
    uses = tuple(_use(use, subject, issued, now) for use in subject.uses)
    changes = [at for at in _boundaries(subject, issued, uses) if at > now]
    return Assessment(subject.key, subject.certificate, issued, uses, min(changes, default=None))


def window(certificate: Certificate, issued: Issued) -> timedelta:
    """Return the effective renewBefore of a certificate, the nominal length of its restart window.

    As cert-manager reckons it (`pkg/api/util`, RenewalTime): `renewBefore`, else a percentage of the lifetime, else a
    third of it; a renewBefore that is not shorter than the lifetime counts as not given.
    """
    lifetime = issued.not_after - issued.not_before
    if certificate.renew_before is not None and timedelta(0) < certificate.renew_before < lifetime:
        return certificate.renew_before
    percentage = certificate.renew_before_percentage
    if percentage is not None and 0 < percentage < 100:
        return lifetime * percentage / 100
    return lifetime / 3


# --- one endpoint ---------------------------------------------------------------------------------


def _assess_endpoint(
    observed: ObservedEndpoint, view: PodView, subject: AssessmentInput, issued: Issued | None
) -> EndpointAssessment:
    """Assess one endpoint by the worst of what it may still present: several processes may answer there."""
    if observed.observation is None:
        return EndpointAssessment(observed, Verdict.PENDING, Reason.FIRST_PROBE_PENDING)
    judged = [(chain, *compare(chain.leaf, view, subject, issued)) for chain in observed.shown]
    if not judged:
        return EndpointAssessment(observed, Verdict.UNKNOWN, Reason.PROBE_FAILED)
    chain, verdict, reason = min(judged, key=lambda each: (_WORST_FIRST.index(each[1]), each[0].leaf.not_after))
    if len({other for _, other, _ in judged}) > 1:
        reason = Reason.MIXED
    return EndpointAssessment(observed, verdict, reason, chain)


def _assess_start(started_at: datetime | None, issued: Issued | None) -> tuple[Verdict, Reason]:
    """Guess from when a container started, for what cannot be probed."""
    if issued is None or started_at is None:
        return Verdict.UNKNOWN, Reason.NEVER_ISSUED
    at = issued.at or issued.not_before
    if started_at >= at + START_TIME_DOUBT:
        return Verdict.CURRENT, Reason.STARTED_AFTER_ISSUANCE
    if started_at >= at:
        return Verdict.UNKNOWN, Reason.STARTED_AROUND_ISSUANCE
    return Verdict.STALE, Reason.STARTED_BEFORE_ISSUANCE


# --- one pod --------------------------------------------------------------------------------------


def _pod(view: PodView, use: CertificateUse, subject: AssessmentInput, issued: Issued | None) -> PodAssessment:
    if use.evidence is Evidence.START_TIME:
        return _worst(view, _by_start_time(view, subject, issued))
    if view.endpoints is None:
        return PodAssessment(view.pod.key, Verdict.UNKNOWN, Reason.PORT_NOT_FOUND, ())
    endpoints = tuple(_assess_endpoint(observed, view, subject, issued) for observed in view.endpoints)
    if use.target is None or use.target.port is None:
        assessed = _tried(view, use, _without_strangers(endpoints, subject, issued))
    elif use.target.certificate is None and _all_of_siblings(endpoints):
        assessed = PodAssessment(view.pod.key, Verdict.UNPROBED, Reason.PRESENTS_SIBLING, ())
    else:
        assessed = _worst(view, endpoints)
    if use.worker and assessed.verdict in (Verdict.UNPROBED, Verdict.UNKNOWN):
        # Workers are clients first: the drained restart renews them as well.
        return _worst(view, _by_start_time(view, subject, issued))
    return assessed


def _worst(view: PodView, endpoints: Iterable[EndpointAssessment]) -> PodAssessment:
    endpoints = tuple(endpoints)
    if not endpoints:
        return PodAssessment(view.pod.key, Verdict.UNKNOWN, Reason.NO_PORT, ())
    worst = min(endpoints, key=lambda assessed: _WORST_FIRST.index(assessed.verdict))
    return PodAssessment(view.pod.key, worst.verdict, worst.reason, endpoints)


def _all_of_siblings(endpoints: tuple[EndpointAssessment, ...]) -> bool:
    return bool(endpoints) and all(assessed.reason is Reason.PRESENTS_SIBLING for assessed in endpoints)


def _without_strangers(
    endpoints: tuple[EndpointAssessment, ...], subject: AssessmentInput, issued: Issued | None
) -> tuple[EndpointAssessment, ...]:
    """Leave out what only shares a name with this certificate, where another port presents the issued one.

    A leaf is of this certificate for certain if it was seen issued, or verifies to the authority that issued it.
    """
    if not any(assessed.verdict is Verdict.CURRENT for assessed in endpoints):
        return endpoints
    return tuple(
        assessed
        for assessed in endpoints
        if assessed.reason is not Reason.OLDER_THAN_ISSUED
        or (chain := assessed.decisive) is None
        or chain.leaf.fingerprint_sha256 in subject.previous_fingerprints
        or _accepted_until(chain, issued) is not None
    )


def _tried(view: PodView, use: CertificateUse, endpoints: tuple[EndpointAssessment, ...]) -> PodAssessment:
    """Assess a pod whose ports were only tried: nobody said that each of them serves this certificate.

    If some port has a verdict, the others are other services. Else, where nothing says that one should serve it, and
    every port answered with something else, the pod does not serve it: it is a client's certificate, or a trust bundle.
    A target says that it serves a certificate, and so does an annotated port; but if another certificate of the same
    pod was seen there, that is the one.
    """
    if answered := [assessed for assessed in endpoints if assessed.verdict in (Verdict.CURRENT, Verdict.STALE)]:
        return _worst(view, answered)
    mine = [assessed for assessed in endpoints if assessed.reason is not Reason.PRESENTS_SIBLING]
    has_sibling = len(mine) < len(endpoints)
    expected = use.target is not None or bool(view.pod.probe_ports)
    no_tls = _NO_TLS if has_sibling else {ProbeFailure.NOT_TLS}
    if (has_sibling or not expected) and all(_serves_something_else(assessed, no_tls) for assessed in mine):
        reason = Reason.PRESENTS_SIBLING if has_sibling else Reason.NOT_SERVED if endpoints else Reason.NO_PORT
        if use.target is None or use.target.certificate is None or not has_sibling:
            return PodAssessment(view.pod.key, Verdict.UNPROBED, reason, ())
        return _worst(view, endpoints)
    return _worst(view, mine)


def _serves_something_else(assessed: EndpointAssessment, no_tls: Collection[ProbeFailure]) -> bool:
    """Tell whether a port that was tried is known not to serve this certificate."""
    if assessed.reason is Reason.OTHER_CERTIFICATE:
        return True
    failure = assessed.observed.observation.failure if assessed.observed.observation else None
    return assessed.reason is Reason.PROBE_FAILED and failure in no_tls


def _by_start_time(view: PodView, subject: AssessmentInput, issued: Issued | None) -> Iterator[EndpointAssessment]:
    """Guess from the start of the containers that use the Secret, or the end of the init container that copied it."""
    pod, secret = view.pod, subject.certificate.secret if subject.certificate else None
    users = [container for container in pod.running if secret in container.secrets]
    copied = [part.finished_at for part in pod.init_containers if secret in part.secrets]
    for container in users or pod.running:
        if users or not copied:
            loaded_at = container.started_at
        else:
            loaded_at = None if None in copied else min(at for at in copied if at is not None)
        place = Endpoint(pod.key, pod.uid, pod.address, container.name, container.id, 0, None)
        verdict, reason = _assess_start(loaded_at, issued)
        yield EndpointAssessment(ObservedEndpoint(place, None), verdict, reason, evidence=Evidence.START_TIME)


# --- one use of the certificate by a workload -----------------------------------------------------


def _use(use: CertificateUse, subject: AssessmentInput, issued: Issued | None, now: datetime) -> UseAssessment:
    certificate = subject.certificate
    pods = _each_its_own(tuple(_pod(view, use, subject, issued) for view in use.pods))
    stale = [chain for chain in _decisive(pods) if chain is not None]
    ends = {chain: _accepted_until(chain, issued) for chain in stale}
    in_grace = use.target is not None and use.target.reloads and issued is not None and now < _reload_by(issued)
    seen = not pods or any(pod.verdict in _JUDGED for pod in pods)
    guessed = use.evidence is Evidence.START_TIME or (bool(pods) and not any(_probed(pod) for pod in pods))
    authorities = issued.chain.authorities if issued and issued.chain else ()
    return UseAssessment(
        workload=use.workload,
        target=use.target.name if use.target else "",
        evidence=use.evidence,
        state=_state(certificate, issued, pods, now, in_grace=in_grace) if seen else None,
        needs_restart=_needs_restart(issued, pods, in_grace=in_grace) if seen and not guessed else None,
        deadline=min((end or chain.leaf.not_after for chain, end in ends.items()), default=None),
        window=window(certificate, issued) if certificate and issued else None,
        issuer_changed=None in ends.values() if seen and authorities and not guessed else None,
        pods=pods,
    )


def _each_its_own(pods: tuple[PodAssessment, ...]) -> tuple[PodAssessment, ...]:
    """Where some pod presents this certificate, pods that present another one of theirs do not serve it.

    So it is with a certificate for each pod of a StatefulSet, all of which each pod mounts.
    """
    if not any(pod.verdict in (Verdict.CURRENT, Verdict.STALE) for pod in pods):
        return pods
    siblings = (Verdict.UNKNOWN, Reason.PRESENTS_SIBLING)
    return tuple(
        PodAssessment(pod.pod, Verdict.UNPROBED, pod.reason, ()) if (pod.verdict, pod.reason) == siblings else pod
        for pod in pods
    )


def _probed(pod: PodAssessment) -> bool:
    return any(assessed.evidence is Evidence.HANDSHAKE for assessed in pod.endpoints) or not pod.endpoints


def _needs_restart(issued: Issued | None, pods: tuple[PodAssessment, ...], *, in_grace: bool) -> bool | None:
    """Say whether some container is stale; None while that is not known. A guess by start time never says so."""
    endpoints = [assessed for pod in pods for assessed in pod.endpoints]
    if any(assessed.verdict is Verdict.STALE and assessed.evidence is Evidence.HANDSHAKE for assessed in endpoints):
        return None if in_grace else True
    if issued is None or any(pod.verdict in (Verdict.UNKNOWN, Verdict.PENDING) for pod in pods):
        return None
    return None if any(assessed.evidence is Evidence.START_TIME for assessed in endpoints) else False


def _state(
    certificate: Certificate | None,
    issued: Issued | None,
    pods: tuple[PodAssessment, ...],
    now: datetime,
    *,
    in_grace: bool,
) -> WindowState:
    """Name the state of the renewal window; the order of the tests is that of `WindowState`."""
    verdicts = {pod.verdict for pod in pods}
    ends = [loaded.leaf.not_after for loaded in _loaded(pods)]
    if not pods and issued is not None:
        ends = [issued.not_after]
    renewal_at = certificate.renewal_at if certificate else None
    if any(end <= now for end in ends):
        return WindowState.EXPIRED
    if Verdict.STALE in verdicts and not in_grace:
        return WindowState.NEEDS_RESTART
    if certificate is not None and certificate.renewal_disabled:
        return WindowState.RENEWAL_DISABLED
    if renewal_at is not None and renewal_at <= now:
        return WindowState.RENEWAL_DUE
    if issued is None or verdicts & {Verdict.UNKNOWN, Verdict.PENDING} or Verdict.STALE in verdicts:
        return WindowState.UNKNOWN
    return WindowState.SETTLED


def _loaded(pods: tuple[PodAssessment, ...]) -> Iterator[Chain]:
    """Yield what was seen to be loaded."""
    for pod in pods:
        for assessed in pod.endpoints:
            yield from (chain for chain in {assessed.observed.loaded, assessed.decisive} if chain is not None)


def _decisive(pods: tuple[PodAssessment, ...]) -> Iterator[Chain | None]:
    """Yield the chains that make containers stale."""
    for pod in pods:
        yield from (assessed.decisive for assessed in pod.endpoints if assessed.verdict is Verdict.STALE)


def _accepted_until(stale: Chain, issued: Issued | None) -> datetime | None:
    """Return until when a stale chain verifies to the issued `status.ca`, None if it does not or that is not known."""
    if issued is None or issued.chain is None:
        return None
    return verified_until((*stale.der, *issued.chain.intermediates), issued.chain.authorities)


# --- time -----------------------------------------------------------------------------------------


def _reload_by(issued: Issued) -> datetime:
    return (issued.at or issued.not_before) + RELOAD_GRACE


def _boundaries(subject: AssessmentInput, issued: Issued | None, uses: tuple[UseAssessment, ...]) -> Iterator[datetime]:
    """Yield every instant at which time alone may change the assessment."""
    if subject.certificate and subject.certificate.renewal_at:
        yield subject.certificate.renewal_at
    if issued is not None:
        yield issued.not_after
        yield _reload_by(issued)
    for use in uses:
        for loaded in _loaded(use.pods):
            yield loaded.leaf.not_after
