"""What a story stands on: a namespace of the real cluster with an authority, and an exporter that watches it."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import accounts, servers
from tests.bench.cluster import Cluster, Object
from tests.exporter_process import ExporterProcess, running


@dataclass(frozen=True)
class Ground:
    """A namespace, and the folder for what a story writes on the machine."""

    cluster: Cluster
    namespace: str
    folder: Path

    def apply(self, *objects: Object) -> None:
        """Put objects into the namespace, as one list."""
        servers.apply(self.cluster, self.namespace, objects)

    def wait_available(self, *names: str) -> None:
        """Wait until Deployments are available, and what their pods mount is issued."""
        for name in names:
            found = self.cluster.wait_condition(self.path("deployments", name), "Available", 90)
            volumes = found["spec"]["template"]["spec"]["volumes"]
            self.wait_issued(*(volume["secret"]["secretName"] for volume in volumes if "secret" in volume))

    def wait_issued(self, *names: str) -> None:
        """Wait until Certificates have a revision: cert-manager writes the Secret, and pods may start, before that."""

        def is_issued(seen: Object) -> bool:
            return all(part in seen.get("status", {}) for part in ("revision", "notBefore"))

        for name in names:
            self.cluster.wait(self.path("certificates", name), is_issued)

    def renew(self, *names: str) -> None:
        """Renew Certificates, one after the other, until their dates differ from before.

        Dates have whole seconds: one renewed within the second of its issuance can't be told apart by them.
        """
        for name in names:
            before = self.cluster.api("GET", self.path("certificates", name))["status"]["notBefore"]
            while self.cluster.renew(self.namespace, name)["status"]["notBefore"] == before:
                pass

    def announced_renewal(self, name: str) -> float:
        """Renew a Certificate; return when the API server announced the new revision, on the monotonic clock."""
        before = self.cluster.ask_renewal(self.namespace, name)

        def announced(seen: Object) -> bool:
            revision: int = seen["status"]["revision"]
            return revision > before

        self.cluster.wait(self.path("certificates", name), announced)
        return time.monotonic()

    def path(self, plural: str, name: str = "") -> str:
        """The API path of a collection in the namespace, or of one object in it."""
        groups = {
            "certificates": "apis/cert-manager.io/v1",
            "certificaterequests": "apis/cert-manager.io/v1",
            "deployments": "apis/apps/v1",
            "jobs": "apis/batch/v1",
            "leases": "apis/coordination.k8s.io/v1",
        }
        return f"/{groups.get(plural, 'api/v1')}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def pods(self, name: str) -> list[Object]:
        """The pods with the label app=NAME."""
        found: list[Object] = self.cluster.api("GET", f"{self.path('pods')}?labelSelector=app%3D{name}")["items"]
        return found

    @contextmanager
    def watched(
        self,
        targets: Iterable[dict[str, Any]] = (),
        *,
        discover: bool = False,
        options: Iterable[str] = (),
        ready: bool = True,
    ) -> Iterator[ExporterProcess]:
        """Run an exporter on this namespace until the block ends; it is ready when the block begins, if asked so."""
        configuration: dict[str, Any] = {"targets": list(targets)}
        if discover:
            configuration["discovery"] = {"namespaces": [self.namespace], "probe": "declared-ports"}
        file = self.folder / "certlag.yaml"
        file.write_text(json.dumps(configuration))
        kubeconfig = accounts.administrators_kubeconfig(self.cluster, self.namespace, self.folder)
        with running(self.cluster, kubeconfig, self.folder, ["--config", str(file), *options]) as exporter:
            if ready:
                exporter.wait_ready()
            yield exporter


def a_target(name: str, **changes: Any) -> dict[str, Any]:
    """A Deployment that serves the Certificate of its own name, as a target."""
    return {"name": name, "workload": f"deployment/{name}", "certificate": name, "port": servers.PORT, **changes}
