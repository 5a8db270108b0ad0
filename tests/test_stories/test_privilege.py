"""What the chart's two accounts may do, asked of a real API server, and tried: with a token in the wrong hands.

The rights that tests compare elsewhere are those that the chart writes down. Here the API server says what they come
to, together with what everybody may: of each verb on each resource that it has, in the target's namespace, in another
one and in all of them.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.bench import waiting
from tests.bench.api import MERGE_PATCH, Api, ApiError
from tests.bench.cluster import Cluster
from tests.figures import Figures
from tests.rendered_chart import Object, render

pytestmark = [pytest.mark.small_bench, pytest.mark.tools]

RBAC = "rbac.authorization.k8s.io/v1"
INSTALLED = frozenset(
    {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Lease"}
)
EXPORTER, OPERATOR, OTHER = "certlag-exporter", "operator", "somebody-elses"
CONFIGURATION = "certlag-config-certlag"
TARGET, WORKER, RECORD = "opschain-build-service", "opschain-api-worker", "certlag-run-build-service"
LOCKS = (f"certlag-deployment-{TARGET}", f"certlag-deployment-{WORKER}")

READS = frozenset({"get", "list", "watch"})
CONNECTING = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources of which a `get` is the begin of a connection."""
ABOUT_ONESELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
"""Questions that anybody may `create`, and that leave nothing behind."""
BESIDES = (
    *(("impersonate", "", resource) for resource in ("users", "groups", "serviceaccounts")),
    *((verb, "rbac.authorization.k8s.io", role) for verb in ("bind", "escalate") for role in ("roles", "clusterroles")),
    *((verb, "certificates.k8s.io", "signers") for verb in ("approve", "sign")),
    *(("*", group, "*") for group in ("", "*")),
)
"""Verb, group and resource of what discovery does not list."""

Right = tuple[str, str, str]
"""Verb, group, resource with its subresource."""


# --- the ground ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installed:
    """The chart's accounts and rights in a cluster: the namespace of the target, and another one."""

    bench: Cluster
    namespace: str
    elsewhere: str

    @property
    def places(self) -> tuple[str, ...]:
        """Where to ask; "" is all namespaces, and what is in none."""
        return (self.namespace, self.elsewhere, "")

    def bearer(self, account: str) -> Api:
        """The API as the bearer of an account's token has it."""
        return self.bench.client_of(self.bench.token(self.namespace, account))


@contextmanager
def installed(bench: Cluster, namespace: str, elsewhere: str, *options: str) -> Iterator[Installed]:
    """Install what the chart renders of accounts and rights, until the block ends; wait until they hold."""
    subject = ("--set", "runbook.subjects[0].kind=ServiceAccount", "--set", f"runbook.subjects[0].name={OPERATOR}")
    rendered = render(*options, *subject, namespace=namespace).objects
    chosen = [each for each in rendered if each["kind"] in INSTALLED]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": OPERATOR, "namespace": namespace}}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*chosen, account]})
    bench.kubectl("apply", "--filename=-", stdin=listed)
    place = Installed(bench, namespace, elsewhere)
    try:
        for name in (EXPORTER, OPERATOR):
            api = place.bearer(name)
            for right in (("list", "", "pods"), ("list", "apps", "deployments")):
                named = TARGET if right[1] else ""
                waiting.until(f"{name} may {right}", lambda: may(api, right, namespace, named))  # noqa: B023
        yield place
    finally:
        # The rest goes with its namespace.
        for each in chosen:
            if each["kind"].startswith("Cluster"):
                bench.kubectl("delete", each["kind"], each["metadata"]["name"])


@pytest.fixture
def elsewhere(small_bench: Cluster) -> Iterator[str]:
    """Another namespace."""
    name = str(
        small_bench.api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "test-"}})["metadata"]["name"]
    )
    yield name
    small_bench.api("DELETE", f"/api/v1/namespaces/{name}")


# --- asking -------------------------------------------------------------------------------------------


