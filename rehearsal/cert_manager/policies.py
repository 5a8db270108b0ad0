"""What is wrong with a Certificate's Secret: the checks by which it is issued again, and is Ready or not. Pure.

The checks and their order are those of cert-manager 1.21.2, internal/controller/certificates/policies (policies.go,
checks.go), without those of key algorithms, key usages and keystores, which nothing here depends on.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rehearsal.cert_manager import contents
from rehearsal.cert_manager.situation import (
    CERTIFICATE_NAME,
    ISSUER_GROUP,
    ISSUER_KIND,
    ISSUER_NAME,
    Situation,
    lifetime,
    renewal_at,
)
from rehearsal.objects import Document, annotations_of, name_of
from rehearsal.pki import Subject, subject_of


class Violation(NamedTuple):
    """What is wrong, as reason and message of a condition."""

    reason: str
    message: str


Check = Callable[[Situation, datetime], Violation | None]


def first_violation(chain: tuple[Check, ...], situation: Situation, now: datetime) -> Violation | None:
    """Return the first of a chain's violations; the later checks rely on the earlier ones."""
    return next((found for check in chain if (found := check(situation, now)) is not None), None)


def mismatches(request: Document, spec: Mapping[str, Any]) -> list[str]:
    """Return the fields in which a request is not what a Certificate's spec asks for (pki.RequestMatchesSpec)."""
    csr, wanted, asked = contents.csr(request), subject_of(spec), request["spec"]
    found = _subject_fields(csr.subject, wanted) if csr is not None else ["request"]
    if bool(asked.get("isCA")) != bool(spec.get("isCA")):
        found.append("spec.isCA")
    if asked.get("duration") and spec.get("duration") and lifetime(asked) != lifetime(spec):
        found.append("spec.duration")
    if _issuer(asked.get("issuerRef") or {}) != _issuer(spec["issuerRef"]):
        found.append("spec.issuerRef")
    return found


def _secret_does_not_exist(situation: Situation, _: datetime) -> Violation | None:
    if situation.secret is None:
        return Violation("DoesNotExist", "Issuing certificate as Secret does not exist")
    return None


def _secret_is_missing_data(situation: Situation, _: datetime) -> Violation | None:
    data = (situation.secret or {}).get("data")
    if not data:
        return Violation("MissingData", "Issuing certificate as Secret does not contain any data")
    for name, what in (("tls.key", "a private key"), ("tls.crt", "a certificate")):
        if not data.get(name):
            return Violation("MissingData", f"Issuing certificate as Secret does not contain {what}")
    return None


def _public_keys_differ(situation: Situation, _: datetime) -> Violation | None:
    key, leaf = contents.public_key(situation.secret), situation.leaf
    if key is None:
        return Violation("InvalidKeyPair", "Issuing certificate as Secret contains invalid private key data")
    if leaf is None:
        return Violation("InvalidCertificate", "Issuing certificate as Secret contains an invalid certificate")
    if leaf.public_key != key:
        message = "Issuing certificate as Secret contains a private key that does not match the certificate"
        return Violation("InvalidKeyPair", message)
    return None


def _issuer_differs(situation: Situation, _: datetime) -> Violation | None:
    found, wanted = _secret_annotations(situation), situation.spec["issuerRef"]
    name, kind, group = (found.get(part) for part in (ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP))
    is_annotated = any(part is not None for part in (name, kind, group))
    named = _issuer({"name": name if is_annotated else wanted["name"], "kind": kind, "group": group})
    if named != _issuer(wanted):
        was = f"{named[1]}.{named[2]}/{name or ''}"
        return Violation("IncorrectIssuer", f'Issuing certificate as Secret was previously issued by "{was}"')
    return None


