"""From outside the cluster's network, as from a laptop: what pods present is seen through the API server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from certlag.clock import SystemClock
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.transport import Connection
from certlag.model import Endpoint, ObjectKey, Presented, Probe, ProbeError, ProbeFailure
from certlag.tls.handshake import Stream, probe
from runbook.kube.port_forward import port_forward
from tests.api_proxy import ApiProxy, api_proxy
from tests.bench.cluster import Cluster
from tests.bench.opschain import BUILD_SERVICE, PORT, Opschain

pytestmark = pytest.mark.cluster


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[ApiProxy]:
    with api_proxy(cluster) as made:
        yield made


def laptop(proxy: ApiProxy, opschain: Opschain, folder: Path, token: str) -> Connection:
    return Connection.find(kubeconfig=str(proxy.kubeconfig(folder, token, opschain.namespace)))


def ask(connection: Connection, opschain: Opschain, port: int) -> Probe:
    (pod,) = opschain.pods(BUILD_SERVICE)
    key = ObjectKey(opschain.namespace, pod["metadata"]["name"])
    endpoint = Endpoint(key, pod["metadata"]["uid"], pod["status"]["podIP"], "main", "id", port, BUILD_SERVICE)

    def through_the_api_server(to: Endpoint, timeout: float) -> Stream:
        return port_forward(connection, to.pod.namespace, to.pod.name, to.port, timeout=timeout)

    return probe(endpoint, SystemClock(), timeout=20, connect=through_the_api_server)


def test_a_handshake_through_the_api_server_shows_what_the_build_service_presents(
    proxy: ApiProxy, opschain: Opschain, tmp_path: Path
) -> None:
    connection = laptop(proxy, opschain, tmp_path, opschain.cluster.client.token)
    (pod,) = opschain.pods(BUILD_SERVICE)
    for _ in range(20):
        outcome = ask(connection, opschain, PORT).outcome
        assert isinstance(outcome, Presented), outcome
        assert outcome.chain.leaf.not_before == opschain.presented(pod).not_valid_before_utc
        assert int(outcome.chain.leaf.serial_number, 16) == opschain.presented(pod).serial_number
    assert {request.status for request in proxy.requests} == {101}


def test_a_port_on_which_nothing_listens_is_refused(proxy: ApiProxy, opschain: Opschain, tmp_path: Path) -> None:
    result = ask(laptop(proxy, opschain, tmp_path, opschain.cluster.client.token), opschain, 9)
    assert isinstance(result.outcome, ProbeError)
    assert result.outcome.failure is ProbeFailure.CONNECTION_REFUSED


def test_who_may_not_forward_learns_it(proxy: ApiProxy, opschain: Opschain, tmp_path: Path) -> None:
    token = opschain.cluster.token(opschain.namespace, "default")
    connection = laptop(proxy, opschain, tmp_path, token)
    result = ask(connection, opschain, PORT)
    assert isinstance(result.outcome, ProbeError)
    assert result.outcome.failure is ProbeFailure.UNREACHABLE
    assert "forbidden" in result.outcome.detail
    with pytest.raises(ClusterError) as caught:
        port_forward(connection, opschain.namespace, "any", PORT, timeout=20)
    assert (caught.value.reason, caught.value.status) == (ClusterErrorReason.FORBIDDEN, 403)


RULES = [
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
]


def test_get_and_create_on_portforward_are_all_the_rights_it_needs(
    proxy: ApiProxy, opschain: Opschain, tmp_path: Path
) -> None:
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "forward"}, "rules": RULES}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "forward"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "forward"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [role, binding]}
    opschain.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(listed), namespace=opschain.namespace)
    token = opschain.cluster.token(opschain.namespace, "default")
    result = ask(laptop(proxy, opschain, tmp_path, token), opschain, PORT)
    assert isinstance(result.outcome, Presented), result.outcome
