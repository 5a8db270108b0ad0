"""API objects become the model's types, or are refused in one way: any field may hold anything."""

import base64
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlag.kube import decode
from certlag.kube.decode import MAX_PORTS, MAX_SECRETS, SkipReason, UndecodableError
from certlag.kube.resources import CERTIFICATE_REQUESTS, CERTIFICATES, LEASES, PODS, REPLICA_SETS, WORKLOADS
from certlag.model import CertificateRequest, Container, IssuerRef, ObjectKey, Owner, Port, Workload
from tests import pki
from tests.field.record import case

ROOT = pki.authority("root")
LEAF = ROOT.intermediate("middle").leaf("svc.example")
METADATA = {"namespace": "ns", "name": "it", "uid": "uid-1"}


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


CERTIFICATE: dict[str, Any] = {
    "metadata": METADATA,
    "spec": {
        "secretName": "tls",
        "dnsNames": ["*.svc.example", "svc.example"],
        "ipAddresses": ["10.0.0.1"],
        "uris": ["spiffe://svc"],
        "commonName": "service",
        "issuerRef": {"kind": "ClusterIssuer", "name": "ca", "group": "example.org"},
        "renewBefore": "720h0m0s",
        "renewBeforePercentage": 33,
    },
    "status": {
        "revision": 3,
        "notBefore": "2026-05-01T00:00:00Z",
        "notAfter": "2026-07-30T00:00:00Z",
        "renewalTime": "2026-06-30T02:00:00+02:00",
    },
}
REQUEST: dict[str, Any] = {
    "metadata": {
        **METADATA,
        "annotations": {"cert-manager.io/certificate-name": "svc", "cert-manager.io/certificate-revision": "3"},
        "ownerReferences": [{"kind": "Certificate", "name": "svc", "uid": "uid-of-svc", "controller": True}],
    },
    "status": {
        "certificate": encoded(LEAF.chain_pem),
        "ca": encoded(ROOT.pem),
        "conditions": [
            {"type": "Approved", "status": "True", "lastTransitionTime": "2026-05-01T00:00:01Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-05-01T00:00:05Z"},
        ],
    },
}
POD: dict[str, Any] = {
    "metadata": {
        **METADATA,
        "annotations": {"certlag.dev/port": "8443, metrics"},
        "ownerReferences": [
            {"kind": "Other", "name": "x", "uid": "u0"},
            {"kind": "ReplicaSet", "name": "rs", "uid": "u1", "controller": True},
        ],
    },
    "spec": {
        "volumes": [
            {"name": "tls", "secret": {"secretName": "from-volume"}},
            {
                "name": "all",
                "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "x"}}]},
            },
            {"name": "unused", "secret": {"secretName": "never-mounted"}},
            {"name": "raw", "secret": {"secretName": "copied"}},
            {"name": "scratch", "emptyDir": {}},
        ],
        "containers": [
            {
                "name": "main",
                "ports": [
                    {"name": "tls", "containerPort": 8443},
                    {"containerPort": 53, "protocol": "UDP"},
                    {"containerPort": 9000, "protocol": "TCP"},
                ],
                "volumeMounts": [{"name": "tls"}, {"name": "all"}, {"name": "scratch"}],
                "env": [
                    {"name": "A", "value": "a"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "from-env", "key": "k"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"secretRef": {"name": "from-env-from"}}, {"configMapRef": {"name": "y"}}],
            },
            {"name": "waiting"},
        ],
        "initContainers": [
            {"name": "setup", "volumeMounts": [{"name": "raw"}]},
            {"name": "sidecar", "restartPolicy": "Always", "ports": [{"containerPort": 15000}]},
        ],
    },
    "status": {
        "podIP": "10.1.2.3",
        "containerStatuses": [
            {
                "name": "main",
                "containerID": "containerd://main",
                "ready": True,
                "state": {"running": {"startedAt": "2026-05-02T00:00:00Z"}},
            },
            {"name": "waiting", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "ready": False},
        ],
        "initContainerStatuses": [
            {
                "name": "sidecar",
                "containerID": "containerd://sidecar",
                "ready": True,
                "state": {"running": {"startedAt": "2026-05-02T00:00:01Z"}},
            },
        ],
    },
}
# As the API server gives PartialObjectMetadata.
REPLICA_SET: dict[str, Any] = {
    "kind": "PartialObjectMetadata",
    "apiVersion": "meta.k8s.io/v1",
    "metadata": {
        **METADATA,
        "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "u2", "controller": True}],
    },
}
DEPLOYMENT: dict[str, Any] = {
    "metadata": METADATA,
    "spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 3600}}},
}
LEASE: dict[str, Any] = {
    "metadata": METADATA,
    "spec": {"holderIdentity": "me", "renewTime": "2026-05-01T00:00:00.000000Z"},
}

