"""How a cluster of each kind is started, step by step, and what its state file says.

Independent programs start together and are waited for where the next step needs them.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import control_plane, credentials, enclosure, images, needs, node, parts, waiting
from tests.bench.api import Api
from tests.bench.components import Components
from tests.bench.needs import Kind

CERTIFICATES = "/apis/cert-manager.io/v1/namespaces/cert-manager"


class Starting:
    """A cluster from its first process to its end. Only the supervisor makes one."""

    def __init__(self, name: str, directory: Path, kind: Kind, pause: Callable[[float], object]) -> None:
        """Make nothing yet; `pause` passes the time while something is waited for."""
        self._name = name
        self._directory = directory
        self._kind = kind
        self._pause = pause
        self._enclosure: enclosure.Enclosure | None = None
        self._imports: dict[Path, enclosure.Process] = {}
        self.components = Components(directory / "logs", pause)

    def start(self) -> dict[str, Any]:
        """Start everything and return the state once pods can run and certificates are issued."""
        lacking = parts.missing(self._kind)
        if lacking:
            raise FileNotFoundError(needs.explain(lacking))
        self.components.logs.mkdir()
        if self._kind is Kind.WHOLE:
            self._enclosure = enclosure.make(self._name)
            self.components.netns = self._enclosure.netns
            self.components.spawn = self._enclosure.spawn
            layout = control_plane.in_namespace(self._directory, enclosure.NODE_ADDRESS)
        else:
            layout = control_plane.on_loopback(self._directory)
        made = credentials.make(
            self._directory / "credentials",
            layout.server,
            ("127.0.0.1", layout.address, control_plane.KUBERNETES_SERVICE),
        )
        worker = node.Node(self._directory, layout.address, self._name, made)
        api = Api(
            layout.address,
            layout.api_port,
            made.token("bench:supervisor"),
            made.authority,
            self.components.netns,
        )
        self._start_control_plane(layout, made, worker)
        self._start_cert_manager(api, made)
        if self._kind is Kind.WHOLE:
            self._start_node(worker)
            self._await_node(api)
        self._await_issuing(api)
        return self._state(layout, made)

    def end(self) -> None:
        """End every process, at once: nothing in it is worth a farewell."""
        if self._enclosure is None:
            self.components.kill_all()
        else:
            self._enclosure.end((*self.components.running.values(), *self._imports.values()))

    def tails(self) -> str:
        """The ends of the components' logs."""
        return self.components.tails()

    def _start_control_plane(
        self, layout: control_plane.Layout, made: credentials.Credentials, worker: node.Node
    ) -> None:
        components = self.components
        components.start(control_plane.etcd(layout))
        if self._kind is Kind.WHOLE:
            components.start(node.containerd(worker))
        components.wait_ready("etcd")
        components.start(control_plane.api_server(layout, made))
        if self._kind is Kind.WHOLE:
            components.wait_ready("containerd")
            self._import_images(worker)
        components.wait_ready("kube-apiserver")
        components.start(control_plane.controllers(made))

    def _import_images(self, worker: node.Node) -> None:
        for archive in images.archives():
            importing = [*worker.ctr, "images", "import", str(archive)]
            self._imports[archive] = self.components.spawn(importing, subprocess.PIPE, {})

    def _start_node(self, worker: node.Node) -> None:
        self.components.start(node.kubelet(worker))
        self.components.start(node.kube_proxy(worker))
        self.components.start(node.scheduler(worker.credentials))
        for archive, process in self._imports.items():
            said, _ = process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"importing {archive} ended with {process.returncode}: {said.decode()}")
        self.components.wait_ready("kubelet")
        self.components.wait_ready("kube-proxy")

    def _start_cert_manager(self, api: Api, made: credentials.Credentials) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for document in json.loads(parts.custom_resource_definitions().read_text()):
            api.call("POST", path, document)

        def established() -> bool:
            return all(_condition(definition, "Established") for definition in api.call("GET", path)["items"])

        waiting.until("cert-manager's CRDs to be established", established, pause=self._pause)
        self.components.start(control_plane.cert_manager(made))

    def _await_node(self, api: Api) -> None:
        waiting.until(
            "the node to be Ready",
            lambda: _condition(api.call("GET", f"/api/v1/nodes/{node.NODE_NAME}"), "Ready"),
            pause=self._pause,
        )

    def _await_issuing(self, api: Api) -> None:
        """Have one certificate issued, and remove it again."""
        api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "cert-manager"}})
        api.call(
            "POST",
            f"{CERTIFICATES}/issuers",
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Issuer",
                "metadata": {"name": "proof"},
                "spec": {"selfSigned": {}},
            },
        )
        api.call(
            "POST",
            f"{CERTIFICATES}/certificates",
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "metadata": {"name": "proof"},
                "spec": {
                    "secretName": "proof",
                    "dnsNames": ["proof"],
                    "privateKey": {"algorithm": "ECDSA"},
                    "issuerRef": {"name": "proof"},
                },
            },
        )
        waiting.until(
            "cert-manager to issue its first certificate",
            lambda: _condition(api.call("GET", f"{CERTIFICATES}/certificates/proof"), "Ready"),
            pause=self._pause,
        )
        api.call("DELETE", f"{CERTIFICATES}/certificates/proof")
        api.call("DELETE", f"{CERTIFICATES}/issuers/proof")

    def _state(self, layout: control_plane.Layout, made: credentials.Credentials) -> dict[str, Any]:
        netns = self.components.netns
        return {
            "kind": self._kind,
            "directory": str(self._directory),
            "supervisor": int(self._name.removeprefix(enclosure.PREFIX)),
            "netns": None if netns is None else str(netns),
            "node_address": layout.address,
            "api_port": layout.api_port,
            "etcd_port": layout.etcd_port,
            "kubeconfig": str(made.kubeconfig(credentials.ADMIN)),
            "authority": str(made.authority),
            "token": made.token(credentials.ADMIN),
            "audit_log": str(layout.audit_log),
            "pids": self.components.pids(),
        }


def _condition(item: dict[str, Any], kind: str) -> bool:
    """Whether an object has a condition of this kind with status True."""
    conditions = item.get("status", {}).get("conditions") or []
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)
