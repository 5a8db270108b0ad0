"""Writing API objects into the store below a real API server, by etcd's JSON gateway.

To have a population of ten thousand admitted takes the API server minutes, and is not what is measured. Objects stand
in etcd as JSON (custom resources always do, and the API server reads any object so), and reach its watchers as ever.
"""

import base64
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import urllib3

WRITERS = 4
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

    def request(self) -> tuple[str, dict[str, Any]]:
        """Return the gateway's path and body."""
        metadata = self.document["metadata"]
        key = _key(self.document["kind"], metadata["namespace"], metadata["name"])
        return "put", {"key": key, "value": _base64(json.dumps(self.document).encode())}


@dataclass(frozen=True)
class Delete:
    """Remove an object."""

    kind: str
    namespace: str
    name: str

    def request(self) -> tuple[str, dict[str, Any]]:
        """Return the gateway's path and body."""
        return "deleterange", {"key": _key(self.kind, self.namespace, self.name)}


Step = tuple[Put | Delete, ...]
"""Writes of which each is to be seen before the next."""
Prepared = tuple[tuple[str, bytes], ...]
"""A step ready to be sent: nothing is left to encode when it counts."""


class Store:
    """One etcd on loopback."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=WRITERS, retries=False, timeout=30)

    def fill(self, puts: Iterable[Put]) -> None:
        """Write many objects that nobody watches yet.

        All objects of a transaction have one resourceVersion, as Kubernetes' own writes never have: who watches, and
        is cut off in their midst, would go on behind them.
        """
        for some in _in_groups(puts):
            operations = [{"requestPut": put.request()[1]} for put in some]
            self._send("txn", json.dumps({"success": operations}).encode())

    def send(self, steps: Iterable[Prepared]) -> list[float]:
        """Do steps, several at once, each write by itself; return when the last write of each was begun (monotonic).

        Raises:
            RuntimeError: etcd refused.
        """
        with ThreadPoolExecutor(WRITERS) as writers:
            return list(writers.map(self._do, steps))

    def _do(self, step: Prepared) -> float:
        begun = 0.0
        for path, body in step:
            begun = time.monotonic()
            self._send(path, body)
        return begun

    def _send(self, path: str, body: bytes) -> None:
        answer = self._pool.request("POST", f"/v3/kv/{path}", body=body)
        if answer.status != 200:
            raise RuntimeError(f"etcd answered {answer.status}: {answer.data[:500].decode(errors='replace')}")


def prepared(step: Step) -> Prepared:
    """Return a step as `Store.send` takes it."""
    requests = (write.request() for write in step)
    return tuple((path, json.dumps(body).encode()) for path, body in requests)


def _in_groups(puts: Iterable[Put]) -> Iterator[list[Put]]:
    remaining = iter(puts)
    while some := list(islice(remaining, PER_TRANSACTION)):
        yield some


def _key(kind: str, namespace: str, name: str) -> str:
    return _base64(f"/registry/{_FOLDERS[kind]}/{namespace}/{name}".encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
