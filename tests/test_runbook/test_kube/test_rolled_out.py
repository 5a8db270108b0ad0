"""Rolled out: every pod that is wanted is of the restart and Ready, and none of before runs: never Available alone."""

from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certlag.model import Workload
from runbook.kube.external_change import ExternalChange
from runbook.kube.rolled_out import MAX_INT32, RolledOut, RollingOut, Wanted, rollout_progress
from runbook.kube.views import pod_state, replica_set_view, workload_view
from tests.builders import DEPLOYMENT
from tests.workload_documents import (
    DAEMON_SET,
    ENDING,
    RESTART_ID,
    STATEFUL_SET,
    Document,
    a_daemon_set,
    a_deployment,
    a_pod,
    a_replica_set,
    a_stateful_set,
    owner,
)

OLD_TEMPLATE: Document = {"metadata": {"annotations": {"certlag.dev/restart-id": None}}}
OLD_SET = a_replica_set(DEPLOYMENT, "old", 0, spec={"template": OLD_TEMPLATE})
OLD_POD = a_pod("old-pod", "build-service-old", **OLD_TEMPLATE)
UNREADY: Document = {"conditions": [{"type": "Ready", "status": "False"}]}


def judged(
    *pods: Document,
    of: Document | None = None,
    replica_sets: tuple[Document, ...] = (OLD_SET, a_replica_set()),
    workload: Workload = DEPLOYMENT,
    restart_id: str = RESTART_ID,
    wanted: Wanted = Wanted.RESTART,
) -> RolledOut | RollingOut | ExternalChange:
    return rollout_progress(
        workload_view(workload, of or a_deployment()),
        [replica_set_view(each) for each in replica_sets],
        [pod_state(pod) for pod in pods],
        uid="uid-of-build-service",
        restart_id=restart_id,
        wanted=wanted,
    )


def why(progress: RolledOut | RollingOut | ExternalChange) -> str:
    assert isinstance(progress, RollingOut), progress
    return progress.why


def test_a_restart_whose_only_pod_is_ready_is_rolled_out() -> None:
    progress = judged(a_pod())
    assert isinstance(progress, RolledOut)
    assert [pod.name for pod in progress.pods] == ["pod-1"]


def test_r18_available_with_no_new_pod_ready_is_not_rolled_out() -> None:
    """One replica, maxUnavailable 1: Available stays True throughout."""
    of = a_deployment(status={"readyReplicas": 0, "availableReplicas": 0})
    assert why(judged(a_pod(status=UNREADY), of=of)) == "of 1 pods 1 new, 0 ready, 0 available"


def test_r18_the_old_pod_that_is_ready_does_not_count_for_the_new_one() -> None:
    of = a_deployment(status={"updatedReplicas": 0})
    assert "0 new, 1 ready" in why(judged(OLD_POD, of=of))


def test_r18_counts_that_are_right_do_not_make_up_for_pods_that_are_not_ready() -> None:
    assert why(judged(a_pod(status=UNREADY))) == "0 of 1 pods are Ready"
    assert why(judged()) == "0 of 1 pods are Ready"


@pytest.mark.parametrize("ending", [{}, ENDING], ids=["running", "terminating"])
def test_a_pod_of_before_that_still_runs_is_waited_for(ending: Document) -> None:
    old = a_pod("old-pod", "build-service-old", **(ending or OLD_TEMPLATE))
    assert why(judged(a_pod(), old)) == "old pods still run: old-pod"


def test_r4_a_pod_of_before_that_failed_is_not_waited_for() -> None:
    assert isinstance(judged(a_pod(), a_pod("old", "build-service-old", phase="Failed")), RolledOut)


def test_a_status_of_before_the_change_says_nothing() -> None:
    assert why(judged(a_pod(), of=a_deployment(metadata={"generation": 4}))) == (
        "its controller has not seen the change yet"
    )


@pytest.mark.fault("F40")
def test_r19_a_progress_deadline_before_ours_is_reported_as_stalled_and_waited_on() -> None:
    conditions = [
        {"type": "Available", "status": "True"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
    ]
    progress = judged(a_pod(status=UNREADY), of=a_deployment(status={"conditions": conditions}))
    assert isinstance(progress, RollingOut)
    assert progress.stalled == "timed out"


def test_r19_one_that_recovers_later_is_rolled_out_only_when_its_controller_says_so() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    of = a_deployment(status={"conditions": [{"type": "Available", "status": "True"}, late]})
    assert why(judged(a_pod(), of=of)) == "Progressing is False, ProgressDeadlineExceeded"
    assert isinstance(judged(a_pod()), RolledOut)


@pytest.mark.parametrize("deadline", [None, MAX_INT32])
def test_a_deployment_without_a_progress_deadline_has_no_condition_progressing(deadline: int | None) -> None:
    conditions = [{"type": "Available", "status": "True"}]
    of = a_deployment(spec={"progressDeadlineSeconds": deadline}, status={"conditions": conditions})
    assert isinstance(judged(a_pod(), of=of), RolledOut)


def test_the_longest_progress_deadline_has_a_condition_progressing() -> None:
    conditions = [{"type": "Available", "status": "True"}]
    of = a_deployment(spec={"progressDeadlineSeconds": 2**31 - 2}, status={"conditions": conditions})
    assert why(judged(a_pod(), of=of)) == "Progressing is , without a reason"


def test_a_rollout_that_goes_on_is_not_stalled() -> None:
    conditions = [
        {"type": "Available", "status": "True"},
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "is progressing"},
    ]
    progress = judged(a_pod(status=UNREADY), of=a_deployment(status={"conditions": conditions}))
    assert isinstance(progress, RollingOut)
    assert progress.stalled is None


