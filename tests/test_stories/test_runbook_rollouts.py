"""Rollouts of others before and during a run: old pods that outlive their ReplicaSet, broken and repaired templates."""

import pytest

from tests.bench import waiting
from tests.bench.cluster import Object
from tests.test_stories.drained_ground import (
    TARGET,
    WORK,
    WORKER,
    DrainedGround,
    Fault,
    drained_ground,
    serving,
    working,
)
from tests.test_stories.ground import Ground
from tests.test_stories.test_runbook_cases import assert_refused, check, restart_id

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(2)]

RECORDED = 2
NOWHERE = "/nowhere"


def deploy(drained: DrainedGround, **changes: object) -> None:
    """Roll the workers out with another container."""
    (container,) = drained.get(WORKER)["spec"]["template"]["spec"]["containers"]
    drained.patch(WORKER, {"spec": {"template": {"spec": {"containers": [{**container, **changes}]}}}})


def replica_sets(ground: Ground, name: str) -> list[Object]:
    found: list[Object] = ground.cluster.api("GET", f"/apis/apps/v1/namespaces/{ground.namespace}/replicasets")["items"]
    return [each for each in found if each["metadata"]["ownerReferences"][0]["name"] == name]


@pytest.mark.field_case("D1")
@pytest.mark.promise("P2")
def test_old_worker_pods_whose_replica_set_is_gone_hold_the_drain(ground: Ground) -> None:
    """The old pods are busy, the new ones end at once; what owned the old ones is deleted."""
    worker = working()
    worker["spec"]["revisionHistoryLimit"] = 0
    with drained_ground(ground, [serving(), worker]) as drained:
        busy = drained.fault(Fault.BUSY)
        old = {pod["metadata"]["uid"] for pod in ground.pods(WORKER)}
        deploy(drained, command=["/bin/sh", "-c", WORK.format(faults=NOWHERE)])
        waiting.until("it to be rolled out", lambda: is_rolled_out(drained))
        waiting.until("the old ReplicaSet to be gone", lambda: len(replica_sets(ground, WORKER)) == 1)
        assert old < {pod["metadata"]["uid"] for pod in ground.pods(WORKER)}

        run = drained.runbook.start(*drained.words("restart"))
        run.wait_for("progress", phase="draining", why="2 pods not ended")
        waiting.until("the new pods to be gone", lambda: {pod["metadata"]["uid"] for pod in ground.pods(WORKER)} == old)
        assert restart_id(drained) is None

        busy.unlink()
        assert run.wait().code == 0
        drained.assert_settled(worker=RECORDED)


def is_rolled_out(drained: DrainedGround) -> bool:
    status = drained.get(WORKER)["status"]
    return all(status.get(count) == RECORDED for count in ("replicas", "updatedReplicas", "availableReplicas"))


@pytest.mark.field_case("G1")
@pytest.mark.parametrize("keeps", [True, False], ids=["repaired", "deployed again"])
def test_a_repaired_template_is_accepted_by_resume(ground: Ground, *, keeps: bool) -> None:
    """With and without our annotation in the template: what its pods serve counts."""
    with drained_ground(ground) as drained:
        broken = drained.fault(Fault.CRASH)
        assert drained.run("restart", "--restart-timeout=3s").code == 6
        run_id = restart_id(drained)
        assert run_id is not None

        broken.unlink()
        annotations = {"repaired": "yes", **({} if keeps else {"certlag.dev/restart-id": None})}
        drained.patch(TARGET, {"spec": {"template": {"metadata": {"annotations": annotations}}}})
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        assert restart_id(drained) == (run_id if keeps else None), "it was not restarted once more"
        carrying = [each for each in replica_sets(ground, TARGET) if run_id in str(each["spec"]["template"])]
        assert len(carrying) == (2 if keeps else 1)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G2")
def test_workers_whose_last_rollout_never_finished_are_not_drained(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        deploy(drained, image="nowhere/none:0")
        waiting.until("it to get stuck", lambda: drained.get(WORKER)["status"].get("unavailableReplicas"))
        ran = drained.run("restart")
        assert_refused(drained, ran, "deployment/worker: status.updatedReplicas 1 of 2: its last rollout has not")
        assert "--accept-unfinished-rollout" in check(ran, "unfinished-rollout")["remedy"]

        drained.kubectl("rollout", "undo", f"deployment/{WORKER}")
        waiting.until("it to be undone", lambda: is_rolled_out(drained))
        assert drained.run("restart").code == 0
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G3")
def test_a_stateful_set_with_a_pod_that_is_not_ready_is_not_restarted(ground: Ground) -> None:
    with drained_ground(ground, [serving("StatefulSet", replicas=2), working()]) as drained:
        hanging = drained.fault(Fault.HANG)
        ground.cluster.api("DELETE", ground.path("pods", f"{TARGET}-0"))
        path = drained.path(TARGET, "StatefulSet")
        drained.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 1)
        ran = drained.run("restart")
        assert_refused(drained, ran, "statefulset/one: status.readyReplicas 1 of 2")
        assert "--accept-not-ready" in check(ran, "not-ready")["remedy"]

        hanging.unlink()
        drained.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
        assert drained.run("restart").code == 0
        drained.assert_settled(worker=RECORDED)
