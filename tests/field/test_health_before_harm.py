"""Health before harm

Nothing is scaled or restarted whose present state would not survive it: refused before anything is changed, with
object, field, value and the flag that accepts it.
"""

import pytest

from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import CONFIGURATION, Cluster, Ran, cluster

UNFINISHED, NOT_READY = "--accept-unfinished-rollout", "--accept-not-ready"
OF_STATEFUL_WORKERS = CONFIGURATION.replace("deployment/worker", "statefulset/worker")
BROKEN_TEMPLATE = """
kind: %s
metadata: {name: %s}
spec: {template: {spec: {containers: [{name: %s, image: crashing}]}}}
"""


def configuration(workload: str) -> str:
    return CONFIGURATION.replace("deployment/svc", workload)


def refused(ran: Ran, *words: str) -> bool:
    """Check that a command was refused before any write, in these words."""
    assert ran.code == 3, ran
    assert ran.writes == ()
    for word in words:
        assert word in ran.text, ran
    return True


def break_rollout(shop: Cluster, kind: str, name: str) -> None:
    """Deploy a template whose pods crash, and give its controller the time to give up."""
    shop.apply(BROKEN_TEMPLATE % (kind, name, name))
    shop.wait(1200)


@case(
    "G2",
    situation="Workers whose last rollout never finished: three old pods work, the pods of the new template crash.",
    says="Refused with the counts and the controller's reason: scaled to 0 and back, none of them would work.",
    reference="kubernetes/kubernetes#105395, kubernetes/kubernetes#120157",
)
@pytest.mark.thorough
def test_workers_whose_last_rollout_never_finished_are_not_drained() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        break_rollout(shop, "Deployment", "worker")
        ran = shop.run("restart-svc --yes")
        assert refused(
            ran,
            "deployment/worker: status.updatedReplicas 1 of 3, condition Progressing False (ProgressDeadlineExceeded",
            "scaled to 0 and back, all pods have its present template",
            "kubectl rollout undo deployment/worker -n shop, or --accept-unfinished-rollout",
        )
        shop.apply(workloads.WORKERS)
        shop.wait(600)
        assert shop.run("restart-svc --yes").code == 0


@case(
    "G2",
    situation="A target whose last rollout never finished (ProgressDeadlineExceeded).",
    says="Refused; with `--accept-unfinished-rollout` and `--accept-not-ready` the run goes on.",
    reference="kubernetes/kubernetes#105395, kubernetes/kubernetes#120157",
)
@pytest.mark.thorough
def test_a_target_whose_last_rollout_never_finished_is_not_restarted() -> None:
    with cluster(workloads.deployment("svc", replicas=2), workloads.WORKERS) as shop:
        break_rollout(shop, "Deployment", "svc")
        ran = shop.run("restart-svc --yes")
        assert refused(
            ran, "deployment/svc: status.updatedReplicas 1 of 2", "restarted, all pods have its present template"
        )
        ran = shop.run("restart-svc --yes --accept-unfinished-rollout --accept-not-ready")
        assert ran.code == 6, ran


REPORTED = """
kind: %(kind)s
metadata: {name: %(name)s}
status: %(status)s
"""


def reported(shop: Cluster, kind: str, name: str, status: str) -> None:
    """Have a controller say something of a workload, and nothing more after that."""
    shop.fault(lambda faults: setattr(faults, "controllers_down", True))
    shop.report(REPORTED % {"kind": kind, "name": name, "status": status})


QUOTA = "{conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'exceeded quota: pods'}]}"
UNAVAILABLE = "{conditions: [{type: Available, status: 'False', reason: MinimumReplicasUnavailable}]}"
STUCK = "{conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}"


@pytest.mark.parametrize("name", ["svc", "worker"])
@pytest.mark.parametrize(
    ("flag", "status", "says"),
    [
        (UNFINISHED, QUOTA, "condition ReplicaFailure True (FailedCreate: exceeded quota: pods)"),
        (UNFINISHED, STUCK, "condition Progressing False (ProgressDeadlineExceeded)"),
        (UNFINISHED, "{updatedReplicas: 2}", "status.updatedReplicas 2 of 3"),
        (UNFINISHED, "{replicas: 4}", "status.replicas 4, updatedReplicas 3"),
        (UNFINISHED, "{observedGeneration: 0}", "status.observedGeneration 0 of 1"),
        (NOT_READY, UNAVAILABLE, "condition Available False (MinimumReplicasUnavailable)"),
        (NOT_READY, "{readyReplicas: 2}", "status.readyReplicas 2 of 3"),
        (NOT_READY, "{availableReplicas: 2}", "status.availableReplicas 2 of 3"),
    ],
)
@pytest.mark.field_case("G2")
@pytest.mark.promise("P8")
@pytest.mark.thorough
@pytest.mark.matrix(4)
def test_whatever_a_deployment_says_against_itself_is_refused_and_overridden_by_its_own_flag(
    name: str, flag: str, status: str, says: str
) -> None:
    with cluster(workloads.deployment("svc", replicas=3), workloads.WORKERS) as shop:
        reported(shop, "Deployment", name, status)
        assert refused(shop.run("restart-svc --yes"), f"deployment/{name}: ", says, flag)
        ran = shop.run(f"restart-svc --dry-run {flag}")
        assert ran.code == 0, ran
        assert "(overridden)" in ran.text


