"""What goes wrong when it is told to, and comes right when it is healed."""

from datetime import timedelta

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.model import ProbeFailure
from rehearsal.api.access import Denial
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import AUTOSCALERS, CERTIFICATES, DEPLOYMENTS, SCALED_OBJECTS
from rehearsal.api.storage import Key
from rehearsal.objects import condition, is_ending
from tests.test_rehearsal.places import MERGE_PATCH, NAMESPACE, SERVICE, WORKER, Place, place

PODS_PATH = "/api/v1/namespaces/default/pods"
DEPLOYMENT_PATH = "/apis/apps/v1/namespaces/default/deployments/service"


def replicas(at: Place, name: str = WORKER) -> int:
    found: int = at.get(DEPLOYMENTS, name)["spec"]["replicas"]
    return found


def test_a_stuck_pod_outlives_its_grace_period_until_it_is_healed() -> None:
    at = place()
    at.cluster.faults.stuck.add(WORKER)
    at.scale(WORKER, 0)
    at.pass_time(days=1)
    assert [is_ending(pod) for pod in at.pods(WORKER)] == [True] * 3
    at.cluster.faults.stuck.clear()
    at.cluster.nudge()
    assert at.pods(WORKER) == []


def test_a_crash_loop_is_never_ready_and_ends_when_healed() -> None:
    at = place()
    at.cluster.faults.crashing.add(SERVICE)
    at.restart(SERVICE)
    at.pass_time(minutes=20)
    found = at.get(DEPLOYMENTS, SERVICE)
    assert (condition(found, "Progressing") or {})["reason"] == "ProgressDeadlineExceeded"
    # RollingUpdate with surge: the old pod still serves.
    assert (condition(found, "Available") or {})["status"] == "True"
    at.cluster.faults.crashing.clear()
    at.pass_time(minutes=20)
    assert at.presented() == at.issued()


@pytest.mark.thorough
def test_between_two_starts_of_a_container_that_crashes_for_a_day_there_are_never_more_than_five_minutes() -> None:
    at = place()
    at.cluster.faults.crashing.add(SERVICE)
    at.restart(SERVICE)
    at.pass_time(days=1)
    (crashing,) = [pod for pod in at.pods(SERVICE) if (condition(pod, "Ready") or {})["status"] != "True"]
    (status,) = crashing["status"]["containerStatuses"]
    assert "back-off 5m0s restarting failed container" in status["state"]["waiting"]["message"]
    assert status["restartCount"] > 24 * 60 / 5 - 10


def test_pods_of_a_dead_node_end_and_never_go_until_it_returns() -> None:
    at = place()
    node = at.pod(SERVICE)["spec"]["nodeName"]
    at.cluster.faults.dead_nodes.add(node)
    at.cluster.nudge()
    assert at.presented() is ProbeFailure.CONNECTION_REFUSED
    assert (condition(at.pod(SERVICE), "Ready") or {})["status"] == "True", "nobody knows yet"
    at.pass_time(minutes=1)
    assert (condition(at.pod(SERVICE), "Ready") or {})["status"] == "False"
    at.pass_time(minutes=30)
    old, new = sorted(at.pods(SERVICE), key=is_ending, reverse=True)
    assert (old["spec"]["nodeName"], is_ending(old)) == (node, True)
    assert new["spec"]["nodeName"] != node
    at.cluster.faults.dead_nodes.clear()
    at.cluster.nudge()
    at.pass_time(minutes=5)
    assert at.pod(SERVICE)["metadata"]["uid"] == new["metadata"]["uid"]


def test_a_pod_may_mount_a_secret_that_is_a_minute_old() -> None:
    at = place()
    first = at.issued()
    at.cluster.faults.secret_lag = timedelta(minutes=1)
    at.pass_time(days=60, seconds=-50)  # a minute has passed before
    assert at.issued() != first
    at.restart(SERVICE)
    at.pass_time(seconds=30)
    assert at.presented() == first, "the new pod found the old Secret"
    at.restart(SERVICE, "once more")
    at.pass_time(minutes=2)
    assert at.presented() == first, "what it has loaded does not change"
    at.restart(SERVICE, "and again")
    at.pass_time(minutes=2)
    assert at.presented() == at.issued()


