"""The controller's or the kubelet's own reason why there is no pod that is Ready."""

import re

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from rehearsal.objects import is_true
from tests.field import runbook, workloads
from tests.field.record import case
from tests.field.runbook import Cluster
from tests.field.test_admission import CRON_JOB
from tests.field.workloads import SERVICE, WORKERS

pytestmark = pytest.mark.thorough

KINDS = {"deployment": workloads.deployment, "statefulset": workloads.stateful_set, "daemonset": workloads.daemon_set}
ON_NO_NODE = "{kind: Deployment, metadata: {name: svc}, spec: {template: {spec: {nodeSelector: {gpu: big}}}}}"
QUOTA = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: '%s'}}}"


def is_drained(shop: Cluster) -> bool:
    return not shop.pods("worker")


def small(pods: int) -> str:
    return QUOTA % pods


@case(
    "G7",
    situation="a quota leaves no room for the restarted pod",
    says="the quota's message while it is waited for, and in the ending",
    reference="kubernetes/kubernetes#98656",
)
@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
@pytest.mark.matrix(1)
def test_a_quota_that_refuses_the_new_pod_is_named(kind: str) -> None:
    configuration = runbook.CONFIGURATION.replace("deployment/svc", f"{kind}/svc")
    with runbook.cluster(KINDS[kind]("svc"), WORKERS) as shop:
        shop.when(is_drained, lambda shop: shop.apply(small(0)))
        ran = shop.run("restart-svc --yes --restart-timeout 2m", configuration=configuration)
        assert ran.code == 6, ran
        assert ran.text.count("exceeded quota: small, requested: pods=1") >= 2


@case(
    "G7",
    situation="a quota that was made smaller since leaves no room for the workers' return",
    says="the quota's message while restoring, and in the ending with exit code 7",
    reference="kubernetes/kubernetes#98656",
)
def test_a_quota_that_refuses_the_workers_is_named() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.when(is_drained, lambda shop: shop.apply(small(2)))
        ran = shop.run("restart-svc --yes --restart-timeout 2m")
        assert ran.code == 7, ran
        assert ran.text.count("exceeded quota: small") >= 2
        shop.delete("ResourceQuota", "small")
        assert shop.run("resume-svc --yes").code == 0


@case(
    "G7",
    situation="the restarted container ends at each start",
    says="its exit code, its pod and container, and the kubectl logs command, while waiting and in the ending",
    reference="kyverno/kyverno#11582",
)
def test_a_crash_loop_names_the_container_and_where_its_log_is() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.fault(lambda faults: faults.crashing.add("svc"))
        ran = shop.run("restart-svc --yes --restart-timeout 2m")
        assert ran.code == 6, ran
        (pod,) = (pod["metadata"]["name"] for pod in shop.pods("svc") if not is_true(pod, "Ready"))
        assert f"pod {pod}: container svc ends again and again: exit code 1 (Error)" in ran.text
        assert f"kubectl logs {pod} -n shop --previous -c svc" in ran.text


@case(
    "G7",
    situation="the image cannot be pulled, no node fits, or a volume cannot be mounted",
    says="the kubelet's, the scheduler's or the volume's message",
    reference="kubernetes/kubernetes#98656",
)
@pytest.mark.parametrize("what", ["image", "node", "volume"])
def test_what_keeps_the_pod_from_starting_is_named(what: str) -> None:
    def strike(shop: Cluster) -> None:
        if what == "image":
            shop.fault(lambda faults: faults.unpullable.add("server"))
        elif what == "node":
            shop.apply(ON_NO_NODE)
        else:
            shop.fault(lambda faults: setattr(faults, "cert_manager_down", True))  # it would issue another one
            shop.delete("Secret", "svc")

    says = {
        "image": 'ImagePullBackOff: Back-off pulling image "server"',
        "node": "cannot be placed: 0/2 nodes are available",
        "volume": 'FailedMount: MountVolume.SetUp failed for volume "tls" : secret "svc" not found',
    }
    replaced = workloads.deployment("svc", spec="strategy: {type: Recreate}")
    with runbook.cluster(replaced, WORKERS) as shop:
        shop.when(is_drained, strike)
        ran = shop.run("restart-svc --yes --restart-timeout 2m")
        assert ran.code == 6, ran
        assert says[what] in ran.text


@case(
    "G9",
    situation="a quota lets the Job of a run make no pod, or a queue holds it back",
    says="after some seconds the Job's own reason; after five minutes it ends, and says what to do",
    reference="iovisor/kubectl-trace#32, gatekeeper/gatekeeper#2695, kubernetes-sigs/kueue#1527",
)
@pytest.mark.parametrize("held_back", ["quota", "queue"])
def test_a_job_without_pods_is_explained_and_not_followed_for_ever(held_back: str) -> None:
    job = CRON_JOB.replace("    spec:\n      template:", "    spec:\n      suspend: true\n      template:")
    with runbook.cluster(SERVICE, WORKERS, job if held_back == "queue" else CRON_JOB) as shop:
        if held_back == "quota":
            shop.apply(small(4))
        ran = shop.run("restart-svc --yes --in-cluster")
        assert ran.code == 1, ran
        says = "exceeded quota: small" if held_back == "quota" else "is suspended: somebody, or a queue such as Kueue"
        assert ran.text.count(says) >= 2
        assert "It may still begin; to stop it: kubectl delete job -n shop certlag-run-svc-" in ran.text
        assert re.search("runbook restart-svc --config [^ ]+ --attach", ran.text)
        assert "expected" not in ran.text


@case(
    "G9",
    situation="the Job of a run has no pod, and the follower may not list events",
    says="there is no pod yet, and the right that it takes to see more",
    found_by="test",
)
def test_a_follower_who_may_not_list_events_learns_so() -> None:
    def forbid(request: Request) -> Refusal | None:
        if request.method == "GET" and request.path.endswith("/events"):
            return Refusal(403, "Forbidden", 'events is forbidden: User "somebody" cannot list resource "events"')
        return None

    with runbook.cluster(SERVICE, WORKERS, CRON_JOB) as shop:
        shop.apply(small(4))
        shop.refuse(forbid)
        ran = shop.run("restart-svc --yes --in-cluster")
        assert ran.code == 1, ran
        assert "has no pod yet (to see more: a right to list events in shop)" in ran.text
