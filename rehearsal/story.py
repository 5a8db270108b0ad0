"""The situation that a rehearsal begins with: OpsChain's build service and its neighbours, with a past. Pure.

The past really happened: the cluster begins months ago on a clock that stands still, certificates are issued, pods load
them, and time is moved on until today. What is found then is what cert-manager and the kubelet made of it:

* `build-service` (Deployment opschain-build-service): renewed ten days ago, not restarted, twenty days left;
* `registry` (Deployment): renewed ten days ago and restarted since: nothing to do;
* `vault` (StatefulSet): its issuer has signed nothing for a while, so its renewal is ten days overdue: a restart
  would not help;
* `cache` (Deployment): nothing answers on its port, so nobody can tell what it has loaded.
"""

import json
from datetime import timedelta
from typing import Any

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CERTIFICATES, DEPLOYMENTS, ISSUERS, STATEFUL_SETS
from rehearsal.api.storage import Key
from rehearsal.cluster import EmbeddedCluster, MovableClock
from rehearsal.node.programs import BUILD_SERVICE, CRASHING, IDLE, Program
from rehearsal.objects import Document

NAMESPACE = "opschain"
PAST = timedelta(days=70)
"""How long ago it begins: certificates of 90 days are renewed after 60, which is then ten days ago."""

IMAGES = {
    "buildkit": "rehearsal/buildkit",
    "worker": "rehearsal/opschain-api-worker",
    "tls": "rehearsal/tls-server",
    "mute": "rehearsal/mute",
    "broken": "rehearsal/opschain-api-worker:broken",
}
"""Nothing is pulled: an image is the name of a program (`rehearsal.node.programs`)."""

CHANGE = timedelta(seconds=20)
"""How long a worker works on one change: long enough to see that it is waited for."""

PORTS = {"opschain-build-service": 1234, "registry": 5000, "vault": 8200, "cache": 6379}
"""Each its own, so that they can share one address where there is only one."""


def programs(*, change: timedelta = CHANGE) -> dict[str, Program]:
    """Return what the containers of the story run."""
    return {
        IMAGES["buildkit"]: BUILD_SERVICE,
        IMAGES["tls"]: BUILD_SERVICE,
        IMAGES["worker"]: Program(change=change),
        IMAGES["mute"]: IDLE,
        IMAGES["broken"]: CRASHING,
    }


def configuration() -> str:
    """Return the exporter's and runbook's configuration for it, as YAML (of the kind that is JSON)."""

    def target(name: str, workload: str, certificate: str, **more: Any) -> Document:
        return {"name": name, "namespace": NAMESPACE, "workload": workload, "certificate": certificate, **more}

    build_service = "opschain-build-service"
    targets = [
        target(
            "build-service",
            f"deployment/{build_service}",
            build_service,
            port=PORTS[build_service],
            serverName=build_service,
            clientAuth=True,
            workers=["deployment/opschain-api-worker"],
        ),
        target("registry", "deployment/registry", "registry", port=PORTS["registry"]),
        target("vault", "statefulset/vault", "vault", port=PORTS["vault"]),
        target("cache", "deployment/cache", "cache", port=PORTS["cache"]),
    ]
    return json.dumps({"targets": targets}, indent=1)


def tell(cluster: EmbeddedCluster, clock: MovableClock) -> None:
    """Let the past of the story happen. The clock (the cluster's own) must stand still, `PAST` before the present."""
    cluster.create_namespace(NAMESPACE)
    for document in _issuers():
        cluster.apply(ISSUERS, NAMESPACE, document)
    for document in _certificates():
        cluster.apply(CERTIFICATES, NAMESPACE, document)
    cluster.step()
    for document in _deployments():
        cluster.apply(DEPLOYMENTS, NAMESPACE, document)
    cluster.apply(STATEFUL_SETS, NAMESPACE, _server("vault", "tls", serviceName="vault", strategy=None))
    cluster.advance(clock, timedelta(days=50))
    cluster.faults.broken_issuers.add("vault-issuer")
    cluster.advance(clock, timedelta(days=11))  # and on the tenth of them, all are to be renewed
    _restart(cluster, "registry")
    cluster.advance(clock, timedelta(days=9))


def _issuers() -> tuple[Document, ...]:
    return (
        {"metadata": {"name": "self-signed"}, "spec": {"selfSigned": {}}},
        {"metadata": {"name": "opschain-ca"}, "spec": {"ca": {"secretName": "opschain-ca"}}},
        {"metadata": {"name": "vault-issuer"}, "spec": {"ca": {"secretName": "opschain-ca"}}},
    )


def _certificates() -> tuple[Document, ...]:
    authority = {"isCA": True, "commonName": "opschain-ca", "duration": "87600h"}
    return (
        _certificate("opschain-ca", "self-signed", **authority),
        _certificate("opschain-build-service", "opschain-ca", dnsNames=["opschain-build-service"]),
        _certificate("opschain-api-worker", "opschain-ca", commonName="opschain-api-worker", usages=["client auth"]),
        _certificate("registry", "opschain-ca", dnsNames=["registry"]),
        _certificate("vault", "vault-issuer", dnsNames=["vault"]),
        _certificate("cache", "opschain-ca", dnsNames=["cache"]),
    )


def _certificate(name: str, issuer: str, **spec: Any) -> Document:
    lifetime = {"duration": "2160h", "renewBefore": "720h", "privateKey": {"algorithm": "ECDSA", "size": 256}}
    return {"metadata": {"name": name}, "spec": {"secretName": name, "issuerRef": {"name": issuer}, **lifetime, **spec}}


def _deployments() -> tuple[Document, ...]:
    return (
        _server("opschain-build-service", "buildkit"),
        _server("opschain-api-worker", "worker", replicas=3, grace=3600, strategy=None),
        _server("registry", "tls"),
        _server("cache", "mute"),
    )


def _server(name: str, image: str, *, replicas: int = 1, grace: int = 30, **spec: Any) -> Document:
    """Make a workload with its certificate mounted. One pod ends before the next begins: they share a port."""
    container: Document = {
        "name": name,
        "image": IMAGES[image],
        "volumeMounts": [{"name": "certificate", "mountPath": "/certificate", "readOnly": True}],
    }
    if name in PORTS:
        container["ports"] = [{"containerPort": PORTS[name]}]
    pod = {
        "terminationGracePeriodSeconds": grace,
        "containers": [container],
        "volumes": [{"name": "certificate", "secret": {"secretName": name}}],
    }
    strategy = spec.pop("strategy", {"type": "Recreate"})
    body = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        **({"strategy": strategy} if strategy else {}),
        **spec,
    }
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def _restart(cluster: EmbeddedCluster, name: str) -> None:
    annotation = {"kubectl.kubernetes.io/restartedAt": cluster.clock.now().isoformat()}
    patch = {"spec": {"template": {"metadata": {"annotations": annotation}}}}
    cluster.api.objects.patch(DEPLOYMENTS, Key(NAMESPACE, name), patch, MERGE_PATCH, "kubectl-rollout")
