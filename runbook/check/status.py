"""What a target presents against what was issued for it: the exporter's assessment, summed up for a run. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto

from certlag.assessment import CONFIRMATIONS, Assessment, PodAssessment, Reason, UseAssessment, Verdict, WindowState
from certlag.model import Certificate, Evidence, Issued, ObjectKey, ProbeFailure, Target
from runbook.events import PodLine

_OTHERS = frozenset({Reason.OTHER_CERTIFICATE, Reason.PRESENTS_SIBLING})


class Finding(StrEnum):
    """What a look at a restarted target amounts to; where several hold, the first of this order is the one."""

    OLD = auto()
    """Some pod was seen to present an older certificate: a restart may help."""
    OTHER = auto()
    """Some pod was seen to present a certificate that is not the target's at all: no restart helps."""
    UNSEEN = auto()
    """It is not known what some pod presents."""
    ISSUED = auto()
    """Every running pod presents what was issued."""


@dataclass(frozen=True, slots=True)
class PodStatus:
    """What one pod presents: `not_after` is that of its leaf, None if it was never seen.

    `port` is where it was asked, `failure` why that failed the last time; both None where there was nothing to ask.
    `streak` is how many connections in a row have shown the issued leaf, the fewest of its containers; None if it is
    assessed by no handshake.
    """

    name: str
    verdict: Verdict
    reason: Reason
    fingerprint: str | None
    not_after: datetime | None
    failure: ProbeFailure | None
    port: int | None = None
    streak: int | None = None

    @property
    def current(self) -> bool:
        """Whether it is known to present what was issued: `CONFIRMATIONS` connections in a row have shown it.

        It is not while the Secret differs from what was requested: then the Secret may be about to change.
        """
        believed = self.verdict is Verdict.CURRENT and self.reason is not Reason.DIFFERS_FROM_REQUEST
        return believed and (self.streak is None or self.streak >= CONFIRMATIONS)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """The assessment of a target, as far as its certificates go. `uses` pairs each certificate with its use."""

    at: datetime
    uses: tuple[tuple[Assessment, UseAssessment], ...]

    @property
    def pods(self) -> tuple[PodStatus, ...]:
        """Every pod under every certificate of the target."""
        return tuple(_pod(pod) for _, use in self.uses for pod in use.pods)

    @property
    def verified(self) -> bool:
        """Whether every running pod presents what was issued. Nothing seen is not verified.

        A pod that presents one of the target's certificates need not present the others, which it may use as a client.
        """
        seen: dict[str, list[PodStatus]] = defaultdict(list)
        for pod in self.pods:
            if pod.verdict is not Verdict.UNPROBED:
                seen[pod.name].append(pod)
        names = {pod.name for pod in self.pods}
        return bool(names) and all(seen[name] and all(pod.current for pod in seen[name]) for name in names)

    @property
    def by_start(self) -> bool:
        """Whether it is only known from when containers started, and nothing was probed."""
        return bool(self.uses) and all(use.evidence is Evidence.START_TIME for _, use in self.uses)

    @property
    def proof(self) -> str:
        """What was seen where it is verified."""
        if self.by_start:
            return "every pod started after the certificate was issued"
        return "every pod presents the issued certificate"

    @property
    def finding(self) -> Finding:
        """What this look amounts to."""
        if any(pod.verdict is Verdict.STALE for pod in self.pods):
            return Finding.OLD
        if any(pod.verdict is Verdict.UNKNOWN and pod.reason in _OTHERS for pod in self.pods):
            return Finding.OTHER
        return Finding.ISSUED if self.verified else Finding.UNSEEN

    @property
    def valid(self) -> bool:
        """Whether clients accept what is old of all that was seen: it has not expired, and its issuer is the same."""
        old = [pod for pod in self.pods if pod.verdict is Verdict.STALE]
        alive = all(pod.not_after is not None and pod.not_after > self.at for pod in old)
        in_time = self.deadline is None or self.deadline > self.at
        return alive and in_time and not any(use.issuer_changed for _, use in self.uses)

    @property
    def accepted_until(self) -> datetime | None:
        """Until when clients accept all that was seen; None if nothing was, or they refuse some of it already."""
        ends = [pod.not_after for pod in self.pods if pod.not_after is not None]
        if not ends or any(use.issuer_changed for _, use in self.uses):
            return None
        return min(ends if self.deadline is None else [*ends, self.deadline])

    @property
    def unverified(self) -> tuple[PodStatus, ...]:
        """The pods because of which it is not verified."""
        missing = tuple(pod for pod in self.pods if not pod.current and pod.verdict is not Verdict.UNPROBED)
        return missing or tuple(pod for pod in self.pods if pod.verdict is Verdict.UNPROBED)

    @property
    def why(self) -> str:
        """What is missing until it is verified; empty if nothing is."""
        return self.why_on({})

    def why_on(self, nodes: Mapping[str, str]) -> str:
        """Say what is missing, as `why`, and on which node each pod is, as far as that is known."""
        if not self.pods:
            return "no running pod was seen"
        return "; ".join(_lack(pod, nodes.get(pod.name)) for pod in self.unverified)

    @property
    def needs_restart(self) -> bool | None:
        """1, 0 or unknown, as `certlag_needs_restart` says of all of the target's certificates."""
        answers = [use.needs_restart for _, use in self.uses]
        if any(answers):
            return True
        return None if not answers or None in answers else False

    @property
    def state(self) -> WindowState | None:
        """The worst of the states of the renewal windows; None while there is nothing to assess."""
        states = [use.state for _, use in self.uses]
        return next((state for state in WindowState if state in states), None)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The Certificates that exist."""
        return tuple(assessment.certificate for assessment, _ in self.uses if assessment.certificate is not None)

    @property
    def issued(self) -> tuple[Issued, ...]:
        """What was issued for them."""
        return tuple(assessment.issued for assessment, _ in self.uses if assessment.issued is not None)

    @property
    def issued_at(self) -> datetime | None:
        """When the latest was issued, None if that is not known."""
        return max((issued.at for issued in self.issued if issued.at is not None), default=None)

    @property
    def revision(self) -> int | None:
        """The revision of the first certificate, to be noted beside a restart."""
        return next((certificate.revision for certificate in self.certificates), None)

    @property
    def deadline(self) -> datetime | None:
        """After it, clients refuse what is presented: the earliest of the restart windows."""
        return min((use.deadline for _, use in self.uses if use.deadline is not None), default=None)

    def lines(self) -> tuple[PodLine, ...]:
        """Say for each pod what it presents."""
        return tuple(PodLine(pod.name, "", str(pod.verdict), presents=_presents(pod)) for pod in self.pods)


def target_status(target: Target, assessments: Mapping[ObjectKey, Assessment], now: datetime) -> TargetStatus:
    """Pick out of an assessment what is about one target."""
    return TargetStatus(now, tuple(_uses(target, assessments.values())))


def _uses(target: Target, assessments: Iterable[Assessment]) -> Iterable[tuple[Assessment, UseAssessment]]:
    for assessment in assessments:
        for use in assessment.uses:
            if use.target == target.name and use.workload == target.workload:
                yield assessment, use


def _pod(pod: PodAssessment) -> PodStatus:
    spoken = next((each for each in pod.endpoints if each.verdict is pod.verdict), None)
    spoken = spoken or next(iter(pod.endpoints), None)
    [each.observed.observation.streak for each in pod.endpoints if each.observed.observation]
    chain = (spoken.decisive or spoken.observed.loaded) if spoken else None
    observation = spoken.observed.observation if spoken else None
    return PodStatus(
        name=pod.pod.name,
        verdict=pod.verdict,
        reason=pod.reason,
        fingerprint=chain.leaf.fingerprint_sha256 if chain else None,
        not_after=chain.leaf.not_after if chain else None,
        failure=observation.failure if observation else None,
        port=spoken.observed.endpoint.port if observation and spoken else None,
        streak=min(
            (each.observed.observation.streak for each in pod.endpoints if each.observed.observation), default=None
        ),
    )


def _lack(pod: PodStatus, node: str | None) -> str:
    """Say what is missing until a pod is known to present the issued certificate."""
    name = f"{pod.name} on node {node}" if node else pod.name
    if pod.verdict is Verdict.CURRENT and pod.reason is not Reason.DIFFERS_FROM_REQUEST:
        return f"{name}: the issued certificate was seen in {pod.streak} of {CONFIRMATIONS} connections"
    return f"{name}: {pod.verdict} ({pod.reason})"


def _presents(pod: PodStatus) -> str:
    if pod.fingerprint is None:
        return str(pod.failure or pod.reason)
    return f"{pod.fingerprint[:12]} until {pod.not_after:%Y-%m-%d %H:%M}Z"
