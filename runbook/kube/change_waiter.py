"""Being woken when something changes: watches on a target's workloads, ReplicaSets and pods. Reads the API server.

A watch only says when it is worth to look again, and which pods passed by: a pod that ends is seen with its exit
codes for a moment only. Nothing is concluded from it, so one that breaks costs at most a few seconds.
"""

import queue
import random
import threading
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.kube import decode, schema
from certlag.kube.client import ClusterClient
from certlag.kube.decode import SkipReason, UndecodableError
from certlag.kube.reflector import Change, Changed, Listed, Reflector
from certlag.kube.resources import Resource, Watch
from certlag.kube.schema import Document
from certlag.model import Workload
from runbook.kube.views import PodState, pod_state

GATHER = 0.05
"""Seconds after a first change in which more are taken along: changes come in bursts."""
ENDING = 1.0
"""Seconds that the watches are given to end in, all together."""

Changes: TypeAlias = "queue.SimpleQueue[Change | None]"
"""What watches saw; None says only that somebody wants the wait to be looked at."""


class Waiter(Protocol):
    """How time is spent that nothing else is done in."""

    def take(self, changes: Changes, seconds: float, *, early: bool) -> Change | None:
        """Return the next change; `early` says that one would end the wait.

        Raises:
            queue.Empty: there was none in this many seconds.
        """
        ...


class RealWaiter:
    """Time passes by itself."""

    def take(self, changes: Changes, seconds: float, *, early: bool) -> Change | None:  # noqa: ARG002 - it is the same
        """Wait so long."""
        return changes.get(timeout=seconds)


class ChangeWaiter:
    """Watches that are begun with the first wait, and end with `close`."""

    def __init__(
        self,
        workloads: Iterable[Workload],
        client: ClusterClient,
        clock: Clock,
        waiter: Waiter = RealWaiter(),  # noqa: B008 - it has no state
    ) -> None:
        self._client = client
        self._clock = clock
        self._patience = waiter
        self._woken = False
        self._workloads = tuple(workloads)
        self._changes: Changes = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def wait(self, seconds: float, *, early: bool) -> tuple[PodState, ...]:
        """Wait so long, or until something changes if `early`; return the pods that were shown meanwhile."""
        if not self._threads:
            self._begin()
        deadline = self._clock.monotonic() + seconds
        pods: list[PodState] = []
        while not self._woken and (left := deadline - self._clock.monotonic()) > 0:
            try:
                change = self._patience.take(self._changes, left, early=early)
            except queue.Empty:
                break
            if isinstance(change, Changed) and isinstance(change.object, PodState):
                pods.append(change.object)
            if early and change is not None and not isinstance(change, Listed):
                deadline = min(deadline, self._clock.monotonic() + GATHER)
        self._woken = False
        return tuple(pods)

    def wake(self) -> None:
        """End a wait now; may be called from a signal handler."""
        self._woken = True
        self._changes.put(None)

    def close(self) -> None:
        """End the watches; what does not end at once is left to end with the process."""
        self._stopping.set()
        self._client.close()
        deadline = self._clock.monotonic() + ENDING
        for thread in self._threads:
            thread.join(max(deadline - self._clock.monotonic(), 0.0))

    def _begin(self) -> None:
        for watch in sorted({each for workload in self._workloads for each in _watches(workload)}, key=str):
            reflector = Reflector(
                watch,
                self._client,
                self._changes.put,
                self._clock,
                self._stopping,
                jitter=random.SystemRandom(),
                log=_no_log,
            )
            thread = threading.Thread(target=reflector.run, name=f"watch {watch.path}", daemon=True)
            self._threads.append(thread)
            thread.start()


def _watches(workload: Workload) -> Iterable[Watch]:
    yield Watch(_PODS, workload.namespace)
    yield Watch(_REPLICA_SETS, workload.namespace)
    yield Watch(_WORKLOADS[workload.type], workload.namespace, workload.name)


def _pod(document: Document) -> PodState:
    try:
        return pod_state(schema.read(document, dict[str, Any]))
    except (KeyError, TypeError, ValueError) as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, str(error)) from error


_PODS = Resource("pods", "/api/v1", _pod)
_REPLICA_SETS = Resource("replicasets", "/apis/apps/v1", decode.key, metadata_only=True)
_WORKLOADS = {
    kind: Resource(f"{kind}s", "/apis/apps/v1", decode.key) for kind in ("deployment", "statefulset", "daemonset")
}


def _no_log(_watch: Watch, _error: ClusterError, _delay: float) -> None:
    """Say nothing: anyone who waits looks for himself, and tells what fails."""