def test_under_load_cert_managers_writes_lie_apart() -> None:
    at = place()
    at.cluster.faults.issuing_pause = timedelta(minutes=1)
    at.pass_time(days=60)
    status = at.get(CERTIFICATES, SERVICE)["status"]
    assert (status["revision"], {each["type"] for each in status["conditions"]}) == (1, {"Ready", "Issuing"})
    at.pass_time(minutes=20)
    status = at.get(CERTIFICATES, SERVICE)["status"]
    assert (status["revision"], {each["type"] for each in status["conditions"]}) == (2, {"Ready"})


def test_a_broken_issuer_makes_a_renewal_overdue_until_it_is_mended() -> None:
    at = place()
    at.cluster.faults.broken_issuers.add("authority")
    at.pass_time(days=70)
    assert at.get(CERTIFICATES, SERVICE)["status"]["revision"] == 1
    at.cluster.faults.broken_issuers.clear()
    at.cluster.nudge()
    assert at.get(CERTIFICATES, SERVICE)["status"]["revision"] == 2


def test_gitops_puts_replicas_back_and_is_named() -> None:
    at = place()
    at.cluster.gitops.declare(DEPLOYMENTS, Key(NAMESPACE, WORKER), {"spec": {"replicas": 3}})
    at.scale(WORKER, 0)
    assert replicas(at) == 0
    at.pass_time(seconds=5)
    assert replicas(at) == 3
    entries = at.get(DEPLOYMENTS, WORKER)["metadata"]["managedFields"]
    assert [each["manager"] for each in entries if "f:replicas" in each["fieldsV1"].get("f:spec", {})] == [
        "argocd-controller"
    ]


def test_gitops_takes_a_restart_back() -> None:
    at = place()
    undone = {"spec": {"template": {"metadata": {"annotations": {"certlag.dev/restart-id": None}}}}}
    at.cluster.gitops.declare(DEPLOYMENTS, Key(NAMESPACE, SERVICE), undone)
    before = at.pod(SERVICE)["metadata"]["labels"]["pod-template-hash"]
    at.restart(SERVICE)
    at.pass_time(minutes=5)
    assert at.pod(SERVICE)["metadata"]["labels"]["pod-template-hash"] == before


def with_keda(**spec: int) -> Place:
    """A place in which KEDA scales the workers."""
    at = place(keda=True)
    reference = {"name": WORKER, "kind": "Deployment"}
    document = {"metadata": {"name": WORKER}, "spec": {"scaleTargetRef": reference, **spec}}
    at.cluster.apply(SCALED_OBJECTS, NAMESPACE, document)
    at.pass_time(seconds=2)
    return at


def annotate(at: Place, **pauses: str | None) -> None:
    """Put KEDA's pauses on the ScaledObject; `_` stands for `-` in their names."""
    annotations = {f"autoscaling.keda.sh/{name.replace('_', '-')}": value for name, value in pauses.items()}
    at.patch(SCALED_OBJECTS, WORKER, {"metadata": {"annotations": annotations}})
    at.pass_time(seconds=2)


def is_paused(at: Place) -> str:
    conditions = at.get(SCALED_OBJECTS, WORKER)["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Paused"))


def test_keda_scales_back_at_once_unless_it_is_paused() -> None:
    at = with_keda(minReplicaCount=2)
    at.scale(WORKER, 0)
    at.pass_time(seconds=2)
    assert (replicas(at), is_paused(at)) == (2, "Unknown")
    annotate(at, paused="true")
    at.scale(WORKER, 0)
    at.pass_time(minutes=1)
    assert (replicas(at), is_paused(at)) == (0, "True")
    annotate(at, paused=None)
    assert (replicas(at), is_paused(at)) == (2, "False")


