"""Why a workload has no pod that is Ready, in its controller's or the kubelet's words: documents in, one line out."""

from typing import Any

import pytest
import yaml

from runbook.kube.obstacles import Obstacle, WarningEvent, obstacle, pod_obstacle, warning_event

QUOTA = 'pods "svc-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3'


def of(status: dict[str, Any], **metadata: Any) -> Obstacle | None:
    return pod_obstacle(
        {"metadata": {"name": "svc-1", "namespace": "shop", "uid": "pod", **metadata}, "status": status}
    )


def placed(**container: Any) -> dict[str, Any]:
    """The status of a pod on a node, that is not Ready, with one container."""
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
    return {"conditions": conditions, "containerStatuses": [{"name": "main", "ready": False, **container}]}


CASES = yaml.safe_load(r"""
unschedulable:
  status: {conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/3 nodes are available}]}
  says: "pod svc-1 cannot be placed: 0/3 nodes are available"
  shows: describe pod svc-1 -n shop
held back by a scheduling gate:
  status: {conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]}
  says: "pod svc-1 cannot be placed: SchedulingGated"
  shows: describe pod svc-1 -n shop
image:
  container: {state: {waiting: {reason: ImagePullBackOff, message: not found}}}
  says: "pod svc-1: container main: ImagePullBackOff: not found"
  shows: describe pod svc-1 -n shop
configuration:
  container: {state: {waiting: {reason: CreateContainerConfigError, message: secret "x" not found}}}
  says: 'pod svc-1: container main: CreateContainerConfigError: secret "x" not found'
  shows: describe pod svc-1 -n shop
crash loop:
  container:
    state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s restarting failed container}}
    lastState: {terminated: {exitCode: 137, reason: OOMKilled}}
  says: >-
    pod svc-1: container main ends again and again: exit code 137 (OOMKilled);
    see kubectl logs svc-1 -n shop --previous -c main
  shows: logs svc-1 -n shop --previous -c main
between two crashes:
  container:
    restartCount: 1
    state: {running: {startedAt: '2026-06-01T12:00:00Z'}}
    lastState: {terminated: {exitCode: 1, reason: Error, message: "no such file\nfatal: bad flag\n"}}
  says: >-
    pod svc-1: container main was restarted after exit code 1 (Error): fatal: bad flag;
    see kubectl logs svc-1 -n shop --previous -c main
  shows: logs svc-1 -n shop --previous -c main
init container:
  status:
    conditions: [{type: PodScheduled, status: 'True'}]
    initContainerStatuses: [{name: migrate, state: {terminated: {exitCode: 3, reason: Error}}}]
  says: "pod svc-1: container migrate has ended: exit code 3 (Error); see kubectl logs svc-1 -n shop -c migrate"
  shows: logs svc-1 -n shop -c migrate
""")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_pods_status_says_what_keeps_it_from_being_ready(case: dict[str, Any]) -> None:
    assert of(case.get("status") or placed(**case["container"])) == Obstacle(case["says"], tuple(case["shows"].split()))


@pytest.mark.parametrize(
    "status",
    [
        {},
        placed(),
        placed(state={"waiting": {"reason": "ContainerCreating"}}),
        placed(state={"running": {}}),
        {**placed(), "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 0}}}]},
    ],
)
def test_a_pod_that_is_on_its_way_has_no_definite_obstacle(status: dict[str, Any]) -> None:
    found = of(status)
    assert found is not None
    assert not found.definite


def test_a_pod_that_is_ready_or_ends_has_none() -> None:
    assert of({"conditions": [{"type": "Ready", "status": "True"}]}) is None
    assert of(placed(), deletionTimestamp="2026-06-01T12:00:00Z") is None


# --- of a workload ---

CREATION = WarningEvent("set", "FailedCreate", f"Error creating: {QUOTA}", "2026-06-01T12:00:00Z")
MOUNT = WarningEvent("pod", "FailedMount", 'secret "tls" not found', "2026-06-01T12:00:00Z")
STUCK = Obstacle("pod svc-1 is Pending and not Ready", ("describe", "pod", "svc-1"), definite=False)


def explained(*pods: Obstacle, messages: tuple[str, ...] = (), events: Any = (), missing: bool = True) -> str | None:
    known = [("pod", each) for each in pods]
    found = obstacle({"set"}, messages, known, events, namespace="shop", pods_missing=missing)
    return None if found is None else found.text


def test_a_condition_says_why_no_pod_is_made() -> None:
    assert explained(messages=(QUOTA,)) == f"no pod is made: {QUOTA}"


def test_where_there_is_no_condition_the_latest_event_says_why_no_pod_is_made() -> None:
    older = WarningEvent("set", "FailedCreate", "older", "2026-06-01T11:00:00Z")
    assert explained(events=(CREATION, older)) == f"no pod is made: Error creating: {QUOTA}"


def test_an_event_of_an_earlier_failure_says_nothing_once_all_pods_are_made() -> None:
    assert explained(events=(CREATION,), missing=False) is None


def test_events_of_other_objects_say_nothing() -> None:
    assert explained(events=(WarningEvent("other", "FailedCreate", "x", ""),)) is None
    assert explained(STUCK, events=(WarningEvent("other", "FailedMount", "x", ""),)) is None


def test_a_pod_that_waits_for_its_volume_is_explained_by_its_events() -> None:
    assert explained(STUCK, events=(MOUNT,)) == f'{STUCK.text}: FailedMount: secret "tls" not found'


def test_what_a_pod_says_itself_counts_more_than_an_event() -> None:
    crash = Obstacle("pod svc-1: crash")
    assert explained(STUCK, crash, events=(MOUNT,)) == crash.text


def test_what_is_in_the_way_is_shown_by_a_command() -> None:
    missing = obstacle({"set"}, (QUOTA,), (), namespace="shop", pods_missing=True)
    mounting = obstacle({"set"}, (), [("pod", STUCK)], (MOUNT,), namespace="shop", pods_missing=False)
    assert missing is not None
    assert missing.shows == ("get", "events", "-n", "shop", "--field-selector=reason=FailedCreate")
    assert mounting is not None
    assert mounting.shows == STUCK.shows


def test_without_any_reason_nothing_is_said() -> None:
    assert explained(STUCK) is None


TIMES = {
    "series": "{lastTimestamp: '2026-01-01T00:00:00Z', series: {lastObservedTime: '2026-06-01T00:00:00Z'}}",
    "last": "{lastTimestamp: '2026-06-01T00:00:00Z'}",
    "event": "{eventTime: '2026-06-01T00:00:00Z'}",
    "creation": "{}",
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_an_event_is_as_old_as_the_last_time_that_it_names(times: str) -> None:
    metadata = {"metadata": {"creationTimestamp": "2026-06-01T00:00:00Z"}, "involvedObject": {"uid": "pod"}}
    document = {**metadata, "reason": "FailedMount", "message": "m", **yaml.safe_load(times)}
    assert warning_event(document) == WarningEvent("pod", "FailedMount", "m", "2026-06-01T00:00:00Z")
