"""An embedded cluster on a clock that stands still, with a build service and its workers in it."""

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509

from certlag.model import Endpoint, ObjectKey, Presented, ProbeError, ProbeFailure
from rehearsal.api.resources import CERTIFICATES, DEPLOYMENTS, ISSUERS, PODS, SECRETS, Resource
from rehearsal.api.storage import Key
from rehearsal.client import InProcessClient
from rehearsal.cluster import EmbeddedCluster
from rehearsal.node.network import SimulatedNetwork
from rehearsal.node.programs import BUILD_SERVICE, IDLE, Program
from rehearsal.objects import Document
from tests.fake_clock import FakeClock

NAMESPACE = "default"
SERVICE, WORKER = "service", "worker"
PORT = 1234
CHANGE = timedelta(minutes=10)
TOKEN = "token"
MERGE_PATCH = "application/merge-patch+json"

PROGRAMS = {"service": BUILD_SERVICE, "worker": Program(change=CHANGE), "idle": IDLE}


@dataclass(frozen=True)
class Place:
    """A cluster, its clock and its network."""

    clock: FakeClock
    network: SimulatedNetwork
    cluster: EmbeddedCluster

    @property
    def client(self) -> InProcessClient:
        """A client who may do everything that is not denied."""
        return InProcessClient(self.cluster.api, TOKEN, after=self.cluster.step)

    def pass_time(self, **length: float) -> None:
        """Let time pass, and happen what is due meanwhile."""
        self.cluster.advance(self.clock, timedelta(**length))

    def get(self, resource: Resource, name: str) -> Document:
        return self.cluster.api.objects.get(resource, Key(NAMESPACE, name))

    def patch(self, resource: Resource, name: str, patch: Document, manager: str = "tester") -> None:
        self.cluster.api.objects.patch(resource, Key(NAMESPACE, name), patch, MERGE_PATCH, manager)
        self.cluster.step()

    def scale(self, name: str, replicas: int) -> None:
        self.patch(DEPLOYMENTS, name, {"spec": {"replicas": replicas}})

    def restart(self, name: str, how: str = "again") -> None:
        annotations = {"certlag.dev/restart-id": how}
        self.patch(DEPLOYMENTS, name, {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def pods(self, name: str) -> list[Document]:
        found = self.cluster.api.storage.all(PODS).values()
        return [pod for pod in found if pod["metadata"]["labels"].get("app") == name]

    def pod(self, name: str) -> Document:
        (only,) = self.pods(name)
        return only

    def issued(self) -> x509.Certificate:
        """The certificate in the build service's Secret."""
        data = self.get(SECRETS, SERVICE)["data"]
        return x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))

    def presented(self, name: str = SERVICE) -> x509.Certificate | ProbeFailure:
        """What the only pod of a workload presents, or why nothing is."""
        pod = self.pod(name)
        key = ObjectKey(NAMESPACE, pod["metadata"]["name"])
        address = pod["status"].get("podIP", "")
        endpoint = Endpoint(key, pod["metadata"]["uid"], address, name, "", PORT, name)
        outcome = self.network.shake_hands(endpoint, self.clock).outcome
        match outcome:
            case Presented(chain):
                return x509.load_der_x509_certificate(chain.der[0])
            case ProbeError(failure, _):
                return failure


def place(**options: Any) -> Place:
    """Make a cluster with a build service of one pod, its certificate of 90 days, and three workers; all is ready."""
    clock, network = FakeClock(), SimulatedNetwork()
    cluster = EmbeddedCluster(clock, network=network, programs=PROGRAMS, **options)
    cluster.api.access.users[TOKEN] = "tester"
    made = Place(clock, network, cluster)
    for name, spec in (("root", {"selfSigned": {}}), ("authority", {"ca": {"secretName": "authority"}})):
        cluster.apply(ISSUERS, NAMESPACE, {"metadata": {"name": name}, "spec": spec})
    certify(made, "authority", "root", isCA=True, commonName="authority", duration="87600h")
    certify(made, SERVICE, "authority", dnsNames=[SERVICE], renewBefore="720h")
    deploy(made, SERVICE, secret=SERVICE)
    deploy(made, WORKER, replicas=3, grace=3600)
    made.pass_time(minutes=1)
    return made


def certify(at: Place, name: str, issuer: str, **spec: Any) -> None:
    body = {"secretName": name, "issuerRef": {"name": issuer}, **spec}
    at.cluster.apply(CERTIFICATES, NAMESPACE, {"metadata": {"name": name}, "spec": body})


def deploy(at: Place, name: str, *, replicas: int = 1, grace: int = 30, secret: str = "", **spec: Any) -> None:
    """Create a Deployment of one container whose image has its name."""
    container: Document = {"name": name, "image": name, "ports": [{"containerPort": PORT}]}
    pod: Document = {"terminationGracePeriodSeconds": grace, "containers": [container]}
    if secret:
        container["volumeMounts"] = [{"name": "tls", "mountPath": "/tls"}]
        pod["volumes"] = [{"name": "tls", "secret": {"secretName": secret}}]
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    at.cluster.apply(DEPLOYMENTS, NAMESPACE, {"metadata": {"name": name}, "spec": body})
