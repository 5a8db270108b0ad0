"""The one judgement: what is issued against what is loaded, for one Certificate at one instant. Pure.

`assess` is a function of everything known about a Certificate (`Subject`) and the time. The gauges, the status
page and the runbook all ask it. It never guesses: what cannot be told is unknown, with its reason, and a failed
probe alone changes nothing that was seen before.

The reading order is that of the definitions: what one endpoint presents (`_judge`), what that makes of a pod
(`_pod`), of a workload (`_use`), and of its renewal window (`_state`).
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from exporter.certificates import not_after, signing_authority
from exporter.issued import issued, later
from exporter.judgement import (
    Assessment,
    PodAssessment,
    PodView,
    Reason,
    Sight,
    SightAssessment,
    Subject,
    Use,
    UseAssessment,
    Verdict,
    WindowState,
)
from exporter.model import (
    Certificate,
    Chain,
    Container,
    Endpoint,
    Evidence,
    Issued,
    Leaf,
    ObjectKey,
)

RELOAD_GRACE = timedelta(minutes=10)
"""How long a workload that reloads by itself may take: the kubelet's volume refresh and a file watcher's poll."""
START_TIME_DOUBT = timedelta(minutes=2)
"""Within this after issuance a container may have started with either: the kubelet's cache of the Secret."""

_WORST_FIRST = (Verdict.STALE, Verdict.UNKNOWN, Verdict.PENDING, Verdict.CURRENT, Verdict.UNPROBED)
_JUDGED = frozenset({Verdict.CURRENT, Verdict.STALE, Verdict.UNKNOWN})


def assess(snapshot: Mapping[ObjectKey, Subject], now: datetime) -> dict[ObjectKey, Assessment]:
    """Judge every Certificate of a snapshot."""
    return {key: assess_certificate(subject, now) for key, subject in snapshot.items()}


def assess_certificate(subject: Subject, now: datetime) -> Assessment:
    """Judge one Certificate and every use of it."""
    certificate = subject.certificate
    known = issued(certificate, subject.requests, subject.remembered) if certificate else None
    uses = tuple(_use(use, subject, known, now) for use in subject.uses)
    changes = [at for at in _boundaries(subject, known, uses) if at > now]
    return Assessment(subject.key, certificate, known, uses, min(changes, default=None))


def window(certificate: Certificate, known: Issued) -> timedelta:
    """Return the effective renewBefore of a certificate, the nominal length of its restart window.

    As cert-manager reckons it (`pkg/api/util`, RenewalTime): `renewBefore`, else a percentage of the lifetime, else a
    third of it; a renewBefore that is not shorter than the lifetime counts as not given.
    """
    lifetime = known.not_after - known.not_before
    if certificate.renew_before is not None and timedelta(0) < certificate.renew_before < lifetime:
        return certificate.renew_before
    percentage = certificate.renew_before_percentage
    if percentage is not None and 0 < percentage < 100:
        return lifetime * percentage / 100
    return lifetime / 3


# --- one endpoint ---------------------------------------------------------------------------------


def _judge(leaf: Leaf, subject: Subject, known: Issued | None, siblings: frozenset[str]) -> tuple[Verdict, Reason]:
    """Compare a leaf that is presented with the one issued."""
    certificate, chain = subject.certificate, known.chain if known else None
    if chain and leaf.fingerprint_sha256 == chain.leaf.fingerprint_sha256:
        return Verdict.CURRENT, Reason.IS_ISSUED
    if certificate and leaf.fingerprint_sha256 in later(certificate, subject.requests):
        return Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED
    if leaf.fingerprint_sha256 in siblings:
        return Verdict.UNKNOWN, Reason.PRESENTS_SIBLING
    if certificate is None or known is None:
        never = certificate is None or certificate.revision is None
        return Verdict.UNKNOWN, Reason.NEVER_ISSUED if never else Reason.ISSUED_NOT_KNOWN
    names = (*certificate.names, *(chain.leaf.names if chain else ()))
    if leaf.fingerprint_sha256 not in subject.former and set(leaf.names).isdisjoint(names):
        return Verdict.UNKNOWN, Reason.OTHER_CERTIFICATE
    if not chain and (leaf.not_before, leaf.not_after) == (known.not_before, known.not_after):
        return Verdict.CURRENT, Reason.SAME_DATES_AS_ISSUED
    if leaf.not_before > known.not_before:
        return Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED
    return Verdict.STALE, Reason.OLDER_THAN_ISSUED


