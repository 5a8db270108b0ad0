"""cert-manager: what it writes, and in which order."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from certlag.issued import issued
from certlag.kube import decode
from certlag.model import IssuedEvidence
from tests.bench import servers, waiting
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition

NAME = "served"

WRITES = (
    (
        *("issuing", "ADDED key", "issuing next key", "ADDED request-2 []"),
        *("MODIFIED request-2 ['Approved']", "MODIFIED request-2 ['Approved', 'Ready']"),
        *("MODIFIED secret", "revision 2", "DELETED key", "settled"),
    ),
    ("ADDED request-2 []", "DELETED request-1 ['Approved', 'Ready']"),
    ("MODIFIED secret", "dates"),
)
"""Orders that hold whatever else happens: cert-manager's controllers write side by side."""


def certify(ground: Ground, **spec: Any) -> Object:
    """Have a certificate issued by an authority of the namespace."""
    for document in (*servers.authority(), servers.certificate(NAME, **spec)):
        body = {name: value for name, value in document["spec"].items() if value is not None}
        ground.create(f"{document['kind'].lower()}s", {**document, "spec": body})
    return wait_issued(ground, 1)


def wait_issued(ground: Ground, revision: int, name: str = NAME) -> Object:
    """Wait until a revision is issued and cert-manager has done all that belongs to it."""

    def done(seen: Object) -> bool:
        status = seen.get("status", {})
        ready = condition(seen, "Ready").get("status") == "True"
        return status.get("revision", 0) >= revision and ready and "nextPrivateKeySecretName" not in status

    return ground.cluster.wait(ground.path("certificates", name), done)


def requests(ground: Ground, name: str = NAME) -> list[Object]:
    return [
        request
        for request in ground.listed("certificaterequests")
        if request["metadata"]["annotations"]["cert-manager.io/certificate-name"] == name
    ]


def leaf(ground: Ground, name: str = NAME) -> x509.Certificate:
    """The certificate in the Secret."""
    return x509.load_pem_x509_certificate(base64.b64decode(ground.get("secrets", name)["data"]["tls.crt"]))


def written(ground: Ground) -> Callable[[], list[str]]:
    """Return what tells what was written to Certificates, their requests and Secrets since, as texts in its order."""
    writes: list[tuple[int, str]] = []
    for plural in ("certificates", "certificaterequests", "secrets"):
        version = ground.cluster.api("GET", ground.path(plural))["metadata"]["resourceVersion"]
        watch = ground.cluster.client.watch(f"{ground.path(plural)}?resourceVersion={version}")

        def follow(watch: Iterator[Object] = watch, plural: str = plural) -> None:
            before: dict[str, Object] = {}
            with suppress(ConnectionError):  # the cluster is stopped before its watches end
                for event in watch:
                    document = event["object"]
                    key = document["metadata"]["name"]
                    text = describe(plural, event["type"], before.get(key), document)
                    writes.append((int(document["metadata"]["resourceVersion"]), text))
                    before[key] = document

        threading.Thread(target=follow, daemon=True).start()
    return lambda: [text for _, text in sorted(writes)]


def describe(plural: str, kind: str, before: Object | None, document: Object) -> str:
    """Say what a write changed."""
    status = document.get("status") or {}
    if plural == "secrets":
        return f"{kind} {'key' if 'tls.crt' not in document['data'] else 'secret'}"
    if plural == "certificaterequests":
        held = [each for each in ("Approved", "Ready") if condition(document, each).get("status") == "True"]
        return f"{kind} request-{document['metadata']['annotations']['cert-manager.io/certificate-revision']} {held}"
    old = (before or {}).get("status") or {}
    if old.get("notAfter", status.get("notAfter")) != status.get("notAfter"):
        return "dates"
    if old.get("revision", status.get("revision")) != status.get("revision"):
        return f"revision {status.get('revision')}"
    issuing = condition(document, "Issuing").get("status") == "True"
    return f"{'issuing' if issuing else 'settled'} {'next key' if 'nextPrivateKeySecretName' in status else ''}".strip()


def test_a_certificate_tells_what_was_issued_and_when_it_is_renewed(control_plane: Ground) -> None:
    found = decode.certificate(certify(control_plane))
    assert found.revision == 1
    assert found.not_before is not None
    assert found.not_after == found.not_before + timedelta(days=90)
    assert found.renewal_at == found.not_after - timedelta(days=30)
    issued_leaf = leaf(control_plane)
    assert (issued_leaf.not_valid_before_utc, issued_leaf.not_valid_after_utc) == (found.not_before, found.not_after)
    names = issued_leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]


