"""Pods, and the ways to them: by workload, by Secret. Pure bookkeeping, owned by `world`."""

from collections.abc import Iterable, Iterator

from certlag.model import BAREPOD, ObjectKey, Owner, Pod, ReplicaSet, Workload
from certlag.store.multi_map import MultiMap


class PodIndex:
    """All pods, each with the workload that owns it.

    A pod whose ReplicaSet has not been seen yet belongs to no workload for the moment: the two come by different
    watches. A pod that outlives its ReplicaSet keeps the workload that it was known to belong to.
    """

    def __init__(self) -> None:
        self._pods: dict[ObjectKey, Pod] = {}
        self._replica_sets: dict[ObjectKey, ReplicaSet] = {}
        self._owner_of_replica_set: dict[str, Owner] = {}
        self._by_owner = MultiMap[str]()
        self._by_secret = MultiMap[ObjectKey]()
        self._by_workload = MultiMap[Workload]()
        self._workload: dict[ObjectKey, Workload] = {}

    def put(self, pod: Pod) -> None:
        """Take in a pod, new or changed."""
        self._forget(pod.key)
        self._pods[pod.key] = pod
        if pod.owner is not None:
            self._by_owner.add(pod.owner.uid, pod.key)
        for secret in pod.secrets:
            self._by_secret.add(ObjectKey(pod.key.namespace, secret), pod.key)
        self._resolve(pod)

    def drop(self, key: ObjectKey) -> None:
        """Forget a pod."""
        self._forget(key)
        self._pods.pop(key, None)
        if workload := self._workload.pop(key, None):
            self._by_workload.discard(workload, key)

    def put_replica_set(self, replica_set: ReplicaSet) -> tuple[Pod, ...]:
        """Take in a ReplicaSet; return the pods whose workload is known only now, or is another one."""
        self._replica_sets[replica_set.key] = replica_set
        owner = replica_set.owner or Owner("ReplicaSet", replica_set.key.name, replica_set.uid)
        if self._owner_of_replica_set.get(replica_set.uid) == owner:
            return ()
        self._owner_of_replica_set[replica_set.uid] = owner
        pods = tuple(self._pods[key] for key in self._by_owner.get(replica_set.uid))
        for pod in pods:
            self._resolve(pod)
        return pods

    def drop_replica_set(self, key: ObjectKey) -> None:
        """Forget a ReplicaSet."""
        if replica_set := self._replica_sets.pop(key, None):
            self._owner_of_replica_set.pop(replica_set.uid, None)

    def get(self, key: ObjectKey) -> Pod | None:
        """Return a pod."""
        return self._pods.get(key)

    def keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all pods."""
        return self._pods.keys()

    def replica_set_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all ReplicaSets."""
        return self._replica_sets.keys()

    def using(self, secret: ObjectKey) -> tuple[Pod, ...]:
        """Return the pods that use a Secret, by name."""
        users = self._by_secret.get(secret)
        return tuple(self._pods[key] for key in sorted(users)) if users else ()

    def of_workload(self, workload: Workload) -> Iterator[Pod]:
        """Yield the pods of a workload, by name."""
        yield from (self._pods[key] for key in sorted(self._by_workload.get(workload)))

    def workload(self, key: ObjectKey) -> Workload | None:
        """Return what a pod belongs to, None if that is not known."""
        return self._workload.get(key)

    def _forget(self, key: ObjectKey) -> None:
        pod = self._pods.get(key)
        if pod is None:
            return
        if pod.owner is not None:
            self._by_owner.discard(pod.owner.uid, key)
        for secret in pod.secrets:
            self._by_secret.discard(ObjectKey(key.namespace, secret), key)

    def _resolve(self, pod: Pod) -> None:
        workload = self._owning(pod)
        if workload is None:
            return
        if before := self._workload.get(pod.key):
            self._by_workload.discard(before, pod.key)
        self._workload[pod.key] = workload
        self._by_workload.add(workload, pod.key)

    def _owning(self, pod: Pod) -> Workload | None:
        owner = pod.owner
        if owner is None:
            return Workload(pod.key.namespace, BAREPOD, pod.key.name)
        if owner.kind == "ReplicaSet":
            owner = self._owner_of_replica_set.get(owner.uid)
            if owner is None:
                return None
        return Workload(pod.key.namespace, owner.kind.lower(), owner.name)
