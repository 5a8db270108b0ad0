"""Deployments: ReplicaSets for each template, the move from one to the next, and what is said of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.deployment_status import Owned, gives_up_at, is_complete, status
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import MANAGER, by_owner, has_ended, template_hash
from rehearsal.controllers.rollout import Size, bounds, next_new, next_old
from rehearsal.objects import Document, annotations_of, clone, is_ending, name_of, namespace_of, owner_reference, uid_of

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"


class DeploymentController:
    """Moves every Deployment towards its template and number of replicas."""

    watches = (DEPLOYMENTS, REPLICA_SETS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api

    def run(self, now: datetime) -> datetime | None:
        """Take each Deployment one step further."""
        storage = self._api.storage
        sets = by_owner(storage.all(REPLICA_SETS).values())
        pods = by_owner(storage.all(PODS).values())
        deployments = tuple(storage.all(DEPLOYMENTS).values())
        return earliest(
            *(self._sync(each, sets.get(uid_of(each), ()), pods, now) for each in deployments if not is_ending(each))
        )

    def _sync(self, deployment: Document, sets: Iterable[Document], pods: Any, now: datetime) -> datetime | None:
        owned = _sorted(deployment, sets)
        if deployment["spec"].get("paused") or self._rescaled(deployment, owned):
            self._scale(deployment, owned)
        elif deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, owned, pods)
        else:
            self._roll(deployment, owned)
        sets = by_owner(self._api.storage.all(REPLICA_SETS).values()).get(uid_of(deployment), ())
        return self._report(deployment, _sorted(deployment, sets), now)

    def _rescaled(self, deployment: Document, owned: Owned) -> bool:
        """Tell whether only the number of replicas has changed since a ReplicaSet was last asked for some."""
        wanted = str(deployment["spec"]["replicas"])
        return any(each["spec"]["replicas"] and annotations_of(each).get(DESIRED) != wanted for each in owned.all)

    def _scale(self, deployment: Document, owned: Owned) -> None:
        """Bring the ReplicaSets to another number of replicas: the one that is in use, or all in proportion."""
        replicas = deployment["spec"]["replicas"]
        active = [each for each in owned.all if each["spec"]["replicas"]]
        if len(active) <= 1:
            for each in active or ([owned.new] if owned.new else []):
                self._resize(deployment, each, replicas)
            return
        total = sum(each["spec"]["replicas"] for each in active)
        allowed = replicas + bounds(deployment["spec"]).surge if replicas else 0
        left = allowed
        for index, each in enumerate(active):  # oldest first; the newest gets what is left
            last = index == len(active) - 1
            share = left if last else min(left, round(each["spec"]["replicas"] * allowed / total))
            self._resize(deployment, each, share)
            left -= share

    def _recreate(self, deployment: Document, owned: Owned, pods: Any) -> None:
        if any(each["spec"]["replicas"] for each in owned.old):
            for each in owned.old:
                self._resize(deployment, each, 0)
            return
        if any(not has_ended(pod) for each in owned.old for pod in pods.get(uid_of(each), ())):
            return
        new = owned.new or self._create(deployment, owned, 0)
        self._resize(deployment, new, deployment["spec"]["replicas"])
        if is_complete(deployment, owned):
            self._clean_up(deployment, owned)

    def _roll(self, deployment: Document, owned: Owned) -> None:
        replicas, limits = deployment["spec"]["replicas"], bounds(deployment["spec"])
        old = tuple(_size(each) for each in owned.old)
        if owned.new is None:
            self._create(deployment, owned, next_new(replicas, limits, Size(0, 0), old))
            return
        grown = next_new(replicas, limits, _size(owned.new), old)
        if grown != owned.new["spec"]["replicas"]:
            self._resize(deployment, owned.new, grown)
            return
        for each, size in zip(owned.old, next_old(replicas, limits, _size(owned.new), old), strict=True):
            self._resize(deployment, each, size)
        if is_complete(deployment, owned):
            self._clean_up(deployment, owned)

    def _create(self, deployment: Document, owned: Owned, replicas: int) -> Document:
        template = clone(deployment["spec"]["template"])
        label = {HASH_LABEL: template_hash(deployment["spec"]["template"])}
        template["metadata"]["labels"] = {**template["metadata"]["labels"], **label}
        selector = clone(deployment["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **label}
        revision = 1 + max((_revision(each) for each in owned.old), default=0)
        annotations = {**_counts(deployment), REVISION: str(revision)}
        metadata = {
            "name": f"{name_of(deployment)}-{label[HASH_LABEL]}",
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment)],
        }
        spec = {"replicas": replicas, "selector": selector, "template": template}
        spec |= {name: deployment["spec"][name] for name in ("minReadySeconds",) if name in deployment["spec"]}
        made = self._api.create(REPLICA_SETS, namespace_of(deployment), {"metadata": metadata, "spec": spec}, MANAGER)
        self._note_revision(deployment, revision)
        return made

    def _resize(self, deployment: Document, replica_set: Document, replicas: int) -> None:
        counts = _counts(deployment)
        if replica_set["spec"]["replicas"] == replicas and counts.items() <= annotations_of(replica_set).items():
            return
        patch: Document = {"metadata": {"annotations": counts}, "spec": {"replicas": replicas}}
        key = Key(namespace_of(replica_set), name_of(replica_set))
        self._api.patch(REPLICA_SETS, key, patch, MERGE_PATCH, MANAGER)

    def _clean_up(self, deployment: Document, owned: Owned) -> None:
        """Delete the oldest ReplicaSets beyond the limit that are at 0; their pods may still be ending."""
        empty = [each for each in owned.old if _is_empty(each)]
        for each in empty[: max(0, len(empty) - deployment["spec"]["revisionHistoryLimit"])]:
            self._api.delete(REPLICA_SETS, Key(namespace_of(each), name_of(each)))

    def _note_revision(self, deployment: Document, revision: int) -> None:
        patch = {"metadata": {"annotations": {REVISION: str(revision)}}}
        self._api.patch(DEPLOYMENTS, Key(namespace_of(deployment), name_of(deployment)), patch, MERGE_PATCH, MANAGER)

    def _report(self, deployment: Document, owned: Owned, now: datetime) -> datetime | None:
        """Write the status; return when the rollout will have taken too long."""
        key = Key(namespace_of(deployment), name_of(deployment))
        body = {"status": status(deployment, owned, now)}
        written = self._api.update(DEPLOYMENTS, key, body, MANAGER, subresource="status")
        return gives_up_at(written)


def _sorted(deployment: Document, sets: Iterable[Document]) -> Owned:
    wanted = template_hash(deployment["spec"]["template"])
    ordered = sorted(sets, key=_revision)
    new = next((each for each in ordered if each["metadata"]["labels"].get(HASH_LABEL) == wanted), None)
    return Owned(new, tuple(each for each in ordered if each is not new))


def _revision(replica_set: Document) -> int:
    return int(annotations_of(replica_set).get(REVISION, "0"))


def _is_empty(replica_set: Document) -> bool:
    """Tell whether a ReplicaSet is at 0 and its controller has seen that; pods that are ending are not counted."""
    metadata, status = replica_set["metadata"], replica_set["status"]
    seen = status.get("observedGeneration", 0) >= metadata["generation"]
    return seen and not replica_set["spec"]["replicas"] and not status.get("replicas")


def _size(replica_set: Document) -> Size:
    return Size(replica_set["spec"]["replicas"], replica_set["status"].get("availableReplicas", 0))


def _counts(deployment: Document) -> dict[str, str]:
    """Return what a ReplicaSet notes of its Deployment's size."""
    replicas = deployment["spec"]["replicas"]
    most = replicas + bounds(deployment["spec"]).surge
    return {DESIRED: str(replicas), "deployment.kubernetes.io/max-replicas": str(most)}