@pytest.mark.field_case("G2")
def test_paused_workers_are_refused() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        shop.apply("{kind: Deployment, metadata: {name: worker}, spec: {paused: true}}")
        assert refused(shop.run("restart-svc --yes"), "deployment/worker: spec.paused true", UNFINISHED)


# --- StatefulSets and DaemonSets ----------------------------------------------------------------------


def stateful(*, replicas: int = 3, spec: str = "") -> str:
    return workloads.stateful_set("svc", replicas=replicas, spec=spec)


def break_pod(shop: Cluster, name: str) -> None:
    """Have one pod crash from its next start on."""
    shop.fault(lambda faults: faults.crashing.add(name))
    shop.delete("Pod", name)
    shop.wait(120)


@case(
    "G3",
    situation="A StatefulSet (OrderedReady) as target, one pod of which is not Ready.",
    says="Refused before the drain: it would not be updated past that pod, and the workers would stay at 0.",
    reference="kubernetes/kubernetes#67250, kubernetes/kubernetes#60164",
)
@pytest.mark.thorough
def test_a_stateful_set_that_would_be_blocked_is_not_restarted() -> None:
    with cluster(stateful(), workloads.WORKERS) as shop:
        break_pod(shop, "svc-1")
        ran = shop.run("restart-svc --yes", configuration=configuration("statefulset/svc"))
        assert refused(ran, "statefulset/svc: status.readyReplicas 2 of 3", NOT_READY)
        ran = shop.run("restart-svc --yes --accept-not-ready", configuration=configuration("statefulset/svc"))
        assert ran.code == 6, ran


@case(
    "G10",
    situation="A quorum (StatefulSet with `podManagementPolicy: Parallel`) of three members, one of which is down.",
    says="Refused unless ready = replicas.",
)
def test_a_quorum_with_a_member_down_is_not_restarted() -> None:
    with cluster(stateful(spec="podManagementPolicy: Parallel"), workloads.WORKERS) as shop:
        break_pod(shop, "svc-0")
        ran = shop.run("restart-svc --yes", configuration=configuration("statefulset/svc"))
        assert refused(ran, "statefulset/svc: status.readyReplicas 2 of 3", "fewer than a quorum", NOT_READY)


@pytest.mark.field_case("G2")
@pytest.mark.thorough
def test_a_stateful_set_between_two_revisions_is_refused_as_worker_and_as_target() -> None:
    worker = workloads.stateful_set("worker", replicas=2, image="worker", grace=3600)
    with cluster(workloads.SERVICE, worker) as shop:
        break_rollout(shop, "StatefulSet", "worker")
        ran = shop.run("restart-svc --yes", configuration=OF_STATEFUL_WORKERS)
        assert refused(ran, "statefulset/worker: status.updatedReplicas 1 of 2", "status.currentRevision worker-")
    with cluster(stateful(replicas=2), workloads.WORKERS) as shop:
        break_rollout(shop, "StatefulSet", "svc")
        ran = shop.run("restart-svc --yes", configuration=configuration("statefulset/svc"))
        assert refused(ran, "statefulset/svc: status.updatedReplicas 1 of 2", UNFINISHED)


@pytest.mark.field_case("G2")
def test_workers_with_a_partition_are_refused_since_a_scale_to_zero_forgets_it() -> None:
    partition = "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}"
    worker = workloads.stateful_set("worker", replicas=2, image="worker", grace=3600, spec=partition)
    with cluster(workloads.SERVICE, worker) as shop:
        ran = shop.run(
            "restart-svc --yes", configuration=CONFIGURATION.replace("deployment/worker", "statefulset/worker")
        )
        assert refused(
            ran, "statefulset/worker: spec.updateStrategy.rollingUpdate.partition 1", "--accept-unfinished-rollout"
        )


