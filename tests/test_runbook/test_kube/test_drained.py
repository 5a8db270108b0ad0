"""Drained: nothing of a worker runs any more, whatever its counts, its selector or the first list say."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certlag.model import Workload
from runbook.kube.drained import Drained, Draining, drain_progress
from runbook.kube.external_change import ExternalChange
from runbook.kube.views import pod_state, replica_set_view, workload_view
from tests.builders import NAMESPACE
from tests.memory_api import merged
from tests.workload_documents import (
    ENDING,
    STATEFUL_SET,
    WORKER,
    Document,
    a_deployment,
    a_pod,
    a_replica_set,
    a_stateful_set,
)

UID = "uid-of-worker"
OTHERS = a_replica_set(Workload(NAMESPACE, "deployment", "other"))
WORKER_LABELS: Document = {"metadata": {"labels": {"app": "worker"}}}


def judged(
    *pods: Document,
    worker: Document | None = None,
    replica_sets: list[Document] | None = None,
    initial: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
) -> Drained | Draining | ExternalChange:
    sets = [a_replica_set(WORKER, replicas=0)] if replica_sets is None else replica_sets
    return drain_progress(
        workload_view(WORKER, worker or a_deployment(WORKER, 0)),
        [replica_set_view(each) for each in sets],
        [pod_state(pod) for pod in pods],
        uid=UID,
        initial=initial,
        ignored=ignored,
    )


def a_worker_pod(name: str = "pod-1", **changes: Any) -> Document:
    return a_pod(name, "worker-new", **changes)


def test_a_worker_without_pods_is_drained() -> None:
    assert isinstance(judged(), Drained)


def test_r1_a_terminating_pod_is_not_drained_although_every_count_is_zero() -> None:
    progress = judged(a_worker_pod(**ENDING))
    assert isinstance(progress, Draining)
    assert progress.why == "1 pod not ended"
    assert [pod.name for pod in progress.pods] == ["pod-1"]


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
@pytest.mark.promise("P2")
def test_r1_r5_whatever_has_not_ended_counts_as_running(phase: str) -> None:
    assert isinstance(judged(a_worker_pod(phase=phase, **ENDING)), Draining)


def test_r3_a_pod_created_after_the_first_list_is_waited_for_too() -> None:
    progress = judged(a_worker_pod("pod-1", phase="Succeeded"), a_worker_pod("pod-2"), initial=("uid-of-pod-1",))
    assert isinstance(progress, Draining)
    assert [pod.name for pod in progress.pods] == ["pod-2"]


def test_r3_a_pod_of_the_first_list_is_waited_for_although_nothing_owns_it_any_more() -> None:
    orphan = a_worker_pod(metadata={"ownerReferences": []})
    unlabelled = a_worker_pod("pod-1", metadata={"ownerReferences": [], "labels": {"app": None}})
    assert isinstance(judged(orphan), Draining)
    assert isinstance(judged(unlabelled, initial=("uid-of-pod-1",)), Draining)
    assert isinstance(judged(unlabelled), Drained)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_r4_an_evicted_or_failed_pod_left_behind_does_not_hold_the_drain(phase: str) -> None:
    progress = judged(a_worker_pod(phase=phase, status={"reason": "Evicted"}), initial=("uid-of-pod-1",))
    assert isinstance(progress, Drained)
    assert [pod.name for pod in progress.ended] == ["pod-1"]


def test_r6_pods_that_ended_are_given_with_their_exit_codes() -> None:
    killed = {"containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]}
    progress = judged(a_worker_pod(phase="Failed", status=killed))
    assert isinstance(progress, Drained)
    assert [end.exit_code for end in progress.ended[0].ends] == [137]


def test_a_pod_of_somebody_else_with_the_same_labels_is_not_waited_for() -> None:
    stranger = a_pod("other", "other-new", metadata={"labels": {"app": "worker"}})
    assert isinstance(judged(stranger, replica_sets=[OTHERS]), Drained)


@pytest.mark.parametrize(
    ("worker", "replica_sets", "why"),
    [
        (a_deployment(WORKER, 0, metadata={"generation": 4}), None, "its controller has not seen the change yet"),
        (a_deployment(WORKER, 0, status={"replicas": 1}), None, "its status still counts pods"),
        (a_deployment(WORKER, 0, status={"terminatingReplicas": 1}), None, "its status still counts pods"),
        (None, [a_replica_set(WORKER, replicas=1)], "ReplicaSet worker-new is not at 0 yet"),
        (None, [a_replica_set(WORKER, replicas=0, status={"replicas": 1})], "ReplicaSet worker-new is not at 0 yet"),
        (None, [a_replica_set(WORKER, replicas=1, status={"replicas": 0})], "ReplicaSet worker-new is not at 0 yet"),
        (
            None,
            [a_replica_set(WORKER, replicas=0, metadata={"generation": 3})],
            "ReplicaSet worker-new is not at 0 yet",
        ),
        (
            None,
            [a_replica_set(WORKER, "old"), a_replica_set(WORKER, replicas=0)],
            "ReplicaSet worker-old is not at 0 yet",
        ),
    ],
)
def test_without_a_pod_in_sight_its_controllers_must_have_seen_it_too(
    worker: Document | None, replica_sets: list[Document] | None, why: str
) -> None:
    progress = judged(worker=worker, replica_sets=replica_sets)
    assert isinstance(progress, Draining)
    assert progress.why == why


def test_another_workloads_replica_sets_do_not_matter() -> None:
    assert isinstance(judged(replica_sets=[a_replica_set(replicas=3)]), Drained)


def test_a_stateful_set_is_drained_when_its_own_pods_are_gone() -> None:
    view = workload_view(STATEFUL_SET, a_stateful_set(0))
    pods = [pod_state(a_pod("build-service-0", "build-service", "StatefulSet", **ENDING))]
    uid = "uid-of-build-service"
    assert isinstance(drain_progress(view, [], pods, uid=uid, initial=()), Draining)
    assert isinstance(drain_progress(view, [], [], uid=uid, initial=()), Drained)


def test_a_worker_that_was_scaled_up_is_contested() -> None:
    entry = {"manager": "hpa", "operation": "Update", "time": "2026-06-01T11:59:00Z"}
    managed = {"managedFields": [{**entry, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}
    progress = judged(worker=a_deployment(WORKER, 2, metadata=managed))
    assert str(progress) == (
        "deployment/worker: was scaled to 2 during the drain, by hpa (Update) at 2026-06-01 11:59:00Z"
    )


def test_a_worker_that_was_created_anew_is_contested() -> None:
    progress = judged(worker=a_deployment(WORKER, 0, metadata={"uid": "another"}))
    assert str(progress) == "deployment/worker: was deleted and created again"


PHASES = st.sampled_from(["Pending", "Running", "Unknown", "Succeeded", "Failed"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(PHASES, st.booleans(), st.sampled_from(["worker-new", "worker-gone", "other-new"]), st.booleans())
    )
)
def test_drained_is_said_exactly_when_no_pod_of_it_has_anything_left_to_run(
    pods: list[tuple[str, bool, str, bool]],
) -> None:
    """For any pods: phase, ending or not, of this worker, a dead ReplicaSet or another's, on the first list or not."""
    documents = [
        merged(a_pod(f"pod-{number}", of, phase=phase, **(ENDING if ending else {})), WORKER_LABELS)
        for number, (phase, ending, of, _) in enumerate(pods)
    ]
    initial = tuple(f"uid-of-pod-{number}" for number, (*_, first) in enumerate(pods) if first)
    alive = {
        f"pod-{number}"
        for number, (phase, _, of, first) in enumerate(pods)
        if phase not in ("Succeeded", "Failed") and (of != "other-new" or first)
    }
    progress = judged(*documents, initial=initial, replica_sets=[a_replica_set(WORKER, replicas=0), OTHERS])
    if alive:
        assert isinstance(progress, Draining)
        assert {pod.name for pod in progress.pods} == alive
    else:
        assert isinstance(progress, Drained)


def test_a_pod_that_is_to_be_ignored_is_not_waited_for_although_it_was_recorded() -> None:
    stray = a_pod("stray", "worker-new", **merged(WORKER_LABELS, {"metadata": {"ownerReferences": []}}))
    assert isinstance(judged(stray, initial=("uid-of-stray",)), Draining)
    assert isinstance(judged(stray, initial=("uid-of-stray",), ignored=("stray",)), Drained)
