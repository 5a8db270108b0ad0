"""The input and the answer of an assessment, as types. Pure: no decisions.

`AssessmentInput` is all that is known of one Certificate, `Assessment` the answer; `model` has the words of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from certlag.model import (
    Certificate,
    CertificateRequest,
    Chain,
    Endpoint,
    Evidence,
    Issued,
    ObjectKey,
    Observation,
    Pod,
    Target,
    Workload,
)

CONFIRMATIONS = 30
"""Separate connections in a row that must show the issued leaf before it is believed that nothing else answers there.

An old process that takes one connection in ten is missed by 30 of them in 0.9**30 = 4 % of cases.
"""


@dataclass(frozen=True, slots=True)
class ObservedEndpoint:
    """An endpoint, and what was seen of it so far (None before the first attempt ended)."""

    endpoint: Endpoint
    observation: Observation | None

    @property
    def loaded(self) -> Chain | None:
        """What the container presents, None if that was never seen."""
        return self.observation.loaded if self.observation else None

    @property
    def shown(self) -> tuple[Chain, ...]:
        """Every chain that it may still present, the last one first."""
        return (self.loaded, *self.observation.others) if self.observation and self.loaded else ()


@dataclass(frozen=True, slots=True)
class PodView:
    """A running pod as one certificate's assessment sees it.

    `endpoints` is None if the target names a port that the pod does not have. `siblings` are the fingerprints of
    what other Certificates of the same pod issued, now or before, and `sibling_names` are those Certificates' names: a
    port that presents one of theirs does not speak for this one.
    """

    pod: Pod
    endpoints: tuple[ObservedEndpoint, ...] | None
    siblings: frozenset[str]
    sibling_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CertificateUse:
    """A workload that uses a certificate. `target` is None if it was discovered.

    `evidence` is how its containers are assessed. `worker` says that it is a target's worker: what no port tells of it
    is guessed from start times then.
    """

    workload: Workload
    target: Target | None
    evidence: Evidence
    pods: tuple[PodView, ...]
    worker: bool = False


@dataclass(frozen=True, slots=True)
class AssessmentInput:
    """All that is known about one Certificate: the whole input of its assessment.

    `certificate` is None if a target names one that does not exist. `requests` are those that it owns; `issued` is what
    was last issued, None if nothing was or nothing is known of it. `previous_fingerprints` are those
    seen issued, each with its revision, or 0 if that was for an earlier Certificate of the same name.
    """

    key: ObjectKey
    certificate: Certificate | None
    requests: tuple[CertificateRequest, ...] = ()
    issued: Issued | None = None
    previous_fingerprints: Mapping[str, int] = field(default_factory=dict)
    uses: tuple[CertificateUse, ...] = ()


class Verdict(StrEnum):
    """What can be said of what a container presents."""

    CURRENT = "current"
    STALE = "stale"
    UNKNOWN = "unknown"
    UNPROBED = "unprobed"
    PENDING = "pending"


class Reason(StrEnum):
    """Why a verdict is what it is: a closed set."""

    IS_ISSUED = "is_issued"
    SAME_DATES_AS_ISSUED = "same_dates_as_issued"
    DIFFERS_FROM_REQUEST = "differs_from_request"
    STARTED_AFTER_ISSUANCE = "started_after_issuance"
    OLDER_THAN_ISSUED = "older_than_issued"
    EARLIER_REVISION = "earlier_revision"
    MIXED = "mixed"
    STARTED_BEFORE_ISSUANCE = "started_before_issuance"
    OTHER_CERTIFICATE = "other_certificate"
    NEWER_THAN_ISSUED = "newer_than_issued"
    NOT_ORDERED = "not_ordered"
    NEVER_ISSUED = "never_issued"
    ISSUED_NOT_KNOWN = "issued_not_known"
    PROBE_FAILED = "probe_failed"
    STARTED_AROUND_ISSUANCE = "started_around_issuance"
    PORT_NOT_FOUND = "port_not_found"
    NO_PORT = "no_port"
    NOT_SERVED = "not_served"
    PRESENTS_SIBLING = "presents_sibling"
    FIRST_PROBE_PENDING = "first_probe_pending"


class WindowState(StrEnum):
    """The state of a renewal window; where several hold, the first of this order is the one."""

    EXPIRED = "expired"
    NEEDS_RESTART = "needs_restart"
    RENEWAL_DISABLED = "renewal_disabled"
    RENEWAL_DUE = "renewal_due"
    UNKNOWN = "unknown"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class EndpointAssessment:
    """The verdict on one endpoint.

    `decisive` is the chain that decided, None if none did; `evidence` is how it is known.
    """

    observed: ObservedEndpoint
    verdict: Verdict
    reason: Reason
    decisive: Chain | None = None
    evidence: Evidence = Evidence.HANDSHAKE


@dataclass(frozen=True, slots=True)
class PodAssessment:
    """The verdict on one running pod, and on each endpoint that speaks for the certificate."""

    pod: ObjectKey
    verdict: Verdict
    reason: Reason
    endpoints: tuple[EndpointAssessment, ...]


@dataclass(frozen=True, slots=True)
class UseAssessment:
    """The verdict on one workload's use of one certificate; None is "not known", an absent series."""

    workload: Workload
    target: str
    evidence: Evidence
    state: WindowState | None
    needs_restart: bool | None
    deadline: datetime | None
    window: timedelta | None
    issuer_changed: bool | None
    pods: tuple[PodAssessment, ...]


@dataclass(frozen=True, slots=True)
class Assessment:
    """The assessment of one Certificate at one instant.

    `changes_at` is when time alone will change it (a renewal falls due, something expires), None if never.
    """

    key: ObjectKey
    certificate: Certificate | None
    issued: Issued | None
    uses: tuple[UseAssessment, ...] = ()
    changes_at: datetime | None = None

    @property
    def renewal_at(self) -> datetime | None:
        """When cert-manager will renew it, None if that is not known."""
        return self.certificate.renewal_at if self.certificate else None