Decoder = Callable[[Any], Any]
KINDS: dict[str, tuple[Decoder, dict[str, Any]]] = {
    "Certificate": (CERTIFICATES.decode, CERTIFICATE),
    "CertificateRequest": (CERTIFICATE_REQUESTS.decode, REQUEST),
    "Pod": (PODS.decode, POD),
    "ReplicaSet": (REPLICA_SETS.decode, REPLICA_SET),
    "Deployment": (WORKLOADS["deployment"].decode, DEPLOYMENT),
    "Lease": (LEASES.decode, LEASE),
    "run record": (decode.run_record, {"metadata": METADATA, "data": {"record.json": '{"schema": 1}'}}),
}

Path = tuple[str | int, ...]


def paths(document: Any, prefix: Path = ()) -> list[Path]:
    """Return the way to everything within a document."""
    found: list[Path] = [prefix] if prefix else []
    if isinstance(document, dict):
        for name, value in document.items():
            found += paths(value, (*prefix, name))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            found += paths(value, (*prefix, index))
    return found


def changed(document: Any, path: Path, value: Any) -> Any:
    """Return a copy with one thing replaced; taken out, if the value is `...`."""
    document = copy.deepcopy(document)
    at = document
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def reason(read: Decoder, document: Any) -> SkipReason:
    with pytest.raises(UndecodableError) as caught:
        read(document)
    return caught.value.reason


# --- Certificates ---------------------------------------------------------------------------------


def test_a_certificate_is_read() -> None:
    certificate = decode.certificate(CERTIFICATE)
    assert certificate.key == ObjectKey("ns", "it")
    assert certificate.uid == "uid-1"
    assert certificate.secret == "tls"
    assert set(certificate.names) == {"*.svc.example", "svc.example", "10.0.0.1", "spiffe://svc", "service"}
    assert certificate.issuer == IssuerRef("ClusterIssuer", "ca", "example.org")
    assert certificate.renew_before == timedelta(days=30)
    assert certificate.renew_before_percentage == 33
    assert certificate.revision == 3
    assert certificate.not_before == datetime(2026, 5, 1, tzinfo=UTC)
    assert certificate.renewal_at == datetime(2026, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dns_names", "common_name", "server_name"),
    [
        (["a.example", "b.example"], "c", "a.example"),
        (["*.example", "b.example"], "c", "b.example"),
        (["*.example"], "c.example", "c.example"),
        (["*.example"], None, "certlag.example"),
        ([], None, None),
        (None, "c.example", "c.example"),
    ],
)
def test_the_name_to_ask_for_is_the_first_that_is_no_wildcard(
    dns_names: list[str] | None, common_name: str | None, server_name: str | None
) -> None:
    document = changed(CERTIFICATE, ("spec", "dnsNames"), dns_names)
    document = changed(document, ("spec", "commonName"), common_name)
    assert decode.certificate(document).server_name == server_name


@pytest.mark.fault("F21")
def test_a_certificate_that_was_never_issued_has_no_status() -> None:
    certificate = decode.certificate({"metadata": METADATA, "spec": {"secretName": "tls"}})
    assert certificate.revision is None
    assert certificate.not_before is certificate.not_after is certificate.renewal_at is None
    assert certificate.renew_before is None
    assert certificate.renew_before_percentage is None
    assert certificate.issuer == IssuerRef("Issuer", "", "cert-manager.io")