@pytest.mark.field_case("G2")
@pytest.mark.thorough
def test_workers_updated_on_delete_are_refused_while_some_are_old_and_not_once_all_are_new() -> None:
    """With OnDelete `status.currentRevision` stays behind for ever: only the count of updated pods says something."""
    worker = workloads.stateful_set(
        "worker", replicas=2, image="worker", grace=3600, spec="updateStrategy: {type: OnDelete}"
    )
    with cluster(workloads.SERVICE, worker) as shop:
        shop.apply(
            "{kind: StatefulSet, metadata: {name: worker}, spec: {template: {metadata: {annotations: {v: two}}}}}"
        )
        shop.delete("Pod", "worker-1")
        shop.wait(300)
        assert refused(
            shop.run("restart-svc --yes", configuration=OF_STATEFUL_WORKERS),
            "statefulset/worker: status.updatedReplicas 1 of 2",
        )
        shop.delete("Pod", "worker-0")
        shop.wait(300)
        ran = shop.run("restart-svc --yes", configuration=OF_STATEFUL_WORKERS)
        assert ran.code == 0, ran


@pytest.mark.parametrize(
    ("flag", "status", "says"),
    [
        (NOT_READY, "{numberUnavailable: 1, numberAvailable: 1, numberReady: 1}", "status.numberUnavailable 1"),
        (UNFINISHED, "{updatedNumberScheduled: 1}", "status.updatedNumberScheduled 1 of 2"),
    ],
)
@pytest.mark.field_case("G3")
def test_a_daemon_set_that_is_not_whole_is_refused(flag: str, status: str, says: str) -> None:
    with cluster(workloads.daemon_set("svc"), workloads.WORKERS) as shop:
        reported(shop, "DaemonSet", "svc", status)
        ran = shop.run("restart-svc --yes", configuration=configuration("daemonset/svc"))
        assert refused(ran, "daemonset/svc: ", says, flag)


# --- what the plan says ------------------------------------------------------------------------------


RECREATE = "strategy: {type: Recreate}"
HALF = "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 2}}"


@pytest.mark.parametrize(
    ("workload", "document", "says"),
    [
        ("deployment/svc", workloads.deployment("svc", replicas=3), "3 pods, restarted one after another"),
        ("deployment/svc", workloads.deployment("svc", replicas=3, spec=RECREATE), "3 pods, restarted all at once"),
        ("deployment/svc", workloads.deployment("svc", replicas=3, spec=HALF), "3 pods, restarted up to 2 at a time"),
        ("statefulset/svc", stateful(spec="podManagementPolicy: Parallel"), "3 pods, restarted one after another"),
        ("daemonset/svc", workloads.daemon_set("svc"), "2 pods, restarted one after another"),
    ],
)
@case(
    "G10",
    situation="Targets of several kinds and strategies.",
    says="The plan says whether pods are restarted one after another or all at once.",
)
def test_the_plan_says_how_many_pods_are_restarted_at_a_time(workload: str, document: str, says: str) -> None:
    with cluster(document, workloads.WORKERS) as shop:
        ran = shop.run("restart-svc --dry-run", configuration=configuration(workload))
        assert ran.code == 0, ran
        assert says in ran.text


BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: %s}
spec: {minAvailable: 2, selector: {matchLabels: {app: %s}}}
"""
ALONE = CONFIGURATION.replace("    workers: [deployment/worker]\n", "")


@pytest.mark.parametrize("config", [CONFIGURATION, ALONE], ids=["with workers", "without workers"])
@case(
    "G10",
    situation="A PodDisruptionBudget covers the target, with workers or without.",
    says="The plan shows it with its rule, and warns where the restart takes more pods at once than it allows.",
)
@pytest.mark.thorough
def test_disruption_budgets_of_the_target_are_shown(config: str) -> None:
    service = workloads.deployment("svc", replicas=3, spec=RECREATE)
    with cluster(service, workloads.WORKERS, BUDGET % ("members", "svc"), BUDGET % ("others", "elsewhere")) as shop:
        ran = shop.run("restart-svc --dry-run", configuration=config)
        assert (
            "PodDisruptionBudget members (minAvailable 2) covers deployment/svc, and a restart does not ask it"
            in ran.text
        )
        assert "PodDisruptionBudget others" not in ran.text
        shop.report("{kind: PodDisruptionBudget, metadata: {name: members}, status: {disruptionsAllowed: 1}}")
        ran = shop.run("restart-svc --dry-run", configuration=config)
        assert ran.code == 0, ran
        assert (
            "1 disruptions allowed now) covers deployment/svc, and a restart does not ask it: it takes 3 at a time"
            in ran.text
        )
