"""Workloads, ReplicaSets and pods are read as the API means them: what is absent is nothing, not an error."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from runbook.kube.views import pod_state, replica_set_view, workload_view
from tests.builders import DEPLOYMENT
from tests.workload_documents import (
    DAEMON_SET,
    ENDING,
    STATEFUL_SET,
    a_daemon_set,
    a_deployment,
    a_pod,
    a_replica_set,
    a_stateful_set,
)

BARE = {"metadata": {"name": "x", "uid": "u", "resourceVersion": "1"}, "spec": {"template": {"spec": {}}}}


def test_counts_that_are_absent_are_zero_and_replicas_are_one() -> None:
    view = workload_view(DEPLOYMENT, BARE)
    assert (view.current, view.updated, view.ready, view.available, view.terminating) == (0, 0, 0, 0, 0)
    assert (view.replicas, view.generation, view.observed_generation) == (1, 0, 0)
    assert (view.grace_period, view.strategy, view.paused) == (timedelta(seconds=30), "RollingUpdate", False)
    assert (view.fence, view.restart_id, view.recorded_replicas, view.owner) == (None, None, None, None)


def test_a_daemon_set_wants_what_its_controller_wants() -> None:
    view = workload_view(DAEMON_SET, a_daemon_set(3, status={"numberReady": 2}))
    assert (view.replicas, view.current, view.updated, view.ready, view.available) == (3, 3, 3, 2, 3)


@pytest.mark.parametrize(("partition", "found"), [(None, 0), (2, 2)])
def test_a_partition_is_read(partition: int | None, found: int) -> None:
    changes = {"updateStrategy": {"rollingUpdate": {"partition": partition}}}
    assert workload_view(STATEFUL_SET, a_stateful_set(spec=changes)).partition == found


def test_marks_and_claims_and_owner_are_read() -> None:
    owner = {"kind": "BuildService", "name": "main", "uid": "o", "controller": True}
    view = workload_view(
        DEPLOYMENT,
        a_deployment(
            metadata={
                "annotations": {"certlag.dev/run": "run-1/2", "certlag.dev/replicas": "3"},
                "ownerReferences": [{"kind": "Other", "name": "y", "uid": "z"}, owner],
            },
            spec={
                "template": {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "cache"}}, {"name": "x"}]}}
            },
        ),
    )
    assert (view.fence, view.recorded_replicas, view.restart_id) == ("run-1/2", "3", "run-1-1")
    assert (view.owner, view.volumes.named) == ("BuildService/main", ("cache",))


def test_the_last_writer_of_a_field_is_the_latest_who_owns_it_and_is_not_us() -> None:
    def entry(manager: str, minute: int, *path: str) -> dict[str, object]:
        fields: dict[str, object] = {}
        for part in reversed(path):
            fields = {f"f:{part}": fields}
        at = f"2026-06-01T12:{minute:02}:00Z"
        return {"manager": manager, "operation": "Update", "time": at, "fieldsV1": fields}

    managed = [
        entry("certlag", 9, "spec", "replicas"),
        entry("kubectl", 3, "spec", "replicas"),
        entry("hpa", 5, "spec", "replicas"),
        entry("argocd-controller", 8, "spec", "template"),
    ]
    view = workload_view(DEPLOYMENT, a_deployment(metadata={"managedFields": managed}))
    writer = view.last_writer("spec", "replicas")
    assert writer is not None
    assert (writer.name, writer.at) == ("hpa", datetime(2026, 6, 1, 12, 5, tzinfo=UTC))
    assert view.last_writer("spec", "paused") is None


def test_a_replica_set_without_a_status_has_nothing_running() -> None:
    view = replica_set_view({"metadata": {"name": "x", "uid": "u"}, "spec": {}})
    assert (view.replicas, view.current, view.owner_uid, view.lives) == (1, 0, None, True)


def test_a_pod_that_is_ending_has_been_since_its_deadline_less_its_grace() -> None:
    pod = pod_state(a_pod(**ENDING))
    assert pod.terminating
    assert pod.deleted_by == datetime(2026, 6, 1, 13, tzinfo=UTC)
    assert pod.ending_since == datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_a_grace_that_was_shortened_by_whoever_deleted_it_counts_for_since_when() -> None:
    ending = {**ENDING["metadata"], "deletionGracePeriodSeconds": 60}
    pod = pod_state(a_pod(metadata=ending))
    assert pod.ending_since == datetime(2026, 6, 1, 12, 59, tzinfo=UTC)
    assert pod.grace == timedelta(hours=1)


def test_a_pod_without_a_status_is_neither_ready_nor_ended() -> None:
    pod = pod_state({"metadata": {"name": "x", "uid": "u"}, "spec": {}})
    assert (pod.phase, pod.ready, pod.terminal, pod.terminating) == ("Unknown", False, False, False)
    assert pod.ending_since is None


def test_exit_codes_and_what_a_container_waits_for_are_read() -> None:
    states = [{"state": {"terminated": {"exitCode": 137}}}, {"state": {"waiting": {"reason": "ImagePullBackOff"}}}, {}]
    pod = pod_state(a_pod(status={"containerStatuses": states}))
    assert [end.exit_code for end in pod.ends] == [137]
    assert pod.waiting_reason == "ImagePullBackOff"


def test_a_replica_set_has_the_template_of_its_deployment_whatever_its_controller_labels_it_with() -> None:
    """API servers write `creationTimestamp: null` into templates, and clients leave it out."""
    deployment = a_deployment(spec={"template": {"metadata": {"labels": {"app": "x"}}}})
    written = deepcopy(deployment["spec"]["template"])
    written["metadata"] |= {"creationTimestamp": None, "labels": {"app": "x", "pod-template-hash": "abc"}}
    present = workload_view(DEPLOYMENT, deployment).template
    assert replica_set_view(a_replica_set(spec={"template": written})).template == present
    written["spec"]["hostNetwork"] = True
    assert replica_set_view(a_replica_set(spec={"template": written})).template != present
