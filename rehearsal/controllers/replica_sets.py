"""ReplicaSets: as many pods as are wanted, and how many there are."""

from collections.abc import Iterable
from datetime import datetime

from rehearsal.api.resources import PODS, REPLICA_SETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import (
    MANAGER,
    RETRY,
    available_at,
    by_owner,
    delete_pod,
    has_ended,
    is_active,
    is_available,
    is_ready,
    try_to_create_pod,
)
from rehearsal.objects import Document, is_ending, labels_of, name_of, namespace_of, uid_of, with_condition


class ReplicaSetController:
    """Creates and deletes the pods of ReplicaSets."""

    watches = (REPLICA_SETS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._refused: dict[str, tuple[str, datetime]] = {}
        """By the UID of a ReplicaSet: why its last pod was refused, and when it is tried again."""

    def run(self, now: datetime) -> datetime | None:
        """Bring every ReplicaSet nearer to its number of replicas."""
        owned = by_owner(self._api.storage.all(PODS).values())
        sets = tuple(self._api.storage.all(REPLICA_SETS).values())
        return earliest(*(self._sync(each, owned.get(uid_of(each), ()), now) for each in sets if not is_ending(each)))

    def _sync(self, replica_set: Document, pods: Iterable[Document], now: datetime) -> datetime | None:
        pods = tuple(pods)
        active = [pod for pod in pods if is_active(pod)]
        wanted = replica_set["spec"]["replicas"]
        why, retry_at = self._create(replica_set, wanted - len(active), now)
        if len(active) > wanted:
            for pod in sorted(active, key=_usefulness)[: len(active) - wanted]:
                delete_pod(self._api, pod)
        # The status counts what was there before this round, as the real one's does from its cache.
        self._report(replica_set, pods, active, why, now)
        later = (available_at(pod, replica_set) for pod in active)
        return earliest(retry_at, *(at for at in later if at is not None and at > now))

    def _create(self, replica_set: Document, missing: int, now: datetime) -> tuple[str, datetime | None]:
        """Create the pods that are missing; return why one was refused and when it is tried again, if one was."""
        uid = uid_of(replica_set)
        why, retry_at = self._refused.get(uid, ("", now))
        if missing > 0 and why and now < retry_at:
            return why, retry_at
        self._refused.pop(uid, None)
        for _ in range(missing):
            if why := try_to_create_pod(self._api, replica_set, now):
                self._refused[uid] = (why, now + RETRY)
                return self._refused[uid]
        return "", None

    def _report(
        self, replica_set: Document, pods: tuple[Document, ...], active: list[Document], why: str, now: datetime
    ) -> None:
        counts = {
            "fullyLabeledReplicas": sum(
                _template_labels(replica_set).items() <= dict(labels_of(pod)).items() for pod in active
            ),
            "readyReplicas": sum(is_ready(pod) for pod in active),
            "availableReplicas": sum(is_available(pod, replica_set, now) for pod in active),
        }
        status = {
            "replicas": len(active),
            **{name: count for name, count in counts.items() if count},
            "terminatingReplicas": sum(is_ending(pod) and not has_ended(pod) for pod in pods),
            "observedGeneration": replica_set["metadata"]["generation"],
            **({"conditions": _failure(replica_set, why, now)} if why else {}),
        }
        key = Key(namespace_of(replica_set), name_of(replica_set))
        self._api.update(REPLICA_SETS, key, {"status": status}, MANAGER, subresource="status")


def _failure(replica_set: Document, why: str, now: datetime) -> list[Document]:
    said = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}
    return with_condition((replica_set.get("status") or {}).get("conditions") or (), said, now)


def _template_labels(replica_set: Document) -> dict[str, str]:
    return replica_set["spec"]["template"]["metadata"].get("labels") or {}


def _usefulness(pod: Document) -> tuple[bool, bool, str, str]:
    """Order pods by who is to go first: not assigned, not ready, then the youngest."""
    created = pod["metadata"]["creationTimestamp"]
    return (
        bool(pod["spec"].get("nodeName")),
        is_ready(pod),
        "".join(chr(255 - ord(digit)) for digit in created),
        name_of(pod),
    )
