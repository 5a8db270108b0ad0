"""A container's life as the kubelet keeps it, and as it is written into a pod's status. Pure.

What happens is decided elsewhere; here stands what state it is in, and what that looks like to the API.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rehearsal.node.programs import Program
from rehearsal.objects import Document, timestamp, with_condition

BACKOFF = (timedelta(seconds=10), timedelta(minutes=5))
"""Between two starts of a container that keeps ending: the first wait, doubled each time, and the longest."""

KILLED = 137
"""128 + SIGKILL."""


@dataclass
class Container:
    """One container of a running pod. It waits (`start_at`), runs (`started_at`) or has ended (`ended_at`)."""

    name: str
    image: str
    program: Program
    start_at: datetime | None = None
    id: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int = 0
    restarts: int = 0
    last: Document | None = None
    ports: tuple[int, ...] = ()
    waits_for: Document | None = None
    """Why it does not start, as the kubelet says it, None while it is on its way."""

    @property
    def runs(self) -> bool:
        """Tell whether its process exists."""
        return self.started_at is not None and self.ended_at is None

    def is_ready(self, now: datetime) -> bool:
        """Tell whether it is ready."""
        ready_at = self.ready_at
        return ready_at is not None and ready_at <= now

    @property
    def ready_at(self) -> datetime | None:
        """When it is ready, None while it does not run."""
        return self.started_at + self.program.ready_after if self.started_at and self.ended_at is None else None

    @property
    def backoff(self) -> timedelta:
        """How long it waits for its next start, once it has ended."""
        first, longest = BACKOFF
        return min(first * (1 << min(self.restarts - 1, 16)), longest)

    def end(self, at: datetime, exit_code: int) -> None:
        """Its process is gone."""
        self.ended_at, self.exit_code = at, exit_code

    def restart_later(self, now: datetime) -> None:
        """Have it wait for its next start, longer each time (CrashLoopBackOff)."""
        self.last = {"terminated": self._terminated()}
        self.restarts += 1
        self.start_at = now + self.backoff
        self.started_at = self.ended_at = None

    def status(self, now: datetime) -> Document:
        """Return its entry in `status.containerStatuses`."""
        return {
            "name": self.name,
            "state": self._state(),
            "lastState": self.last or {},
            "ready": self.is_ready(now),
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": "",
            **({"containerID": self.id} if self.id else {}),
            "started": self.runs,
        }

    def _state(self) -> Document:
        if self.ended_at is not None:
            return {"terminated": self._terminated()}
        if self.started_at is not None:
            return {"running": {"startedAt": timestamp(self.started_at)}}
        return {"waiting": self.waits_for or {"reason": "ContainerCreating"}}

    def _terminated(self) -> Document:
        started, ended = self.started_at or self.ended_at, self.ended_at
        return {
            "exitCode": self.exit_code,
            "reason": "Completed" if self.exit_code == 0 else "Error",
            "startedAt": timestamp(started) if started else None,
            "finishedAt": timestamp(ended) if ended else None,
            "containerID": self.id,
        }


@dataclass
class PodRun:
    """A pod on its node. `asked_at` is when its containers were told to end, `grace` by when, in seconds."""

    uid: str
    containers: tuple[Container, ...]
    created_at: datetime
    address: str = ""
    asked_at: datetime | None = None
    grace: int = 0
    mounted: dict[str, Document] = field(default_factory=dict)

    @property
    def kill_at(self) -> datetime | None:
        """When its grace period is over."""
        return None if self.asked_at is None else self.asked_at + timedelta(seconds=self.grace)


def pod_status(pod: Document, run: PodRun, node_address: str, now: datetime) -> Document:
    """Return the whole status of a pod."""
    containers = run.containers
    phase = _phase(containers, ending=run.asked_at is not None)
    ended = phase in ("Succeeded", "Failed")
    ready = all(container.is_ready(now) for container in containers)
    started = any(container.started_at is not None or container.restarts for container in containers)
    why = ("PodCompleted" if ended else "ContainersNotReady") if not ready else None
    conditions = pod["status"].get("conditions") or ()
    for kind, holds, reason in (
        ("PodReadyToStartContainers", started and not ended, None),
        ("Initialized", True, None),
        ("Ready", ready, why),
        ("ContainersReady", ready, why),
        ("PodScheduled", True, None),
    ):
        conditions = with_condition(conditions, _condition(kind, reason, holds=holds), now)
    address = {"podIP": run.address, "podIPs": [{"ip": run.address}]} if run.address and started else {}
    return {
        "observedGeneration": pod["metadata"]["generation"],
        "phase": phase,
        "conditions": conditions,
        "hostIP": node_address,
        **address,
        "startTime": timestamp(run.created_at),
        "containerStatuses": [container.status(now) for container in containers],
        "qosClass": "BestEffort",
    }


def _condition(kind: str, reason: str | None, *, holds: bool) -> Document:
    said = {"reason": reason} if reason and not holds else {}
    return {"type": kind, "status": str(holds), "lastProbeTime": None, **said}


def _phase(containers: Iterable[Container], *, ending: bool) -> str:
    containers = tuple(containers)
    if ending and all(container.ended_at is not None for container in containers):
        return "Succeeded" if all(container.exit_code == 0 for container in containers) else "Failed"
    started = all(container.started_at is not None or container.restarts for container in containers)
    return "Running" if started else "Pending"
