"""Writing API objects into the store below a real API server, by etcd's JSON gateway.

To have a population of ten thousand admitted takes the API server minutes, and is not what is measured. Objects stand
in etcd as JSON (custom resources always do, and the API server reads any object so), and reach its watchers as ever.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import urllib3

PER_TRANSACTION = 60
"""etcd takes 128 operations in a transaction, of 1.5 MiB together."""

_FOLDERS = {
    "Certificate": "cert-manager.io/certificates",
    "CertificateRequest": "cert-manager.io/certificaterequests",
    "ReplicaSet": "replicasets",
    "Pod": "pods",
}


@dataclass(frozen=True)
class Put:
    """Write an object."""

    document: dict[str, Any]

    def operation(self) -> dict[str, Any]:
        """Return it as the gateway wants it."""
        metadata = self.document["metadata"]
        key = _key(self.document["kind"], metadata["namespace"], metadata["name"])
        return {"requestPut": {"key": key, "value": _base64(json.dumps(self.document).encode())}}


@dataclass(frozen=True)
class Delete:
    """Remove an object."""

    kind: str
    namespace: str
    name: str

    def operation(self) -> dict[str, Any]:
        """Return it as the gateway wants it."""
        return {"requestDeleteRange": {"key": _key(self.kind, self.namespace, self.name)}}


class Store:
    """One etcd on loopback."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=4, retries=False, timeout=30)

    def write(self, steps: Iterable[tuple[Put | Delete, ...]]) -> None:
        """Do all steps in order; the writes of one step happen together.

        Raises:
            RuntimeError: etcd refused.
        """
        for body in transactions(steps):
            self.send(body)

    def send(self, transaction: bytes) -> None:
        """Do one transaction."""
        answer = self._pool.request("POST", "/v3/kv/txn", body=transaction)
        if answer.status != 200:
            raise RuntimeError(f"etcd answered {answer.status}: {answer.data[:500].decode(errors='replace')}")


def transactions(steps: Iterable[tuple[Put | Delete, ...]]) -> list[bytes]:
    """Return steps as transactions that `Store.send` takes, so that nothing is left to encode when it counts."""
    made: list[bytes] = []
    pending: list[dict[str, Any]] = []
    for step in steps:
        if len(pending) + len(step) > PER_TRANSACTION:
            made.append(json.dumps({"success": pending}).encode())
            pending = []
        pending.extend(write.operation() for write in step)
    if pending:
        made.append(json.dumps({"success": pending}).encode())
    return made


def _key(kind: str, namespace: str, name: str) -> str:
    return _base64(f"/registry/{_FOLDERS[kind]}/{namespace}/{name}".encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