def may(api: Api, right: Right, namespace: str, name: str = "") -> bool:
    """Ask whether one may: a SelfSubjectAccessReview."""
    verb, group, resource = right
    resource, _, subresource = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace}
    review = {"spec": {"resourceAttributes": {**asked, "name": name}}}
    answered = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answered["status"]["allowed"])


def rules(api: Api, namespace: str) -> list[Object]:
    """Ask for all that one may in a namespace, rights in all of them included, but for questions about oneself."""
    review = {"spec": {"namespace": namespace}}
    status = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)["status"]
    assert not status["incomplete"], status
    found: list[Object] = status["resourceRules"]
    return [rule for rule in found if not ABOUT_ONESELF.issuperset(rule["resources"])]


def every_right(bench: Cluster) -> set[Right]:
    """All verbs on all resources that the API server has, and what discovery leaves out."""
    versions = [("", "/api/v1")]
    for group in bench.api("GET", "/apis")["groups"]:
        versions += [(group["name"], f"/apis/{version['groupVersion']}") for version in group["versions"]]
    found = {
        (verb, group, resource["name"])
        for group, path in versions
        for resource in bench.api("GET", path)["resources"]
        for verb in resource["verbs"]
    }
    return found | set(BESIDES)


def is_write(right: Right) -> bool:
    """Tell whether it changes anything, or gets into a container."""
    verb, _, resource = right
    return resource not in ABOUT_ONESELF and (verb not in READS or resource.partition("/")[2] in CONNECTING)


# --- the exporter -------------------------------------------------------------------------------------


VALUES = {
    "as the chart is": (),
    "all namespaces": ("--set", "config.discovery.namespaces={*}"),
}


@pytest.mark.fault("P1")
@pytest.mark.parametrize("values", ["as the chart is", "all namespaces"])
def test_the_exporters_token_writes_nothing_and_reads_no_secret(
    values: str, small_bench: Cluster, small_namespace: str, elsewhere: str, figures: Figures
) -> None:
    with installed(small_bench, small_namespace, elsewhere, *VALUES[values]) as place:
        api = place.bearer(EXPORTER)
        asked = [right for right in every_right(small_bench) if is_write(right) or right[2] == "secrets"]
        allowed = [(right, where) for where in place.places for right in sorted(asked) if may(api, right, where)]
        assert allowed == []
        for where in place.places[:2]:
            for rule in rules(api, where):
                assert set(rule["verbs"]) <= {"list", "watch"}, rule
                assert {"secrets", "*"}.isdisjoint({*rule["resources"], *rule["apiGroups"]}), rule
        everywhere = (
            {"pods", "replicasets", "certificates", "certificaterequests"} if values == "all namespaces" else set()
        )
        assert {resource for rule in rules(api, elsewhere) for resource in rule["resources"]} == everywhere
        writes = sum(map(is_write, asked)) * len(place.places)
        questions = len(asked) * len(place.places)
        figures(f"{values}: {questions} questions, {writes} of them about writes, the others about Secrets: allowed 0")


# --- who restarts -------------------------------------------------------------------------------------


