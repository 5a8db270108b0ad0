"""What is said of a Deployment: its counts, Available and Progressing. Pure.

After k8s.io/kubernetes/pkg/controller/deployment/{sync,progress}.go and its util. `Available` may stay True through
a whole rollout; `Progressing` says NewReplicaSetAvailable once all pods are of the new template and available, and
ProgressDeadlineExceeded when nothing has moved for too long.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rehearsal.controllers.rollout import bounds
from rehearsal.objects import Document, condition, instant, name_of, timestamp, with_condition

NO_DEADLINE = 2**31 - 1
"""progressDeadlineSeconds that means none."""

_FAILURE = "ReplicaFailure"
_DONE = "NewReplicaSetAvailable"
_TIMED_OUT = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Owned:
    """A Deployment's ReplicaSets: of its present template, and the others, oldest first."""

    new: Document | None
    old: tuple[Document, ...]

    @property
    def all(self) -> tuple[Document, ...]:
        """All of them, the newest last."""
        return (*self.old, *((self.new,) if self.new else ()))


def status(deployment: Document, owned: Owned, now: datetime) -> Document:
    """Return the whole status."""
    counts = _counts(owned)
    conditions = [each for each in deployment["status"].get("conditions") or () if each["type"] != _FAILURE]
    for said in (_failure(owned), _available(deployment, counts), _progressing(deployment, owned, counts, now)):
        if said is not None:
            conditions = with_condition(conditions, _updated(deployment, said, now), now)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **{name: count for name, count in counts.items() if count or name == "terminatingReplicas"},
        "conditions": conditions,
    }


def is_complete(deployment: Document, owned: Owned) -> bool:
    """Tell whether all that is wanted is of the present template and available, and nothing else is there."""
    return _are_complete(deployment, _counts(owned))


def gives_up_at(deployment: Document) -> datetime | None:
    """Return when a rollout will have taken too long by its own deadline; None if it has none, or is over."""
    progressing = condition(deployment, "Progressing")
    if progressing is None or progressing["reason"] in (_DONE, _TIMED_OUT):
        return None
    return _deadline(deployment, progressing)


def _counts(owned: Owned) -> dict[str, int]:
    def total(name: str) -> int:
        return sum(each["status"].get(name, 0) for each in owned.all)

    asked = sum(each["spec"]["replicas"] for each in owned.all)
    return {
        "replicas": total("replicas"),
        "updatedReplicas": owned.new["status"].get("replicas", 0) if owned.new else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": total("availableReplicas"),
        "unavailableReplicas": max(0, asked - total("availableReplicas")),
        "terminatingReplicas": total("terminatingReplicas"),
    }


def _are_complete(deployment: Document, counts: dict[str, int]) -> bool:
    replicas: int = deployment["spec"]["replicas"]
    return counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == replicas


def _available(deployment: Document, counts: dict[str, int]) -> Document:
    spec = deployment["spec"]
    if counts["availableReplicas"] >= spec["replicas"] - bounds(spec).unavailable:
        said = {"status": "True", "reason": "MinimumReplicasAvailable"}
        return {"type": "Available", **said, "message": "Deployment has minimum availability."}
    said = {"status": "False", "reason": "MinimumReplicasUnavailable"}
    return {"type": "Available", **said, "message": "Deployment does not have minimum availability."}


def _failure(owned: Owned) -> Document | None:
    """Return why a pod could not be made: as the new ReplicaSet says, else any of the others."""
    for replica_set in reversed(owned.all):
        if (said := condition(replica_set, _FAILURE)) is not None:
            return {name: said[name] for name in ("type", "status", "reason", "message")}
    return None


def _progressing(deployment: Document, owned: Owned, counts: dict[str, int], now: datetime) -> Document | None:
    """Return what is to be said of the rollout, None to leave it as it is."""
    before, name = condition(deployment, "Progressing"), name_of(owned.new) if owned.new else ""
    if before is not None and before["reason"] == _DONE and counts["replicas"] == counts["updatedReplicas"]:
        return None
    if owned.new is not None and _are_complete(deployment, counts):
        return _progress(_DONE, f'ReplicaSet "{name}" has successfully progressed.')
    if before is None or (_is_unseen(deployment) and before["reason"] in (_DONE, _TIMED_OUT)):
        return _progress("NewReplicaSetCreated", f'Created new replica set "{name}"')
    if _has_moved(deployment["status"], counts):
        moved = _progress("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        return {**moved, "lastUpdateTime": timestamp(now)}
    if (until := _deadline(deployment, before)) is not None and until <= now:
        return {**_progress(_TIMED_OUT, f'ReplicaSet "{name}" has timed out progressing.'), "status": "False"}
    return None


def _progress(reason: str, message: str) -> Document:
    return {"type": "Progressing", "status": "True", "reason": reason, "message": message}


def _is_unseen(deployment: Document) -> bool:
    """Tell whether the spec has changed since the status was last written."""
    return bool(deployment["status"].get("observedGeneration") != deployment["metadata"]["generation"])


def _has_moved(old: Document, counts: dict[str, int]) -> bool:
    def left(of: Document) -> int:
        return int(of.get("replicas", 0)) - int(of.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return left(counts) < left(old) or any(counts[name] > old.get(name, 0) for name in grown)


def _deadline(deployment: Document, progressing: Document) -> datetime | None:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    if seconds in (None, NO_DEADLINE) or deployment["spec"].get("paused"):
        return None
    return instant(progressing["lastUpdateTime"]) + timedelta(seconds=seconds)


def _updated(deployment: Document, said: Document, now: datetime) -> Document:
    """Date a condition: `lastUpdateTime` stays while it says the same, unless it brings one."""
    before = condition(deployment, said["type"])
    same = before is not None and (before["status"], before["reason"]) == (said["status"], said["reason"])
    since = before["lastUpdateTime"] if before is not None and same else timestamp(now)
    return {"lastUpdateTime": since, **said}
