"""Rollouts that did not finish, and what outlives them: on both clusters alike."""

from datetime import datetime
from typing import Any

import pytest

from certlag.model import Workload
from runbook.kube.views import replica_set_view, workload_view
from tests.bench import waiting
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition
from tests.cluster_contract.test_workloads import RESTART, ready, sorted_by_name, uids

pytestmark = pytest.mark.thorough

COUNTS = ("updatedReplicas", "readyReplicas")


def behaving(ground: Ground, behaviour: str) -> Object:
    """Return the patch that makes a workload's containers behave so."""
    return {"spec": {"template": {"spec": {"containers": [ground.container(behaviour)]}}}}


def revision(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["controller-revision-hash"])


def restarts(pod: Object) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", ()))


@pytest.mark.field_case("D1")
def test_a_replica_set_beyond_the_history_limit_is_deleted_while_its_pod_is_still_ending(ground: Ground) -> None:
    ground.workload("deployments", "finishing late", grace=30, revisionHistoryLimit=0)
    ground.wait_rolled_out()
    (before,), (pod,) = ground.listed("replicasets"), ground.pods()
    ground.patch("deployments", "probe", RESTART)
    sets = waiting.until("one ReplicaSet to be left", lambda: _only(ground, without=before["metadata"]["uid"]))
    assert sets[0]["status"]["replicas"] == 1
    left = ground.get("pods", pod["metadata"]["name"])
    assert "deletionTimestamp" in left["metadata"]
    assert left["status"]["phase"] == "Running"
    (owner,) = left["metadata"]["ownerReferences"]
    assert owner["uid"] == before["metadata"]["uid"]


def _only(ground: Ground, *, without: str) -> list[Object] | None:
    found = ground.listed("replicasets")
    return found if len(found) == 1 and found[0]["metadata"]["uid"] != without else None


