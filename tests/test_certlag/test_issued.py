"""What was last issued: the request of the current revision, else memory, else the dates in the status."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from certlag.issued import issued, next_revision_fingerprints
from certlag.model import Certificate, CertificateRequest, Issued, IssuedEvidence, ObjectKey
from certlag.x509.certificates import read_issued
from tests import pki
from tests.builders import a_certificate
from tests.pki import DAY, NOW

ROOT = pki.authority("root")
READY = NOW + timedelta(seconds=5)


def request(revision: int, start: datetime, *, signed: bool = True) -> CertificateRequest:
    leaf = ROOT.leaf("svc.example", not_before=start, not_after=start + 90 * DAY)
    chain = read_issued(leaf.chain_pem, ROOT.pem) if signed else None
    ready_at = READY if signed else None
    return CertificateRequest(ObjectKey("ns", f"svc-{revision}"), "certificate-uid", revision, ready_at, chain)


OLD, CURRENT, NEXT = request(1, NOW - 60 * DAY), request(2, NOW), request(3, NOW + 60 * DAY)


def dates(of: CertificateRequest) -> tuple[datetime, datetime]:
    assert of.issued is not None
    return of.issued.leaf.not_before, of.issued.leaf.not_after


def certificate(revision: int | None, status: CertificateRequest | None) -> Certificate:
    """A Certificate at a revision, whose status has the dates of a request."""
    not_before, not_after = dates(status) if status else (None, None)
    return a_certificate(revision, not_before=not_before, not_after=not_after)


AT_2 = certificate(2, CURRENT)


def seen(of: CertificateRequest) -> tuple[int, Issued]:
    """What is remembered after a request was seen while its revision was current."""
    known = issued(certificate(of.revision, of), [of], None)
    assert known is not None
    return of.revision, known


def test_the_request_of_the_current_revision_says_it() -> None:
    known = issued(AT_2, [OLD, CURRENT, NEXT], seen(OLD))
    assert known == Issued(IssuedEvidence.CERTIFICATE_REQUEST, *dates(CURRENT), CURRENT.issued, READY)


def test_the_order_of_the_requests_does_not_matter() -> None:
    assert issued(AT_2, [NEXT, OLD, CURRENT], None) == issued(AT_2, [CURRENT, NEXT, OLD], None)


def test_a_request_that_is_not_signed_says_nothing() -> None:
    known = issued(AT_2, [request(2, NOW, signed=False)], None)
    assert known is not None
    assert known.evidence is IssuedEvidence.STATUS_DATES


def test_a_request_whose_dates_are_not_those_of_the_status_says_nothing() -> None:
    """Anyone may have created it; the dates in the status come from the Secret."""
    known = issued(certificate(2, OLD), [CURRENT], None)
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(OLD), None, None, contradicted=True)


def test_several_requests_for_which_as_much_speaks_are_alternatives_and_the_remembered_one_is_the_first() -> None:
    forged = replace(request(2, NOW), key=ObjectKey("ns", "a-forged-one"))
    known = issued(AT_2, [CURRENT, forged], seen(CURRENT))
    assert known is not None
    assert known.chains == (CURRENT.issued, forged.issued)
    known = issued(AT_2, [CURRENT, forged], None)
    assert known is not None
    assert known.chains == (forged.issued, CURRENT.issued)


def test_without_dates_in_the_status_nothing_holds_a_request_to_anything() -> None:
    assert issued(certificate(2, None), [CURRENT], None) is None


def test_what_is_remembered_is_an_alternative_to_a_request_of_the_same_dates() -> None:
    forged = replace(request(2, NOW), key=ObjectKey("ns", "a-forged-one"))
    known = issued(AT_2, [forged], seen(CURRENT))
    assert known is not None
    assert known.chains == (forged.issued, CURRENT.issued)


@pytest.mark.parametrize("requests", [[], [OLD]], ids=["none left", "an old one left"])
def test_what_was_seen_for_this_revision_is_remembered_when_its_request_is_gone(
    requests: list[CertificateRequest],
) -> None:
    known = issued(AT_2, requests, seen(CURRENT))
    assert known == Issued(IssuedEvidence.MEMORY, *dates(CURRENT), CURRENT.issued, READY)


def test_memory_of_another_revision_says_nothing() -> None:
    known = issued(AT_2, [], (1, seen(CURRENT)[1]))
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(CURRENT), None, None)


def test_memory_never_contradicts_the_status() -> None:
    """Restored from a backup, or issued outside cert-manager: the revision is the same, the dates are others."""
    known = issued(certificate(2, OLD), [], seen(CURRENT))
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(OLD), None, None, contradicted=True)


def test_memory_stands_when_the_status_has_no_dates() -> None:
    known = issued(certificate(2, None), [], seen(CURRENT))
    assert known is not None
    assert known.evidence is IssuedEvidence.MEMORY


def test_memory_stands_while_the_status_already_has_the_dates_of_the_next_revision() -> None:
    """cert-manager writes the dates a moment before the revision."""
    known = issued(certificate(2, NEXT), [NEXT], seen(CURRENT))
    assert known == Issued(IssuedEvidence.MEMORY, *dates(CURRENT), CURRENT.issued, READY)


def test_without_memory_the_dates_of_the_next_revision_are_not_taken_for_this_ones() -> None:
    assert issued(replace(certificate(2, NEXT), issuing=True), [NEXT], None) is None


def test_unless_it_is_being_issued_no_request_makes_the_dates_those_of_another_revision() -> None:
    known = issued(certificate(2, NEXT), [NEXT], None)
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(NEXT), None, None)


def test_without_a_request_the_dates_of_the_status_say_it() -> None:
    known = issued(AT_2, [], None)
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(CURRENT), None, None)


def test_dates_without_an_issuance_say_nothing() -> None:
    """A temporary certificate: there are dates, but no revision, and the Certificate is not Ready."""
    assert issued(replace(certificate(None, CURRENT), ready=False), [], None) is None
    assert issued(replace(certificate(None, CURRENT), ready=None), [], None) is None
    assert issued(replace(AT_2, ready=False), [], None) is None


def test_the_dates_of_an_adopted_secret_say_it() -> None:
    known = issued(replace(certificate(None, CURRENT), ready=True), [], None)
    assert known == Issued(IssuedEvidence.STATUS_DATES, *dates(CURRENT), None, None)


def test_half_of_the_dates_says_nothing() -> None:
    assert issued(replace(AT_2, not_after=None), [], None) is None
    assert issued(replace(AT_2, not_before=None), [], None) is None


def test_what_was_never_issued_is_none() -> None:
    assert issued(certificate(None, None), [], None) is None
    assert issued(certificate(None, None), [request(1, NOW, signed=False)], None) is None


def test_a_signed_first_request_is_not_issued_before_the_status_says_so() -> None:
    assert issued(certificate(None, None), [OLD], None) is None


def test_later_leaves_are_those_of_later_revisions() -> None:
    assert NEXT.issued is not None
    assert OLD.issued is not None
    assert next_revision_fingerprints(AT_2, [OLD, CURRENT, NEXT]) == {NEXT.issued.leaf.fingerprint_sha256}
    assert next_revision_fingerprints(certificate(3, NEXT), [OLD, CURRENT, NEXT]) == frozenset()
    assert next_revision_fingerprints(certificate(None, None), [OLD]) == {OLD.issued.leaf.fingerprint_sha256}
    assert next_revision_fingerprints(AT_2, [request(3, NOW, signed=False)]) == frozenset()
