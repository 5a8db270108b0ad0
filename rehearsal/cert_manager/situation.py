"""What cert-manager knows of one Certificate when it decides. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import durationpy

from rehearsal.cert_manager import contents
from rehearsal.objects import Document, annotations_of, is_true

CERTIFICATE_NAME = "cert-manager.io/certificate-name"
REVISION = "cert-manager.io/certificate-revision"
KEY_SECRET = "cert-manager.io/private-key-secret-name"  # noqa: S105 - the name of an annotation
TEMPORARY = "cert-manager.io/issue-temporary-certificate"
ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP = (f"cert-manager.io/issuer-{part}" for part in ("name", "kind", "group"))

LIFETIME = timedelta(hours=2160)
"""`spec.duration` where it is not given."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known of a Certificate.

    Attributes:
        certificate: the Certificate.
        requests: the CertificateRequests that it controls by their owner reference, by name.
        names_taken: the names of all CertificateRequests of its namespace, no matter who owns them.
        secret: the Secret that it is stored in.
        next_key: the Secret of the private key for the next issuance.
    """

    certificate: Document
    requests: tuple[Document, ...]
    names_taken: frozenset[str]
    secret: Document | None
    next_key: Document | None

    @property
    def spec(self) -> Document:
        """What is asked for."""
        spec: Document = self.certificate["spec"]
        return spec

    @property
    def status(self) -> Document:
        """What cert-manager has written so far."""
        status: Document = self.certificate["status"]
        return status

    @property
    def revision(self) -> int:
        """The revision that was issued last; 0 before the first, and for a Secret that was adopted."""
        return int(self.status.get("revision", 0))

    @property
    def is_issuing(self) -> bool:
        """Tell whether an issuance is under way."""
        return is_true(self.certificate, "Issuing")

    @property
    def leaf(self) -> contents.Leaf | None:
        """The certificate in the Secret."""
        return contents.leaf((self.secret or {}).get("data") or {})

    def of_revision(self, revision: int) -> Sequence[Document]:
        """Return its requests of a revision; more than one stops cert-manager."""
        return [request for request in self.requests if annotations_of(request).get(REVISION) == str(revision)]

    @property
    def current_request(self) -> Document | None:
        """The request of the revision that was issued last."""
        return _only(self.of_revision(self.revision)) if "revision" in self.status else None

    @property
    def next_request(self) -> Document | None:
        """The request of the next revision."""
        return _only(self.of_revision(self.revision + 1))

    @property
    def has_duplicates(self) -> bool:
        """Tell whether a revision that counts has several requests (policies.Gatherer.DataForCertificate)."""
        current = self.of_revision(self.revision) if "revision" in self.status else ()
        return len(current) > 1 or len(self.of_revision(self.revision + 1)) > 1


def revision_of(request: Document) -> int | None:
    """Return the revision that a CertificateRequest is for, None if it says none that cert-manager can read."""
    text = annotations_of(request).get(REVISION, "")
    return int(text) if text.removeprefix("-").isdecimal() else None


def renewal_at(spec: Mapping[str, Any], not_before: datetime, not_after: datetime) -> datetime | None:
    """Return when it is renewed, None if never (pkg/util/pki, RenewalTime; renewal windows are left out).

    It is `renewBefore`, its percentage, or a third of the lifetime before its end.
    """
    if (spec.get("renewal") or {}).get("policy") == "Disabled":
        return None
    lifetime = not_after - not_before
    before = lifetime / 3
    if spec.get("renewBefore"):
        before = duration(spec["renewBefore"])
    elif (percentage := spec.get("renewBeforePercentage")) is not None:
        before = lifetime * percentage / 100
    if before >= lifetime:
        before = lifetime / 3
    return (not_after - before).replace(microsecond=0)


def duration(text: str) -> timedelta:
    """Read a Go duration."""
    return timedelta(seconds=durationpy.from_str(text).total_seconds())


def lifetime(spec: Mapping[str, Any]) -> timedelta:
    """Return how long a certificate is to be valid, of a Certificate's spec or a request's."""
    return duration(spec["duration"]) if spec.get("duration") else LIFETIME


def _only(requests: Sequence[Document]) -> Document | None:
    return requests[0] if len(requests) == 1 else None