@pytest.mark.fault("P2")
def test_the_operators_token_has_the_rights_of_security_md_and_no_others(
    small_bench: Cluster, small_namespace: str, elsewhere: str, figures: Figures
) -> None:
    with installed(small_bench, small_namespace, elsewhere) as place:
        api = place.bearer(OPERATOR)
        asked = sorted(right for right in every_right(small_bench) if is_write(right) or right[2] == "secrets")
        allowed = [(right, where) for where in place.places for right in asked if may(api, right, where)]
        unnamed = [("create", "", "events"), ("create", "", "pods/portforward"), ("get", "", "pods/portforward")]
        assert allowed == [(right, small_namespace) for right in unnamed]
        assert rules(api, elsewhere) == []
        named = {
            (verb, resource, name)
            for rule in rules(api, small_namespace)
            for verb in rule["verbs"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames", [])
            if verb not in READS
        }
        objects = [("deployments", TARGET), ("deployments", WORKER), ("configmaps", RECORD)]
        objects += [("leases", name) for name in LOCKS]
        assert named == {("patch", *each) for each in objects}
        questions = len(asked) * len(place.places)
        figures(
            f"{questions} questions: allowed {len(unnamed)} that no name limits; {len(named)} patches of one object"
        )


@dataclass(frozen=True)
class Attempt:
    """One request: on what is none of the operator's business, unless said otherwise."""

    method: str
    path: str
    body: Any = None

    def by(self, api: Api, *, dry: bool = False) -> int:
        """Make it; return the HTTP status."""
        options = "" if not dry or self.method == "GET" else f"{'&' if '?' in self.path else '?'}dryRun=All"
        kind = MERGE_PATCH if self.method == "PATCH" else "application/json"
        try:
            api.call(self.method, f"{self.path}{options}", self.body, kind)
        except ApiError as error:
            return error.status
        return 200

    def __str__(self) -> str:
        """Say it."""
        return f"{self.method} {self.path}"


ANNOTATED = {"metadata": {"annotations": {"tried": "true"}}}
NO_REPLICAS = {"spec": {"replicas": 0}}
CONTAINERS = {"containers": [{"name": "server", "image": "none"}]}


def within(place: Installed) -> list[Attempt]:
    """What a run does."""
    core, apps, locks = paths(place.namespace)
    event = {
        "metadata": {"name": "tried", "namespace": place.namespace},
        "involvedObject": {"kind": "Deployment", "name": TARGET, "namespace": place.namespace},
    }
    return [
        *(
            Attempt("PATCH", f"{apps}/deployments/{name}", body)
            for name in (TARGET, WORKER)
            for body in (ANNOTATED, NO_REPLICAS)
        ),
        Attempt("GET", f"{core}/configmaps/{CONFIGURATION}"),
        Attempt("PATCH", f"{core}/configmaps/{RECORD}", ANNOTATED),
        *(Attempt("PATCH", f"{locks}/leases/{name}", ANNOTATED) for name in LOCKS),
        Attempt("POST", f"{core}/events", event),
    ]


def beyond(place: Installed, pod: str) -> list[Attempt]:
    """What none does."""
    core, apps, locks = paths(place.namespace)
    foreign_core, foreign_apps, _ = paths(place.elsewhere)
    roles = f"/apis/{RBAC}/namespaces/{place.namespace}"
    subjects = [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": place.namespace}]
    administer = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "tried"}, "roleRef": administer, "subjects": subjects}
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    job = {"metadata": {"name": "tried"}, "spec": {"template": {"spec": {**CONTAINERS, "restartPolicy": "Never"}}}}
    return [
        *(
            Attempt("PATCH", f"{where}/deployments/{OTHER}", body)
            for where in (apps, foreign_apps)
            for body in (ANNOTATED, NO_REPLICAS)
        ),
        *(Attempt("PATCH", f"{apps}/deployments/{name}/scale", NO_REPLICAS) for name in (OTHER, TARGET, WORKER)),
        Attempt("PATCH", f"{foreign_apps}/deployments/{OTHER}/scale", NO_REPLICAS),
        *(Attempt("DELETE", f"{apps}/deployments/{name}") for name in (OTHER, TARGET, WORKER)),
        Attempt("POST", f"{apps}/deployments", deployment("tried")),
        Attempt("DELETE", f"{core}/pods/{pod}"),
        Attempt("DELETE", f"{core}/pods"),
        Attempt("POST", f"{core}/pods", {"metadata": {"name": "tried"}, "spec": CONTAINERS}),
        Attempt("PATCH", f"{core}/pods/{pod}", ANNOTATED),
        Attempt("POST", f"{core}/pods/{pod}/eviction", {"metadata": {"name": pod, "namespace": place.namespace}}),
        *(Attempt("GET", f"{where}/secrets/{OTHER}") for where in (core, foreign_core)),
        *(Attempt("GET", f"{where}/secrets") for where in (core, foreign_core, "/api/v1")),
        Attempt("PATCH", f"{core}/secrets/{OTHER}", ANNOTATED),
        *(Attempt("PATCH", f"{core}/configmaps/{name}", ANNOTATED) for name in (OTHER, CONFIGURATION)),
        Attempt("POST", f"{core}/configmaps", {"metadata": {"name": "tried"}}),
        Attempt("PATCH", f"{locks}/leases/{OTHER}", ANNOTATED),
        Attempt("POST", f"{locks}/leases", {"metadata": {"name": "tried"}}),
        Attempt("POST", f"{core}/serviceaccounts/{EXPORTER}/token", {"spec": {"expirationSeconds": 600}}),
        Attempt("POST", f"{roles}/roles", {"metadata": {"name": "tried"}, "rules": everything}),
        Attempt("POST", f"{roles}/rolebindings", binding),
        Attempt("POST", f"/apis/{RBAC}/clusterrolebindings", binding),
        Attempt("PATCH", f"{roles}/roles/certlag-runbook-build-service", {"rules": everything}),
        Attempt("POST", f"/apis/batch/v1/namespaces/{place.namespace}/jobs", job),
    ]


