"""The two clusters behind one face: a namespace, the API, and containers that behave alike on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rehearsal.live.cluster import LiveCluster, background
from rehearsal.node.programs import BUILD_SERVICE, CRASHING, IDLE, STUBBORN, Program
from tests.bench import images, servers
from tests.bench.api import MERGE_PATCH, Api, ApiError
from tests.bench.cluster import Cluster, Object
from tests.bench.needs import Kind

PORT = servers.PORT

_GROUPS = {
    "deployments": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "daemonsets": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
    "poddisruptionbudgets": "apis/policy/v1",
    "scaledobjects": "apis/keda.sh/v1alpha1",
    "certificates": "apis/cert-manager.io/v1",
    "certificaterequests": "apis/cert-manager.io/v1",
    "issuers": "apis/cert-manager.io/v1",
}

FINISHING, FINISHING_LATE = timedelta(seconds=2), timedelta(seconds=8)

_SHELL = {
    "idle": "trap 'exit 0' TERM; while :; do sleep 0.1; done",
    "finishing": "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done",
    "finishing late": "trap 'sleep 8; exit 0' TERM; while :; do sleep 0.1; done",
    "stubborn": "trap '' TERM; while :; do sleep 0.1; done",
    "crashing": "sleep 0.5; exit 1",
}
"""What a container runs on a real cluster, by how it behaves."""

_PROGRAMS = {
    "idle": IDLE,
    "finishing": Program(ends_after=FINISHING),
    "finishing late": Program(ends_after=FINISHING_LATE),
    "stubborn": STUBBORN,
    "crashing": CRASHING,
    "tls": BUILD_SERVICE,
}
"""The same on the embedded one, by image."""


@dataclass(frozen=True)
class Ground:
    """A namespace of one of the two. `cluster` is the real one's own face, which the embedded one takes on too."""

    cluster: Cluster
    namespace: str
    real: bool

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        """The API path of a collection in the namespace, of an object in it, or of a subresource of that."""
        steps = (f"/{_GROUPS.get(plural, 'api/v1')}/namespaces/{self.namespace}/{plural}", name, subresource)
        return "/".join(step for step in steps if step)

    def create(self, plural: str, document: Object, query: str = "") -> Object:
        """Create an object."""
        found: Object = self.cluster.api("POST", self.path(plural) + query, document)
        return found

    def get(self, plural: str, name: str) -> Object:
        """Read an object."""
        found: Object = self.cluster.api("GET", self.path(plural, name))
        return found

    def listed(self, plural: str, query: str = "") -> list[Object]:
        """List objects."""
        found: list[Object] = self.cluster.api("GET", self.path(plural) + query)["items"]
        return found

    def patch(self, plural: str, name: str, patch: Any, query: str = "", content_type: str = MERGE_PATCH) -> Object:
        """Patch an object."""
        found: Object = self.cluster.api("PATCH", self.path(plural, name) + query, patch, content_type)
        return found

    def refusal(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> ApiError:
        """Ask for what is refused, and return how."""
        try:
            answer = self.cluster.api(method, path, body, content_type)
        except ApiError as error:
            return error
        raise AssertionError(f"{method} {path} was not refused: {answer}")

    def container(self, behaviour: str, **more: Any) -> Object:
        """A container that behaves so; one that crashes is never ready before."""
        if behaviour == "crashing":
            more["readinessProbe"] = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
        if not self.real:
            return {"name": "main", "image": behaviour, **more}
        command = ["/bin/sh", "-c", _SHELL[behaviour]]
        return {"name": "main", "image": images.WORKER, "imagePullPolicy": "Never", "command": command, **more}

    def template(self, behaviour: str, *, grace: int = 10, label: str = "probe") -> Object:
        """A pod template with one such container."""
        spec = {
            "terminationGracePeriodSeconds": grace,
            "dnsPolicy": "Default",
            "containers": [self.container(behaviour)],
        }
        return {"metadata": {"labels": {"app": label}}, "spec": spec}

    def workload(
        self, plural: str, behaviour: str = "idle", *, name: str = "probe", grace: int = 10, **spec: Any
    ) -> Object:
        """Create a workload of one such container."""
        body = {
            "selector": {"matchLabels": {"app": name}},
            "template": self.template(behaviour, grace=grace, label=name),
            **({"serviceName": name} if plural == "statefulsets" else {}),
            **spec,
        }
        return self.create(plural, {"metadata": {"name": name}, "spec": body})

    def tls_server(self, name: str, *, replicas: int = 1) -> None:
        """Create a Certificate of an authority of its own, and a Deployment that serves it."""
        for document in (*servers.authority(), servers.certificate(name)):
            plural = f"{document['kind'].lower()}s"
            self.create(plural, {**document, "spec": _without_nothing(document["spec"])})
        server = servers.go(name)
        deployment = servers.deployment(name, [server], replicas=replicas)
        if not self.real:
            for container in deployment["spec"]["template"]["spec"]["containers"]:
                container["image"] = "tls"
                container.pop("command")
        self.create("deployments", _without_nothing(deployment))

    def pods(self, label: str = "probe") -> list[Object]:
        """The pods of a workload."""
        return self.listed("pods", f"?labelSelector=app%3D{label}")

    def wait_rolled_out(self, name: str = "probe", seconds: float = 60) -> Object:
        """Wait until a Deployment is as its spec wants it."""

        def rolled_out(seen: Object) -> bool:
            status, replicas = seen.get("status", {}), seen["spec"]["replicas"]
            counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            is_seen = status.get("observedGeneration") == seen["metadata"]["generation"]
            return is_seen and all(status.get(count, 0) == replicas for count in counts)

        return self.cluster.wait(self.path("deployments", name), rolled_out, seconds)


@contextmanager
def embedded(folder: Path) -> Iterator[tuple[LiveCluster, Cluster]]:
    """Run an embedded cluster, and put the real one's face on it."""
    with background(programs=_PROGRAMS, nodes=("node-1",)) as live:
        authority, kubeconfig = folder / "authority.pem", folder / "kubeconfig"
        authority.write_bytes(live.authority)
        live.write_kubeconfig(kubeconfig, "default")
        face = Cluster(
            kind=Kind.SMALL,
            directory=folder,
            netns=None,
            node_address="127.0.0.1",
            kubeconfig=kubeconfig,
            audit_log=folder / "no-audit-log",
            supervisor=0,
            client=Api("127.0.0.1", live.port, live.token, authority),
        )
        yield live, face


def condition(document: Object, kind: str) -> Object:
    """An object's condition; empty if it has none of that type."""
    conditions = document.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    return value
