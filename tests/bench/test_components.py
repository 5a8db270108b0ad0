"""Components of the shared cluster are killed and started again, and it goes on as if nothing had been."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Cluster
from tests.bench.opschain import BUILD_SERVICE, Opschain

pytestmark = [pytest.mark.cluster, pytest.mark.serial]

COMPONENTS = (
    "kube-apiserver",
    "etcd",
    "kube-controller-manager",
    "kube-scheduler",
    "cert-manager",
    "containerd",
    "kubelet",
    "kube-proxy",
)


def test_every_component_may_be_killed_and_started_again(opschain: Opschain) -> None:
    cluster = opschain.cluster
    (pod,) = opschain.pods(BUILD_SERVICE)
    for component in COMPONENTS:
        before = cluster.pid(component)
        cluster.kill(component)
        assert cluster.start(component) != before
    # The pod never noticed; a new one can be scheduled, run and found ready; certificates are issued.
    assert [each["metadata"]["uid"] for each in opschain.pods(BUILD_SERVICE)] == [pod["metadata"]["uid"]]
    cluster.renew(opschain.namespace, BUILD_SERVICE)
    cluster.kubectl("rollout", "restart", f"deployment/{BUILD_SERVICE}", namespace=opschain.namespace)
    opschain.wait_available(BUILD_SERVICE)


def test_the_api_server_answers_again_with_what_was_there(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    before = cluster.api("GET", path)["metadata"]["uid"]
    cluster.kill("kube-apiserver")
    with pytest.raises(OSError, match="refused"):
        cluster.api("GET", path)
    cluster.start("kube-apiserver")
    assert cluster.api("GET", path)["metadata"]["uid"] == before


def test_a_wait_outlives_the_api_server(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.api("POST", path, {"metadata": {"name": "waited-for"}})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cluster.wait, f"{path}/waited-for", lambda seen: "data" in seen)
        cluster.kill("kube-apiserver")
        cluster.start("kube-apiserver")
        cluster.api("PATCH", f"{path}/waited-for", {"data": {"a": "1"}}, MERGE_PATCH)
        assert waiting.result()["data"] == {"a": "1"}


def test_whatever_was_killed_is_restored_in_the_order_of_starting(cluster: Cluster) -> None:
    cluster.kill("kube-apiserver")
    cluster.kill("etcd")
    with pytest.raises(AssertionError, match="does not run"):
        cluster.pid("etcd")
    assert cluster.restore() == ["etcd", "kube-apiserver"]
    assert cluster.restore() == []


def test_a_component_that_runs_is_not_started_twice(cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match="kill it first"):
        cluster.start("etcd")
    with pytest.raises(AssertionError, match="no component no-such: there are etcd,"):
        cluster.kill("no-such")
