"""The one node of the whole cluster: the scheduler, containerd, the kubelet, kube-proxy and the pods' network."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.bench import images, needs, parts
from tests.bench.components import SYSTEM_PATH, Component
from tests.bench.control_plane import ALONE
from tests.bench.credentials import Credentials

NODE_NAME = "bench"
POD_RANGE = "10.88.0.0/16"


@dataclass(frozen=True)
class Node:
    """Where the node keeps its files, and the name of its enclosure."""

    directory: Path
    address: str
    enclosure: str
    credentials: Credentials

    @property
    def containerd_socket(self) -> Path:
        """The address of containerd."""
        return self.directory / "containerd.sock"

    @property
    def ctr(self) -> tuple[str, ...]:
        """The command that talks to containerd about the pods' containers and images."""
        return (str(parts.binary("ctr")), f"--address={self.containerd_socket}", "--namespace=k8s.io")


def scheduler(credentials: Credentials) -> Component:
    """The scheduler."""
    return Component(
        "kube-scheduler",
        (
            str(parts.binary("kube-scheduler")),
            f"--kubeconfig={credentials.kubeconfig('bench:kube-scheduler')}",
            *ALONE,
        ),
    )


def containerd(node: Node) -> Component:
    """The container runtime."""
    directory = node.directory / "containerd"
    network = directory / "cni"
    network.mkdir(parents=True)
    (network / "10-bench.conflist").write_text(json.dumps(_pod_network(directory)))
    configuration = directory / "config.toml"
    configuration.write_text(
        f"""
version = 3
root = {_quoted(directory / "root")}
state = {_quoted(directory / "state")}
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[grpc]
address = {_quoted(node.containerd_socket)}

[ttrpc]
address = {_quoted(node.directory / "containerd-ttrpc.sock")}

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE no score can be lowered, and every sandbox would fail on it.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = {_quoted(needs.tool("runc"))}

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{_quoted(needs.CNI_PLUGINS)}]
conf_dir = {_quoted(network)}

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = {_quoted(images.PAUSE)}
"""
    )
    shim = parts.binary("containerd-shim-runc-v2").parent
    return Component(
        "containerd",
        (str(parts.binary("containerd")), f"--config={configuration}"),
        ready=f"unix://{node.containerd_socket}",
        # containerd looks for its shim there, and CNI plugins call iptables.
        environment=(("PATH", f"{shim}:{SYSTEM_PATH}"),),
    )


def kubelet(node: Node) -> Component:
    """The kubelet. It differs from a default one in what the comments say."""
    directory = node.directory / "kubelet"
    directory.mkdir()
    resolver = directory / "resolv.conf"
    # Nobody listens there, so a lookup fails at once: this cluster has no DNS.
    resolver.write_text("nameserver 127.0.0.1\n")
    configuration = directory / "config.json"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{node.enclosure}",
                "failCgroupV1": False,
                "enforceNodeAllocatable": [],
                "failSwapOn": False,
                # The disk is the developer's: how full it is must not decide a test.
                "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
                "imageGCHighThresholdPercent": 100,
                "imageMaximumGCAge": "0s",
                # Only the cluster's own network namespace can reach it.
                "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
                "authorization": {"mode": "AlwaysAllow"},
                "resolvConf": str(resolver),
                "podLogsDir": str(directory / "pod-logs"),
                "volumePluginDir": str(directory / "plugins"),
                "maxPods": 200,
                # Watch is the default; the default syncFrequency of 1m is why a renewed Secret takes up to a
                # minute to be seen in a running pod. A second here: tests of what comes after need not wait.
                "configMapAndSecretChangeDetectionStrategy": "Watch",
                "syncFrequency": "1s",
                "nodeStatusUpdateFrequency": "5s",
            },
            indent=1,
        )
    )
    return Component(
        "kubelet",
        (
            str(parts.binary("kubelet")),
            f"--config={configuration}",
            f"--kubeconfig={node.credentials.kubeconfig('bench:kubelet')}",
            f"--root-dir={directory / 'root'}",
            f"--node-ip={node.address}",
            f"--hostname-override={NODE_NAME}",
        ),
        ready="http://127.0.0.1:10248/healthz",
    )


def kube_proxy(node: Node) -> Component:
    """What makes Services reachable from pods."""
    configuration = node.directory / "kube-proxy.json"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                "hostnameOverride": NODE_NAME,
                "clientConnection": {"kubeconfig": str(node.credentials.kubeconfig("bench:kube-proxy"))},
                "clusterCIDR": POD_RANGE,
                "healthzBindAddress": "127.0.0.1:10256",
                "metricsBindAddress": "127.0.0.1:10249",
                # Pods share one bridge, and a kernel without br_netfilter would let the answer to a Service's
                # client by-pass the translation back. Masquerading leads it through the node.
                "iptables": {"masqueradeAll": True},
                # 0: leave alone the sysctls that only the machine's owner may write.
                "conntrack": {
                    "maxPerCore": 0,
                    "tcpEstablishedTimeout": "0s",
                    "tcpCloseWaitTimeout": "0s",
                },
            },
            indent=1,
        )
    )
    return Component(
        "kube-proxy",
        (str(parts.binary("kube-proxy")), f"--config={configuration}"),
        ready="http://127.0.0.1:10256/healthz",
    )


def _pod_network(directory: Path) -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "bench",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": True,
                "hairpinMode": True,
                # There is no world outside to masquerade for.
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(directory / "addresses"),
                },
            }
        ],
    }


def _quoted(path: object) -> str:
    """A TOML string: JSON's are a subset of them."""
    return json.dumps(str(path))
