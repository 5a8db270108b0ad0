"""cert-manager's rules that depend on time, or on which of its controllers comes first.

A real cluster can't be made to show them, so each names the place in cert-manager 1.21.2 that it was read from. What a
real one can show is in tests/cluster_contract/test_issuance.py.
"""

import base64
from collections.abc import Iterator
from datetime import timedelta

import pytest

from rehearsal import pki
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, SECRETS
from rehearsal.api.storage import Key
from rehearsal.objects import Document, annotations_of, condition, is_true, owner_reference, with_condition
from tests.test_rehearsal.places import MERGE_PATCH, NAMESPACE, SERVICE, Place, place

REVISION = "cert-manager.io/certificate-revision"


def status(at: Place) -> Document:
    found: Document = at.get(CERTIFICATES, SERVICE)["status"]
    return found


def ask_renewal(at: Place) -> None:
    certificate = at.get(CERTIFICATES, SERVICE)
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": ""}
    conditions = with_condition(certificate["status"]["conditions"], issuing, at.clock.now())
    key, patch = Key(NAMESPACE, SERVICE), {"status": {"conditions": conditions}}
    at.cluster.api.objects.patch(CERTIFICATES, key, patch, MERGE_PATCH, "tester", subresource="status")


def forge(at: Place, revision: int, *, csr: str = "", name: str = "forged") -> None:
    """Create a request that names the service's Certificate as its owner."""
    own = base64.b64encode(pki.request({"dnsNames": [SERVICE]}, pki.new_key())).decode()
    metadata = {
        "name": name,
        "annotations": {REVISION: str(revision)},
        "ownerReferences": [owner_reference(at.get(CERTIFICATES, SERVICE))],
    }
    spec = {"request": csr or own, "issuerRef": {"name": "authority"}}
    at.cluster.apply(CERTIFICATE_REQUESTS, NAMESPACE, {"metadata": metadata, "spec": spec})


def stages(at: Place) -> Iterator[tuple[int, str, bool]]:
    """Let a renewal pass write by write: the revision, the not-before in the status, whether it is Ready."""
    ask_renewal(at)
    for _ in range(40):
        at.pass_time(minutes=1)
        yield status(at)["revision"], status(at)["notBefore"], is_true(at.get(CERTIFICATES, SERVICE), "Ready")


@pytest.mark.field_case("A1")
def test_the_dates_are_written_before_the_revision_or_after_it() -> None:
    """Two controllers write them: issuing (issueCertificate) and readiness (ProcessItem)."""
    seen = set()
    for seed in range(8):
        at = place(seed=seed)
        at.pass_time(days=1)
        old = status(at)["notBefore"]
        at.cluster.faults.issuing_pause = timedelta(minutes=1)
        changes = [(revision, not_before != old) for revision, not_before, _ in stages(at)]
        assert changes[-1] == (2, True)
        seen |= set(changes)
    assert seen == {(1, False), (1, True), (2, False), (2, True)}


@pytest.mark.field_case("A1")
def test_while_its_dates_are_ahead_a_certificate_that_keeps_its_old_request_is_not_ready() -> None:
    """policies.SecretPublicKeyDiffersFromCurrentCertificateRequest, one of the checks of readiness."""
    ahead = set()
    for seed in range(8):
        at = place(seed=seed)
        at.patch(CERTIFICATES, SERVICE, {"spec": {"revisionHistoryLimit": 2}})
        at.pass_time(days=1)
        old = status(at)["notBefore"]
        at.cluster.faults.issuing_pause = timedelta(minutes=1)
        ahead |= {ready for revision, begins, ready in stages(at) if revision == 1 and begins != old}
        assert is_true(at.get(CERTIFICATES, SERVICE), "Ready")
    assert ahead == {False}


@pytest.mark.field_case("A1")
def test_two_requests_of_the_current_revision_stop_dates_and_renewal() -> None:
    """policies.Gatherer.DataForCertificate fails on them, for readiness and for the trigger."""
    at = place()
    at.patch(CERTIFICATES, SERVICE, {"spec": {"revisionHistoryLimit": 2}})
    forge(at, 1)
    before = status(at)
    at.pass_time(days=80)
    assert (status(at)["revision"], status(at)["notAfter"]) == (1, before["notAfter"])
    assert condition(at.get(CERTIFICATES, SERVICE), "Issuing") is None
    at.cluster.api.objects.delete(CERTIFICATE_REQUESTS, Key(NAMESPACE, "forged"))
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2


@pytest.mark.field_case("A1")
def test_two_requests_of_the_next_revision_for_the_same_key_stop_the_issuance() -> None:
    """requestmanager ProcessItem leaves several alone, and issuing ProcessItem waits for one."""
    at = place()
    at.patch(CERTIFICATES, SERVICE, {"spec": {"revisionHistoryLimit": 3}})
    at.cluster.faults.broken_issuers.add("authority")
    ask_renewal(at)
    at.pass_time(minutes=1)
    asked = at.get(CERTIFICATE_REQUESTS, f"{SERVICE}-2")
    forge(at, 2, csr=asked["spec"]["request"])
    at.cluster.faults.broken_issuers.clear()
    at.cluster.nudge()
    at.pass_time(days=1)
    assert all(is_true(at.get(CERTIFICATE_REQUESTS, name), "Ready") for name in ("forged", f"{SERVICE}-2"))
    assert status(at)["revision"] == 1
    at.cluster.api.objects.delete(CERTIFICATE_REQUESTS, Key(NAMESPACE, "forged"))
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2


