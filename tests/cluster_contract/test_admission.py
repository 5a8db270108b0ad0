"""What policies and quotas deny, and where it is said: on both clusters alike."""

from collections.abc import Callable
from typing import Any

import pytest

from runbook.kube.obstacles import warning_event
from tests.bench import admission, waiting
from tests.bench.api import ApiError
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition
from tests.cluster_contract.test_workloads import RESTART

MESSAGE = "change freeze"
DOWN: Object = {"spec": {"replicas": 0}}
MARKED: Object = {"metadata": {"annotations": {"certlag.dev/run": "r1"}}}
ANNOTATIONS = "object.metadata.annotations"
WRITES = {
    "the restart": (admission.RESTART, RESTART),
    "scaling to 0": ("object.spec.replicas > 0", DOWN),
    "the fence": (f"!has({ANNOTATIONS}) || !('certlag.dev/run' in {ANNOTATIONS})", MARKED),
}
REASONS = {
    None: (422, "Invalid"),
    "Forbidden": (403, "Forbidden"),
    "RequestEntityTooLarge": (413, "RequestEntityTooLarge"),
}


def denial(ground: Ground, patch: Object) -> ApiError:
    """Wait until a policy is minded: return how a change is denied, as a dry run."""

    def denied() -> ApiError | None:
        try:
            ground.patch("deployments", "probe", patch, "?dryRun=All")
        except ApiError as error:
            return error
        return None

    return waiting.until("the policy to deny it", denied)


@pytest.mark.field_case("G6")
@pytest.mark.parametrize(("expression", "patch"), WRITES.values(), ids=WRITES)
def test_a_policy_denies_a_dry_run_as_it_denies_the_write(
    control_plane: Ground, expression: str, patch: Object
) -> None:
    control_plane.workload("deployments")
    before = control_plane.get("deployments", "probe")["spec"]
    others = [each for _, each in WRITES.values() if each is not patch]
    with admission.policy(control_plane.cluster, control_plane.namespace, expression, message=MESSAGE) as name:
        tried = denial(control_plane, patch)
        path = control_plane.path("deployments", "probe")
        written = control_plane.refusal("PATCH", path, patch, "application/merge-patch+json")
        for each in others:
            control_plane.patch("deployments", "probe", each, "?dryRun=All")
    what = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {MESSAGE}"
    assert (tried.status, tried.answer["reason"]) == (422, "Invalid")
    assert tried.answer["message"] == f'deployments.apps "probe" is forbidden: {what}'
    details = {"name": "probe", "group": "apps", "kind": "deployments", "causes": [{"message": what}]}
    assert tried.answer["details"] == details
    assert written.answer == tried.answer
    assert control_plane.get("deployments", "probe")["spec"] == before


@pytest.mark.field_case("G6")
@pytest.mark.parametrize(("reason", "status"), REASONS.items())
def test_a_policy_chooses_its_status_and_the_words_stay(
    control_plane: Ground, reason: str | None, status: tuple[int, str]
) -> None:
    control_plane.workload("deployments")
    with admission.policy(
        control_plane.cluster, control_plane.namespace, admission.RESTART, message=MESSAGE, reason=reason
    ):
        denied = denial(control_plane, RESTART)
    assert (denied.status, denied.answer["reason"]) == status
    assert denied.answer["message"].endswith(f"denied request: {MESSAGE}")


@pytest.mark.field_case("G6")
def test_an_expression_that_asks_for_what_is_not_there_denies(control_plane: Ground) -> None:
    control_plane.workload("deployments")
    expression = "object.metadata.labels['nothing'] == 'x'"
    with admission.policy(control_plane.cluster, control_plane.namespace, expression, message=MESSAGE):
        denied = denial(control_plane, {"metadata": {"labels": {"some": "thing"}}})
    assert denied.status == 422
    assert denied.answer["message"].endswith(
        f"denied request: expression '{expression}' resulted in error: no such key: nothing"
    )


@pytest.mark.field_case("G6")
def test_a_policy_that_only_warns_denies_nothing(control_plane: Ground) -> None:
    control_plane.workload("deployments")
    cluster, namespace = control_plane.cluster, control_plane.namespace
    with admission.policy(cluster, namespace, admission.RESTART, message=MESSAGE) as name:
        denial(control_plane, RESTART)
        binding = f"{admission.BINDINGS}/{name}"
        cluster.api("PATCH", binding, {"spec": {"validationActions": ["Warn"]}}, "application/merge-patch+json")
        waiting.until("it to be accepted", lambda: _accepted(control_plane, RESTART))


def _accepted(ground: Ground, patch: Object) -> bool:
    try:
        ground.patch("deployments", "probe", patch, "?dryRun=All")
    except ApiError:
        return False
    return True


# --- quotas ---------------------------------------------------------------------------------------


def full(ground: Ground) -> str:
    """Leave no room for a pod."""
    return admission.quota(ground.cluster, ground.namespace, pods="0")


def failed_create(ground: Ground, kind: str) -> Object:
    """Wait for the warning that a controller could not make a pod of an object of this kind."""

    def found() -> Object | None:
        events = ground.listed("events", "?fieldSelector=type%3DWarning")
        return next((each for each in events if is_of(each)), None)

    def is_of(event: Object) -> bool:
        return bool(event["reason"] == "FailedCreate" and event["involvedObject"]["kind"] == kind)

    return waiting.until(f"a {kind} to fail to make a pod", found)


def quota_says(pod: str) -> str:
    return f'pods "{pod}" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0'


