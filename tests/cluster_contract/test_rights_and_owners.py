"""Who may do what, who wrote what and when, and what time the server has."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certlag.kube.transport import Connection
from runbook.kube.write import send
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground
from tests.cluster_contract.test_objects import LEASE, idle_deployment

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def manager_of(document: Object, *path: str) -> dict[str, Any] | None:
    """The entry of managedFields that owns a field."""

    def owns(fields: Any) -> bool:
        for step in path:
            fields = (fields or {}).get(step)
        return fields is not None

    return next((entry for entry in document["metadata"]["managedFields"] if owns(entry["fieldsV1"])), None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"verb": "patch", "group": "apps", "resource": "deployments", "name": "opschain-build-service"},
        {"verb": "create", "group": "", "resource": "pods", "subresource": "portforward"},
        {"verb": "update", "group": "coordination.k8s.io", "resource": "leases"},
    ],
)
def test_somebody_can_ask_what_he_may_do(control_plane: Ground, attributes: Object) -> None:
    spec = {"resourceAttributes": {"namespace": control_plane.namespace, **attributes}}
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = control_plane.cluster.api("POST", REVIEWS, {**kind, "spec": spec})
    assert answer["status"]["allowed"] is True
    assert answer["spec"]["resourceAttributes"]["verb"] == attributes["verb"]


def test_somebody_can_ask_who_he_is(control_plane: Ground) -> None:
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = control_plane.cluster.api("POST", WHO, kind)["status"]["userInfo"]
    assert user["username"]
    assert "system:authenticated" in user["groups"]


def test_the_server_tells_its_time(control_plane: Ground) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with control_plane.cluster.entered():
        connection = Connection.find(kubeconfig=str(control_plane.cluster.kubeconfig))
        send(connection, "POST", WHO, body=review, content_type="application/json")
        connection.close()
    assert connection.clock_skew is not None
    assert abs(connection.clock_skew) < timedelta(seconds=5)


def test_a_field_belongs_to_the_manager_who_changed_it_last(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane), "?fieldManager=first")
    path = ("f:spec", "f:replicas")
    before = datetime.now(UTC).replace(microsecond=0)
    changed = control_plane.patch("deployments", "probe", {"spec": {"replicas": 1}}, "?fieldManager=second")
    owner = manager_of(changed, *path)
    assert owner is not None
    assert (owner["manager"], owner["operation"], owner["apiVersion"]) == ("second", "Update", "apps/v1")
    assert before <= datetime.fromisoformat(owner["time"]) <= datetime.now(UTC)
    others = [entry for entry in changed["metadata"]["managedFields"] if entry["manager"] == "first"]
    assert [manager_of({"metadata": {"managedFields": [entry]}}, *path) for entry in others] == [None]


def test_a_manager_who_sets_what_is_set_already_takes_nothing_over(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane), "?fieldManager=first")
    changed = control_plane.patch("deployments", "probe", {"spec": {"replicas": 0}}, "?fieldManager=second")
    owner = manager_of(changed, "f:spec", "f:replicas")
    assert owner is not None
    assert owner["manager"] == "first"


def test_replicas_written_through_scale_are_told_apart(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane), "?fieldManager=first")
    path = control_plane.path("deployments", "probe", "scale") + "?fieldManager=scaler"
    control_plane.cluster.api("PATCH", path, {"spec": {"replicas": 1}}, "application/merge-patch+json")
    owner = manager_of(control_plane.get("deployments", "probe"), "f:spec", "f:replicas")
    assert owner is not None
    assert (owner["manager"], owner["subresource"]) == ("scaler", "scale")


def test_the_restart_annotation_of_a_template_has_an_owner(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane), "?fieldManager=first")
    annotation = {"certlag.dev/restart-id": "r1"}
    patch = {"spec": {"template": {"metadata": {"annotations": annotation}}}}
    changed = control_plane.patch("deployments", "probe", patch, "?fieldManager=second")
    steps = ("f:spec", "f:template", "f:metadata", "f:annotations", "f:certlag.dev/restart-id")
    owner = manager_of(changed, *steps)
    assert owner is not None
    assert owner["manager"] == "second"
    removal = {"spec": {"template": {"metadata": {"annotations": {"certlag.dev/restart-id": None}}}}}
    assert manager_of(control_plane.patch("deployments", "probe", removal), *steps) is None


def test_leases_keep_microseconds_and_refuse_a_stale_holder(control_plane: Ground) -> None:
    renewed = {"renewTime": "2026-06-01T12:00:00.123456Z", "acquireTime": "2026-06-01T12:00:00.000000Z"}
    made = control_plane.create("leases", {**LEASE, "spec": {**LEASE["spec"], **renewed}})
    assert made["spec"]["renewTime"] == renewed["renewTime"]
    version = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    taken = control_plane.patch("leases", "probe", {**version, "spec": {"holderIdentity": "you"}})
    assert taken["spec"]["holderIdentity"] == "you"
    path = control_plane.path("leases", "probe")
    stale = {**version, "spec": {"holderIdentity": "me"}}
    assert control_plane.refusal("PATCH", path, stale, "application/merge-patch+json").status == 409


def test_events_can_be_written_about_an_object(control_plane: Ground) -> None:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": control_plane.namespace, "name": "probe"}
    event = {
        "metadata": {"generateName": "probe."},
        "involvedObject": about,
        "reason": "Draining",
        "message": "for the contract",
        "type": "Normal",
        "source": {"component": "certlag"},
    }
    made = control_plane.create("events", event)
    assert made["metadata"]["name"].startswith("probe.")
    (found,) = control_plane.listed("events", "?fieldSelector=involvedObject.name%3Dprobe,reason%3DDraining")
    assert found["message"] == "for the contract"
