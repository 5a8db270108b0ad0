"""The exporter as a Deployment of the cluster, which kubectl can restart.

It has no image of its own: its pod runs this very tree with this very Python, mounted from the machine, in the node's
network.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.bench import servers
from tests.bench.cluster import Object
from tests.runbook_process import ROOT

NAME = "certlag-exporter"
PORT = 9871
PYTHON = (
    *(Path("/usr"), Path("/lib"), Path("/lib64"), Path("/etc/ld.so.cache")),
    *(Path(sys.base_prefix), Path(sys.prefix), ROOT),
)
"""What a Python needs to run this tree."""


def exporter_pod(address: str, configuration: Path, kubeconfig: Path, authority: Path) -> Object:
    """The Deployment of an exporter.

    Args:
        address: the address of the node's that it serves on.
        configuration: its file.
        kubeconfig: its way to the API server.
        authority: whose certificate the API server has, as the kubeconfig says.
    """
    argv = (
        *(sys.executable, "-m", "exporter", "--config", str(configuration), "--kubeconfig", str(kubeconfig)),
        *("--web.listen-address", f"{address}:{PORT}"),
    )
    made = servers.deployment(NAME, [servers.Server(argv, (), (), name="exporter")])
    # Two of them would want the same port.
    made["spec"]["strategy"] = {"type": "Recreate"}
    for labelled in (made, made["spec"]["template"]):
        labelled["metadata"].setdefault("labels", {})["app.kubernetes.io/component"] = "exporter"
    pod = made["spec"]["template"]["spec"]
    pod["hostNetwork"] = True
    (container,) = pod["containers"]
    for number, path in enumerate(_outermost((*PYTHON, configuration, kubeconfig, authority))):
        pod["volumes"].append({"name": f"machine-{number}", "hostPath": {"path": str(path)}})
        container["volumeMounts"].append({"name": f"machine-{number}", "mountPath": str(path), "readOnly": True})
    return made


def _outermost(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that exist and are in no other."""
    existing = {path for path in paths if path.exists()}
    return (path for path in sorted(existing) if not existing.intersection(path.parents))