def job(ground: Ground, **spec: Any) -> Object:
    template = ground.template("idle")
    template["spec"]["restartPolicy"] = "Never"
    return ground.create("jobs", {"metadata": {"name": "probe"}, "spec": {"template": template, **spec}})


MADE: dict[str, Callable[[Ground], Object]] = {
    "ReplicaSet": lambda ground: ground.workload("replicasets"),
    "Job": job,
    "StatefulSet": lambda ground: ground.workload("statefulsets"),
}


@pytest.mark.field_case("G7")
@pytest.mark.parametrize("kind", MADE)
def test_a_pod_that_a_quota_refuses_is_an_event_on_what_would_own_it(control_plane: Ground, kind: str) -> None:
    full(control_plane)
    made = MADE[kind](control_plane)
    found = failed_create(control_plane, kind)
    assert found["involvedObject"]["uid"] == made["metadata"]["uid"]
    assert found["involvedObject"]["name"] == "probe"
    assert found["source"]["component"] == f"{kind.lower()}-controller"
    event = warning_event(found)
    assert (event.uid, event.reason, bool(event.at)) == (made["metadata"]["uid"], "FailedCreate", True)
    if kind == "StatefulSet":
        before = "Create Pod probe-0 in StatefulSet probe failed error: "
        assert event.message == before + quota_says("probe-0")
    else:
        pod = event.message.split('"')[1]
        assert pod.startswith("probe-")
        assert event.message == f"Error creating: {quota_says(pod)}"
    assert control_plane.listed("pods") == []


@pytest.mark.field_case("G7")
def test_a_daemon_set_whose_pod_a_quota_refuses_has_an_event(ground: Ground) -> None:
    full(ground)
    made = ground.workload("daemonsets")
    event = warning_event(failed_create(ground, "DaemonSet"))
    assert event.uid == made["metadata"]["uid"]
    assert event.message == f"Error creating: {quota_says(event.message.split(chr(34))[1])}"


@pytest.mark.field_case("G7")
@pytest.mark.thorough
def test_a_replica_set_says_why_it_makes_no_pod_and_its_deployment_says_it_too(control_plane: Ground) -> None:
    path = full(control_plane)
    control_plane.workload("deployments")
    deployment = control_plane.path("deployments", "probe")
    found = control_plane.cluster.wait(deployment, lambda seen: condition(seen, "ReplicaFailure"))
    (owned,) = control_plane.listed("replicasets")
    for each in (found, owned):
        said = condition(each, "ReplicaFailure")
        assert (said["status"], said["reason"]) == ("True", "FailedCreate")
        assert said["message"] == quota_says(said["message"].split('"')[1])
    event = failed_create(control_plane, "ReplicaSet")
    assert event["involvedObject"]["uid"] == owned["metadata"]["uid"], "it is not on the Deployment"

    control_plane.cluster.api("DELETE", path)
    control_plane.cluster.wait(deployment, lambda seen: not condition(seen, "ReplicaFailure"))
    assert len(control_plane.listed("pods")) == 1


@pytest.mark.field_case("G7")
def test_a_dry_run_of_a_workload_says_nothing_of_the_quota(control_plane: Ground) -> None:
    control_plane.workload("deployments")
    waiting.until("its pod", lambda: control_plane.listed("pods"))
    full(control_plane)
    control_plane.patch("deployments", "probe", RESTART, "?dryRun=All")
    control_plane.patch("deployments", "probe", RESTART)
    control_plane.cluster.wait(
        control_plane.path("deployments", "probe"), lambda seen: condition(seen, "ReplicaFailure")
    )
    assert len(control_plane.listed("pods")) == 1, "the old one stands"


@pytest.mark.field_case("G7")
def test_what_a_quota_counts_is_in_its_status(control_plane: Ground) -> None:
    path = admission.quota(control_plane.cluster, control_plane.namespace, pods="2")
    control_plane.workload("deployments", replicas=3)
    found = control_plane.cluster.wait(path, lambda seen: seen["status"]["used"] == {"pods": "2"})
    assert found["status"]["hard"] == {"pods": "2"}
    assert len(control_plane.listed("pods")) == 2


# --- Jobs without pods ----------------------------------------------------------------------------


@pytest.mark.field_case("G9")
@pytest.mark.thorough
def test_a_job_that_a_quota_gives_no_pod_has_no_condition_and_gets_one_later(control_plane: Ground) -> None:
    path = full(control_plane)
    job(control_plane)
    failed_create(control_plane, "Job")
    status = control_plane.get("jobs", "probe")["status"]
    assert (status.get("active", 0), status.get("conditions")) == (0, None)
    control_plane.cluster.api("DELETE", path)
    control_plane.cluster.wait(control_plane.path("jobs", "probe"), lambda seen: seen["status"].get("active"))
    (pod,) = control_plane.listed("pods", "?labelSelector=batch.kubernetes.io%2Fjob-name%3Dprobe")
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"


@pytest.mark.field_case("G9")
def test_a_job_that_is_suspended_says_so_and_makes_no_pod(control_plane: Ground) -> None:
    job(control_plane, suspend=True)
    path = control_plane.path("jobs", "probe")
    found = control_plane.cluster.wait(path, lambda seen: condition(seen, "Suspended"))
    said = condition(found, "Suspended")
    assert (said["status"], said["reason"], said["message"]) == ("True", "JobSuspended", "Job suspended")
    assert control_plane.listed("pods") == []
    control_plane.patch("jobs", "probe", {"spec": {"suspend": False}})
    resumed = control_plane.cluster.wait(path, lambda seen: seen["status"].get("active"))
    assert condition(resumed, "Suspended").get("status") == "False"