def _certificate_differs(situation: Situation, _: datetime) -> Violation | None:
    name = _secret_annotations(situation).get(CERTIFICATE_NAME, name_of(situation.certificate))
    if name != name_of(situation.certificate):
        hint = (
            "If this message is not transient, you might have two conflicting Certificates pointing to the same secret."
        )
        return Violation("IncorrectCertificate", f'Secret was issued for "{name}". {hint}')
    return None


def _key_is_not_the_requested_one(situation: Situation, _: datetime) -> Violation | None:
    request = situation.current_request
    if request is None:
        return None
    csr = contents.csr(request)
    if csr is None:
        return Violation("InvalidCertificateRequest", "Failed to decode current CertificateRequest")
    if csr.public_key != contents.public_key(situation.secret):
        message = "Secret contains a private key that does not match the current CertificateRequest"
        return Violation("SecretMismatch", message)
    return None


def _spec_has_changed(situation: Situation, _: datetime) -> Violation | None:
    """Compare with the current request, or with the certificate if that is gone (pki.FuzzyX509AltNamesMatchSpec)."""
    request, leaf = situation.current_request, situation.leaf
    if request is not None:
        if contents.csr(request) is None or not (fields := mismatches(request, situation.spec)):
            return None
        return Violation("RequestChanged", f"Fields on existing CertificateRequest resource not up to date: {fields}")
    if leaf is not None and (fields := _subject_fields(_fuzzy(leaf.subject), _fuzzy(subject_of(situation.spec)))):
        message = f"Issuing certificate as Existing issued Secret is not up to date for spec: {fields}"
        return Violation("SecretMismatch", message)
    return None


def _nearing_expiry(situation: Situation, now: datetime) -> Violation | None:
    if situation.leaf is None:
        return None
    at = renewal_at(situation.spec, situation.leaf.not_before, situation.leaf.not_after)
    if at is None or at > now:
        return None
    message = f"Renewing certificate as renewal was scheduled at {at:%Y-%m-%d %H:%M:%S} +0000 UTC"
    return Violation("Renewing", message)


def _has_expired(situation: Situation, now: datetime) -> Violation | None:
    if situation.leaf is None or situation.leaf.not_after > now:
        return None
    return Violation("Expired", f"Certificate expired on {situation.leaf.not_after:%a, %d %b %Y %H:%M:%S UTC}")


TEMPORARY_CHAIN: tuple[Check, ...] = (_secret_does_not_exist, _secret_is_missing_data, _public_keys_differ)
"""Whether a Secret lacks any key pair (NewTemporaryCertificatePolicyChain)."""

_BOTH: tuple[Check, ...] = (
    *TEMPORARY_CHAIN,
    _issuer_differs,
    _certificate_differs,
    _key_is_not_the_requested_one,
    _spec_has_changed,
)
TRIGGER_CHAIN = (*_BOTH, _nearing_expiry)
"""Why a certificate is to be issued (NewTriggerPolicyChain)."""
READINESS_CHAIN = (*_BOTH, _has_expired)
"""Why a Certificate is not Ready (NewReadinessPolicyChain)."""


def _secret_annotations(situation: Situation) -> Mapping[str, str]:
    return annotations_of(situation.secret) if situation.secret is not None else {}


def _issuer(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return name, kind and group, with cert-manager's defaults filled in."""
    return (
        reference.get("name") or "",
        reference.get("kind") or "Issuer",
        reference.get("group") or "cert-manager.io",
    )


def _fuzzy(subject: Subject) -> Subject:
    """Take the common name for one of the DNS names: issuers move it between the two."""
    return Subject("", subject.dns_names | ({subject.common_name} - {""}), subject.addresses, subject.uris)


def _subject_fields(found: Subject, wanted: Subject) -> list[str]:
    pairs = {
        "spec.commonName": found.common_name == wanted.common_name,
        "spec.dnsNames": found.dns_names == wanted.dns_names,
        "spec.ipAddresses": found.addresses == wanted.addresses,
        "spec.uris": found.uris == wanted.uris,
    }
    return [field for field, equal in pairs.items() if not equal]
