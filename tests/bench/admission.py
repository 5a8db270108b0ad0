"""What a cluster's administrators have denied: writes, by a ValidatingAdmissionPolicy, and pods, by a ResourceQuota."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.cluster import Cluster, Object

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
RESTART = "object.spec.template == oldObject.spec.template"
"""In CEL: the pod template stays as it is."""


@contextmanager
def policy(
    cluster: Cluster, namespace: str, expression: str, *, message: str, reason: str | None = None
) -> Iterator[str]:
    """Have an expression hold for each change of a Deployment in one namespace; yields the policy's name.

    The API server minds it some moments later.
    """
    name = f"freeze-{namespace}"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    spec: Object = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": message, "reason": reason}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
    try:
        cluster.api("POST", POLICIES, {"metadata": {"name": name}, "spec": spec})
        cluster.api("POST", BINDINGS, {"metadata": {"name": name}, "spec": bound})
        yield name
    finally:
        for collection in (BINDINGS, POLICIES):
            cluster.api("DELETE", f"{collection}/{name}")


def quota(cluster: Cluster, namespace: str, **hard: str) -> str:
    """Create the quota `small`, and wait until its use is counted; returns its path. Before that, all is refused."""
    collection = f"/api/v1/namespaces/{namespace}/resourcequotas"
    cluster.api("POST", collection, {"metadata": {"name": "small"}, "spec": {"hard": hard}})
    path = f"{collection}/small"
    cluster.wait(path, lambda seen: seen.get("status", {}).get("used", {}).keys() == hard.keys())
    return path
