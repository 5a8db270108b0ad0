"""A demo whose workers work on one change for so long that a drain lasts until a test ends it."""

import base64
import json
from pathlib import Path
from typing import Any

import urllib3

from tests.bench import waiting

LONG_CHANGE = ("--change", "5000")
"""Options for a demo. Its workers began seventy days ago, so of their present change 2000 seconds are left."""
PODS = "/api/v1/namespaces/opschain/pods"


def end_draining_workers(kubeconfig: Path) -> None:
    """Wait until the workers were told to end, then take their pods away, as `kubectl delete --force` does."""

    def workers() -> list[Any]:
        found: list[Any] = [pod["metadata"] for pod in ask(kubeconfig, "GET", PODS)["items"]]
        return [pod for pod in found if pod["name"].startswith("opschain-api-worker-")]

    waiting.until("the workers to be told", lambda: all("deletionTimestamp" in worker for worker in workers()), 30)
    for worker in workers():
        ask(kubeconfig, "DELETE", f"{PODS}/{worker['name']}", {"gracePeriodSeconds": 0})


def ask(kubeconfig: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request to the cluster of a kubeconfig, and return its JSON answer."""
    config = json.loads(kubeconfig.read_text(encoding="utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"}
    with urllib3.PoolManager(ca_cert_data=authority, timeout=10) as pool:
        answer = pool.request(
            method, cluster["server"] + path, headers=headers, body=json.dumps(body) if body else None
        )
    assert answer.status == 200, answer.data
    return answer.json()
