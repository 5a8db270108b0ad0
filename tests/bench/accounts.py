"""Kubeconfigs of service accounts with just the rights that a manifest gives them."""

import json
from pathlib import Path

from tests.bench.cluster import Cluster

EXPORTER_RIGHTS = Path(__file__).parent / "manifests" / "exporter-rights.yaml"
EXPORTER = "certlag-exporter"


def exporter_kubeconfig(cluster: Cluster, namespace: str, directory: Path) -> Path:
    """Give a namespace the exporter's account, and return a kubeconfig for it."""
    cluster.kubectl("apply", "--filename=-", stdin=EXPORTER_RIGHTS.read_text(), namespace=namespace)
    cluster.wait(f"/api/v1/namespaces/{namespace}/serviceaccounts/{EXPORTER}", lambda _seen: True)
    return kubeconfig(cluster, namespace, cluster.token(namespace, EXPORTER), directory / "exporter.kubeconfig")


def administrators_kubeconfig(cluster: Cluster, namespace: str, directory: Path) -> Path:
    """Return a kubeconfig that may do everything, for tests that are not about rights."""
    return kubeconfig(cluster, namespace, cluster.client.token, directory / "administrator.kubeconfig")


def user(namespace: str) -> str:
    """The name of the exporter's account in the audit log."""
    return f"system:serviceaccount:{namespace}:{EXPORTER}"


def kubeconfig(cluster: Cluster, namespace: str, token: str, file: Path) -> Path:
    """Write a kubeconfig that speaks to the cluster with a token, by default in a namespace."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": _server(cluster)}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": namespace}}],
    }
    file.write_text(json.dumps(document))
    return file


def _server(cluster: Cluster) -> dict[str, str]:
    """Where the administrator's client finds the API server, and whose certificate it expects."""
    client = cluster.client
    return {"server": f"https://{client.host}:{client.port}", "certificate-authority": str(client.authority)}
