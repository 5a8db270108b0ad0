"""Which pods count as a workload's

Labels decide; an owner is an excuse only if it is shown to live. On the embedded cluster, by the command line.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from rehearsal.api.server import Request
from rehearsal.node.programs import Program
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import Cluster, cluster

pytestmark = pytest.mark.thorough

SLOW = {
    "slow": Program(ends_after=timedelta(minutes=4)),
    "slow server": Program(serves_tls=True, ends_after=timedelta(minutes=2)),
}
NO_HISTORY = "revisionHistoryLimit: 0"
DEPLOYED = """
kind: Deployment
metadata: {name: worker}
spec: {template: {spec: {containers: [{name: worker, image: worker}]}}}
"""


@dataclass
class Restarts:
    """Which pods with a label had not ended whenever the restart of `svc` was requested."""

    app: str
    alive: list[list[str]] = field(default_factory=list)

    def watch(self, shop: Cluster) -> None:
        """Look at each request from now on."""

        def look(request: Request) -> None:
            requested = request.method == "PATCH" and request.path.endswith("/svc") and "spec" in request.body
            if requested and not request.dry_run:
                self.alive.append([pod["metadata"]["name"] for pod in shop.pods(self.app)])

        shop.refuse(look)


def stray(owner: str, *, ending: str = "") -> str:
    """A pod with the workers' labels, made by hand or by something else."""
    return f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: stray, labels: {{app: worker}}, ownerReferences: [{owner}]{ending}}}
        spec: {{terminationGracePeriodSeconds: 600, containers: [{{name: worker, image: worker}}]}}
    """


@case(
    "D1",
    situation="A worker's old pods are ending and their ReplicaSet is deleted (`revisionHistoryLimit: 0`): nothing "
    "that is listed owns them, and they are in no record.",
    says="They are the worker's by their labels: the plan names them, and the restart comes after their end.",
    reference="kubernetes/kubernetes#32567",
    found_by="reader",
)
@pytest.mark.promise("P2")
def test_the_restart_waits_for_old_worker_pods_whose_replica_set_is_gone() -> None:
    worker = workloads.deployment("worker", replicas=2, image="slow", grace=300, spec=NO_HISTORY)
    restarts = Restarts("worker")
    with cluster(workloads.SERVICE, worker, programs=SLOW) as shop:
        old = [pod["metadata"]["name"] for pod in shop.pods("worker")]
        shop.apply(DEPLOYED)
        shop.wait(60)
        left = [pod for pod in shop.pods("worker") if pod["metadata"]["name"] in old]
        assert all("deletionTimestamp" in pod["metadata"] for pod in left)
        restarts.watch(shop)
        began = shop.clock.now()
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert restarts.alive == [[]]
        assert shop.clock.now() - began > timedelta(minutes=2)
        assert all(name in ran.text for name in old)


@case(
    "D1",
    situation="The same of the target: its old pod is ending, and its ReplicaSet is deleted at once.",
    says="It is not rolled out while the old pod runs: the workers come back after its end.",
    found_by="reader",
)
def test_the_workers_come_back_after_the_end_of_the_targets_old_pod() -> None:
    service = workloads.deployment("svc", image="slow server", grace=200, spec=NO_HISTORY)
    with cluster(service, workloads.WORKERS, programs=SLOW) as shop:
        (old,) = shop.pods("svc")
        alive: list[bool] = []

        def look(request: Request) -> None:
            if request.method == "PATCH" and "replicas" in (request.body.get("spec") or {}):
                alive.append(old["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in shop.pods("svc")})

        shop.refuse(look)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert (alive[0], alive[-1]) == (True, False)


UNKNOWN_OWNER = "{apiVersion: apps.kruise.io/v1, kind: CloneSet, name: workers, uid: c, controller: true}"


@pytest.mark.parametrize("owner", ["", UNKNOWN_OWNER], ids=["of nobody", "of a kind that is not read"])
@case(
    "D1",
    situation="A pod with the workers' labels runs that nobody owns, or a controller of a kind that is not read.",
    says="Refused with the pod's name before anything is changed; `--ignore-pod` leaves it out of the drain.",
    found_by="reader",
)
def test_a_running_pod_that_scaling_would_not_end_is_refused_unless_it_is_named_to_be_ignored(owner: str) -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        shop.apply(stray(owner))
        shop.wait(10)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "deployment/worker belong to no controller that is known to live: stray" in ran.text
        assert "--accept-unowned-pods" in ran.text
        assert ran.writes == ()
        ran = shop.run("restart-svc --yes --ignore-pod stray")
        assert ran.code == 0, ran
        assert "stray" in [pod["metadata"]["name"] for pod in shop.pods("worker")]


@pytest.mark.field_case("D1")
def test_a_stray_pod_that_was_accepted_is_waited_for() -> None:
    """Accepting says that it may be there, not that it may be cut off: it ends in the middle of the drain."""
    restarts = Restarts("worker")
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        shop.apply(stray(""))
        shop.wait(10)
        restarts.watch(shop)
        began = shop.clock.now()
        shop.when(lambda now: now.clock.now() - began > timedelta(minutes=3), lambda now: now.delete("Pod", "stray"))
        ran = shop.run("restart-svc --yes --accept-unowned-pods")
        assert ran.code == 0, ran
        assert restarts.alive == [[]]
        assert shop.clock.now() - began > timedelta(minutes=3)


@pytest.mark.field_case("D1")
def test_a_pod_with_the_targets_labels_that_a_restart_would_not_replace_is_refused() -> None:
    pod = stray("").replace("app: worker", "app: svc").replace("name: stray", "name: by-hand")
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        shop.apply(pod)
        shop.wait(10)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "deployment/svc belong to no controller that is known to live: by-hand" in ran.text
        assert shop.run("restart-svc --yes --ignore-pod by-hand").code == 0


@pytest.mark.field_case("D1")
def test_a_pod_that_a_living_controller_of_others_owns_is_not_the_workers() -> None:
    """Another Deployment's pods have the workers' label as well; its own selector goes by another one."""
    other = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: reports}
        spec:
          selector: {matchLabels: {part: reports}}
          template:
            metadata: {labels: {app: worker, part: reports}}
            spec: {containers: [{name: reports, image: stubborn}]}
    """
    with cluster(workloads.SERVICE, workloads.WORKERS, other) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert len(shop.pods("worker")) == 4


@pytest.mark.field_case("D1")
def test_a_pod_on_a_node_that_is_silent_counts_as_running_whoever_owned_it() -> None:
    """Its ReplicaSet is deleted and its kubelet is silent: until the drain is over nobody knows that it has ended."""
    worker = workloads.deployment("worker", replicas=1, image="slow", grace=300, spec=NO_HISTORY)
    with cluster(workloads.SERVICE, worker, programs=SLOW) as shop:
        (old,) = shop.pods("worker")
        shop.apply(DEPLOYED)
        shop.wait(60)
        shop.fault(lambda faults: faults.dead_nodes.add(old["spec"]["nodeName"]))
        shop.wait(120)
        ran = shop.run("restart-svc --yes --drain-timeout 10m --accept-not-ready --accept-unfinished-rollout --force")
        assert ran.code == 5, ran
        assert old["metadata"]["name"] in ran.text