def test_a_new_pod_that_ends_does_not_count() -> None:
    assert why(judged(a_pod(**ENDING))) == "0 of 1 pods are Ready"


def test_what_is_not_available_is_not_rolled_out() -> None:
    of = a_deployment(spec={"progressDeadlineSeconds": None}, status={"conditions": []})
    assert why(judged(a_pod(), of=of)) == "it is not Available"


def test_without_a_replica_set_of_its_template_it_is_not_rolled_out() -> None:
    assert why(judged(a_pod(), replica_sets=())) == "no ReplicaSet has its template yet"
    assert why(judged(a_pod(), replica_sets=(OLD_SET,))) == "no ReplicaSet has its template yet"


def test_of_two_replica_sets_with_its_template_the_older_counts_as_for_its_controller() -> None:
    twin = a_replica_set(DEPLOYMENT, "twin", 0, metadata={"creationTimestamp": "2026-06-01T12:00:01Z"})
    older = a_replica_set(metadata={"creationTimestamp": "2026-06-01T12:00:00Z"})
    assert isinstance(judged(a_pod(), replica_sets=(twin, older)), RolledOut)
    later = a_replica_set(metadata={"creationTimestamp": "2026-06-01T12:00:02Z"})
    assert why(judged(a_pod(), replica_sets=(twin, later))) == "0 of 1 pods are Ready"


def test_of_two_replica_sets_with_its_template_one_without_a_time_counts_as_the_older() -> None:
    timed = a_replica_set(DEPLOYMENT, "a", 0, metadata={"creationTimestamp": "2026-06-01T12:00:00Z"})
    assert isinstance(judged(a_pod(), replica_sets=(timed, a_replica_set())), RolledOut)


def test_the_replica_set_of_another_deployment_with_the_same_template_does_not_count() -> None:
    another = a_replica_set(DEPLOYMENT, "a", metadata={"ownerReferences": [owner("Deployment", "other")]})
    assert isinstance(judged(a_pod(), replica_sets=(another, a_replica_set())), RolledOut)


def test_a_replica_set_that_also_has_our_restart_id_does_not_count_beside_the_one_of_the_present_template() -> None:
    """Somebody has repaired the template with `kubectl set image`: our annotation stays in it."""
    broken = a_replica_set(DEPLOYMENT, "broken", 0, spec={"template": {"spec": {"nodeName": "broken"}}})
    failed = a_pod("broken-pod", "build-service-broken", status=UNREADY)
    assert isinstance(judged(a_pod(), replica_sets=(OLD_SET, broken, a_replica_set())), RolledOut)
    assert why(judged(a_pod(), failed, replica_sets=(OLD_SET, broken, a_replica_set()))) == (
        "old pods still run: broken-pod"
    )


def test_a_template_of_others_is_rolled_out_if_the_present_one_is_wanted() -> None:
    of = a_deployment(spec={"template": OLD_TEMPLATE})
    assert isinstance(judged(OLD_POD, of=of, wanted=Wanted.PRESENT), RolledOut)
    assert why(judged(a_pod(), of=of, wanted=Wanted.PRESENT)) == "0 of 1 pods are Ready"
    assert why(judged(OLD_POD, of=a_deployment(spec={"paused": True}), wanted=Wanted.PRESENT)) == (
        "its rollout is paused"
    )


def test_an_ending_pod_whose_replica_set_is_gone_is_waited_for() -> None:
    """With `revisionHistoryLimit: 0` a ReplicaSet is deleted while its pod is still ending."""
    left = a_pod("left", "build-service-gone", **ENDING)
    assert why(judged(a_pod(), left)) == "old pods still run: left"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metadata": {"uid": "another"}}, "was deleted and created again"),
        ({"spec": {"template": OLD_TEMPLATE}}, "the restart was reverted or superseded"),
        ({"spec": {"paused": True}}, "its rollout was paused"),
        ({"spec": {"replicas": 0}}, "was scaled to 0"),
    ],
)
def test_somebody_elses_change_is_contested(changes: Document, said: str) -> None:
    progress = judged(a_pod(), of=a_deployment(**changes))
    assert isinstance(progress, ExternalChange)
    assert said in str(progress)


def test_r20_another_restart_in_the_same_second_is_another_one() -> None:
    progress = judged(a_pod(), restart_id="run-1-2")
    assert isinstance(progress, ExternalChange)
    assert "superseded" in str(progress)


