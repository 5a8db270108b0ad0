"""Lists, pages, selectors and watches."""

import itertools
import json
from collections.abc import Iterable

import pytest

from certlag.kube.client import ClusterClient
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import Ground

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_ONLY_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def make(ground: Ground, name: str, **labels: str) -> Object:
    return ground.create("configmaps", {"metadata": {"name": name, "labels": {"part": "contract", **labels}}})


def names(documents: Iterable[Object]) -> list[str]:
    return [document["metadata"]["name"] for document in documents]


def events(ground: Ground, query: str, count: int) -> list[tuple[str, str]]:
    """The first events of a watch, as type and name."""
    watch = ground.cluster.client.watch(f"{ground.path('configmaps')}?{query}", 10)
    return [(event["type"], event["object"]["metadata"]["name"]) for event in itertools.islice(watch, count)]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("labelSelector=app%3Da", ["one", "two"]),
        ("labelSelector=app!%3Da,part", ["three"]),
        ("labelSelector=app%20in%20(a,c),tier", ["two"]),
        ("labelSelector=app%20notin%20(a),part%3D%3Dcontract", ["three"]),
        ("labelSelector=!tier,part%3Dcontract", ["one", "three"]),
        ("fieldSelector=metadata.name%3Dtwo", ["two"]),
        ("fieldSelector=metadata.name!%3Dtwo&labelSelector=part", ["one", "three"]),
    ],
)
def test_a_list_is_narrowed_by_labels_and_fields(control_plane: Ground, selector: str, found: list[str]) -> None:
    make(control_plane, "one", app="a")
    make(control_plane, "two", app="a", tier="x")
    make(control_plane, "three", app="b")
    assert sorted(names(control_plane.listed("configmaps", f"?{selector}"))) == sorted(found)


def test_a_list_names_its_kind_and_its_items_do_not(control_plane: Ground) -> None:
    make(control_plane, "one")
    listed = control_plane.cluster.api("GET", control_plane.path("configmaps"))
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item for item in listed["items"])


def test_a_list_comes_in_pages_of_one_instant(control_plane: Ground) -> None:
    for name in "abcde":
        make(control_plane, name)
    path = f"{control_plane.path('configmaps')}?labelSelector=part&limit=2"
    first = control_plane.cluster.api("GET", path)
    make(control_plane, "bb")
    second = control_plane.cluster.api("GET", f"{path}&continue={first['metadata']['continue']}")
    third = control_plane.cluster.api("GET", f"{path}&continue={second['metadata']['continue']}")
    assert [names(page["items"]) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in third["metadata"]


def test_a_page_token_that_nobody_gave_is_refused(control_plane: Ground) -> None:
    refused = control_plane.refusal("GET", f"{control_plane.path('configmaps')}?limit=2&continue=nonsense")
    assert refused.status in (400, 410)


def test_a_watch_goes_on_where_the_list_ended(control_plane: Ground) -> None:
    make(control_plane, "before")
    version = control_plane.cluster.api("GET", control_plane.path("configmaps"))["metadata"]["resourceVersion"]
    make(control_plane, "one")
    control_plane.patch("configmaps", "one", {"data": {"a": "1"}})
    control_plane.cluster.api("DELETE", control_plane.path("configmaps", "one"))
    seen = events(control_plane, f"resourceVersion={version}", 3)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_a_watch_without_a_version_begins_with_what_is_there(control_plane: Ground) -> None:
    make(control_plane, "one")
    make(control_plane, "two")
    assert sorted(events(control_plane, "labelSelector=part", 2)) == [("ADDED", "one"), ("ADDED", "two")]


def test_what_no_longer_matches_is_deleted_for_who_watches(control_plane: Ground) -> None:
    version = make(control_plane, "one", app="a")["metadata"]["resourceVersion"]
    control_plane.patch("configmaps", "one", {"metadata": {"labels": {"app": "b"}}})
    control_plane.patch("configmaps", "one", {"metadata": {"labels": {"app": "a"}}})
    seen = events(control_plane, f"labelSelector=app%3Da&resourceVersion={version}", 2)
    assert seen == [("DELETED", "one"), ("ADDED", "one")]


def test_a_watch_of_one_name_hears_of_no_other(control_plane: Ground) -> None:
    version = make(control_plane, "other")["metadata"]["resourceVersion"]
    make(control_plane, "another")
    make(control_plane, "one")
    query = f"fieldSelector=metadata.name%3Done&resourceVersion={version}"
    assert events(control_plane, query, 1) == [("ADDED", "one")]


def test_a_version_from_before_the_history_is_expired(control_plane: Ground) -> None:
    # Of Certificates: their definition is younger than the cluster, and so is all that is remembered of them.
    (event,) = control_plane.cluster.client.watch(f"{control_plane.path('certificates')}?resourceVersion=1", 10)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_every_event_has_a_later_version_than_the_one_before(control_plane: Ground) -> None:
    version = make(control_plane, "one")["metadata"]["resourceVersion"]
    for value in "123":
        control_plane.patch("configmaps", "one", {"data": {"a": value}})
    control_plane.cluster.api("DELETE", control_plane.path("configmaps", "one"))
    watch = control_plane.cluster.client.watch(f"{control_plane.path('configmaps')}?resourceVersion={version}", 10)
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in itertools.islice(watch, 4)]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


def test_metadata_alone_can_be_asked_for(control_plane: Ground) -> None:
    control_plane.create("configmaps", {"metadata": {"name": "one"}, "data": {"a": "1"}})
    path, parameters = control_plane.path("configmaps"), {"fieldSelector": "metadata.name=one"}
    with control_plane.cluster.entered():
        client = ClusterClient.connect(kubeconfig=str(control_plane.cluster.kubeconfig))
        listed = client.get(path, parameters, accept=_METADATA_ONLY_LIST)
        with client.stream(path, {**parameters, "watch": "1"}, accept=_METADATA_ONLY) as lines:
            event = json.loads(next(lines))
        client.close()
    for seen in (*listed["items"], event["object"]):
        assert (seen["kind"], seen["metadata"]["name"]) == ("PartialObjectMetadata", "one")
        assert "data" not in seen


@pytest.mark.thorough
def test_a_watch_ends_when_its_time_is_over(control_plane: Ground) -> None:
    make(control_plane, "one")
    (only,) = control_plane.cluster.client.watch(f"{control_plane.path('configmaps')}?labelSelector=part", 1)
    assert only["object"]["metadata"]["name"] == "one"
