"""The control plane that both benches share: etcd, the API server, the controllers and cert-manager."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.bench import network, parts
from tests.bench.components import Component
from tests.bench.credentials import Credentials

SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"


@dataclass(frozen=True)
class Layout:
    """Where a control plane keeps its files and listens."""

    directory: Path
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    has_nodes: bool

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.address}:{self.api_port}"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each request to the API server."""
        return self.directory / "audit.log"


def on_loopback(directory: Path) -> Layout:
    """A layout for this machine's own loopback, where other programs have their ports too."""
    first = network.free_ports_in_a_row(3)
    return Layout(directory, "127.0.0.1", first, first + 1, first + 2, has_nodes=False)


def in_namespace(directory: Path, address: str) -> Layout:
    """A layout for a network namespace in which nothing else runs."""
    return Layout(directory, address, 16443, 2379, 2380, has_nodes=True)


def etcd(layout: Layout) -> Component:
    """The store."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return Component(
        "etcd",
        (
            str(parts.binary("etcd")),
            f"--data-dir={layout.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # A cluster that lives for one test run survives no power cut, so it need not wait for the disk.
            "--unsafe-no-fsync",
        ),
        ready=f"{client}/health",
    )


def api_server(layout: Layout, credentials: Credentials) -> Component:
    """The API server, with real RBAC and an audit log of everything."""
    policy = layout.directory / "audit-policy.json"
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "audit.k8s.io/v1",
                "kind": "Policy",
                "rules": [{"level": "Metadata"}],
                "omitStages": ["RequestReceived"],
            }
        )
    )
    reachability = (
        (
            "--bind-address=0.0.0.0",
            f"--advertise-address={layout.address}",
            # Node names can't be resolved: there is no DNS.
            "--kubelet-preferred-address-types=InternalIP",
            # buildkitd runs in a privileged pod.
            "--allow-privileged=true",
        )
        if layout.has_nodes
        else (
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # It would go on failing to publish a loopback address as the endpoint of the kubernetes Service.
            "--endpoint-reconciler-type=none",
        )
    )
    return Component(
        "kube-apiserver",
        (
            str(parts.binary("kube-apiserver")),
            *reachability,
            f"--secure-port={layout.api_port}",
            f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
            f"--tls-cert-file={credentials.serving_certificate}",
            f"--tls-private-key-file={credentials.serving_key}",
            "--service-account-issuer=https://kubernetes.default",
            f"--service-account-key-file={credentials.service_account_key}",
            f"--service-account-signing-key-file={credentials.service_account_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={credentials.tokens}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-mode=blocking",
            # Megabytes: no rotation, since tests read the log from its beginning.
            "--audit-log-maxsize=10000",
        ),
        ready=f"https://127.0.0.1:{layout.api_port}/readyz",
    )


def controllers(credentials: Credentials) -> Component:
    """Kubernetes's own controllers."""
    return Component(
        "kube-controller-manager",
        (
            str(parts.binary("kube-controller-manager")),
            f"--kubeconfig={credentials.kubeconfig('bench:kube-controller-manager')}",
            f"--service-account-private-key-file={credentials.service_account_key}",
            # Becomes kube-root-ca.crt, by which pods know the API server.
            f"--root-ca-file={credentials.authority}",
            *ALONE,
        ),
    )


# There is one of each, and nobody asks them anything: no lease to take over slowly after a kill, no port.
ALONE = ("--leader-elect=false", "--authentication-skip-lookup=true", "--secure-port=0")


def cert_manager(credentials: Credentials) -> Component:
    """cert-manager's own controllers, for CA and self-signed issuers."""
    return Component(
        "cert-manager",
        (
            str(parts.binary("cert-manager")),
            f"--kubeconfig={credentials.kubeconfig('bench:cert-manager')}",
        ),
    )