@pytest.mark.field_case("G2")
def test_new_pods_that_crash_leave_the_old_ones_and_counts_that_say_so(ground: Ground) -> None:
    ground.workload("deployments", replicas=3, grace=1)
    ground.wait_rolled_out()
    crashing = behaving(ground, "crashing")["spec"]
    ground.patch("deployments", "probe", {"spec": {"progressDeadlineSeconds": 2, **crashing}})
    found = ground.cluster.wait(
        ground.path("deployments", "probe"), lambda seen: condition(seen, "Progressing").get("status") == "False"
    )
    counts = {name: found["status"].get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    assert counts == {"replicas": 4, "updatedReplicas": 1, "readyReplicas": 3}
    assert condition(found, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert condition(found, "Available")["status"] == "True"


@pytest.mark.field_case("G2")
def test_scaled_to_zero_and_back_all_pods_come_from_the_template_that_was_never_rolled_out(ground: Ground) -> None:
    ground.workload("deployments", replicas=2, grace=1)
    ground.wait_rolled_out()
    old = uids(ground.pods())
    ground.patch("deployments", "probe", behaving(ground, "crashing"))
    waiting.until("a new pod", lambda: uids(ground.pods()) - old)
    ground.patch("deployments", "probe", {"spec": {"replicas": 0}})
    waiting.until("no pod to be left", lambda: not ground.pods())
    ground.patch("deployments", "probe", {"spec": {"replicas": 2}})
    pods = waiting.until("pods to have crashed", lambda: _crashed(ground, 2))
    template = workload_view(
        Workload(ground.namespace, "deployment", "probe"), ground.get("deployments", "probe")
    ).template
    (present,) = (each for each in map(replica_set_view, ground.listed("replicasets")) if each.template == template)
    assert {pod["metadata"]["ownerReferences"][0]["uid"] for pod in pods} == {present.uid}
    assert not ready(pods)


def _crashed(ground: Ground, count: int) -> list[Object] | None:
    pods = ground.pods()
    return pods if len(pods) == count and all(restarts(pod) for pod in pods) else None


@pytest.mark.field_case("G1")
def test_the_replica_set_of_the_present_template_is_known_by_its_template(ground: Ground) -> None:
    """Two ReplicaSets have the annotation of a restart when somebody changed something else in the template since."""
    ground.workload("deployments", grace=1)
    ground.wait_rolled_out()
    ground.patch("deployments", "probe", RESTART)
    ground.wait_rolled_out()
    ground.patch("deployments", "probe", {"spec": {"template": {"spec": {"dnsPolicy": "ClusterFirst"}}}})
    ground.wait_rolled_out()
    seen = ground.get("deployments", "probe")
    sets = ground.listed("replicasets")
    assert sum("certlag.dev/restart-id" in str(each["spec"]["template"]["metadata"]) for each in sets) == 2
    template = workload_view(Workload(ground.namespace, "deployment", "probe"), seen).template
    (present,) = (each for each in sets if replica_set_view(each).template == template)
    number = "deployment.kubernetes.io/revision"
    assert present["metadata"]["annotations"][number] == seen["metadata"]["annotations"][number] == "3"


@pytest.mark.field_case("G3")
def test_an_ordered_set_is_not_updated_past_a_pod_that_is_not_ready(ground: Ground) -> None:
    """The pod is broken by a template that is gone since: nobody replaces it (kubernetes#67250)."""
    ground.workload("statefulsets", replicas=2, grace=1, updateStrategy={"type": "OnDelete"})
    path = ground.path("statefulsets", "probe")
    ground.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
    ground.patch("statefulsets", "probe", behaving(ground, "crashing"))
    ground.cluster.wait(path, lambda seen: seen["status"].get("updateRevision") != seen["status"]["currentRevision"])
    ground.cluster.api("DELETE", ground.path("pods", "probe-1"))
    waiting.until("probe-1 to have crashed", lambda: restarts(_pod(ground, "probe-1")))
    before = [(pod["metadata"]["uid"], revision(pod)) for pod in sorted_by_name(ground.pods())]
    mended: Any = {"spec": {**behaving(ground, "idle")["spec"], "updateStrategy": {"type": "RollingUpdate"}}}
    mended["spec"]["template"] |= RESTART["spec"]["template"]
    patched = ground.patch("statefulsets", "probe", mended)
    ground.cluster.wait(path, lambda seen: seen["status"]["observedGeneration"] == patched["metadata"]["generation"])
    waiting.until("probe-1 to have crashed again", lambda: restarts(_pod(ground, "probe-1")) > 1, 60)
    status = ground.get("statefulsets", "probe")["status"]
    assert [(pod["metadata"]["uid"], revision(pod)) for pod in sorted_by_name(ground.pods())] == before
    assert (status.get("updatedReplicas", 0), status["readyReplicas"]) == (0, 1)
    assert status["currentRevision"] != status["updateRevision"]


def _pod(ground: Ground, name: str) -> Object:
    return next((pod for pod in ground.pods() if pod["metadata"]["name"] == name), {"status": {}})


@pytest.mark.field_case("G8")
def test_an_ordered_set_starts_each_pod_only_when_the_one_before_is_available(ground: Ground) -> None:
    ground.workload("statefulsets", replicas=2, grace=1, minReadySeconds=3)
    path = ground.path("statefulsets", "probe")
    ground.cluster.wait(path, lambda seen: seen["status"].get("availableReplicas") == 2)
    first, second = sorted_by_name(ground.pods())
    since, created = condition(first, "Ready")["lastTransitionTime"], second["metadata"]["creationTimestamp"]
    assert (datetime.fromisoformat(created) - datetime.fromisoformat(since)).total_seconds() >= 3


@pytest.mark.field_case("G2")
def test_at_zero_a_stateful_set_forgets_the_revision_that_its_partition_kept(ground: Ground) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    ground.workload("statefulsets", replicas=2, grace=1, updateStrategy=strategy)
    path = ground.path("statefulsets", "probe")
    ground.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
    ground.patch("statefulsets", "probe", RESTART)
    ground.cluster.wait(path, lambda seen: [seen["status"].get(count) for count in COUNTS] == [1, 2])
    ground.patch("statefulsets", "probe", {"spec": {"replicas": 0}})
    found = ground.cluster.wait(path, lambda seen: seen["status"]["replicas"] == 0)
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"]


def test_a_disruption_budget_is_listed_with_its_selector(control_plane: Ground) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "probe"}}}
    control_plane.create("poddisruptionbudgets", {"metadata": {"name": "probe"}, "spec": spec})
    (found,) = control_plane.listed("poddisruptionbudgets")
    assert (found["metadata"]["name"], found["spec"]) == ("probe", spec)
    assert "kind" not in found
