"""Where it happens: an embedded cluster with two targets, workers to drain, and certificates that are renewed often."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from certlag.clock import Clock
from certlag.config.schema import Configuration, parse
from certlag.model import Endpoint, Probe
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import CERTIFICATES, DEPLOYMENTS, ISSUERS, STATEFUL_SETS, Resource
from rehearsal.api.storage import Key
from rehearsal.cluster import EmbeddedCluster
from rehearsal.node.network import KeyPair, SimulatedNetwork
from rehearsal.node.programs import BUILD_SERVICE, CRASHING, Program
from rehearsal.objects import Document
from tests.fake_clock import FakeClock

NAMESPACE = "opschain"
PORT = 1234
TOKEN = "token"
NODES = ("node-1", "node-2", "node-3")
BROKEN = "broken"
"""An image whose container never works."""
PROGRAMS = {
    BROKEN: CRASHING,
    "service": BUILD_SERVICE,
    "builder": Program(change=timedelta(minutes=2)),
    "tester": Program(change=timedelta(minutes=1)),
    "registry": BUILD_SERVICE,
}
RESOURCES = {"deployment": DEPLOYMENTS, "statefulset": STATEFUL_SETS}
CONFIGURATION = {
    "targets": [
        {
            "name": "build-service",
            "namespace": NAMESPACE,
            "workload": "deployment/service",
            "certificate": "service",
            "port": PORT,
            "workers": ["deployment/builder", "statefulset/tester"],
        },
        {
            "name": "registry",
            "namespace": NAMESPACE,
            "workload": "statefulset/registry",
            "certificate": "registry",
            "port": PORT,
        },
    ]
}


class RememberingNetwork(SimulatedNetwork):
    """A network that remembers what is served at each address: no address is given out twice."""

    def __init__(self) -> None:
        super().__init__()
        self.served: dict[str, bytes] = {}
        """The certificates (PEM) of each address where something listens at present."""
        self.loaded: dict[str, bytes] = {}
        """What was loaded at each address last, whether or not it still answers."""
        self.version = 0
        """How often something began or ceased to listen."""
        self.asked = 0
        """How often somebody shook hands, or tried to."""

    def listen(self, address: str, port: int, pair: KeyPair, old: KeyPair | None = None) -> None:
        """Serve there."""
        super().listen(address, port, pair, old)
        self.served[address] = self.loaded[address] = pair.certificate
        self.version += 1

    def shake_hands(self, endpoint: Endpoint, clock: Clock) -> Probe:
        """Count it."""
        self.asked += 1
        return super().shake_hands(endpoint, clock)

    def close(self, address: str, port: int) -> None:
        """Serve there no longer."""
        super().close(address, port)
        self.served.pop(address, None)
        self.version += 1


@dataclass
class Place:
    """The cluster with its clock and network, and what certlag is configured for there."""

    clock: FakeClock
    network: RememberingNetwork
    cluster: EmbeddedCluster
    configuration: Configuration
    chance: random.Random = field(repr=False)
    forwards: bool = True
    """Whether commands reach pods. The exporter is in the cluster, and does in any case."""

    def get(self, resource: Resource, name: str) -> Document | None:
        """Return an object as it stands."""
        return self.cluster.api.storage.get(resource, Key(NAMESPACE, name))

    def patch(self, resource: Resource, name: str, patch: Mapping[str, Any], by: str, *, subresource: str = "") -> None:
        """Change an object as somebody with kubectl does; what is not there, or what a policy keeps, is left alone."""
        if self.get(resource, name) is not None:
            key = Key(NAMESPACE, name)
            try:
                self.cluster.api.objects.patch(resource, key, patch, MERGE_PATCH, by, subresource=subresource)
            except Refusal as refusal:
                if "ValidatingAdmissionPolicy" not in str(refusal):
                    raise

    def everything(self, resource: Resource) -> list[Document]:
        """Return all objects of a resource, by name."""
        return [document for _, document in sorted(self.cluster.api.storage.all(resource).items())]


def found(seed: int) -> Place:
    """Make the place, and let a minute pass: all is issued, all runs, all is settled."""
    clock, network, chance = FakeClock(), RememberingNetwork(), random.Random(seed)  # noqa: S311 - fate, no secret
    cluster = EmbeddedCluster(
        clock, network=network, programs=PROGRAMS, nodes=("node-1", "node-2", "node-3"), keda=True, seed=seed
    )
    cluster.api.access.users[TOKEN] = "simulation"
    cluster.create_namespace(NAMESPACE)
    for name, spec in ISSUER_SPECS.items():
        cluster.apply(ISSUERS, NAMESPACE, {"metadata": {"name": name}, "spec": spec})
    configuration = parse(json.dumps(CONFIGURATION), source="simulation", default_namespace=NAMESPACE)
    place = Place(clock, network, cluster, configuration, chance)
    for name in CERTIFICATE_SPECS:
        certify(place, name)
    cluster.step()
    for (kind, name), workload in WORKLOADS.items():
        cluster.apply(RESOURCES[kind], NAMESPACE, workload_document(name, workload))
    cluster.advance(clock, timedelta(minutes=1))
    return place


ISSUER_SPECS: dict[str, Document] = {
    "self-signed": {"selfSigned": {}},
    "authority": {"ca": {"secretName": "authority"}},
    "intermediate": {"ca": {"secretName": "intermediate"}},
}
CERTIFICATE_SPECS: dict[str, tuple[str, Document]] = {
    "authority": ("self-signed", {"isCA": True, "commonName": "authority", "duration": "8760h"}),
    "intermediate": ("authority", {"isCA": True, "commonName": "intermediate", "duration": "4380h"}),
    "service": ("authority", {"dnsNames": ["service"], "duration": "2160h", "renewBefore": "720h"}),
    "registry": (
        "intermediate",
        {"dnsNames": ["registry"], "duration": "1440h", "renewBeforePercentage": 25, "revisionHistoryLimit": 3},
    ),
}
WORKLOADS: dict[tuple[str, str], Document] = {
    ("deployment", "service"): {"replicas": 2, "secret": "service"},
    ("deployment", "builder"): {"replicas": 3, "grace": 3600, "history": 0},
    ("statefulset", "tester"): {"replicas": 2, "grace": 900, "volume": "results"},
    ("statefulset", "registry"): {"replicas": 2, "secret": "registry"},
}


def certify(place: Place, name: str) -> None:
    """Create a Certificate whose Secret has its name, unless it is there."""
    if place.get(CERTIFICATES, name) is None:
        issuer, spec = CERTIFICATE_SPECS[name]
        body = {"secretName": name, "issuerRef": {"name": issuer}, **spec}
        place.cluster.apply(CERTIFICATES, NAMESPACE, {"metadata": {"name": name}, "spec": body})


def workload_document(name: str, workload: Mapping[str, Any]) -> Document:
    """Return a workload of one container whose image has its name."""
    container: Document = {"name": name, "image": name}
    pod: Document = {"terminationGracePeriodSeconds": workload.get("grace", 30), "containers": [container]}
    if "secret" in workload:
        container["ports"] = [{"containerPort": PORT}]
        container["volumeMounts"] = [{"name": "tls", "mountPath": "/tls"}]
        pod["volumes"] = [{"name": "tls", "secret": {"secretName": workload["secret"]}}]
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    selector = {"matchLabels": {"app": name}}
    history = {"revisionHistoryLimit": workload["history"]} if "history" in workload else {}
    spec = {
        "replicas": workload["replicas"],
        "selector": selector,
        "template": template,
        "serviceName": name,
        **history,
    }
    if "volume" in workload:
        spec["volumeClaimTemplates"] = [{"metadata": {"name": workload["volume"]}, "spec": {}}]
    return {"metadata": {"name": name}, "spec": spec}