def test_keda_scales_to_the_number_at_which_it_is_paused_whenever_it_reconciles() -> None:
    """keda#7664: after an apply, or a restart of its operator, regardless of who scaled the workload."""
    at = with_keda()
    annotate(at, paused_replicas="0", paused="true")
    assert (replicas(at), is_paused(at)) == (0, "True")
    at.scale(WORKER, 3)
    at.pass_time(minutes=10)
    assert replicas(at) == 3, "nothing has reconciled it"
    for is_down in (True, False):
        at.cluster.faults.keda_down = is_down
        at.cluster.nudge()
    assert replicas(at) == 0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, 0), ({"minReplicaCount": 2}, 2), ({"minReplicaCount": 2, "idleReplicaCount": 0}, 0)],
)
def test_keda_takes_what_is_idle_to_its_minimum(spec: dict[str, int], expected: int) -> None:
    at = with_keda(**spec)
    at.scale(WORKER, 3)
    at.cluster.faults.idle.add(WORKER)
    at.cluster.nudge()
    at.pass_time(minutes=1)
    assert replicas(at) == expected


@pytest.mark.parametrize(("minimum", "expected"), [(1, 0), (0, 1)])
def test_an_autoscaler_leaves_zero_alone_unless_its_minimum_is_zero(minimum: int, expected: int) -> None:
    at = place()
    reference = {"name": WORKER, "kind": "Deployment"}
    spec = {"scaleTargetRef": reference, "minReplicas": minimum, "maxReplicas": 5}
    at.cluster.apply(AUTOSCALERS, NAMESPACE, {"metadata": {"name": WORKER}, "spec": spec})
    at.scale(WORKER, 0)
    at.pass_time(minutes=1)
    assert replicas(at) == expected


# --- the API --------------------------------------------------------------------------------------


def test_an_api_that_fails_says_so_and_answers_again() -> None:
    at = place()
    at.cluster.api.fault = lambda request: (
        Refusal(500, "InternalError", "etcd is away") if request.path == PODS_PATH else None
    )
    with pytest.raises(ClusterError, match="etcd is away") as failed:
        at.client.get(PODS_PATH, {})
    assert (failed.value.reason, failed.value.status) == (ClusterErrorReason.SERVER_ERROR, 500)
    at.client.get(DEPLOYMENT_PATH, {})
    at.cluster.api.fault = lambda _request: None
    assert len(at.client.get(PODS_PATH, {})["items"]) == 4


def test_a_busy_api_says_when_to_come_back() -> None:
    at = place()
    at.cluster.api.fault = lambda _request: Refusal(429, "TooManyRequests", "later", retry_after=7)
    with pytest.raises(ClusterError) as failed:
        at.client.get(PODS_PATH, {})
    assert (failed.value.reason, failed.value.retry_after) == (ClusterErrorReason.THROTTLED, 7.0)


def test_a_right_that_is_missing_is_refused_and_the_review_says_so_beforehand() -> None:
    at = place()
    at.cluster.api.access.denials.add(Denial(verb="patch", resource="deployments", name=SERVICE))
    patch = {"spec": {"replicas": 2}}
    with pytest.raises(ClusterError, match="cannot patch resource") as refused:
        at.client.send("PATCH", DEPLOYMENT_PATH, body=patch, content_type=MERGE_PATCH)
    assert (refused.value.reason, refused.value.refused) == (ClusterErrorReason.FORBIDDEN, True)

    def allowed(name: str) -> bool:
        attributes = {"verb": "patch", "group": "apps", "resource": "deployments", "namespace": NAMESPACE, "name": name}
        answer = at.client.send(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body={"spec": {"resourceAttributes": attributes}},
            content_type="application/json",
        )
        return bool(answer["status"]["allowed"])

    assert (allowed(SERVICE), allowed(WORKER)) == (False, True)


def test_a_watch_from_before_a_compaction_is_expired() -> None:
    at = place()
    version = at.client.get(PODS_PATH, {})["metadata"]["resourceVersion"]
    at.scale(WORKER, 1)
    at.cluster.api.storage.compact()
    with at.client.stream(PODS_PATH, {"watch": "1", "resourceVersion": version}) as lines:
        (line,) = lines
    assert b'"code": 410' in line
