"""Which pods are a workload's: what its selector selects, unless a living controller of others is shown to own it."""

from typing import Any

import pytest

from certlag.model import Workload
from runbook.kube.ownership import owned_pods, pods_of
from runbook.kube.views import PodState, ReplicaSetView, pod_state, replica_set_view, workload_view
from tests.builders import NAMESPACE
from tests.workload_documents import WORKER, Document, a_deployment, a_pod, a_replica_set, owner

VIEW = workload_view(WORKER, a_deployment(WORKER, 2))
OWN = a_replica_set(WORKER)
OTHER = a_replica_set(Workload(NAMESPACE, "deployment", "other"))
LABELS: Document = {"labels": {"app": "worker"}}


def a_stray(by: Document | None, **changes: Any) -> PodState:
    """A pod with the worker's labels, owned by whatever."""
    owners = [] if by is None else [by]
    return pod_state(a_pod("stray", metadata={**LABELS, "ownerReferences": owners}, **changes))


def replica_sets(*documents: Document) -> list[ReplicaSetView]:
    return [replica_set_view(each) for each in documents]


@pytest.mark.parametrize(
    "by",
    [
        None,
        owner("ReplicaSet", "worker-gone"),
        owner("StatefulSet", "someones"),
        owner("Job", "nightly"),
        owner("CloneSet", "workers"),
    ],
    ids=["nobody", "a ReplicaSet that is gone", "a StatefulSet", "a Job", "a kind that is not known"],
)
def test_a_pod_whose_owner_is_not_shown_to_live_is_the_workloads(by: Document | None) -> None:
    stray = a_stray(by)
    assert pods_of(VIEW, replica_sets(OWN, OTHER), [stray]) == (stray,)
    assert owned_pods(VIEW, replica_sets(OWN, OTHER), [stray]) == ()


def test_a_pod_of_a_living_replica_set_of_others_is_not() -> None:
    assert pods_of(VIEW, replica_sets(OWN, OTHER), [a_stray(owner("ReplicaSet", "other-new"))]) == ()


def test_a_pod_of_another_workload_that_was_read_just_now_is_not() -> None:
    stray = a_stray(owner("StatefulSet", "build-service"))
    assert pods_of(VIEW, replica_sets(OWN), [stray], others={"uid-of-build-service"}) == ()


def test_a_replica_set_that_is_being_deleted_does_not_live() -> None:
    dying = {**OTHER, "metadata": {**OTHER["metadata"], "deletionTimestamp": "2026-06-01T12:00:00Z"}}
    stray = a_stray(owner("ReplicaSet", "other-new"))
    assert pods_of(VIEW, replica_sets(OWN, dying), [stray]) == (stray,)


def test_a_replica_set_of_a_deployment_that_was_deleted_and_made_again_is_no_excuse() -> None:
    """Background deletion leaves the old ReplicaSet for a moment: its owner has the worker's name and another UID."""
    former = {**owner("Deployment", "worker"), "uid": "uid-of-the-former"}
    left = a_replica_set(WORKER, "former", metadata={"ownerReferences": [former]})
    stray = a_stray(owner("ReplicaSet", "worker-former"))
    assert pods_of(VIEW, replica_sets(OWN, left), [stray]) == (stray,)


def test_a_pod_that_it_owns_is_its_whatever_the_labels_say() -> None:
    relabelled = pod_state(a_pod("pod-1", "worker-new", metadata={"labels": {"app": "quarantine"}}))
    assert pods_of(VIEW, replica_sets(OWN), [relabelled]) == (relabelled,)


def test_what_is_to_be_ignored_is_left_out_unless_it_owns_it() -> None:
    stray, own = a_stray(None), pod_state(a_pod("pod-1", "worker-new"))
    assert pods_of(VIEW, replica_sets(OWN), [stray, own], ignored={"stray", "pod-1"}) == (own,)


def test_a_selector_of_expressions_selects_too() -> None:
    expressions = [
        {"key": "app", "operator": "In", "values": ["worker", "worker-b"]},
        {"key": "debug", "operator": "DoesNotExist"},
        {"key": "app", "operator": "NotIn", "values": ["x"]},
        {"key": "app", "operator": "Exists"},
    ]
    selector = {"matchLabels": None, "matchExpressions": expressions}
    view = workload_view(WORKER, a_deployment(WORKER, 2, spec={"selector": selector}))
    debug = pod_state(a_pod("debug", metadata={"labels": {"app": "worker", "debug": "1"}, "ownerReferences": []}))
    assert [pod.name for pod in pods_of(view, [], [a_stray(None), debug])] == ["stray"]


def test_r2_an_empty_selector_selects_nothing() -> None:
    view = workload_view(WORKER, a_deployment(WORKER, 2, spec={"selector": {"matchLabels": None}}))
    assert pods_of(view, [], [a_stray(None)]) == ()