# --- R27: StatefulSets and DaemonSets -------------------------------------------------------------------------


def a_stateful_pod(**changes: Any) -> Document:
    return a_pod("build-service-0", "build-service", "StatefulSet", **changes)


def test_r27_a_stateful_set_is_rolled_out_when_its_pods_are_of_the_update_revision() -> None:
    of = a_stateful_set()
    assert isinstance(judged(a_stateful_pod(), of=of, workload=STATEFUL_SET), RolledOut)
    before = a_stateful_pod(metadata={"labels": {"controller-revision-hash": "rev-1"}})
    assert why(judged(before, of=of, workload=STATEFUL_SET)) == "0 of 1 pods are Ready"


def test_r27_a_daemon_set_is_rolled_out_when_every_node_that_is_wanted_has_its_new_pod() -> None:
    pods = [a_pod(f"pod-{number}", "build-service", "DaemonSet") for number in (1, 2)]
    assert isinstance(judged(*pods, of=a_daemon_set(2), workload=DAEMON_SET), RolledOut)
    assert "of 2 pods" in why(judged(pods[0], of=a_daemon_set(2, status={"numberReady": 1}), workload=DAEMON_SET))
    assert why(judged(pods[0], of=a_daemon_set(2), workload=DAEMON_SET)) == "1 of 2 pods are Ready"
    lagging = a_daemon_set(2, status={"updatedNumberScheduled": 1})
    assert "1 new, 2 ready" in why(judged(*pods, of=lagging, workload=DAEMON_SET))


def test_r27_a_daemon_set_whose_pods_are_of_several_revisions_is_not_rolled_out() -> None:
    """Its status counts them as updated; but one that ends is of no account."""
    newer = {"labels": {"controller-revision-hash": "rev-3"}}
    pods = [a_pod(f"pod-{n}", "build-service", "DaemonSet", metadata=its) for n, its in ((1, {}), (2, newer))]
    assert why(judged(*pods, of=a_daemon_set(2), workload=DAEMON_SET)) == "its pods are of 2 revisions"
    ending = a_pod("pod-2", "build-service", "DaemonSet", metadata={**newer, **ENDING["metadata"]})
    assert why(judged(pods[0], ending, of=a_daemon_set(1), workload=DAEMON_SET)) == "old pods still run: pod-2"


def test_r27_a_pod_of_a_daemon_set_without_the_restart_is_one_of_before() -> None:
    before = a_pod("pod-1", "build-service", "DaemonSet", **OLD_TEMPLATE)
    assert why(judged(before, of=a_daemon_set(1), workload=DAEMON_SET)) == "0 of 1 pods are Ready"


def test_r27_a_daemon_set_that_wants_no_pod_is_no_success() -> None:
    assert why(judged(of=a_daemon_set(0), workload=DAEMON_SET)) == "no pod of it is wanted yet"


# --- without a restart: workers that come back ------------------------------------------------------------------


def test_workers_are_back_when_their_pods_are_ready_whatever_their_template_says() -> None:
    pod = a_pod(**OLD_TEMPLATE)
    assert isinstance(judged(pod, wanted=Wanted.READY), RolledOut)
    assert why(judged(a_pod(status=UNREADY), wanted=Wanted.READY)) == "0 of 1 pods are Ready"
    assert isinstance(judged(of=a_deployment(replicas=0), wanted=Wanted.READY), RolledOut)


def test_workers_are_back_also_while_none_of_them_counts_as_updated_and_whoever_else_has_their_labels() -> None:
    of, stray = a_deployment(status={"updatedReplicas": 0}), a_pod("stray", "nobody-new", status=UNREADY)
    assert isinstance(judged(OLD_POD, stray, of=of, wanted=Wanted.READY), RolledOut)
    lacking = a_deployment(status={"updatedReplicas": 0, "readyReplicas": 0})
    assert why(judged(OLD_POD, of=lacking, wanted=Wanted.READY)) == "of 1 pods 0 ready, 1 available"


COUNTS = st.integers(0, 3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(replicas=st.integers(1, 3), current=COUNTS, updated=COUNTS, ready=COUNTS, available=COUNTS, pods=COUNTS)
def test_it_is_rolled_out_only_if_every_count_and_every_pod_says_so(  # noqa: PLR0917 - one for each count
    replicas: int, current: int, updated: int, ready: int, available: int, pods: int
) -> None:
    counts = {"replicas": current, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available}
    progress = judged(
        *(a_pod(f"pod-{number}") for number in range(pods)), of=a_deployment(replicas=replicas, status=counts)
    )
    all_there = {current, updated, ready, available, pods} == {replicas}
    assert isinstance(progress, RolledOut) == all_there


def test_every_state_between_two_templates_is_rolling_out() -> None:
    """No mix of an old and a new pod, in any state, is said to be done while the old one has not ended."""
    states: list[Document] = [{}, {"status": UNREADY}, ENDING]
    for old, new in product(states, states):
        before = a_pod("old-pod", "build-service-old", **old)
        assert isinstance(judged(before, a_pod(**new)), RollingOut)
