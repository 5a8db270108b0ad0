"""Whose request is it, and what does a Certificate's status say? cert-manager's rules for what it did not make itself.

Where a rule depends on which of its controllers is first, or on time, a real cluster cannot be made to show it: those
are in tests/test_rehearsal/test_cert_manager.py, with the place in cert-manager's source that each was read from.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from rehearsal import pki
from tests.bench import servers, waiting
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition
from tests.cluster_contract.test_certificates import NAME, certify, leaf, second_is_over, wait_issued

CERTIFICATE_NAME, REVISION = "cert-manager.io/certificate-name", "cert-manager.io/certificate-revision"


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def owner(certificate: Object, **changed: Any) -> Object:
    """A reference as cert-manager writes it into its requests."""
    metadata = certificate["metadata"]
    reference = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": NAME, "uid": metadata["uid"]}
    return {**reference, "controller": True, "blockOwnerDeletion": True, **changed}


def ask(ground: Ground, name: str, revision: int, *owners: Object) -> str:
    """Create a request for the Certificate's name, with its annotations and a key of our own."""
    metadata = {
        "name": name,
        "annotations": {CERTIFICATE_NAME: NAME, REVISION: str(revision)},
        **({"ownerReferences": list(owners)} if owners else {}),
    }
    spec = {
        "request": encoded(pki.request({"dnsNames": [NAME]}, pki.new_key())),
        "issuerRef": {"name": servers.ISSUER},
        "usages": ["server auth"],
        "duration": "2160h",
    }
    ground.create("certificaterequests", {"metadata": metadata, "spec": spec} | kind("CertificateRequest"))
    return name


def kind(name: str) -> Object:
    return {"apiVersion": "cert-manager.io/v1", "kind": name}


def wait_signed(ground: Ground, name: str) -> x509.Certificate:
    """Wait until a request is signed, and return the leaf."""
    signed = ground.cluster.wait_condition(ground.path("certificaterequests", name), "Ready")
    return x509.load_pem_x509_certificate(base64.b64decode(signed["status"]["certificate"]))


def wait_gone(ground: Ground, name: str) -> None:
    ground.cluster.wait_gone(ground.path("certificaterequests", name))


def request_names(ground: Ground) -> set[str]:
    """The names of all requests but that of the authority."""
    listed = ground.listed("certificaterequests")
    return {each["metadata"]["name"] for each in listed} - {f"{servers.ISSUER}-1"}


def dates(status: Object) -> tuple[str | None, str | None]:
    return status.get("notBefore"), status.get("notAfter")


def dates_of(certificate: x509.Certificate) -> tuple[str, str]:
    at = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return f"{at[0]:%Y-%m-%dT%H:%M:%SZ}", f"{at[1]:%Y-%m-%dT%H:%M:%SZ}"


def wait_status(ground: Ground, certificate: x509.Certificate) -> Object:
    """Wait until the Certificate's status has the dates of a certificate."""
    path = ground.path("certificates", NAME)
    found: Object = ground.cluster.wait(path, lambda seen: dates(seen.get("status", {})) == dates_of(certificate))
    return found


def recreate(ground: Ground, query: str = "") -> Object:
    """Delete the Certificate and create it again with the same spec."""
    old = ground.get("certificates", NAME)
    ground.cluster.api("DELETE", ground.path("certificates", NAME) + query)
    ground.cluster.wait_gone(ground.path("certificates", NAME))
    return ground.create("certificates", kind("Certificate") | {"metadata": {"name": NAME}, "spec": old["spec"]})


# --- anyone's requests --------------------------------------------------------------------------------------


@pytest.mark.field_case("A1")
def test_anyones_request_for_the_same_names_is_signed_by_the_same_authority(control_plane: Ground) -> None:
    certify(control_plane)
    foreign = wait_signed(control_plane, ask(control_plane, "a-developers-own", 1))
    assert foreign.issuer == leaf(control_plane).issuer
    assert foreign != leaf(control_plane)


@pytest.mark.field_case("A1")
@pytest.mark.parametrize("revision", [1, 2])
def test_a_request_that_only_has_the_annotations_is_none_of_the_certificates(
    control_plane: Ground, revision: int
) -> None:
    certify(control_plane)
    wait_signed(control_plane, ask(control_plane, "a-developers-own", revision))
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    issued = wait_issued(control_plane, 2)["status"]["revision"]
    waiting.until(
        "the old request to be deleted",
        lambda: request_names(control_plane) == {"a-developers-own", f"{NAME}-{issued}"},
    )


@pytest.mark.field_case("A1")
def test_an_owner_that_is_not_the_controller_does_not_count(control_plane: Ground) -> None:
    certificate = certify(control_plane)
    name = ask(control_plane, "a-developers-own", 0, owner(certificate, controller=False))
    wait_signed(control_plane, name)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    wait_issued(control_plane, 2)
    waiting.until("the old request to be deleted", lambda: f"{NAME}-1" not in request_names(control_plane))
    assert name in request_names(control_plane)


