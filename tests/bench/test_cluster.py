"""What the whole cluster must be able to do before anything is proved on it."""

import json
import socket
import time
from pathlib import Path

import pytest

from tests.bench import images, opschain, waiting
from tests.bench.api import ApiError
from tests.bench.cluster import Cluster, Object
from tests.bench.opschain import BUILD_SERVICE, WORKER, Opschain

pytestmark = pytest.mark.cluster

BUILDCTL_WAITS = 8.0
"""Seconds: longer than buildctl tries to connect (its --timeout is 5 by default)."""


def test_a_pod_reads_the_api_with_its_own_token_through_the_kubernetes_service(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl(
        "create",
        "rolebinding",
        "reader",
        "--clusterrole=view",
        f"--serviceaccount={namespace}:default",
        namespace=namespace,
    )
    pods = f"/api/v1/namespaces/{namespace}/pods"
    cluster.api(
        "POST",
        pods,
        {
            "metadata": {"name": "reader"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "reader",
                        "image": images.APIREAD,
                        "imagePullPolicy": "Never",
                        "command": ["apiread", f"{pods}/reader"],
                    }
                ],
            },
        },
    )
    cluster.wait(f"{pods}/reader", lambda pod: pod["status"]["phase"] == "Succeeded")
    answer = json.loads(cluster.kubectl("logs", "reader", namespace=namespace))
    assert answer["metadata"]["name"] == "reader"
    who = f"system:serviceaccount:{namespace}:default"
    assert [event["verb"] for event in cluster.audit_events(who)] == ["get"]


def test_buildkitd_goes_on_presenting_the_old_certificate_after_a_renewal(opschain: Opschain) -> None:
    before = opschain.issued()
    (pod,) = opschain.pods(BUILD_SERVICE)
    assert opschain.presented(pod) == before
    opschain.cluster.renew(opschain.namespace, BUILD_SERVICE)
    renewed = opschain.issued()
    assert renewed.serial_number != before.serial_number

    def mounted() -> bool:
        text = opschain.cluster.kubectl(
            "exec", pod["metadata"]["name"], "--", "cat", "/certificate/tls.crt", namespace=opschain.namespace
        )
        return text.encode() == opschain.issued_pem()

    # Even when the pod has the new one before its eyes.
    waiting.until("the new certificate to be in the pod's volume", mounted, 90)
    assert opschain.presented(pod).serial_number == before.serial_number


def test_the_builds_of_all_workers_succeed_over_mutual_tls(opschain: Opschain) -> None:
    workers = {pod["metadata"]["name"] for pod in opschain.pods(WORKER)}
    assert len(workers) == 3
    waiting.until("a build of every worker to end", lambda: {each.pod for each in opschain.builds()} == workers)
    assert [each for each in opschain.builds() if each.exit != 0] == []


def test_a_worker_that_is_told_to_stop_finishes_its_build(cluster: Cluster, namespace: str) -> None:
    placed = opschain.deploy(cluster, namespace, workers=1, build_seconds=6)
    (pod,) = placed.pods(WORKER)
    name = pod["metadata"]["name"]
    ended = len(placed.builds())
    waiting.until("a build to be in progress", lambda: len(placed.begun()) > len(placed.builds()))
    placed.scale(WORKER, 0)
    cluster.wait(placed.path("pods", name), lambda seen: "deletionTimestamp" in seen["metadata"])
    cluster.wait_gone(placed.path("pods", name))
    last = placed.builds()[-1]
    assert len(placed.builds()) > ended
    assert (last.pod, last.exit, last.stopping) == (name, 0, True)
    assert len(placed.begun()) == len(placed.builds())


def test_builds_that_are_cut_off_are_told_from_those_that_ended(cluster: Cluster, namespace: str) -> None:
    placed = opschain.deploy(cluster, namespace, workers=1, build_seconds=60)
    waiting.until("a build to begin", placed.begun)
    (daemon,) = placed.pods(BUILD_SERVICE)
    end_at_once(placed, daemon)
    # The next ones fail too, where the service takes longer to come again than buildctl waits for it.
    cut = waiting.until("the build to fail", placed.builds)
    assert {(each.exit != 0, each.stopping) for each in cut} == {(True, False)}
    placed.wait_available(BUILD_SERVICE)
    waiting.until("the next build to be under way", lambda: is_under_way(placed))
    (worker,) = placed.pods(WORKER)
    end_at_once(placed, worker)
    name = worker["metadata"]["name"]
    # Killed in the midst of it: nobody was left to write down how it ended.
    assert placed.begun().count(name) == 1 + sum(each.pod == name for each in placed.builds())


def is_under_way(placed: Opschain) -> bool:
    """Whether a build runs on the service: it lasts longer than buildctl would wait for a service that is not there."""
    begun_ago = time.time() - (placed.outcomes / "begun").stat().st_mtime
    return len(placed.begun()) > len(placed.builds()) and begun_ago > BUILDCTL_WAITS


def end_at_once(placed: Opschain, pod: Object) -> None:
    path = placed.path("pods", pod["metadata"]["name"])
    placed.cluster.api("DELETE", f"{path}?gracePeriodSeconds=1")
    placed.cluster.wait_gone(path)


def test_a_thread_enters_the_clusters_network_and_leaves_it_again(cluster: Cluster) -> None:
    assert cluster.netns is not None
    network = Path("/proc/thread-self/ns/net")
    outside = network.stat().st_ino
    with cluster.entered():
        assert network.stat().st_ino == cluster.netns.stat().st_ino
        socket.create_connection((cluster.node_address, cluster.client.port), 5).close()
    assert network.stat().st_ino == outside
    assert outside != cluster.netns.stat().st_ino


def test_a_token_of_a_service_account_is_bound_by_its_rights(cluster: Cluster, namespace: str) -> None:
    client = cluster.client_of(cluster.token(namespace, "default"))
    with pytest.raises(ApiError, match="403"):
        client.call("GET", f"/api/v1/namespaces/{namespace}/secrets")