def test_the_request_of_the_revision_holds_the_leaf_and_its_authority(control_plane: Ground) -> None:
    certify(control_plane)
    (request,) = requests(control_plane)
    certificate = control_plane.get("certificates", NAME)
    revision = certificate["status"]["revision"]  # under load a real cert-manager lags behind itself, and issues again
    assert request["metadata"]["name"] == f"{NAME}-{revision}"
    assert request["metadata"]["annotations"]["cert-manager.io/certificate-revision"] == str(revision)
    (owner,) = request["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Certificate", certificate["metadata"]["uid"])
    read = decode.certificate_request(request)
    assert read is not None
    found = issued(decode.certificate(certificate), [read], None)
    assert found is not None
    assert found.evidence is IssuedEvidence.CERTIFICATE_REQUEST
    assert found.chain is not None
    assert found.chain.authority_not_after is not None
    secret = control_plane.get("secrets", NAME)["data"]
    assert request["status"]["certificate"] == secret["tls.crt"]
    assert (
        request["status"]["ca"] == secret["ca.crt"] == control_plane.get("secrets", servers.ISSUER)["data"]["tls.crt"]
    )


def test_the_secret_is_named_after_its_certificate_and_holds_a_pair(control_plane: Ground) -> None:
    certify(control_plane)
    secret = control_plane.get("secrets", NAME)
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["annotations"]["cert-manager.io/certificate-name"] == NAME
    assert sorted(secret["data"]) == ["ca.crt", "tls.crt", "tls.key"]


def test_a_renewal_is_asked_for_by_a_condition_and_written_in_this_order(control_plane: Ground) -> None:
    certify(control_plane)
    second_is_over(control_plane)
    writes = written(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)

    def all_are_seen() -> list[str]:
        seen = writes()
        if missing := {write for order in WRITES for write in order} - {*seen}:
            raise LookupError(f"{missing} in {seen}")
        return seen

    first_seen = list(dict.fromkeys(waiting.until("all writes", all_are_seen)))
    for order in WRITES:
        assert [write for write in first_seen if write in order] == list(order)


def second_is_over(ground: Ground) -> None:
    """Wait until a renewal would have other dates: they have whole seconds."""
    next_second = leaf(ground).not_valid_before_utc + timedelta(seconds=1)
    waiting.until("the next second", lambda: datetime.now(UTC) >= next_second)


def test_a_renewal_makes_another_leaf_of_the_same_authority(control_plane: Ground) -> None:
    certify(control_plane)
    before = leaf(control_plane)
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    wait_issued(control_plane, 2)
    after = leaf(control_plane)
    assert after.serial_number != before.serial_number
    assert after.public_key() != before.public_key()
    assert after.issuer == before.issuer
    # cert-manager may have been asked twice: its own status write can bring the condition back that asked once.
    assert requests(control_plane)[-1]["metadata"]["name"] in (f"{NAME}-2", f"{NAME}-3")


@pytest.mark.thorough
def test_time_alone_renews_a_certificate(control_plane: Ground) -> None:
    certify(control_plane, duration="1h", renewBefore="59m56s")
    wait_issued(control_plane, 2)


def test_more_requests_are_kept_if_asked_for(control_plane: Ground) -> None:
    certify(control_plane, revisionHistoryLimit=2)
    for revision in (2, 3):
        control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
        wait_issued(control_plane, revision)

    def last_two() -> bool:
        # It may be a later one than was asked for, see above.
        revision = control_plane.get("certificates", NAME)["status"]["revision"]
        names = [request["metadata"]["name"] for request in requests(control_plane)]
        return sorted(names) == [f"{NAME}-{revision - 1}", f"{NAME}-{revision}"]

    waiting.until("two requests", last_two)


def test_a_renewed_authority_signs_the_next_leaf_and_leaves_the_present_one(control_plane: Ground) -> None:
    certify(control_plane)
    before, former = leaf(control_plane), leaf(control_plane, servers.ISSUER)
    control_plane.cluster.ask_renewal(control_plane.namespace, servers.ISSUER)
    wait_issued(control_plane, 2, servers.ISSUER)
    assert leaf(control_plane) == before
    control_plane.cluster.ask_renewal(control_plane.namespace, NAME)
    wait_issued(control_plane, 2)
    latest = max(requests(control_plane), key=lambda each: int(each["metadata"]["name"].rpartition("-")[2]))
    authority = x509.load_pem_x509_certificate(base64.b64decode(latest["status"]["ca"]))
    assert authority != former
    leaf(control_plane).verify_directly_issued_by(authority)


def test_without_its_issuer_a_certificate_is_not_issued(control_plane: Ground) -> None:
    control_plane.create("certificates", servers.certificate(NAME, issuer="none"))
    request = control_plane.cluster.wait(
        control_plane.path("certificaterequests", f"{NAME}-1"), lambda seen: condition(seen, "Ready")
    )
    assert condition(request, "Ready")["status"] == "False"
    assert condition(request, "Ready")["reason"] == "Pending"
    found = control_plane.get("certificates", NAME)
    assert condition(found, "Ready")["status"] == "False"
    assert "revision" not in found["status"]
    assert json.dumps(found["status"]).count("notAfter") == 0


def test_an_issuer_says_whether_it_can_sign(control_plane: Ground) -> None:
    certify(control_plane)
    path = control_plane.path("issuers", servers.ISSUER)
    assert condition(control_plane.cluster.wait_condition(path, "Ready"), "Ready")["reason"] == "KeyPairVerified"