@pytest.mark.field_case("A1")
def test_an_owner_can_be_forged_and_is_believed(control_plane: Ground) -> None:
    """It counts towards `revisionHistoryLimit`, so the request with the lowest revision goes."""
    certificate = certify(control_plane)
    lower = ask(control_plane, "forged-lower", 0, owner(certificate))
    wait_gone(control_plane, lower)
    assert request_names(control_plane) == {f"{NAME}-1"}
    later = ask(control_plane, "forged-later", 999, owner(certificate))
    wait_gone(control_plane, f"{NAME}-1")
    assert request_names(control_plane) == {later}
    assert wait_signed(control_plane, later) != leaf(control_plane)


@pytest.mark.field_case("A1")
@pytest.mark.thorough
def test_a_forged_request_of_the_next_revision_is_deleted_when_that_is_issued(control_plane: Ground) -> None:
    certificate = certify(control_plane)
    before = leaf(control_plane)
    forged = wait_signed(control_plane, ask(control_plane, "forged-next", 2, owner(certificate)))
    second_is_over(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    wait_issued(control_plane, 2)
    wait_gone(control_plane, "forged-next")
    assert leaf(control_plane) not in (before, forged)


@pytest.mark.field_case("A1")
@pytest.mark.thorough
def test_beside_a_forged_request_of_a_far_revision_none_of_cert_managers_own_stays(control_plane: Ground) -> None:
    """Each is deleted as the oldest, and made again, until one is stored before that."""
    certificate = certify(control_plane)
    before = leaf(control_plane)
    far = ask(control_plane, "forged-far", 999, owner(certificate))
    wait_gone(control_plane, f"{NAME}-1")
    second_is_over(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    wait_issued(control_plane, 2)
    waiting.until("no request but the forged one", lambda: request_names(control_plane) == {far})
    after = leaf(control_plane)
    assert after != before
    wait_status(control_plane, after)


@pytest.mark.field_case("A1")
@pytest.mark.parametrize(
    "changed",
    [{"uid": "00000000-0000-4000-8000-000000000001"}, {"name": "another"}],
    ids=["of another UID", "of another name"],
)
def test_a_request_whose_owner_is_not_there_is_collected(control_plane: Ground, changed: Object) -> None:
    certificate = certify(control_plane)
    wait_gone(control_plane, ask(control_plane, "forged", 1, owner(certificate, **changed)))


@pytest.mark.field_case("A1")
def test_a_request_whose_name_is_taken_is_not_made(control_plane: Ground) -> None:
    certify(control_plane)
    taken = ask(control_plane, f"{NAME}-2", 2)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    control_plane.cluster.wait(
        control_plane.path("certificates", NAME), lambda seen: "nextPrivateKeySecretName" in seen["status"]
    )
    wait_signed(control_plane, taken)
    assert control_plane.get("certificates", NAME)["status"]["revision"] == 1
    control_plane.cluster.api("DELETE", control_plane.path("certificaterequests", taken))
    wait_issued(control_plane, 2)


# --- deleted and created again ---------------------------------------------------------------------------------


@pytest.mark.field_case("A1")
def test_a_certificate_that_is_created_again_adopts_its_secret_and_counts_from_1(control_plane: Ground) -> None:
    old = certify(control_plane)
    before = leaf(control_plane)
    new = recreate(control_plane)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    wait_gone(control_plane, f"{NAME}-1")
    adopted = wait_status(control_plane, before)
    assert condition(adopted, "Ready")["status"] == "True"
    assert "revision" not in adopted["status"]
    assert condition(adopted, "Issuing") == {}
    second_is_over(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    assert wait_issued(control_plane, 1)["status"]["revision"] >= 1
    assert leaf(control_plane) != before


@pytest.mark.field_case("A1")
def test_requests_that_are_left_behind_have_no_owner(control_plane: Ground) -> None:
    certify(control_plane)
    recreate(control_plane, "?propagationPolicy=Orphan")
    left = control_plane.get("certificaterequests", f"{NAME}-1")
    assert "ownerReferences" not in left["metadata"]
    assert left["metadata"]["annotations"][CERTIFICATE_NAME] == NAME


# --- Secrets that cert-manager did not fill ------------------------------------------------------------------------


@pytest.mark.field_case("A3")
def test_a_secret_with_a_matching_certificate_is_adopted(control_plane: Ground) -> None:
    now = datetime.now(UTC)
    pair = pki.self_signed("", (NAME,), now=now, lifetime=timedelta(days=90))
    data = {"tls.crt": encoded(pair.chain), "tls.key": encoded(pair.key)}
    secret = {"metadata": {"name": NAME}, "type": "kubernetes.io/tls", "data": data}
    control_plane.create("secrets", {"apiVersion": "v1", "kind": "Secret"} | secret)
    control_plane.create("certificates", servers.certificate(NAME))
    found = wait_status(control_plane, x509.load_pem_x509_certificate(pair.chain))
    assert condition(found, "Ready")["status"] == "True"
    assert "revision" not in found["status"]
    assert condition(found, "Issuing") == {}
    assert request_names(control_plane) == set()


@pytest.mark.field_case("A3")
@pytest.mark.parametrize(
    ("issuer_kind", "ready"),
    [("Issuer", "True"), ("ClusterIssuer", "False")],
)
def test_a_temporary_certificate_fills_the_secret_and_the_dates_and_is_no_revision(
    control_plane: Ground, issuer_kind: str, ready: str
) -> None:
    """It carries no annotation of an issuer, which counts as one of kind Issuer: there it is even Ready."""
    asked = servers.certificate(NAME, issuerRef={"name": "not-yet", "kind": issuer_kind})
    asked["metadata"]["annotations"] = {"cert-manager.io/issue-temporary-certificate": "true"}
    control_plane.create("certificates", asked)
    path = control_plane.path("certificates", NAME)
    found = control_plane.cluster.wait(path, lambda seen: "notAfter" in seen.get("status", {}))
    temporary = leaf(control_plane)
    assert temporary.issuer.rfc4514_string() == "CN=cert-manager.local"
    assert dates(found["status"]) == dates_of(temporary)
    assert "revision" not in found["status"]
    assert condition(found, "Issuing")["status"] == "True"
    assert condition(found, "Ready")["status"] == ready


@pytest.mark.field_case("A3")
def test_a_temporary_certificate_is_replaced_by_revision_1(control_plane: Ground) -> None:
    asked = servers.certificate(NAME)
    asked["metadata"]["annotations"] = {"cert-manager.io/issue-temporary-certificate": "true"}
    control_plane.create("certificates", asked)
    control_plane.cluster.wait(
        control_plane.path("certificates", NAME), lambda seen: "notAfter" in seen.get("status", {})
    )
    temporary = leaf(control_plane)
    for document in servers.authority():
        body = {name: value for name, value in document["spec"].items() if value is not None}
        control_plane.create(f"{document['kind'].lower()}s", {**document, "spec": body})
    assert wait_issued(control_plane, 1)["status"]["revision"] == 1
    assert leaf(control_plane) != temporary


@pytest.mark.field_case("A1")
@pytest.mark.thorough
def test_the_dates_are_those_of_a_secret_that_was_restored(control_plane: Ground) -> None:
    """Only the current request would tell that its key is another one, and that may be gone."""
    certify(control_plane)
    backup, old = control_plane.get("secrets", NAME)["data"], leaf(control_plane)
    second_is_over(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    revision = wait_issued(control_plane, 2)["status"]["revision"]
    control_plane.cluster.api("DELETE", control_plane.path("certificaterequests", f"{NAME}-{revision}"))
    control_plane.patch("secrets", NAME, {"data": backup})
    wait_status(control_plane, old)

    def ready(seen: Object) -> bool:
        """Not at once: cert-manager may see the Secret before it sees that the request is gone."""
        return bool(condition(seen, "Ready")["status"] == "True")

    found = control_plane.cluster.wait(control_plane.path("certificates", NAME), ready)
    assert dates(found["status"]) == dates_of(old)
    assert found["status"]["revision"] == revision


@pytest.mark.field_case("A1")
def test_a_restored_secret_whose_request_is_there_is_issued_again(control_plane: Ground) -> None:
    certify(control_plane)
    backup = control_plane.get("secrets", NAME)["data"]
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    revision = wait_issued(control_plane, 2)["status"]["revision"]
    control_plane.patch("secrets", NAME, {"data": backup})
    wait_issued(control_plane, revision + 1)


# --- renewal ------------------------------------------------------------------------------------------------------


@pytest.mark.field_case("A6")
def test_where_renewal_is_disabled_there_is_no_renewal_time(control_plane: Ground) -> None:
    found = certify(control_plane, renewal={"policy": "Disabled"})
    assert condition(found, "Ready")["status"] == "True"
    assert "renewalTime" not in found["status"]
    control_plane.patch("certificates", NAME, {"spec": {"renewal": {"policy": "RenewBefore"}}})
    path = control_plane.path("certificates", NAME)
    control_plane.cluster.wait(path, lambda seen: "renewalTime" in seen["status"])
    control_plane.patch("certificates", NAME, {"spec": {"renewal": {"policy": "Disabled"}}})
    control_plane.cluster.wait(path, lambda seen: "renewalTime" not in seen["status"])
