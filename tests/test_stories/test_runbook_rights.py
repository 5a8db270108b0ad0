"""The runbook with just the rights that it says it needs: enough for a whole run, each necessary, none unused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from certlag.config import schema
from runbook.kube import permissions
from runbook.kube.permissions import Right
from tests.api_proxy import ApiProxy, api_proxy
from tests.bench import accounts, opschain, waiting
from tests.bench.api import Api
from tests.bench.cluster import Cluster, Object
from tests.bench.opschain import BUILD_SERVICE
from tests.role_rights import Granted, rights_of
from tests.runbook_process import Runbook, operator

pytestmark = pytest.mark.cluster

MANIFEST = Path(accounts.__file__).parent / "manifests" / "runbook-rights.yaml"
ACCOUNT = "certlag-runbook"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
UPGRADED = ("", "pods", "portforward", "", "create")
"""Asked for within a port-forward by WebSocket, which the audit log shows as `get` (kubernetes/enhancements#5524)."""
OPTIONAL = {
    ("policy", "poddisruptionbudgets", "", "", "list"),
    ("", "resourcequotas", "", "", "list"),
    ("", "events", "", "", "list"),
}
"""What a run asks for and goes without."""


def granted() -> list[Granted]:
    """Every single right in the manifest's Role."""
    (role,) = (each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "Role")
    return rights_of(role)


def needed(namespace: str) -> list[Right]:
    """What the runbook asks for, for the built-in target."""
    (target,) = schema.load(None, default_namespace=namespace).targets
    return list(permissions.to_run(target, port_forward=True, keda=False))


def in_words(right: Granted, namespace: str) -> str:
    """As a refusal names it."""
    group, resource, subresource, name, verb = right
    return str(Right(verb, group, resource, namespace, name, subresource))


@dataclass(frozen=True)
class Narrow:
    """An operator whose account has the manifest's rights, in a namespace with OpsChain."""

    cluster: Cluster
    namespace: str
    proxy: ApiProxy
    runbook: Runbook
    api: Api

    def allow_all_but(self, right: Granted) -> None:
        """Take one right away, and wait until the API server knows."""
        rules = [_rule(each) for each in granted() if each != right]
        path = f"{RBAC}/namespaces/{self.namespace}/roles/{ACCOUNT}"
        role = self.cluster.api("GET", path)
        self.cluster.api("PUT", path, role | {"rules": rules})
        group, resource, subresource, name, verb = right
        review = Right(verb, group, resource, self.namespace, name, subresource).review
        asking = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        waiting.until(f"{right} to be denied", lambda: not self.api.call("POST", asking, review)["status"]["allowed"])


def _rule(right: Granted) -> Object:
    group, resource, subresource, name, verb = right
    named: Object = {"resourceNames": [name]} if name else {}
    resource += f"/{subresource}" if subresource else ""
    return {"apiGroups": [group], "resources": [resource], "verbs": [verb], **named}


@contextmanager
def narrow(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Narrow]:
    """Give a namespace the runbook's account, and be an operator with its token."""
    cluster.kubectl("apply", "--filename=-", stdin=MANIFEST.read_text(), namespace=namespace)
    cluster.wait(f"/api/v1/namespaces/{namespace}/serviceaccounts/{ACCOUNT}", lambda _seen: True)
    # Longer than a run may take: the workers' grace is an hour.
    request = {"spec": {"expirationSeconds": 7200}}
    token = cluster.api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{ACCOUNT}/token", request)["status"][
        "token"
    ]
    with api_proxy(cluster) as proxy:
        kubeconfig = proxy.kubeconfig(folder, token, namespace)
        with operator(kubeconfig, folder / "operator") as runbook:
            yield Narrow(cluster, namespace, proxy, runbook, cluster.client_of(token))


@pytest.fixture
def renewed(cluster: Cluster, namespace: str) -> str:
    """A namespace with OpsChain, whose renewed certificate is not loaded."""
    opschain.deploy(cluster, namespace, workers=1, build_seconds=1)
    cluster.renew(namespace, BUILD_SERVICE)
    return namespace


def test_the_manifest_has_just_the_rights_that_the_runbook_asks_for() -> None:
    asked = [(each.group, each.resource, each.subresource, each.name, each.verb) for each in needed("any")]
    assert sorted(set(asked)) == sorted(granted())


def test_a_whole_run_uses_all_of_its_rights_and_no_others(cluster: Cluster, renewed: str, tmp_path: Path) -> None:
    with narrow(cluster, renewed, tmp_path) as narrowed:
        ran = narrowed.runbook.run("restart-build-service", "--yes", "--no-settle")
        assert ran.code == 0, str(ran)
    asked = cluster.audit_events(f"system:serviceaccount:{renewed}:{ACCOUNT}")
    refused = {used_right(each) for each in asked if each.get("responseStatus", {}).get("code") in (401, 403)}
    assert refused <= OPTIONAL, "no other request was refused"
    used = {used_right(event) for event in asked if "objectRef" in event} - {None}
    assert "secrets" not in {resource for _, resource, _, _, _ in filter(None, used)}
    assert used - OPTIONAL | {UPGRADED} == set(granted())


def used_right(event: dict[str, Any]) -> Granted | None:
    """Which of the granted rights a request used, None for what everybody may do."""
    asked = event["objectRef"]
    if asked["resource"].startswith("selfsubject"):
        return None
    verb, name = event["verb"], asked.get("name", "")
    group, resource, subresource = asked.get("apiGroup", ""), asked["resource"], asked.get("subresource", "")
    named = verb != "create" and resource in ("deployments", "configmaps", "leases")
    return group, resource, subresource, name if named else "", verb


@pytest.mark.parametrize("removed", granted(), ids=str)
@pytest.mark.matrix(4)
def test_without_any_one_of_its_rights_it_names_that_and_changes_nothing(
    removed: Granted, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    # Rights come first, so there need be no target to be refused.
    with narrow(cluster, namespace, tmp_path) as narrowed:
        narrowed.allow_all_but(removed)
        ran = narrowed.runbook.run("restart-build-service", "--yes", "--no-settle")
        assert ran.code == 3, str(ran)
        assert f"you may not {in_words(removed, namespace)}" in ran.ended["message"]
        assert narrowed.proxy.writes == []
        refused = [each["text"] for each in ran.events[0]["checks"] if each["result"] == "refused"]
        assert len(refused) == 1, "it names just that one"