def _judge_sight(sight: Sight, view: PodView, subject: Subject, known: Issued | None) -> SightAssessment:
    if sight.observation is None:
        return SightAssessment(sight, Verdict.PENDING, Reason.FIRST_PROBE_PENDING)
    if sight.loaded is None:
        return SightAssessment(sight, Verdict.UNKNOWN, Reason.PROBE_FAILED)
    return SightAssessment(sight, *_judge(sight.loaded.leaf, subject, known, view.siblings))


def _judge_start(container: Container, known: Issued | None) -> tuple[Verdict, Reason]:
    """Guess from when a container started, for what cannot be probed."""
    if known is None or container.started_at is None:
        return Verdict.UNKNOWN, Reason.NEVER_ISSUED
    at = known.at or known.not_before
    if container.started_at >= at + START_TIME_DOUBT:
        return Verdict.CURRENT, Reason.STARTED_AFTER_ISSUANCE
    if container.started_at >= at:
        return Verdict.UNKNOWN, Reason.STARTED_AROUND_ISSUANCE
    return Verdict.STALE, Reason.STARTED_BEFORE_ISSUANCE


# --- one pod --------------------------------------------------------------------------------------


def _pod(view: PodView, use: Use, subject: Subject, known: Issued | None) -> PodAssessment:
    if use.evidence is Evidence.START_TIME:
        sights = tuple(_guesses(view, subject, known))
    elif view.sights is None:
        return PodAssessment(view.pod.key, Verdict.UNKNOWN, Reason.PORT_NOT_FOUND, ())
    else:
        sights = tuple(_judge_sight(sight, view, subject, known) for sight in view.sights)
        if use.target is None or use.target.port is None:
            sights = tuple(_that_speak_for_it(sights))
    if not sights:
        reason = Reason.PRESENTS_SIBLING if view.sights else Reason.NO_PORT
        return PodAssessment(view.pod.key, Verdict.UNPROBED, reason, ())
    worst = min(sights, key=lambda assessed: _WORST_FIRST.index(assessed.verdict))
    return PodAssessment(view.pod.key, worst.verdict, worst.reason, sights)


def _that_speak_for_it(sights: tuple[SightAssessment, ...]) -> Iterator[SightAssessment]:
    """Leave out the ports that were only tried: nobody said that each of them serves this certificate.

    A port that presents another certificate of the same pod speaks for that one. If some port has a verdict, the
    ports that do not answer in TLS, or with something foreign, are other services.
    """
    mine = [assessed for assessed in sights if assessed.reason is not Reason.PRESENTS_SIBLING]
    answered = [assessed for assessed in mine if assessed.verdict in (Verdict.CURRENT, Verdict.STALE)]
    yield from answered or mine


def _guesses(view: PodView, subject: Subject, known: Issued | None) -> Iterator[SightAssessment]:
    secret = subject.certificate.secret if subject.certificate else None
    users = [container for container in view.pod.running if secret in container.secrets]
    for container in users or view.pod.running:
        place = Endpoint(view.pod.key, view.pod.uid, view.pod.address, container.name, container.id, 0, None)
        yield SightAssessment(Sight(place, None), *_judge_start(container, known))


# --- one use of the certificate by a workload -----------------------------------------------------


