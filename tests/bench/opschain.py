"""OpsChain's build service and workers in a namespace of the whole cluster."""

import base64
import json
import string
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509

from tests.bench import images, waiting
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Cluster, Object

MANIFEST = Path(__file__).parent / "manifests" / "opschain.yaml"
BUILD_SERVICE = "opschain-build-service"
WORKER = "opschain-api-worker"
PORT = 1234


@dataclass(frozen=True)
class Build:
    """One build, as the worker that ran it wrote it down. `stopping`: it had been told to end meanwhile."""

    pod: str
    start: int
    end: int
    exit: int
    stopping: bool


@dataclass(frozen=True)
class Opschain:
    """The build service and its workers in one namespace."""

    cluster: Cluster
    namespace: str

    @property
    def outcomes(self) -> Path:
        """The folder on the node in which workers write down their builds."""
        return self.cluster.directory / "outcomes" / self.namespace

    def path(self, plural: str, name: str) -> str:
        """The API path of one object here: `deployments`, `certificates`, or of the core group."""
        groups = {"deployments": "apis/apps/v1", "certificates": "apis/cert-manager.io/v1"}
        return f"/{groups.get(plural, 'api/v1')}/namespaces/{self.namespace}/{plural}/{name}"

    def pods(self, application: str) -> list[Object]:
        """The pods of the build service or of the workers, those that are ending among them."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{application}"
        pods: list[Object] = self.cluster.api("GET", path)["items"]
        return pods

    def scale(self, workload: str, replicas: int) -> None:
        """Ask for another number of replicas, without waiting."""
        path = self.path("deployments", workload)
        self.cluster.api("PATCH", path, {"spec": {"replicas": replicas}}, MERGE_PATCH)

    def wait_available(self, workload: str, seconds: float = 90) -> Object:
        """Wait until all replicas that are asked for are of the present template, and available."""

        def available(seen: Object) -> bool:
            status = seen.get("status", {})
            wanted = seen["spec"]["replicas"]
            return status.get("observedGeneration") == seen["metadata"]["generation"] and all(
                status.get(count, 0) == wanted for count in ("replicas", "updatedReplicas", "availableReplicas")
            )

        return self.cluster.wait(self.path("deployments", workload), available, seconds)

    def issued(self, certificate: str = BUILD_SERVICE) -> x509.Certificate:
        """The certificate in the Secret. Read by the administrator: what is tested reads no Secret."""
        return x509.load_pem_x509_certificate(self.issued_pem(certificate))

    def issued_pem(self, certificate: str = BUILD_SERVICE) -> bytes:
        """What stands in the Secret, as text."""
        secret = self.cluster.api("GET", self.path("secrets", certificate))
        return base64.b64decode(secret["data"]["tls.crt"])

    def presented(self, pod: Object) -> x509.Certificate:
        """The certificate that the buildkitd in a pod presents."""
        return self.cluster.presented(pod["status"]["podIP"], PORT, BUILD_SERVICE)

    def builds(self) -> list[Build]:
        """The builds that ended, in the order in which they did."""
        file = self.outcomes / "outcomes"
        lines = file.read_text().splitlines() if file.exists() else []
        return [Build(**{**(each := json.loads(line)), "stopping": each["stopping"] == "yes"}) for line in lines]

    def begun(self) -> list[str]:
        """The name of the pod for each build that was begun: more than ended, if one is running or was killed."""
        file = self.outcomes / "begun"
        return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def deploy(
    cluster: Cluster, namespace: str, *, workers: int = 3, build_seconds: float = 2, seconds: float = 120
) -> Opschain:
    """Put OpsChain into a namespace and wait until all of it is ready.

    Workers come after the build service answers through its Service, so that no build fails for having come too
    early: kube-proxy learns of a ready pod a moment later than anyone who watches the Deployment.
    """
    placed = Opschain(cluster, namespace)
    substituted = string.Template(MANIFEST.read_text()).substitute(
        buildkit_image=images.BUILDKIT,
        worker_image=images.WORKER,
        workers=workers,
        build_seconds=build_seconds,
        outcomes=placed.outcomes,
    )
    documents = list(yaml.safe_load_all(substituted))
    later = [each for each in documents if each["kind"] == "Deployment" and each["metadata"]["name"] == WORKER]
    _apply(placed, [each for each in documents if each not in later])
    placed.wait_available(BUILD_SERVICE, seconds)
    address = cluster.api("GET", placed.path("services", BUILD_SERVICE))["spec"]["clusterIP"]
    waiting.until("the build service to answer through its Service", lambda: _answers(cluster, address))
    _apply(placed, later)
    placed.wait_available(WORKER, seconds)
    return placed


def _answers(cluster: Cluster, address: str) -> bool:
    cluster.connect(address, PORT, timeout=2).close()
    return True


def _apply(placed: Opschain, documents: list[Object]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    placed.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(listed), namespace=placed.namespace)
