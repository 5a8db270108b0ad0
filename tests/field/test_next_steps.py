"""The next steps are those of this ending

People type the commands that a failed run prints. One about another object or another cluster, or one that is refused
again, costs the minutes that matter.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.objects import is_true
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import Cluster, cluster
from tests.field.workloads import SERVICE, WORKERS

pytestmark = pytest.mark.thorough

GO_ON = ["runbook resume-svc", "runbook abort-svc"]
LOOK_AGAIN = ["runbook check-svc", "runbook restart-svc"]
ON_NO_NODE = "{kind: Deployment, metadata: {name: svc}, spec: {template: {spec: {nodeSelector: {gpu: big}}}}}"
NO_POD = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: '0'}}}"


def is_drained(shop: Cluster) -> bool:
    return not shop.pods("worker")


def failed(shop: Cluster, words: str, code: int) -> dict[str, Any]:
    """Restart, and return how that says it ended; the words that lead to the cluster are left out."""
    ran = shop.run(f"restart-svc --yes {words} -o json")
    assert ran.code == code, ran
    ended = ran.events[-1]
    assert all(f" --config {shop.folder}" in each for each in ended["next_commands"] if each.startswith("runbook "))
    commands = [each.replace(f" --config {shop.folder}/certlag.yaml", "") for each in ended["next_commands"]]
    return {**ended, "next_commands": commands}


def not_ready(shop: Cluster) -> str:
    """Return the name of the one pod of the target that is not Ready."""
    (name,) = (pod["metadata"]["name"] for pod in shop.pods("svc") if not is_true(pod, "Ready"))
    return str(name)


@case(
    "G14",
    situation="a run ends since the restarted container crashes at each start",
    says="pod, container and last state, and `kubectl logs --previous` of just that, for this cluster, before `resume`",
    reference="kyverno/kyverno#11582",
)
def test_a_crash_loop_leads_to_the_log_of_what_crashed() -> None:
    with cluster(SERVICE, WORKERS) as shop:
        shop.fault(lambda faults: faults.crashing.add("svc"))
        kubeconfig = f"--kubeconfig {shop.folder}/kubeconfig"
        ended = failed(shop, f"--restart-timeout 2m {kubeconfig}", 6)
        pod = not_ready(shop)
        assert f"pod {pod}: container svc ends again and again: exit code 1 (Error)" in ended["message"]
        log = f"kubectl logs {pod} -n shop --previous -c svc {kubeconfig}"
        assert ended["next_commands"] == [log, *(f"{command} {kubeconfig}" for command in GO_ON)]


def unpullable(shop: Cluster) -> None:
    shop.fault(lambda faults: faults.unpullable.add("server"))


def unschedulable(shop: Cluster) -> None:
    shop.apply(ON_NO_NODE)


def without_its_secret(shop: Cluster) -> None:
    shop.fault(lambda faults: setattr(faults, "cert_manager_down", True))  # it would issue another one
    shop.delete("Secret", "svc")


@case(
    "G14",
    situation="a run ends since a pod has no image, no node or no volume",
    says="`kubectl describe pod` of that pod",
    reference="kubernetes/kubernetes#98656",
)
@pytest.mark.parametrize("strike", [unpullable, unschedulable, without_its_secret])
def test_a_pod_that_cannot_start_is_described(strike: Callable[[Cluster], None]) -> None:
    with cluster(workloads.deployment("svc", spec="strategy: {type: Recreate}"), WORKERS) as shop:
        shop.when(is_drained, strike)
        ended = failed(shop, "--restart-timeout 2m", 6)
        assert ended["next_commands"] == [f"kubectl describe pod {not_ready(shop)} -n shop", *GO_ON]


@pytest.mark.field_case("G14")
def test_where_no_pod_is_made_its_events_are_shown() -> None:
    with cluster(SERVICE, WORKERS) as shop:
        shop.when(is_drained, lambda shop: shop.apply(NO_POD))
        ended = failed(shop, "--restart-timeout 2m", 6)
        events = "kubectl get events -n shop --field-selector=reason=FailedCreate"
        assert ended["next_commands"] == [events, *GO_ON]


@case(
    "G15",
    situation="after two restarts a pod serves the old certificate, since its kubelet mounts the old Secret",
    says="the pod and its node, and the commands that describe both",
    reference="kubernetes/kubernetes#129645",
)
def test_a_stale_mount_names_the_pod_and_its_node() -> None:
    with cluster(SERVICE, WORKERS) as shop:
        shop.fault(lambda faults: setattr(faults, "secret_lag", timedelta(days=30)))
        ended = failed(shop, "", 8)
        (pod,) = shop.pods("svc")
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        assert f"the old Secret: {name} on node {node}: stale" in ended["message"]
        described = [f"kubectl describe pod {name} -n shop", f"kubectl describe node {node}"]
        assert ended["next_commands"] == [*described, *LOOK_AGAIN]


@pytest.mark.field_case("G14")
def test_a_worker_that_does_not_end_is_looked_at_before_it_is_tried_again_with_the_same_options() -> None:
    with cluster(SERVICE, workloads.deployment("worker", image="stubborn", grace=3600)) as shop:
        options = "--drain-timeout=60s --accept-drain-timeout"
        ended = failed(shop, options, 5)
        logs, described, check, again = ended["next_commands"]
        (worker, _) = sorted(shop.pods("worker"), key=lambda pod: "deletionTimestamp" not in pod["metadata"])
        name = worker["metadata"]["name"]
        assert logs == f"kubectl logs {name} -n shop --all-containers --tail=20"
        assert described == f"kubectl describe pod {name} -n shop"
        assert [check, again] == [LOOK_AGAIN[0], f"{LOOK_AGAIN[1]} {options}"]


SHORT = workloads.deployment("worker", image="worker", grace=30)
AT_0 = workloads.deployment("worker", image="worker", grace=3600, replicas=0)
LONG = workloads.deployment("worker", image="worker", grace=100_000)
OF_FLUX = WORKERS.replace("app: worker}}", "app: worker, kustomize.toolkit.fluxcd.io/name: apps}}", 1)
OF_ARGO = SHORT.replace("app: worker}}", "app: worker}, annotations: {argocd.argoproj.io/tracking-id: 'apps:x'}}", 1)
REFUSED = {
    "a grace period of 30 s": (SHORT, "", ["--accept-grace"]),
    "no replicas": (AT_0, "", ["--accept-zero-replicas"]),
    "a drain that takes long": (LONG, "--drain-timeout 2h", ["--drain-timeout=100000s"]),
    "Flux": (OF_FLUX, "", ["--pause-controllers"]),
    "Argo CD and a grace period": (OF_ARGO, "--reason tonight", ["--accept-gitops", "--accept-grace"]),
}


@case(
    "G16",
    situation="a restart is refused by preconditions that can be overridden, and other options were given",
    says="the whole command with the options that get past all of them, and with those that were given",
    found_by="test",
)
@pytest.mark.parametrize("name", REFUSED)
def test_the_command_that_a_refusal_prints_is_not_refused(name: str) -> None:
    worker, words, overrides = REFUSED[name]
    with cluster(SERVICE, worker) as shop:
        refused = shop.run(f"restart-svc --yes {words} -o json")
        assert refused.code == 3, refused
        ended = refused.events[-1]
        again = ended["next_commands"][-1].removeprefix("runbook ")
        assert [word for word in overrides if word not in again] == []
        assert [word for word in overrides if word.partition("=")[0] not in ended["message"]] == []
        assert "--yes" not in again, "it asks"
        assert ("--reason" in words) == ("--reason=tonight" in again)
        assert again.count("--drain-timeout") == words.count("--drain-timeout")
        planned = shop.run(f"{again} --dry-run -o json")
        assert (planned.code, planned.events[-1]["outcome"]) == (0, "dry_run"), planned
        (real,) = planned.events[-1]["next_commands"]
        assert sorted(real.split()) == sorted(f"runbook {again}".split())


@pytest.mark.field_case("G16")
def test_a_refusal_that_nothing_overrides_prints_no_override() -> None:
    paused = workloads.deployment("svc", spec="paused: true")
    with cluster(paused, SHORT) as shop:
        assert failed(shop, "", 3)["next_commands"] == LOOK_AGAIN