def paths(namespace: str) -> tuple[str, str, str]:
    """The API paths of a namespace: core, apps, coordination."""
    return (
        f"/api/v1/namespaces/{namespace}",
        f"/apis/apps/v1/namespaces/{namespace}",
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}",
    )


def deployment(name: str) -> Object:
    """A Deployment; on this bench its pod waits for a node for ever."""
    template = {"metadata": {"labels": {"app": name}}, "spec": CONTAINERS}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def populate(place: Installed) -> str:
    """Make the target, its worker, and things of somebody else; return the name of a pod of theirs."""
    for namespace, names in ((place.namespace, (TARGET, WORKER, OTHER)), (place.elsewhere, (OTHER,))):
        core, apps, locks = paths(namespace)
        for name in names:
            place.bench.api("POST", f"{apps}/deployments", deployment(name))
        for path in (f"{core}/secrets", f"{core}/configmaps", f"{locks}/leases"):
            place.bench.api("POST", path, {"metadata": {"name": OTHER}})
    pods = f"{paths(place.namespace)[0]}/pods?labelSelector=app%3D{OTHER}"
    found = waiting.until("a pod of somebody else's", lambda: place.bench.api("GET", pods)["items"])
    return str(found[0]["metadata"]["name"])


def made(attempts: Sequence[Attempt], api: Api, *, dry: bool = False) -> dict[str, int]:
    """Make attempts; return the status of each."""
    return {f"{each} {json.dumps(each.body)}": each.by(api, dry=dry) for each in attempts}


@pytest.mark.fault("P1", "P2")
def test_what_is_none_of_a_runs_business_is_refused_to_both_tokens_when_it_is_tried(
    small_bench: Cluster, small_namespace: str, elsewhere: str, figures: Figures
) -> None:
    with installed(small_bench, small_namespace, elsewhere) as place:
        pod = populate(place)
        operator, exporter = place.bearer(OPERATOR), place.bearer(EXPORTER)
        attempts, own = beyond(place, pod), within(place)
        # So that a refusal is one of rights: the administrator could, and the operator can do what is theirs.
        possible = made(attempts, small_bench.client, dry=True)
        assert {what: status for what, status in possible.items() if status != 200} == {}
        assert set(made(own, operator, dry=True).values()) == {200}
        refused = made(attempts, operator)
        assert {what: status for what, status in refused.items() if status != 403} == {}
        assert set(made([*attempts, *own], exporter).values()) == {403}
        # Without a node there is no container to get into: the administrator fails otherwise.
        inside = [Attempt("POST", f"{paths(small_namespace)[0]}/pods/{pod}/exec?command=id&stdout=true")]
        inside += [Attempt("GET", f"{paths(small_namespace)[0]}/pods/{pod}/proxy/")]
        assert [each.by(api) for each in inside for api in (operator, exporter)] == [403] * 4
        assert 403 not in made(inside, small_bench.client).values()
        tried = len(attempts) + len(inside)
        figures(f"tried with the operator's token {tried}, with the exporter's {tried + len(own)}: allowed 0")
