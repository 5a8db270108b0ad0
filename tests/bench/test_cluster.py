"""What the whole cluster must be able to do before anything is proved on it."""

import json

import pytest

from tests.bench import images, opschain, waiting
from tests.bench.api import ApiError
from tests.bench.cluster import Cluster
from tests.bench.opschain import BUILD_SERVICE, WORKER, Opschain

pytestmark = pytest.mark.cluster


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


def test_a_token_of_a_service_account_is_bound_by_its_rights(cluster: Cluster, namespace: str) -> None:
    client = cluster.client_of(cluster.token(namespace, "default"))
    with pytest.raises(ApiError, match="403"):
        client.call("GET", f"/api/v1/namespaces/{namespace}/secrets")
