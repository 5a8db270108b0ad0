"""Workloads: how they roll, what they say of themselves, and how their pods end."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.bench import waiting
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition

RESTART = {"spec": {"template": {"metadata": {"annotations": {"certlag.dev/restart-id": "r1"}}}}}

UNDONE = {"spec": {"template": {"metadata": {"annotations": {"certlag.dev/restart-id": None}}}}}


def ready(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]


def has_identity(pod: Object, revision: str) -> bool:
    return bool(pod["metadata"]["labels"].get("controller-revision-hash") == revision)


@dataclass
class Recording:
    """What happened to objects, in its order."""

    events: list[Object] = field(default_factory=list)

    def of(self, name: str) -> list[Object]:
        """The objects of that name, as they were one after the other; the last may be as it was when it was deleted."""
        return [event["object"] for event in list(self.events) if event["object"]["metadata"]["name"] == name]

    def types(self, name: str) -> list[str]:
        return [event["type"] for event in list(self.events) if event["object"]["metadata"]["name"] == name]


@contextmanager
def recorded(ground: Ground, plural: str, seconds: int = 60) -> Iterator[Recording]:
    """Record what happens to a resource from now on."""
    version = ground.cluster.api("GET", ground.path(plural))["metadata"]["resourceVersion"]
    watch = ground.cluster.client.watch(f"{ground.path(plural)}?resourceVersion={version}", seconds)
    recording, over = Recording(), threading.Event()

    def record() -> None:
        for event in watch:
            recording.events.append(event)
            if over.is_set() and event["object"]["metadata"]["name"] == "over":
                return

    thread = threading.Thread(target=record, daemon=True)
    thread.start()
    try:
        yield recording
    finally:
        over.set()
        pause = {"metadata": {"name": "over"}, "spec": {"containers": [ground.container("idle")]}}
        document = {"metadata": {"name": "over"}, "spec": {**_idle(ground), "replicas": 0}}
        ground.create(plural, pause if plural == "pods" else document)
        thread.join(10)


def _idle(ground: Ground) -> Object:
    return {"selector": {"matchLabels": {"app": "over"}}, "template": ground.template("idle", label="over")}


def test_a_deployment_says_when_it_is_available(ground: Ground) -> None:
    ground.workload("deployments", replicas=2)
    found = ground.wait_rolled_out()
    status = found["status"]
    assert {name: status[name] for name in status if name.endswith("eplicas")} == {
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "terminatingReplicas": 0,
    }
    assert condition(found, "Available")["reason"] == "MinimumReplicasAvailable"
    progressing = ground.cluster.wait(
        ground.path("deployments", "probe"),
        lambda seen: condition(seen, "Progressing")["reason"] != "ReplicaSetUpdated",
    )
    assert condition(progressing, "Progressing")["reason"] == "NewReplicaSetAvailable"


def test_pods_are_owned_through_a_replica_set_of_their_template(ground: Ground) -> None:
    made = ground.workload("deployments")
    ground.wait_rolled_out()
    (replica_set,), (pod,) = ground.listed("replicasets"), ground.pods()
    (owner,) = replica_set["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", made["metadata"]["uid"], True)
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("ReplicaSet", replica_set["metadata"]["uid"], True)
    template = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"probe-{template}"
    assert pod["metadata"]["labels"]["pod-template-hash"] == template
    assert replica_set["status"]["observedGeneration"] == replica_set["metadata"]["generation"]


def test_a_running_pod_has_an_address_and_a_container_id(ground: Ground) -> None:
    ground.workload("deployments")
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"]
    (container,) = pod["status"]["containerStatuses"]
    assert container["containerID"].startswith("containerd://")
    assert (container["ready"], container["restartCount"]) == (True, 0)
    assert "startedAt" in container["state"]["running"]


@pytest.mark.thorough
def test_a_restart_moves_to_a_new_replica_set_and_keeps_it_available(ground: Ground) -> None:
    ground.workload("deployments")
    ground.wait_rolled_out()
    (before,) = ground.pods()
    with recorded(ground, "deployments") as recording:
        restarted = ground.patch("deployments", "probe", RESTART)
        assert restarted["metadata"]["generation"] == 2
        assert restarted["status"]["observedGeneration"] == 1
        ground.wait_rolled_out()
        ground.cluster.wait_gone(ground.path("pods", before["metadata"]["name"]))
    (after,) = ground.pods()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["annotations"]["certlag.dev/restart-id"] == "r1"
    seen = recording.of("probe")
    assert {condition(each, "Available")["status"] for each in seen} == {"True"}
    # In between it says that it is available although the new pod is not: why nobody should wait for that.
    assert any(
        each["status"].get("updatedReplicas", 0) == 0 or each["status"].get("unavailableReplicas") for each in seen
    )
    assert condition(seen[-1], "Progressing")["reason"] == "NewReplicaSetAvailable"
    sets = ground.listed("replicasets", "?labelSelector=app%3Dprobe")
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 1]


@pytest.mark.thorough
def test_recreate_ends_the_old_pods_before_it_starts_new_ones(ground: Ground) -> None:
    ground.workload("deployments", "finishing", replicas=2, strategy={"type": "Recreate"})
    ground.wait_rolled_out()
    old = {pod["metadata"]["uid"] for pod in ground.pods()}
    with recorded(ground, "pods") as recording:
        ground.patch("deployments", "probe", RESTART)
        waiting.until("new pods", lambda: len(ready(ground.pods())) == 2 and not uids(ground.pods()) & old)
    running = [event for event in recording.events if event["object"]["metadata"]["name"] != "over"]
    first_new = next(at for at, event in enumerate(running) if event["object"]["metadata"]["uid"] not in old)
    ended = {event["object"]["metadata"]["uid"] for event in running[:first_new] if has_ended(event["object"])}
    assert ended == old


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def has_ended(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


@pytest.mark.thorough
def test_scaled_to_zero_pods_end_by_their_grace_period_and_are_counted_until_then(ground: Ground) -> None:
    ground.workload("deployments", "finishing late", replicas=2, grace=20)
    ground.wait_rolled_out()
    scaled = ground.patch("deployments", "probe", {"spec": {"replicas": 0}})
    seen = ground.cluster.wait(
        ground.path("deployments", "probe"),
        lambda seen: (
            seen["status"]["observedGeneration"] == scaled["metadata"]["generation"]
            and "replicas" not in seen["status"]
        ),
    )
    # None of the counts says that they still run, but this one, which older clusters lack.
    assert seen["status"]["terminatingReplicas"] == 2
    for pod in ground.pods():
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 20
        assert pod["status"]["phase"] == "Running"
        assert pod["metadata"]["generation"] == 2
    ground.cluster.wait(
        ground.path("deployments", "probe"), lambda seen: seen["status"].get("terminatingReplicas", 0) == 0
    )
    waiting.until("no pod to be left", lambda: not ground.pods())
    (replica_set,) = ground.listed("replicasets")
    assert (replica_set["spec"]["replicas"], replica_set["status"]["replicas"]) == (0, 0)
    assert replica_set["status"]["observedGeneration"] == replica_set["metadata"]["generation"]


def test_the_deletion_timestamp_is_when_the_grace_period_will_be_over(ground: Ground) -> None:
    ground.workload("deployments", "stubborn", grace=5)
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    deleted = ground.cluster.api("DELETE", ground.path("pods", pod["metadata"]["name"]) + "?gracePeriodSeconds=3")
    at = datetime.fromisoformat(deleted["metadata"]["deletionTimestamp"])
    assert timedelta(seconds=1) < at - datetime.now(at.tzinfo) <= timedelta(seconds=3)


@pytest.mark.thorough
def test_a_worker_that_finishes_what_it_does_ends_with_0(ground: Ground) -> None:
    ground.workload("deployments", "finishing", grace=20)
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    name = pod["metadata"]["name"]
    with recorded(ground, "pods") as recording:
        ground.patch("deployments", "probe", {"spec": {"replicas": 0}})
        ground.cluster.wait_gone(ground.path("pods", name))
    last = recording.of(name)[-1]
    assert recording.types(name)[-1] == "DELETED"
    assert ended(last) == {"exitCode": 0, "reason": "Completed"}
    assert last["status"]["phase"] == "Succeeded"
    assert condition(last, "Ready")["status"] == "False"
    # Its end is written before it goes: anyone who watches learns of the exit code.
    assert "MODIFIED" in [
        kind for kind, each in zip(recording.types(name), recording.of(name), strict=True) if has_ended(each)
    ]


@pytest.mark.thorough
def test_a_worker_that_outlives_its_grace_period_is_killed_with_137(ground: Ground) -> None:
    ground.workload("deployments", "stubborn", grace=2)
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    name = pod["metadata"]["name"]
    with recorded(ground, "pods") as recording:
        ground.patch("deployments", "probe", {"spec": {"replicas": 0}})
        ground.cluster.wait_gone(ground.path("pods", name))
    last = recording.of(name)[-1]
    assert ended(last) == {"exitCode": 137, "reason": "Error"}
    assert last["status"]["phase"] == "Failed"


def ended(pod: Object) -> Object:
    (container,) = pod["status"]["containerStatuses"]
    terminated: Object = container["state"]["terminated"]
    return {name: terminated[name] for name in ("exitCode", "reason")}


def test_a_pod_deleted_by_force_is_gone_at_once(ground: Ground) -> None:
    ground.workload("deployments", "stubborn", grace=30)
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    path = ground.path("pods", pod["metadata"]["name"])
    ground.cluster.api("DELETE", f"{path}?gracePeriodSeconds=0")
    assert ground.refusal("GET", path).status == 404


def test_a_pod_that_is_ending_is_replaced_at_once(ground: Ground) -> None:
    ground.workload("deployments", "finishing", grace=20)
    ground.wait_rolled_out()
    (pod,) = ground.pods()
    ground.cluster.api("DELETE", ground.path("pods", pod["metadata"]["name"]))
    pods = waiting.until("another pod", lambda: pods if len(pods := ground.pods()) == 2 else None)
    assert sorted("deletionTimestamp" in each["metadata"] for each in pods) == [False, True]


@pytest.mark.thorough
def test_a_container_that_crashes_is_started_again_and_never_ready(ground: Ground) -> None:
    ground.workload("deployments", "crashing", progressDeadlineSeconds=2)
    found = ground.cluster.wait(
        ground.path("deployments", "probe"), lambda seen: condition(seen, "Progressing").get("status") == "False"
    )
    assert condition(found, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert condition(found, "Available")["status"] == "False"
    assert found["status"]["unavailableReplicas"] == 1

    def crashed() -> Object | None:
        (pod,) = ground.pods()
        (container,) = pod["status"]["containerStatuses"]
        waits = container["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        return pod if waits and container["restartCount"] else None

    pod = waiting.until("the container to have crashed again", crashed)
    (container,) = pod["status"]["containerStatuses"]
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert condition(pod, "Ready")["status"] == "False"


@pytest.mark.thorough
def test_a_paused_deployment_does_not_roll(ground: Ground) -> None:
    ground.workload("deployments")
    ground.wait_rolled_out()
    paused = ground.patch("deployments", "probe", {"spec": {"paused": True, **RESTART["spec"]}})
    ground.cluster.wait(
        ground.path("deployments", "probe"),
        lambda seen: seen["status"]["observedGeneration"] == paused["metadata"]["generation"],
    )
    assert len(ground.listed("replicasets")) == 1
    ground.patch("deployments", "probe", {"spec": {"paused": False}})
    ground.wait_rolled_out()
    assert len(ground.listed("replicasets")) == 2


@pytest.mark.thorough
def test_a_template_that_is_put_back_brings_the_old_replica_set_back(ground: Ground) -> None:
    ground.workload("deployments")
    ground.wait_rolled_out()
    (first,) = ground.listed("replicasets")
    ground.patch("deployments", "probe", RESTART)
    ground.wait_rolled_out()
    ground.patch("deployments", "probe", UNDONE)
    ground.wait_rolled_out()
    sets = {each["metadata"]["uid"]: each["spec"]["replicas"] for each in ground.listed("replicasets")}
    assert len(sets) == 2
    assert sets[first["metadata"]["uid"]] == 1


@pytest.mark.thorough
def test_scaled_up_again_pods_come_from_the_same_replica_set(ground: Ground) -> None:
    ground.workload("deployments", replicas=1)
    ground.wait_rolled_out()
    ground.patch("deployments", "probe", {"spec": {"replicas": 0}})
    ground.wait_rolled_out()
    ground.patch("deployments", "probe", {"spec": {"replicas": 3}})
    found = ground.wait_rolled_out()
    assert len(ground.listed("replicasets")) == 1
    assert condition(found, "Available")["status"] == "True"


def test_what_a_deployment_owned_goes_with_it(ground: Ground) -> None:
    ground.workload("deployments", grace=1)
    ground.wait_rolled_out()
    ground.cluster.api("DELETE", ground.path("deployments", "probe"))
    waiting.until("nothing to be left", lambda: not ground.listed("replicasets") and not ground.pods())


@pytest.mark.thorough
def test_a_stateful_set_is_updated_from_its_highest_ordinal_down(ground: Ground) -> None:
    ground.workload("statefulsets", replicas=2, grace=1)
    path = ground.path("statefulsets", "probe")
    before = ground.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
    assert before["status"]["currentRevision"] == before["status"]["updateRevision"]
    assert [pod["metadata"]["name"] for pod in sorted_by_name(ground.pods())] == ["probe-0", "probe-1"]
    with recorded(ground, "pods") as recording:
        patched = ground.patch("statefulsets", "probe", RESTART)
        after = ground.cluster.wait(path, lambda seen: is_updated(seen, patched["metadata"]["generation"], 2))
    assert after["status"]["updateRevision"] != before["status"]["updateRevision"]
    assert after["status"]["currentRevision"] == after["status"]["updateRevision"]
    assert all(has_identity(pod, after["status"]["updateRevision"]) for pod in ground.pods())
    deleted = [event["object"]["metadata"]["name"] for event in recording.events if event["type"] == "DELETED"]
    assert deleted == ["probe-1", "probe-0"]


def sorted_by_name(pods: list[Object]) -> list[Object]:
    return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))


def is_updated(seen: Object, generation: int, replicas: int) -> bool:
    status = seen["status"]
    counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "currentReplicas")
    return all(status.get(count) == replicas for count in counts) and bool(status["observedGeneration"] >= generation)


@pytest.mark.thorough
def test_a_partition_keeps_the_lower_ordinals_as_they_are(ground: Ground) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    ground.workload("statefulsets", replicas=2, grace=1, updateStrategy=strategy)
    path = ground.path("statefulsets", "probe")
    ground.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
    ground.patch("statefulsets", "probe", RESTART)

    def half(seen: Object) -> bool:
        status = seen["status"]
        return bool(status.get("updatedReplicas") == 1 and status.get("readyReplicas") == 2)

    status = ground.cluster.wait(path, half)["status"]
    revisions = [pod["metadata"]["labels"]["controller-revision-hash"] for pod in sorted_by_name(ground.pods())]
    assert revisions == [status["currentRevision"], status["updateRevision"]]
    assert revisions[0] != revisions[1]


@pytest.mark.thorough
def test_a_stateful_set_scaled_to_zero_ends_one_pod_after_the_other(ground: Ground) -> None:
    ground.workload("statefulsets", "finishing", replicas=2, grace=10)
    path = ground.path("statefulsets", "probe")
    ground.cluster.wait(path, lambda seen: seen["status"].get("readyReplicas") == 2)
    with recorded(ground, "pods") as recording:
        ground.patch("statefulsets", "probe", {"spec": {"replicas": 0}})
        waiting.until("no pod to be left", lambda: not ground.pods())
    story = [
        (event["type"], event["object"]["metadata"]["name"])
        for event in recording.events
        if event["type"] == "DELETED" or "deletionTimestamp" in event["object"]["metadata"]
    ]
    order = [name for name, _ in itertools.groupby(name for _, name in story)]
    assert order == ["probe-1", "probe-0"]


def test_a_daemon_set_has_a_pod_on_every_node_and_is_updated(ground: Ground) -> None:
    ground.workload("daemonsets", grace=1)
    path = ground.path("daemonsets", "probe")
    found = ground.cluster.wait(path, lambda seen: daemons_are_updated(seen, 1))
    nodes = len(ground.cluster.api("GET", "/api/v1/nodes")["items"])
    assert found["status"]["desiredNumberScheduled"] == nodes == len(ground.pods())
    before = uids(ground.pods())
    patched = ground.patch("daemonsets", "probe", RESTART)
    ground.cluster.wait(path, lambda seen: daemons_are_updated(seen, patched["metadata"]["generation"]))
    waiting.until("the old pod to be gone", lambda: not uids(ground.pods()) & before)


def daemons_are_updated(seen: Object, generation: int) -> bool:
    status = seen["status"]
    wanted = status.get("desiredNumberScheduled", 0)
    counts = ("updatedNumberScheduled", "numberAvailable", "numberReady")
    return bool(
        wanted
        and status.get("observedGeneration", 0) >= generation
        and all(status.get(count) == wanted for count in counts)
    )


# --- what a StatefulSet does with its volume claims -----------------------------------------------------------------

CLAIMS = ("cache-probe-0", "cache-probe-1")


def with_claims(ground: Ground, **policy: str) -> list[Object]:
    """Create a StatefulSet of two pods with a claim each, and return the claims once both pods are there."""
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    more: dict[str, Any] = {"persistentVolumeClaimRetentionPolicy": policy} if policy else {}
    ground.workload(
        "statefulsets",
        replicas=2,
        podManagementPolicy="Parallel",
        volumeClaimTemplates=[{"metadata": {"name": "cache"}, "spec": {**storage, "storageClassName": ""}}],
        **more,
    )
    waiting.until("both pods to be there", lambda: len(ground.pods()) == len(CLAIMS))
    return claims(ground)


def claims(ground: Ground) -> list[Object]:
    found = ground.listed("persistentvolumeclaims", "?labelSelector=app%3Dprobe")
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def owners(claim: Object) -> list[tuple[str, str]]:
    return [(each["kind"], each["name"]) for each in claim["metadata"].get("ownerReferences") or ()]


@pytest.mark.field_case("D2")
def test_claims_are_made_for_each_pod_and_named_after_it(control_plane: Ground) -> None:
    made = with_claims(control_plane)
    assert tuple(sorted(each["metadata"]["name"] for each in made)) == CLAIMS
    assert [owners(each) for each in made] == [[], []]
    spec = control_plane.get("statefulsets", "probe")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    for pod in control_plane.pods():
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert volumes["cache"]["persistentVolumeClaim"]["claimName"] == f"cache-{pod['metadata']['name']}"


@pytest.mark.field_case("D2")
def test_scaling_to_0_deletes_the_claims_where_the_policy_says_so(control_plane: Ground) -> None:
    with_claims(control_plane, whenScaled="Delete")
    control_plane.patch("statefulsets", "probe", {"spec": {"replicas": 0}})
    waiting.until("the pods to be gone", lambda: not control_plane.pods())
    waiting.until("the claims to be gone", lambda: not claims(control_plane))


@pytest.mark.parametrize("policy", [{}, {"whenDeleted": "Delete"}], ids=["retain", "when deleted"])
@pytest.mark.field_case("D2")
def test_scaling_to_0_leaves_the_claims_otherwise(policy: dict[str, str], control_plane: Ground) -> None:
    before = with_claims(control_plane, **policy)
    control_plane.patch("statefulsets", "probe", {"spec": {"replicas": 0}})
    waiting.until("the pods to be gone", lambda: not control_plane.pods())
    owned = [("StatefulSet", "probe")] if policy else []
    after = claims(control_plane)
    assert uids(after) == uids(before)
    assert [owners(each) for each in after] == [owned, owned]


@pytest.mark.field_case("D2")
def test_a_restart_leaves_the_claims_whatever_the_policy_says(control_plane: Ground) -> None:
    before = with_claims(control_plane, whenScaled="Delete")
    old = uids(control_plane.pods())
    for pod in control_plane.pods():
        control_plane.cluster.api("DELETE", control_plane.path("pods", pod["metadata"]["name"]))
    waiting.until("both pods to be new", lambda: len(uids(control_plane.pods()) - old) == len(CLAIMS))
    assert uids(claims(control_plane)) == uids(before)


def test_an_autoscaler_with_a_minimum_leaves_zero_alone(ground: Ground) -> None:
    ground.workload("deployments", replicas=0)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "probe"}
    target = {"type": "Utilization", "averageUtilization": 80}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    spec = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 3, "metrics": metrics}
    ground.create("horizontalpodautoscalers", {"metadata": {"name": "probe"}, "spec": spec})
    path = ground.path("horizontalpodautoscalers", "probe")
    found = ground.cluster.wait(path, lambda seen: condition(seen, "ScalingActive"))
    assert condition(found, "ScalingActive")["reason"] == "ScalingDisabled"
    assert ground.get("deployments", "probe")["spec"]["replicas"] == 0


def test_whoever_scales_meanwhile_is_named(ground: Ground) -> None:
    ground.workload("deployments", replicas=0)
    changed: Any = ground.patch("deployments", "probe", {"spec": {"replicas": 1}}, "?fieldManager=somebody")
    ground.wait_rolled_out()
    entries = ground.get("deployments", "probe")["metadata"]["managedFields"]
    (owner,) = (entry for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {}))
    assert owner["manager"] == "somebody"
    assert changed["metadata"]["generation"] == 2
