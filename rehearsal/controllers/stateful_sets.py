"""StatefulSets: pods with ordinals, started and ended one after the other, and updated from the highest down.

After k8s.io/kubernetes/pkg/controller/statefulset: RollingUpdate with its partition and OnDelete, OrderedReady and
Parallel. Revisions are hashes of the template; the current one is kept in the status, as it is there.
"""

from collections.abc import Iterable
from datetime import datetime

from rehearsal.api.resources import PODS, STATEFUL_SETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers import claims
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import (
    MANAGER,
    RETRY,
    available_at,
    by_owner,
    delete_pod,
    has_ended,
    is_available,
    is_ready,
    template_hash,
    try_to_create_pod,
)
from rehearsal.objects import Document, is_ending, labels_of, name_of, namespace_of, uid_of

REVISION_LABEL = "controller-revision-hash"


class StatefulSetController:
    """Moves every StatefulSet towards its template and number of replicas."""

    watches = (STATEFUL_SETS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._templates: dict[str, Document] = {}
        self._retry_at: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Take each StatefulSet one step further."""
        pods = by_owner(self._api.storage.all(PODS).values())
        sets = tuple(self._api.storage.all(STATEFUL_SETS).values())
        return earliest(*(self._sync(each, pods.get(uid_of(each), ()), now) for each in sets if not is_ending(each)))

    def _sync(self, stateful_set: Document, pods: Iterable[Document], now: datetime) -> datetime | None:
        update = f"{name_of(stateful_set)}-{template_hash(stateful_set['spec']['template'])}"
        self._templates[f"{uid_of(stateful_set)}/{update}"] = stateful_set["spec"]["template"]
        current = stateful_set["status"].get("currentRevision", update)
        by_ordinal = {_ordinal(pod): pod for pod in pods}
        for ordinal, pod in by_ordinal.items():
            claims.set_owners(self._api, stateful_set, pod, ordinal)
        current = self._report(stateful_set, by_ordinal, current, update, now)
        retry_at = self._retry_at.get(uid_of(stateful_set), now)
        if retry_at <= now:
            self._step(stateful_set, by_ordinal, current, update, now)
        later = (available_at(pod, stateful_set) for pod in by_ordinal.values())
        due = (*later, self._retry_at.get(uid_of(stateful_set)))
        return earliest(*(at for at in due if at is not None and at > now))

    def _step(
        self, stateful_set: Document, by_ordinal: dict[int, Document], current: str, update: str, now: datetime
    ) -> None:
        """Do the one next thing; with OrderedReady each waits until the one before is available."""
        available = {ordinal for ordinal, pod in by_ordinal.items() if is_available(pod, stateful_set, now)}
        spec = stateful_set["spec"]
        replicas, patient = spec["replicas"], spec["podManagementPolicy"] == "OrderedReady"
        for ordinal in range(replicas):
            pod = by_ordinal.get(ordinal)
            if pod is None:
                self._create(stateful_set, ordinal, current, update, now)
            elif has_ended(pod) and not is_ending(pod):
                delete_pod(self._api, pod)
            if patient and (pod is None or is_ending(pod) or ordinal not in available):
                return
        for ordinal in sorted((each for each in by_ordinal if each >= replicas), reverse=True):
            pod = by_ordinal[ordinal]
            if not is_ending(pod):
                delete_pod(self._api, pod)
            if patient:
                return
        if spec["updateStrategy"]["type"] == "RollingUpdate":
            self._update(stateful_set, by_ordinal, update, available)

    def _update(
        self, stateful_set: Document, by_ordinal: dict[int, Document], update: str, available: set[int]
    ) -> None:
        partition = stateful_set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        for ordinal in range(stateful_set["spec"]["replicas"] - 1, partition - 1, -1):
            pod = by_ordinal.get(ordinal)
            if pod is None or is_ending(pod):
                return
            if labels_of(pod).get(REVISION_LABEL) != update:
                delete_pod(self._api, pod)
                return
            if ordinal not in available:
                return

    def _create(self, stateful_set: Document, ordinal: int, current: str, update: str, now: datetime) -> None:
        """Create a pod: below the partition, while an update is under way, of the revision of before."""
        rolling = stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
        revision = current if ordinal < rolling.get("partition", 0) else update
        template = self._templates.get(f"{uid_of(stateful_set)}/{revision}", stateful_set["spec"]["template"])
        mounted = [*(template["spec"].get("volumes") or ()), *claims.volumes(stateful_set, ordinal)]
        template = {**template, "spec": {**template["spec"], **({"volumes": mounted} if mounted else {})}}
        owner = {**stateful_set, "spec": {**stateful_set["spec"], "template": template}}
        name = f"{name_of(stateful_set)}-{ordinal}"
        if self._api.storage.get(PODS, Key(namespace_of(stateful_set), name)) is not None:
            return  # it was a set's that is gone, and its name is free when it has ended
        labels = {
            REVISION_LABEL: revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
        claims.create_claims(self._api, stateful_set, ordinal)
        if try_to_create_pod(self._api, owner, now, name=name, labels=labels):
            self._retry_at[uid_of(stateful_set)] = now + RETRY

    def _report(
        self, stateful_set: Document, by_ordinal: dict[int, Document], current: str, update: str, now: datetime
    ) -> str:
        """Write the status; return the current revision: the update's once every pod is of it."""
        replicas = stateful_set["spec"]["replicas"]
        pods = [pod for pod in by_ordinal.values() if not has_ended(pod)]
        running = [pod for pod in pods if not is_ending(pod)]

        def of(revision: str) -> int:
            return sum(labels_of(pod).get(REVISION_LABEL) == revision for pod in running)

        complete = of(update) == len(pods) == replicas and all(is_ready(pod) for pod in pods)
        if complete and stateful_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            current = update
        status: Document = {
            "observedGeneration": stateful_set["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": sum(is_ready(pod) for pod in pods),
            "availableReplicas": sum(is_available(pod, stateful_set, now) for pod in pods),
            "currentReplicas": of(current),
            "updatedReplicas": of(update),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": 0,
        }
        optional = ("readyReplicas", "currentReplicas", "updatedReplicas")
        status = {name: value for name, value in status.items() if value or name not in optional}
        key = Key(namespace_of(stateful_set), name_of(stateful_set))
        self._api.update(STATEFUL_SETS, key, {"status": status}, MANAGER, subresource="status")
        return current


def _ordinal(pod: Document) -> int:
    return int(name_of(pod).rpartition("-")[2])
