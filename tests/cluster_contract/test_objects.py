"""Objects: created, read, changed, refused, removed."""

import pytest

from tests.bench.api import Api, ApiError
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground, condition

CONFIG_MAP: Object = {"metadata": {"name": "probe"}, "data": {"a": "1", "b": "2"}}
LEASE: Object = {"metadata": {"name": "probe"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 60}}
STALE = {"metadata": {"resourceVersion": "1"}}


def idle_deployment(ground: Ground, **spec: object) -> Object:
    """A Deployment of no replicas, so that nothing happens to it."""
    body = {"replicas": 0, "selector": {"matchLabels": {"app": "probe"}}, "template": ground.template("idle"), **spec}
    return {"metadata": {"name": "probe"}, "spec": body}


def test_what_is_created_gets_its_identity_from_the_server(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", CONFIG_MAP["data"])
    metadata = made["metadata"]
    assert metadata["namespace"] == control_plane.namespace
    assert metadata["uid"]
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert "generation" not in metadata
    assert control_plane.get("configmaps", "probe") == made


def test_a_name_may_be_left_to_the_server(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", {"metadata": {"generateName": "probe-"}})
    assert made["metadata"]["name"].startswith("probe-")
    assert len(made["metadata"]["name"]) == len("probe-") + 5


def test_a_second_object_of_the_same_name_is_refused(control_plane: Ground) -> None:
    control_plane.create("configmaps", CONFIG_MAP)
    refused = control_plane.refusal("POST", control_plane.path("configmaps"), CONFIG_MAP)
    assert (refused.status, refused.answer["reason"]) == (409, "AlreadyExists")
    assert refused.answer["message"] == 'configmaps "probe" already exists'


def test_what_is_not_there_is_a_status_with_its_name(control_plane: Ground) -> None:
    refused = control_plane.refusal("GET", control_plane.path("deployments", "none"))
    assert refused.status == 404
    assert refused.answer == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


@pytest.mark.parametrize("path", ["scaledobjects", "nonsenses"])
def test_a_resource_that_is_not_installed_is_404(control_plane: Ground, path: str) -> None:
    assert control_plane.refusal("GET", control_plane.path(path)).status == 404


def test_nothing_is_created_in_a_namespace_that_is_not_there(control_plane: Ground) -> None:
    refused = control_plane.refusal("POST", "/api/v1/namespaces/nowhere/configmaps", CONFIG_MAP)
    assert refused.status == 404
    assert refused.answer["message"] == 'namespaces "nowhere" not found'


def test_nobody_is_served_without_a_known_token(control_plane: Ground) -> None:
    client = control_plane.cluster.client
    stranger = Api(client.host, client.port, "no-such-token", client.authority, client.netns)
    with pytest.raises(ApiError, match="401") as refused:
        stranger.call("GET", control_plane.path("configmaps"))
    assert refused.value.answer["reason"] == "Unauthorized"


# --- changes --------------------------------------------------------------------------------------


def test_a_merge_patch_changes_what_it_names_and_removes_what_is_null(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    changed = control_plane.patch("configmaps", "probe", {"data": {"b": None, "c": "3"}})
    assert changed["data"] == {"a": "1", "c": "3"}
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]


@pytest.mark.parametrize(
    ("plural", "patch"),
    [
        ("deployments", {"spec": {"replicas": 1}}),
        ("configmaps", {"data": {"a": "2"}}),
        ("leases", {"spec": {"holderIdentity": "you"}}),
    ],
)
def test_a_patch_for_an_older_version_is_a_conflict_and_changes_nothing(
    control_plane: Ground, plural: str, patch: Object
) -> None:
    documents: dict[str, Object] = {
        "deployments": idle_deployment(control_plane),
        "configmaps": CONFIG_MAP,
        "leases": LEASE,
    }
    control_plane.create(plural, documents[plural])
    refused = control_plane.refusal(
        "PATCH", control_plane.path(plural, "probe"), {**patch, **STALE}, "application/merge-patch+json"
    )
    assert (refused.status, refused.answer["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in refused.answer["message"]
    found = control_plane.get(plural, "probe")
    part = next(iter(patch))
    name, value = next(iter(patch[part].items()))
    assert found[part][name] != value


def test_a_patch_for_the_present_version_is_done(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    version = made["metadata"]["resourceVersion"]
    changed = control_plane.patch("configmaps", "probe", {"metadata": {"resourceVersion": version}, "data": {"a": "2"}})
    assert changed["data"]["a"] == "2"


def test_what_is_meant_for_another_uid_is_refused(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    other = {"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}, "data": {"a": "2"}}
    path = control_plane.path("configmaps", "probe")
    patched = control_plane.refusal("PATCH", path, other, "application/merge-patch+json")
    assert (patched.status, patched.answer["reason"]) == (422, "Invalid")
    put = control_plane.refusal("PUT", path, {**made, "metadata": {**made["metadata"], **other["metadata"]}})
    assert (put.status, put.answer["reason"]) == (409, "Conflict")


def test_a_patch_that_changes_nothing_uses_no_version(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    again = control_plane.patch("configmaps", "probe", {"data": {"a": "1"}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_json_patch_can_test_before_it_changes(control_plane: Ground) -> None:
    control_plane.create("configmaps", CONFIG_MAP)
    path, kind = control_plane.path("configmaps", "probe"), "application/json-patch+json"
    change = {"op": "replace", "path": "/data/a", "value": "2"}
    refused = control_plane.refusal("PATCH", path, [{"op": "test", "path": "/data/a", "value": "9"}, change], kind)
    assert refused.status == 422
    done = control_plane.cluster.api("PATCH", path, [{"op": "test", "path": "/data/a", "value": "1"}, change], kind)
    assert done["data"]["a"] == "2"


def test_a_strategic_merge_patch_merges_containers_by_name(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane))
    container = {"name": "main", "env": [{"name": "A", "value": "1"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    changed = control_plane.patch("deployments", "probe", patch, content_type="application/strategic-merge-patch+json")
    (merged,) = changed["spec"]["template"]["spec"]["containers"]
    assert merged["image"]
    assert merged["env"] == container["env"]


def test_a_body_of_an_unknown_type_is_refused(control_plane: Ground) -> None:
    control_plane.create("configmaps", CONFIG_MAP)
    path = control_plane.path("configmaps", "probe")
    assert control_plane.refusal("PATCH", path, {"data": {}}, "application/nonsense+json").status == 415


def test_an_update_for_an_older_version_is_a_conflict(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    control_plane.patch("configmaps", "probe", {"data": {"a": "2"}})
    refused = control_plane.refusal("PUT", control_plane.path("configmaps", "probe"), {**made, "data": {"a": "3"}})
    assert (refused.status, refused.answer["reason"]) == (409, "Conflict")


def test_an_update_without_a_version_is_done_for_a_config_map_and_refused_for_a_lease(control_plane: Ground) -> None:
    control_plane.create("configmaps", CONFIG_MAP)
    control_plane.create("leases", LEASE)
    api = control_plane.cluster.api
    path = control_plane.path("configmaps", "probe")
    done = api("PUT", path, {**CONFIG_MAP, "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "3"}})
    assert done["data"] == {"a": "3"}
    lease = {**LEASE, "apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    assert control_plane.refusal("PUT", control_plane.path("leases", "probe"), lease).status == 422


def test_a_dry_run_answers_as_if_and_stores_nothing(control_plane: Ground) -> None:
    made = control_plane.create("deployments", idle_deployment(control_plane))
    shown = control_plane.patch("deployments", "probe", {"spec": {"replicas": 3}}, "?dryRun=All")
    assert (shown["spec"]["replicas"], shown["metadata"]["generation"]) == (3, made["metadata"]["generation"] + 1)
    found = control_plane.get("deployments", "probe")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (0, made["metadata"]["generation"])
    assert control_plane.create("configmaps", CONFIG_MAP, "?dryRun=All")["metadata"]["name"] == "probe"
    assert control_plane.listed("configmaps", "?fieldSelector=metadata.name%3Dprobe") == []


def test_a_dry_run_is_checked_like_any_other_write(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane))
    path = control_plane.path("deployments", "probe") + "?dryRun=All"
    for patch, code in (({"spec": {"replicas": -1}}, 422), ({"spec": {"replicas": 1}, **STALE}, 409)):
        assert control_plane.refusal("PATCH", path, patch, "application/merge-patch+json").status == code


def test_a_workload_whose_selector_misses_its_template_is_refused(control_plane: Ground) -> None:
    document = idle_deployment(control_plane, selector={"matchLabels": {"app": "other"}})
    refused = control_plane.refusal("POST", control_plane.path("deployments"), document)
    assert (refused.status, refused.answer["reason"]) == (422, "Invalid")


def test_the_server_fills_in_what_a_workload_leaves_open(control_plane: Ground) -> None:
    document = idle_deployment(control_plane)
    del document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    spec = control_plane.create("deployments", document)["spec"]
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["revisionHistoryLimit"] == 10
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


def test_generation_counts_changes_of_the_spec_only(control_plane: Ground) -> None:
    made = control_plane.create("deployments", idle_deployment(control_plane))
    assert made["metadata"]["generation"] == 1
    labelled = control_plane.patch("deployments", "probe", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    scaled = control_plane.patch("deployments", "probe", {"spec": {"minReadySeconds": 1}})
    assert scaled["metadata"]["generation"] == 2


def test_a_status_is_written_through_its_subresource_only(control_plane: Ground) -> None:
    spec = {"secretName": "probe", "dnsNames": ["probe"], "issuerRef": {"name": "none"}}
    document = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "probe"}, "spec": spec}
    control_plane.create("certificates", document)
    control_plane.cluster.wait(control_plane.path("certificates", "probe"), lambda seen: condition(seen, "Issuing"))
    ignored = control_plane.patch("certificates", "probe", {"status": {"revision": 7}})
    assert "revision" not in ignored["status"]
    path = control_plane.path("certificates", "probe", "status")
    patch = {"spec": {"secretName": "other"}, "status": {"revision": 7}}
    written = control_plane.cluster.api("PATCH", path, patch, "application/merge-patch+json")
    assert (written["status"]["revision"], written["spec"]["secretName"]) == (7, "probe")


def test_replicas_are_read_and_written_through_the_scale_subresource(control_plane: Ground) -> None:
    control_plane.create("deployments", idle_deployment(control_plane))
    path = control_plane.path("deployments", "probe", "scale")
    scale = control_plane.cluster.api("GET", path)
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {})
    assert scale["status"]["selector"] == "app=probe"
    patch = {"spec": {"replicas": 1}}
    assert control_plane.cluster.api("PATCH", path, patch, "application/merge-patch+json")["spec"] == {"replicas": 1}
    assert control_plane.get("deployments", "probe")["spec"]["replicas"] == 1
    scale["spec"] = {"replicas": 2}
    assert control_plane.refusal("PUT", path, scale).status == 409


# --- removal --------------------------------------------------------------------------------------


def test_what_is_deleted_is_gone_and_the_answer_says_success(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    path = control_plane.path("configmaps", "probe")
    answer = control_plane.cluster.api("DELETE", path)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "probe", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert control_plane.refusal("DELETE", path).status == 404


def test_a_deletion_may_name_the_object_that_it_means(control_plane: Ground) -> None:
    made = control_plane.create("configmaps", CONFIG_MAP)
    path = control_plane.path("configmaps", "probe")
    for precondition in ({"uid": "other"}, {"resourceVersion": "1"}):
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": precondition}
        assert control_plane.refusal("DELETE", path, options).status == 409
    meant = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    control_plane.cluster.api("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": meant})


def test_an_object_with_a_finalizer_stays_until_it_is_removed(control_plane: Ground) -> None:
    metadata = {"name": "probe", "finalizers": ["certlag.dev/contract"]}
    control_plane.create("configmaps", {"metadata": metadata})
    path = control_plane.path("configmaps", "probe")
    control_plane.cluster.api("DELETE", path)
    assert "deletionTimestamp" in control_plane.get("configmaps", "probe")["metadata"]
    control_plane.patch("configmaps", "probe", {"metadata": {"finalizers": None}})
    assert control_plane.refusal("GET", path).status == 404
