"""A demo's cluster as one who holds its kubeconfig changes it: here, by holding up the end of its workers."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

PODS = "/api/v1/namespaces/opschain/pods"
HOLD = "tests.certlag.dev/hold"


@contextmanager
def workers_held(kubeconfig: Path) -> Iterator[None]:
    """Keep the workers' pods of a moment ago from going, until the block ends: a drain lasts as long."""
    pods = [pod["metadata"]["name"] for pod in ask(kubeconfig, "GET", PODS)["items"]]
    held = [name for name in pods if name.startswith("opschain-api-worker-")]
    assert held, pods
    for name in held:
        ask(kubeconfig, "PATCH", f"{PODS}/{name}", {"metadata": {"finalizers": [HOLD]}})
    try:
        yield
    finally:
        for name in held:
            ask(kubeconfig, "PATCH", f"{PODS}/{name}", {"metadata": {"finalizers": None}})


def ask(kubeconfig: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request to the cluster of a kubeconfig, and return its JSON answer."""
    config = json.loads(kubeconfig.read_text(encoding="utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/merge-patch+json"}
    with urllib3.PoolManager(ca_cert_data=authority, timeout=10) as pool:
        answer = pool.request(
            method, cluster["server"] + path, headers=headers, body=json.dumps(body) if body else None
        )
    assert answer.status == 200, answer.data
    return answer.json()
