"""What pods of a namespace go through, with the times at which a watch told of it: what a run had to wait for."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench import waiting
from tests.bench.cluster import Cluster, Object


@dataclass(frozen=True)
class Seen:
    """A pod as the watch told of it, and when, on the monotonic clock."""

    at: float
    pod: Object
    gone: bool

    @property
    def app(self) -> str:
        """The workload it belongs to, by its label."""
        return str(self.pod["metadata"]["labels"]["app"])

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def ready(self) -> bool:
        """Whether it is Ready."""
        conditions = self.pod["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@dataclass
class PodWatch:
    """The pods that were there at first, and all that was told since, in its order."""

    at_first: frozenset[str]
    seen: list[Seen] = field(default_factory=list)

    def last_gone(self, app: str) -> float:
        """When the last pod of an application was gone that was seen to go."""
        return max(each.at for each in self.seen if each.gone and each.app == app)

    def all_ready(self, app: str) -> float:
        """When each pod of an application that was not there at first had become Ready."""
        first: dict[str, float] = {}
        for each in self.seen:
            if each.app == app and each.name not in self.at_first and each.ready:
                first.setdefault(each.name, each.at)
        return max(first.values())


@contextmanager
def pod_watch(cluster: Cluster, namespace: str, seconds: int = 120) -> Iterator[PodWatch]:
    """Watch all pods of a namespace until the block ends."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    listed = cluster.api("GET", path)
    told, over = PodWatch(frozenset(pod["metadata"]["name"] for pod in listed["items"])), threading.Event()

    def watch() -> None:
        version = listed["metadata"]["resourceVersion"]
        for event in cluster.client.watch(f"{path}?resourceVersion={version}", seconds):
            told.seen.append(Seen(time.monotonic(), event["object"], gone=event["type"] == "DELETED"))
            if over.is_set():
                return

    watching = threading.Thread(target=watch, name="pod watch", daemon=True)
    watching.start()
    try:
        yield told
    finally:
        over.set()

        def ended() -> bool:
            # One more change, at which it ends.
            _touch(cluster, path)
            return not watching.is_alive()

        waiting.until("the pod watch to end", ended, 30)


def _touch(cluster: Cluster, path: str) -> None:
    for pod in cluster.api("GET", path)["items"][:1]:
        annotations = {"metadata": {"annotations": {"seen": str(time.monotonic())}}}
        cluster.api("PATCH", f"{path}/{pod['metadata']['name']}", annotations, "application/merge-patch+json")