@pytest.mark.field_case("A1")
def test_a_forged_current_request_for_another_key_has_the_certificate_issued_again() -> None:
    """The trigger takes it for the current one: policies.SecretPublicKeyDiffersFromCurrentCertificateRequest."""
    at = place()
    at.cluster.api.objects.delete(CERTIFICATE_REQUESTS, Key(NAMESPACE, f"{SERVICE}-1"))
    forge(at, 1)
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2


@pytest.mark.field_case("A1")
def test_a_signed_certificate_for_another_key_than_the_requested_one_fails_the_issuance() -> None:
    """issuing ProcessItem (InvalidCertificate); the trigger waits for an hour (shouldBackoffReissuingOnFailure)."""
    at = place()
    at.cluster.faults.broken_issuers.add("authority")
    at.pass_time(days=60, minutes=1)
    stolen = at.get(CERTIFICATE_REQUESTS, "authority-1")["status"]["certificate"]
    ready = {"type": "Ready", "status": "True", "reason": "Issued", "message": ""}
    key, patch = Key(NAMESPACE, f"{SERVICE}-2"), {"status": {"certificate": stolen, "conditions": [ready]}}
    at.cluster.api.objects.patch(CERTIFICATE_REQUESTS, key, patch, MERGE_PATCH, "tester", subresource="status")
    at.pass_time(minutes=1)
    failed = at.get(CERTIFICATES, SERVICE)
    assert (condition(failed, "Issuing") or {})["status"] == "False"
    assert (failed["status"]["failedIssuanceAttempts"], failed["status"]["revision"]) == (1, 1)
    at.cluster.api.objects.delete(CERTIFICATE_REQUESTS, key)
    at.cluster.faults.broken_issuers.clear()
    at.cluster.nudge()
    at.pass_time(minutes=55)
    assert status(at)["revision"] == 1
    at.pass_time(minutes=10)
    assert status(at)["revision"] == 2
    assert "failedIssuanceAttempts" not in status(at)


@pytest.mark.field_case("A6")
def test_where_renewal_is_disabled_a_certificate_expires() -> None:
    """policies.CurrentCertificateNearingExpiry and pki.RenewalTime; Expired is the last check of readiness."""
    at = place()
    at.patch(CERTIFICATES, SERVICE, {"spec": {"renewal": {"policy": "Disabled"}}})
    at.pass_time(days=91)
    ready = condition(at.get(CERTIFICATES, SERVICE), "Ready") or {}
    assert (ready["status"], ready["reason"], status(at)["revision"]) == ("False", "Expired", 1)
    at.patch(CERTIFICATES, SERVICE, {"spec": {"renewal": None}})
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2


@pytest.mark.field_case("A3")
def test_a_secret_that_was_issued_by_another_issuer_is_not_adopted() -> None:
    """policies.SecretIssuerAnnotationsMismatch; without any annotation it counts as one of kind Issuer."""
    at = place()
    pair = pki.self_signed("", ("other",), now=at.clock.now(), lifetime=timedelta(days=90))
    data = {name: base64.b64encode(pem).decode() for name, pem in (("tls.crt", pair.chain), ("tls.key", pair.key))}
    annotations = {"cert-manager.io/issuer-name": "another"}
    at.cluster.apply(SECRETS, NAMESPACE, {"metadata": {"name": "other", "annotations": annotations}, "data": data})
    spec = {"secretName": "other", "issuerRef": {"name": "authority"}, "dnsNames": ["other"]}
    at.cluster.apply(CERTIFICATES, NAMESPACE, {"metadata": {"name": "other"}, "spec": spec})
    at.pass_time(minutes=1)
    assert at.get(CERTIFICATES, "other")["status"]["revision"] == 1
    assert annotations_of(at.get(SECRETS, "other"))["cert-manager.io/issuer-name"] == "authority"


@pytest.mark.field_case("A1")
def test_a_changed_spec_has_the_certificate_issued_again() -> None:
    """policies.CurrentCertificateRequestMismatchesSpec, by the request or, if that is gone, by the Secret."""
    at = place()
    at.patch(CERTIFICATES, SERVICE, {"spec": {"dnsNames": [SERVICE, "another"]}})
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2
    at.cluster.api.objects.delete(CERTIFICATE_REQUESTS, Key(NAMESPACE, f"{SERVICE}-2"))
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 2
    at.patch(CERTIFICATES, SERVICE, {"spec": {"dnsNames": ["another"]}})
    at.pass_time(minutes=1)
    assert status(at)["revision"] == 3