def _use(use: Use, subject: Subject, known: Issued | None, now: datetime) -> UseAssessment:
    certificate = subject.certificate
    pods = tuple(_pod(view, use, subject, known) for view in use.pods)
    authorities = [(chain, _authority(chain, known)) for chain in _loaded(pods, {Verdict.STALE})]
    in_grace = use.target is not None and use.target.reloads and known is not None and now < _reload_by(known)
    seen = not pods or any(pod.verdict in _JUDGED for pod in pods)
    return UseAssessment(
        workload=use.workload,
        target=use.target.name if use.target else "",
        evidence=use.evidence,
        state=_state(certificate, known, pods, now, in_grace=in_grace) if seen else None,
        needs_restart=_needs_restart(use, known, pods, in_grace=in_grace) if seen else None,
        deadline=min((at for pair in authorities for at in _ends(*pair)), default=None),
        window=window(certificate, known) if certificate and known else None,
        issuer_changed=_issuer_changed(use, known, [authority for _, authority in authorities]) if seen else None,
        pods=pods,
    )


def _needs_restart(use: Use, known: Issued | None, pods: tuple[PodAssessment, ...], *, in_grace: bool) -> bool | None:
    """Say whether some container is stale; None while that is not known. A guess by start time never says so."""
    if use.evidence is Evidence.START_TIME:
        return None
    verdicts = {pod.verdict for pod in pods}
    if Verdict.STALE in verdicts:
        return None if in_grace else True
    if known is None or verdicts & {Verdict.UNKNOWN, Verdict.PENDING}:
        return None
    return False


def _state(
    certificate: Certificate | None,
    known: Issued | None,
    pods: tuple[PodAssessment, ...],
    now: datetime,
    *,
    in_grace: bool,
) -> WindowState:
    """Name the state of the renewal window; the order of the tests is that of `WindowState`."""
    verdicts = {pod.verdict for pod in pods}
    ends = [loaded.leaf.not_after for loaded in _loaded(pods)]
    if not pods and known is not None:
        ends = [known.not_after]
    renewal_at = certificate.renewal_at if certificate else None
    if any(end <= now for end in ends):
        return WindowState.EXPIRED
    if Verdict.STALE in verdicts and not in_grace:
        return WindowState.RESTART_DUE
    if renewal_at is not None and renewal_at <= now:
        return WindowState.RENEWAL_DUE
    if known is None or verdicts & {Verdict.UNKNOWN, Verdict.PENDING} or Verdict.STALE in verdicts:
        return WindowState.UNKNOWN
    return WindowState.SETTLED


def _loaded(pods: tuple[PodAssessment, ...], verdicts: Collection[Verdict] = tuple(Verdict)) -> Iterator[Chain]:
    """Yield what was seen to be loaded, of these verdicts."""
    for pod in pods:
        for assessed in pod.sights:
            if assessed.sight.loaded is not None and assessed.verdict in verdicts:
                yield assessed.sight.loaded


def _authority(stale: Chain, known: Issued | None) -> bytes | None:
    """Return the authority in the issued `status.ca` to which a stale leaf verifies."""
    if known is None or known.chain is None:
        return None
    return signing_authority((*stale.der, *known.chain.intermediates), known.chain.authorities)


def _ends(stale: Chain, authority: bytes | None) -> Iterator[datetime]:
    """Yield the instants after which a stale chain is no longer accepted."""
    yield stale.not_after
    if authority is not None:
        yield not_after(authority)


def _issuer_changed(use: Use, known: Issued | None, authorities: list[bytes | None]) -> bool | None:
    """Say whether some stale leaf verifies to none of the authorities; None where nothing or no leaf tells."""
    if use.evidence is Evidence.START_TIME:
        return None
    if known is None or known.chain is None or not known.chain.authorities:
        return None
    return None in authorities


# --- time -----------------------------------------------------------------------------------------


def _reload_by(known: Issued) -> datetime:
    return (known.at or known.not_before) + RELOAD_GRACE


def _boundaries(subject: Subject, known: Issued | None, uses: tuple[UseAssessment, ...]) -> Iterator[datetime]:
    """Yield every instant at which time alone may change the judgement."""
    if subject.certificate and subject.certificate.renewal_at:
        yield subject.certificate.renewal_at
    if known is not None:
        yield known.not_after
        yield _reload_by(known)
    for use in uses:
        for loaded in _loaded(use.pods):
            yield loaded.leaf.not_after