@pytest.mark.parametrize(
    ("text", "length"),
    [("1h", timedelta(hours=1)), ("1h30m5s", timedelta(seconds=5405)), ("100ms", timedelta(milliseconds=100))],
)
def test_durations_are_gos(text: str, length: timedelta) -> None:
    assert decode.certificate(changed(CERTIFICATE, ("spec", "renewBefore"), text)).renew_before == length


@pytest.mark.parametrize("text", ["", "1", "h", "1hh", "soon", "9" * 400 + "h", "9" * 30 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert reason(decode.certificate, changed(CERTIFICATE, ("spec", "renewBefore"), text)) is SkipReason.WRONG_TYPE


@pytest.mark.parametrize(
    "text", ["2026-05-01", "yesterday", "2026-05-01T00:00:00", "1777593600", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    assert reason(decode.certificate, changed(CERTIFICATE, ("status", "notAfter"), text)) is SkipReason.WRONG_TYPE


@case(
    "W32",
    kind="Found by tests: an input that stopped a program",
    situation="A date in a Certificate's status is outside the calendar once it is in UTC.",
    says="The object is skipped and counted. Before: the exporter ended.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("F21")
@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_an_instant_beyond_the_calendar_is_refused(text: str) -> None:
    assert reason(decode.certificate, changed(CERTIFICATE, ("status", "notAfter"), text)) is SkipReason.WRONG_TYPE


# --- CertificateRequests --------------------------------------------------------------------------


def request(document: Any) -> CertificateRequest:
    found = decode.certificate_request(document)
    assert found is not None
    return found


def test_a_request_is_read() -> None:
    found = request(REQUEST)
    assert (found.certificate_uid, found.revision) == ("uid-of-svc", 3)
    assert found.ready_at == datetime(2026, 5, 1, 0, 0, 5, tzinfo=UTC)
    assert found.issued is not None
    assert found.issued.leaf.fingerprint_sha256 == LEAF.fingerprint
    assert found.issued.authorities == (ROOT.der,)


@pytest.mark.parametrize("value", [..., None, ""])
def test_a_request_without_a_revision_is_none(value: Any) -> None:
    path = ("metadata", "annotations", "cert-manager.io/certificate-revision")
    assert decode.certificate_request(changed(REQUEST, path, value)) is None


@pytest.mark.parametrize(
    ("field", "value"), [("controller", False), ("controller", None), ("kind", "Pod"), ("kind", "certificate")]
)
def test_a_request_that_no_certificate_controls_is_none(field: str, value: Any) -> None:
    assert decode.certificate_request(changed(REQUEST, ("metadata", "ownerReferences", 0, field), value)) is None


@pytest.mark.parametrize("text", ["three", "-1", "1.5", "0x1", " 1", "²", "9" * 19, "9" * 5000])
def test_a_revision_that_is_no_number_is_refused(text: str) -> None:
    document = changed(REQUEST, ("metadata", "annotations", "cert-manager.io/certificate-revision"), text)
    assert reason(decode.certificate_request, document) is SkipReason.WRONG_TYPE


@pytest.mark.parametrize("value", [..., None, ""])
def test_a_request_that_is_not_signed_has_issued_nothing(value: Any) -> None:
    assert request(changed(REQUEST, ("status", "certificate"), value)).issued is None


def test_a_request_that_is_not_ready_has_no_instant() -> None:
    assert request(changed(REQUEST, ("status", "conditions", 1, "status"), "False")).ready_at is None
    assert request(changed(REQUEST, ("status", "conditions"), None)).ready_at is None


@pytest.mark.parametrize("field", ["certificate", "ca"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("%%%", SkipReason.WRONG_TYPE),
        ("AAA", SkipReason.WRONG_TYPE),
        (encoded(b"no PEM"), SkipReason.INVALID_CERTIFICATE),
        (encoded(pki.pem(b"garbage")), SkipReason.INVALID_CERTIFICATE),
        (encoded(LEAF.pem * 200), SkipReason.INVALID_CERTIFICATE),
        (5, SkipReason.WRONG_TYPE),
    ],
    ids=["no base64", "short base64", "no PEM", "no DER", "too long", "a number"],
)
def test_what_was_signed_is_refused_if_it_cannot_be_read(field: str, value: Any, why: SkipReason) -> None:
    assert reason(decode.certificate_request, changed(REQUEST, ("status", field), value)) is why


# --- Pods -----------------------------------------------------------------------------------------


def container(document: Any, name: str) -> Container:
    (found,) = (one for one in decode.pod(document).containers if one.name == name)
    return found


def test_a_pod_is_read() -> None:
    pod = decode.pod(POD)
    assert pod.key == ObjectKey("ns", "it")
    assert pod.address == "10.1.2.3"
    assert not pod.terminating
    assert pod.owner == Owner("ReplicaSet", "rs", "u1")
    main = container(POD, "main")
    assert (main.id, main.ready) == ("containerd://main", True)
    assert main.started_at == datetime(2026, 5, 2, tzinfo=UTC)


def test_secrets_are_found_in_volumes_projected_volumes_and_the_environment_of_the_container_that_uses_them() -> None:
    assert set(container(POD, "main").secrets) == {"from-volume", "projected", "from-env", "from-env-from"}
    assert container(POD, "waiting").secrets == ()
    assert "never-mounted" not in decode.pod(POD).secrets
    assert [part.secrets for part in decode.pod(POD).init_containers] == [("copied",)]


def test_only_tcp_ports_count() -> None:
    assert container(POD, "main").ports == (Port("tls", 8443), Port("", 9000))


def test_init_containers_count_if_they_are_sidecars() -> None:
    pod = decode.pod(POD)
    assert [one.name for one in pod.containers] == ["main", "waiting", "sidecar"]
    assert container(POD, "sidecar").started_at == datetime(2026, 5, 2, 0, 0, 1, tzinfo=UTC)
    assert [one.name for one in pod.running] == ["main", "sidecar"]


def test_a_pod_that_is_being_deleted_runs_nothing() -> None:
    pod = decode.pod(changed(POD, ("metadata", "deletionTimestamp"), "2026-06-01T00:00:00Z"))
    assert pod.terminating
    assert pod.running == ()


def test_a_pod_that_was_just_made_has_nothing_yet() -> None:
    pod = decode.pod({"metadata": METADATA, "spec": {"containers": [{"name": "main"}]}})
    assert pod.address == ""
    assert pod.owner is None
    assert pod.containers == (Container("main", "", None, ready=False, ports=(), secrets=()),)


def test_an_owner_that_does_not_control_is_none() -> None:
    assert decode.pod(changed(POD, ("metadata", "ownerReferences", 1, "controller"), False)).owner is None  # noqa: FBT003


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8443", ("8443",)),
        ("8443,9443", ("8443", "9443")),
        (" 8443 ,\n metrics,,", ("8443", "metrics")),
        ("", ()),
        (",", ()),
        (None, ()),
    ],
)
def test_the_annotation_names_ports(text: str | None, ports: tuple[str, ...]) -> None:
    assert decode.pod(changed(POD, ("metadata", "annotations", "certlag.dev/port"), text)).probe_ports == ports


LONGER_THAN_ANY_NAME = "x" * 1025


@case(
    "W4",
    kind="Found by tests: wrong answers of the exporter",
    situation="A pod has an annotation, an owner or the name of an optional Secret of 1,025 characters.",
    says="The pod is read. Before: it was not seen, and one that was known was dropped.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("H8")
@pytest.mark.parametrize(
    "path",
    [
        ("metadata", "annotations", "cert-manager.io/certificate-name"),
        ("metadata", "annotations", "cert-manager.io/certificate-revision"),
        ("metadata", "ownerReferences", 0, "name"),
        ("metadata", "ownerReferences", 1, "name"),
        ("spec", "volumes", 0, "secret", "secretName"),
        ("spec", "volumes", 1, "projected", "sources", 0, "secret", "name"),
        ("spec", "containers", 0, "env", 1, "valueFrom", "secretKeyRef", "name"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_a_pod_is_read_whatever_stands_where_the_api_takes_any_text(path: Path) -> None:
    """Else anyone who may make a pod could hide it: one that presents an old certificate, say."""
    pod = decode.pod(changed(POD, path, LONGER_THAN_ANY_NAME))
    assert [one.name for one in pod.running] == ["main", "sidecar"]
    assert "from-env-from" in pod.secrets
    assert LONGER_THAN_ANY_NAME not in pod.secrets


@pytest.mark.fault("H8")
def test_of_very_many_ports_and_secrets_the_first_are_kept_all_containers_taken_together() -> None:
    """A pod of a megabyte may declare as many; it is assessed by those that it has."""
    sources = [{"secret": {"name": f"s{number}"}} for number in range(3 * MAX_SECRETS // 4)]
    names = ("one", "two", "three")
    spec = {
        "volumes": [{"name": "all", "projected": {"sources": sources}}],
        "containers": [
            {
                "name": name,
                "ports": [{"containerPort": number} for number in range(1, 3 * MAX_PORTS // 4 + 1)],
                "volumeMounts": [{"name": "all"}] * 1000,
                "env": [{"valueFrom": {"secretKeyRef": {"name": "s0"}}}] * 1000,
            }
            for name in names
        ],
    }
    containers = decode.pod({"metadata": METADATA, "spec": spec}).containers
    assert [one.name for one in containers] == [*names]
    assert [len(one.ports) for one in containers] == [750, 250, 0]
    assert [len(one.secrets) for one in containers] == [750, 249, 0]


@pytest.mark.fault("H8")
def test_a_request_of_a_revision_that_no_certificate_can_have_is_refused() -> None:
    path = ("metadata", "annotations", "cert-manager.io/certificate-revision")
    document = changed(REQUEST, path, LONGER_THAN_ANY_NAME)
    assert reason(decode.certificate_request, document) is SkipReason.WRONG_TYPE


# --- the others -----------------------------------------------------------------------------------


def test_a_replica_set_is_read_from_its_metadata_alone() -> None:
    found = decode.replica_set(REPLICA_SET)
    assert (found.key, found.uid, found.owner) == (ObjectKey("ns", "it"), "uid-1", Owner("Deployment", "web", "u2"))


def test_a_workload_is_read() -> None:
    found = WORKLOADS["deployment"].decode(DEPLOYMENT)
    assert found.workload == Workload("ns", "deployment", "it")
    assert (found.replicas, found.grace_period) == (3, timedelta(hours=1))


def test_a_workload_has_the_defaults_of_the_api_server() -> None:
    found = WORKLOADS["statefulset"].decode({"metadata": METADATA})
    assert (found.replicas, found.grace_period) == (1, timedelta(seconds=30))


def test_zero_replicas_are_zero() -> None:
    assert WORKLOADS["deployment"].decode(changed(DEPLOYMENT, ("spec", "replicas"), 0)).replicas == 0


def test_a_grace_period_of_all_eternity_is_a_century() -> None:
    """The API server takes any int64 that is not negative."""
    path: Path = ("spec", "template", "spec", "terminationGracePeriodSeconds")
    found = WORKLOADS["deployment"].decode(changed(DEPLOYMENT, path, 2**63 - 1))
    assert found.grace_period == timedelta(days=36500)


def test_a_lease_is_read() -> None:
    found = decode.lease(LEASE)
    assert (found.holder, found.renewed) == ("me", "2026-05-01T00:00:00.000000Z")
    assert decode.lease({"metadata": METADATA}).holder == ""


# --- anything may hold anything -------------------------------------------------------------------

PLACES = [
    pytest.param(kind, path, id=f"{kind} {'.'.join(map(str, path))}")
    for kind, (_, document) in KINDS.items()
    for path in paths(document)
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["namespace", "name"])
@pytest.mark.parametrize("value", [..., None, ""])
def test_an_object_without_a_name_is_refused(kind: str, field: str, value: Any) -> None:
    read, document = KINDS[kind]
    assert reason(read, changed(document, ("metadata", field), value)) is SkipReason.MISSING_FIELD


@pytest.mark.parametrize("kind", ["Certificate", "Pod", "ReplicaSet"])
def test_an_object_without_a_uid_is_refused(kind: str) -> None:
    read, document = KINDS[kind]
    assert reason(read, changed(document, ("metadata", "uid"), ...)) is SkipReason.MISSING_FIELD


def test_a_certificate_without_a_secret_is_refused() -> None:
    assert reason(decode.certificate, changed(CERTIFICATE, ("spec", "secretName"), ...)) is SkipReason.MISSING_FIELD


@pytest.mark.fault("F18")
@pytest.mark.parametrize(("kind", "path"), PLACES)
def test_each_field_may_be_missing_null_or_of_any_type(kind: str, path: Path) -> None:
    read, document = KINDS[kind]
    wrong: tuple[Any, ...] = (..., None, 0, -1, 2**70, 1.5, True, "", "text", [], [None], [[]], {}, {"a": None})
    for value in wrong:
        try:
            read(changed(document, path, value))
        except UndecodableError as error:
            assert error.reason in SkipReason  # noqa: PT017 - most changes are harmless and raise nothing


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Certificate", ("spec", "dnsNames"), "svc.example"),
        ("Certificate", ("spec", "dnsNames"), [5]),
        ("Certificate", ("status", "revision"), "3"),
        ("Certificate", ("status", "revision"), True),
        ("Certificate", ("status", "notAfter"), 1777593600),
        ("Certificate", ("spec",), []),
        ("CertificateRequest", ("status", "conditions"), {}),
        ("CertificateRequest", ("status", "conditions"), ["Ready"]),
        ("Pod", ("spec", "containers"), {"name": "main"}),
        ("Pod", ("spec", "containers", 0, "ports", 0, "containerPort"), "8443"),
        ("Pod", ("status", "podIP"), ["10.0.0.1"]),
        ("Pod", ("status", "containerStatuses", 0, "ready"), "true"),
        ("Deployment", ("spec", "replicas"), "3"),
        ("Lease", ("spec", "holderIdentity"), 5),
    ],
)
def test_a_wrong_type_is_named_as_one(kind: str, path: Path, value: Any) -> None:
    read, document = KINDS[kind]
    assert reason(read, changed(document, path, value)) is SkipReason.WRONG_TYPE


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.fault("F18", "F44")
@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "data"]) | st.text(max_size=5), anything))
@pytest.mark.thorough
def test_any_json_object_is_read_or_refused_in_one_way(document: dict[str, Any]) -> None:
    for read, _ in KINDS.values():
        try:
            read(document)
        except UndecodableError:
            continue


@pytest.mark.fault("F18", "F44")
@settings(max_examples=300)
@given(st.sampled_from([(kind, path) for kind, (_, document) in KINDS.items() for path in paths(document)]), anything)
@pytest.mark.thorough
def test_a_good_object_with_anything_in_one_place_is_read_or_refused_in_one_way(
    place: tuple[str, Path], value: Any
) -> None:
    read, document = KINDS[place[0]]
    try:
        read(changed(document, place[1], value))
    except UndecodableError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        "5",
        "[" * 100_000,
        '{"schema": 2}',
        '{"schema": 1, "run": 5}',
        '{"schema": 1, "finished": 5}',
        '{"schema": 1, "finished": [{"id": "a", "begun": "9999-12-31T23:59:59-01:00"}]}',
    ],
    ids=range(9),
)
def test_a_run_record_that_cannot_be_read_is_refused(text: str) -> None:
    assert reason(decode.run_record, {"metadata": METADATA, "data": {"record.json": text}}) is SkipReason.WRONG_TYPE
