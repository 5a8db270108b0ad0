"""The next single write that cert-manager makes for a Certificate. Pure.

The order is the one that release 1.21 was seen to have on a real API server: Issuing, the next private key, its name in
the status, the request of the next revision, the old request deleted, the new one approved, then signed, the Secret,
the revision (still with the old dates), the dates, the temporary Secret deleted, its name cleared. Each write depends
only on what is stored, so a cert-manager that was killed goes on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import durationpy

from rehearsal.objects import Document, annotations_of, condition, is_true

CERTIFICATE_NAME = "cert-manager.io/certificate-name"
REVISION = "cert-manager.io/certificate-revision"
KEY_SECRET = "cert-manager.io/private-key-secret-name"  # noqa: S105 - the name of an annotation

LIFETIME = timedelta(hours=2160)
"""`spec.duration` where it is not given."""


class Write(Enum):
    """A write that is due."""

    READINESS = auto()
    ISSUING = auto()
    NEXT_KEY = auto()
    NEXT_KEY_NAME = auto()
    REQUEST = auto()
    OLD_REQUEST = auto()
    APPROVAL = auto()
    SIGNATURE = auto()
    SECRET = auto()
    REVISION = auto()
    FORGET_KEY = auto()
    FORGET_KEY_NAME = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known of a Certificate. `requests` are its own, by revision; `leaf_dates` those in its Secret."""

    certificate: Document
    requests: Mapping[int, Document]
    secret: Document | None
    next_key: Document | None
    leaf_dates: tuple[datetime, datetime] | None

    @property
    def revision(self) -> int:
        """The revision that was issued last; 0 before the first."""
        return int(self.certificate["status"].get("revision", 0))

    @property
    def request(self) -> Document | None:
        """The request of the next revision."""
        return self.requests.get(self.revision + 1)

    @property
    def is_issuing(self) -> bool:
        """Tell whether an issuance is under way."""
        return is_true(self.certificate, "Issuing")


def next_write(situation: Situation, now: datetime) -> Write | None:
    """Return what is to be written next, None if nothing is."""
    status = situation.certificate["status"]
    if condition(situation.certificate, "Ready") is None:
        return Write.READINESS
    if situation.is_issuing:
        return _next_of_issuing(situation)
    if status.get("conditions") and not _says(situation, readiness(situation, now)):
        return Write.READINESS
    if status.get("nextPrivateKeySecretName"):
        return Write.FORGET_KEY if situation.next_key is not None else Write.FORGET_KEY_NAME
    return Write.ISSUING if reason_to_issue(situation, now) is not None else None


def _next_of_issuing(situation: Situation) -> Write | None:
    status, request = situation.certificate["status"], situation.request
    if situation.next_key is None:
        return Write.NEXT_KEY
    if status.get("nextPrivateKeySecretName") is None:
        return Write.NEXT_KEY_NAME
    if request is None:
        return Write.REQUEST
    if superfluous(situation):
        return Write.OLD_REQUEST
    if not is_true(request, "Approved"):
        return Write.APPROVAL
    if not is_true(request, "Ready"):
        return Write.SIGNATURE
    signed = request["status"]["certificate"]
    if situation.secret is None or (situation.secret.get("data") or {}).get("tls.crt") != signed:
        return Write.SECRET
    return Write.REVISION


def superfluous(situation: Situation) -> Sequence[Document]:
    """Return the requests beyond `revisionHistoryLimit` (1 since cert-manager 1.18), oldest first."""
    kept = int(situation.certificate["spec"].get("revisionHistoryLimit", 1))
    return [request for _, request in sorted(situation.requests.items())][:-kept]


def reason_to_issue(situation: Situation, now: datetime) -> Document | None:
    """Return why a certificate is to be issued, as reason and message of a condition; None if it is not."""
    if situation.leaf_dates is None:
        return _nothing_to_present(situation)
    at = renewal_at(situation.certificate["spec"], situation.leaf_dates)
    if at is not None and at <= now:
        message = f"Renewing certificate as renewal was scheduled at {at:%Y-%m-%d %H:%M:%S} +0000 UTC"
        return {"reason": "Renewing", "message": message}
    return None


def readiness(situation: Situation, now: datetime) -> Document:
    """Return status, reason and message of the condition Ready."""
    if situation.leaf_dates is None:
        return {"status": "False", **_nothing_to_present(situation)}
    not_after = situation.leaf_dates[1]
    if not_after <= now:
        message = f"Certificate expired on {not_after:%a, %d %b %Y %H:%M:%S UTC}"
        return {"status": "False", "reason": "Expired", "message": message}
    return {"status": "True", "reason": "Ready", "message": "Certificate is up to date and has not expired"}


def status_dates(situation: Situation) -> dict[str, str]:
    """Return the dates for the status: those of the leaf in the Secret."""
    if situation.leaf_dates is None:
        return {}
    not_before, not_after = situation.leaf_dates
    renewal = renewal_at(situation.certificate["spec"], situation.leaf_dates)
    written = {"notBefore": not_before, "notAfter": not_after, "renewalTime": renewal}
    return {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in written.items() if at is not None}


def renewal_at(spec: Mapping[str, Any], leaf_dates: tuple[datetime, datetime]) -> datetime | None:
    """Return when it is renewed: `renewBefore`, its percentage, or a third of the lifetime before its end."""
    not_before, not_after = leaf_dates
    lifetime = not_after - not_before
    if text := spec.get("renewBefore"):
        before = duration(text)
    elif (percentage := spec.get("renewBeforePercentage")) is not None:
        before = lifetime * percentage / 100
    else:
        before = lifetime / 3
    if before >= lifetime:
        before = lifetime / 3
    return (not_after - before).replace(microsecond=0)


def duration(text: str) -> timedelta:
    """Read a Go duration."""
    return timedelta(seconds=durationpy.from_str(text).total_seconds())


def lifetime(spec: Mapping[str, Any]) -> timedelta:
    """Return how long a certificate is to be valid."""
    return duration(spec["duration"]) if spec.get("duration") else LIFETIME


def due_at(situation: Situation, now: datetime) -> datetime | None:
    """Return when time alone makes a write due: the renewal, or the end."""
    if situation.leaf_dates is None:
        return None
    at = (renewal_at(situation.certificate["spec"], situation.leaf_dates), situation.leaf_dates[1])
    return min((each for each in at if each is not None and each > now), default=None)


def revision_of(request: Document) -> int:
    """Return the revision that a CertificateRequest is for."""
    return int(annotations_of(request).get(REVISION, "0"))


def _nothing_to_present(situation: Situation) -> Document:
    if situation.secret is None:
        return {"reason": "DoesNotExist", "message": "Issuing certificate as Secret does not exist"}
    message = "Issuing certificate as Secret contains an invalid certificate"
    return {"reason": "InvalidCertificate", "message": message}


def _says(situation: Situation, wanted: Document) -> bool:
    """Tell whether the status already says that, with the leaf's dates."""
    found, status = condition(situation.certificate, "Ready") or {}, situation.certificate["status"]
    return all(found.get(name) == wanted[name] for name in ("status", "reason")) and all(
        status.get(name) == value for name, value in status_dates(situation).items()
    )
