"""Whom the chart's values name can restart the target, with the chart's rights and no others."""

from pathlib import Path

import pytest

from tests.api_proxy import api_proxy
from tests.bench import opschain
from tests.bench.cluster import Cluster
from tests.bench.opschain import BUILD_SERVICE
from tests.helm_release import Release, values
from tests.rendered_chart import granted
from tests.runbook_process import operator
from tests.test_stories.test_runbook_rights import UPGRADED, used_right

pytestmark = pytest.mark.cluster

OPERATOR = "operator"
WARNINGS = ("", "events", "", "", "list")
"""Used where a rollout is not over at once: they say why."""
ROLES = (
    "certlag-runbook-build-service",
    "certlag-runbook-build-service-port-forward",
    "certlag-runbook-configuration",
)


def test_who_is_named_in_the_values_restarts_with_all_of_those_rights_and_no_others(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    opschain.deploy(cluster, namespace, workers=1, build_seconds=1)
    cluster.renew(namespace, BUILD_SERVICE)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    cluster.api("POST", accounts, {"metadata": {"name": OPERATOR}})
    chosen = {"replicas": 0, "runbook": {"subjects": [{"kind": "ServiceAccount", "name": OPERATOR}]}}
    release = Release(cluster, namespace)
    release.install(values(chosen, tmp_path / "values.json"))
    request = {"spec": {"expirationSeconds": 7200}}
    token = cluster.api("POST", f"{accounts}/{OPERATOR}/token", request)["status"]["token"]
    with api_proxy(cluster) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path, token, namespace)
        with operator(kubeconfig, tmp_path / "operator") as runbook:
            ran = runbook.run("restart-build-service", "--release", f"{namespace}/certlag", "--yes", "--no-settle")
            assert ran.code == 0, str(ran)
    asked = cluster.audit_events(f"system:serviceaccount:{namespace}:{OPERATOR}")
    codes = {event["responseStatus"]["code"] for event in asked if "responseStatus" in event}
    assert codes.isdisjoint({401, 403}), "no request was refused"
    used = {used_right(event) for event in asked if "objectRef" in event} - {None}
    roles = (cluster.kubectl_json("get", "role", role, namespace=namespace) for role in ROLES)
    assert used | {UPGRADED, WARNINGS} == set().union(*map(granted, roles))
    record = cluster.kubectl_json("get", "configmap", "certlag-run-build-service", namespace=namespace)
    before = record["data"]
    release.upgrade("--reuse-values", "--set=podLabels.a=b")
    after = cluster.kubectl_json("get", "configmap", "certlag-run-build-service", namespace=namespace)
    assert after["data"] == before, "an upgrade leaves the history alone"
