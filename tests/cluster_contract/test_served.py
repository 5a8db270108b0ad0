"""What pods present, and how they are reached."""

import ssl
from datetime import timedelta

import pytest
from cryptography import x509

from certlag.clock import SystemClock
from certlag.kube.transport import Connection
from certlag.model import Endpoint, ObjectKey, Presented, Probe, ProbeError, ProbeFailure
from certlag.tls.handshake import probe
from runbook.kube.port_forward import port_forward
from tests.bench import waiting
from tests.bench.cluster import Object
from tests.cluster_contract.grounds import PORT, Ground
from tests.cluster_contract.test_certificates import leaf, wait_issued
from tests.cluster_contract.test_workloads import RESTART

pytestmark = pytest.mark.thorough

NAME = "served"


def served(ground: Ground, **options: int) -> Object:
    """Deploy a server, and return its pod once it presents its certificate."""
    ground.tls_server(NAME, **options)
    wait_issued(ground, 1, NAME)
    ground.wait_rolled_out(NAME)
    return ground.pods(NAME)[0]


def presented(ground: Ground, pod: Object) -> x509.Certificate:
    return ground.cluster.presented(pod["status"]["podIP"], PORT, NAME)


def forwarded(ground: Ground, pod: Object, port: int) -> Probe:
    """Shake hands with a pod through the API server."""
    name = pod["metadata"]["name"]
    endpoint = Endpoint(ObjectKey(ground.namespace, name), pod["metadata"]["uid"], "", "server", "", port, NAME)
    with ground.cluster.entered():
        connection = Connection.find(kubeconfig=str(ground.cluster.kubeconfig))
        found = probe(
            endpoint,
            SystemClock(),
            timeout=10,
            connect=lambda asked, timeout: port_forward(
                connection, asked.pod.namespace, asked.pod.name, asked.port, timeout=timeout
            ),
        )
        connection.close()
    return found


def test_a_server_goes_on_presenting_the_certificate_that_it_has_loaded(ground: Ground) -> None:
    pod = served(ground)
    before = leaf(ground, NAME)
    assert presented(ground, pod) == before
    ground.cluster.renew(ground.namespace, NAME)
    assert leaf(ground, NAME) != before
    assert presented(ground, pod) == before


def test_a_restarted_server_presents_the_new_certificate(ground: Ground) -> None:
    before = served(ground)
    ground.cluster.renew(ground.namespace, NAME)
    ground.patch("deployments", NAME, RESTART)
    ground.wait_rolled_out(NAME)

    def after() -> Object | None:
        pods = [pod for pod in ground.pods(NAME) if pod["metadata"]["uid"] != before["metadata"]["uid"]]
        return pods[0] if len(pods) == len(ground.pods(NAME)) == 1 else None

    pod = waiting.until("only the new pod to be left", after)
    assert presented(ground, pod) == leaf(ground, NAME)


def test_a_server_lets_nobody_in_without_a_client_certificate(ground: Ground) -> None:
    pod = served(ground)
    assert was_refused(ground, pod["status"]["podIP"])


def was_refused(ground: Ground, address: str) -> bool:
    """Tell whether a server drops a client that has no certificate: in TLS 1.3 it is told after the handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ground.cluster.connect(address, PORT) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=NAME) as encrypted:
                encrypted.sendall(b"hello")
                return encrypted.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


def test_each_replica_is_reached_at_its_own_address(ground: Ground) -> None:
    served(ground, replicas=2)
    pods = ground.pods(NAME)
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    assert {presented(ground, pod).serial_number for pod in pods} == {leaf(ground, NAME).serial_number}


def test_a_pod_is_reached_through_the_api_server(ground: Ground) -> None:
    found = forwarded(ground, served(ground), PORT)
    assert isinstance(found.outcome, Presented), found.outcome
    assert x509.load_der_x509_certificate(found.outcome.chain.der[0]) == leaf(ground, NAME)


def test_a_port_on_which_nothing_listens_is_refused_through_the_api_server_too(ground: Ground) -> None:
    found = forwarded(ground, served(ground), PORT + 1)
    assert isinstance(found.outcome, ProbeError)
    assert found.outcome.failure is ProbeFailure.CONNECTION_REFUSED
    assert found.duration < timedelta(seconds=5)


def test_no_pod_of_that_name_is_not_found_through_the_api_server(ground: Ground) -> None:
    pod = {"metadata": {"name": "none", "uid": "none"}}
    found = forwarded(ground, pod, PORT)
    assert isinstance(found.outcome, ProbeError)
    assert "404" in found.outcome.detail
