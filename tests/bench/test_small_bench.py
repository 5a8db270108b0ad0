"""What the small bench must be able to do before anything is proved on it."""

import base64

import pytest

from tests.bench.api import ApiError
from tests.bench.cluster import Cluster

pytestmark = pytest.mark.small_bench

GROUP = "cert-manager.io/v1"


def make_certificate(bench: Cluster, namespace: str) -> str:
    path = f"/apis/{GROUP}/namespaces/{namespace}"
    issuer = {"metadata": {"name": "own"}, "spec": {"selfSigned": {}}}
    bench.api("POST", f"{path}/issuers", {"apiVersion": GROUP, "kind": "Issuer"} | issuer)
    certificate = {
        "metadata": {"name": "served"},
        "spec": {"secretName": "served", "dnsNames": ["served"], "issuerRef": {"name": "own"}},
    }
    bench.api("POST", f"{path}/certificates", {"apiVersion": GROUP, "kind": "Certificate"} | certificate)
    bench.wait_condition(f"{path}/certificates/served", "Ready")
    # It may be Ready a moment before it says which revision that is.
    bench.wait(f"{path}/certificates/served", lambda seen: "revision" in seen["status"])
    return f"{path}/certificates/served"


def secret(bench: Cluster, namespace: str) -> bytes:
    found = bench.api("GET", f"/api/v1/namespaces/{namespace}/secrets/served")
    return base64.b64decode(found["data"]["tls.crt"])


def test_a_renewal_changes_revision_and_secret(small_bench: Cluster, small_namespace: str) -> None:
    path = make_certificate(small_bench, small_namespace)
    before = secret(small_bench, small_namespace)
    assert small_bench.api("GET", path)["status"]["revision"] == 1
    renewed = small_bench.renew(small_namespace, "served")
    assert renewed["status"]["revision"] == 2
    assert secret(small_bench, small_namespace) != before


def test_who_reads_a_secret_is_in_the_audit_log(small_bench: Cluster, small_namespace: str) -> None:
    make_certificate(small_bench, small_namespace)
    token = small_bench.token(small_namespace, "default")
    with pytest.raises(ApiError, match="403"):
        small_bench.client_of(token).call("GET", f"/api/v1/namespaces/{small_namespace}/secrets/served")
    (event,) = small_bench.audit_events(f"system:serviceaccount:{small_namespace}:default")
    assert event["objectRef"]["resource"] == "secrets"
    assert event["responseStatus"]["code"] == 403


def test_kubectl_and_the_api_see_the_same(small_bench: Cluster, small_namespace: str) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}, "data": {"a": "1"}}
    small_bench.api("POST", f"/api/v1/namespaces/{small_namespace}/configmaps", config_map)
    seen = small_bench.kubectl_json("get", "configmap", "seen", namespace=small_namespace)
    assert seen["data"] == {"a": "1"}


def test_a_deleted_object_is_waited_for(small_bench: Cluster, small_namespace: str) -> None:
    path = f"/api/v1/namespaces/{small_namespace}/configmaps"
    small_bench.wait_gone(f"{path}/never-there")
    small_bench.api("POST", path, {"metadata": {"name": "seen", "finalizers": ["certlag.dev/bench"]}})
    small_bench.api("DELETE", f"{path}/seen")
    with pytest.raises(AssertionError, match="to be gone"):
        small_bench.wait_gone(f"{path}/seen", 1)
    small_bench.api("PATCH", f"{path}/seen", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    small_bench.wait_gone(f"{path}/seen")
