"""DaemonSets: one pod on each node, replaced one by one (RollingUpdate) or when somebody deletes it (OnDelete)."""

from collections.abc import Iterable
from datetime import datetime

from rehearsal.api.resources import DAEMON_SETS, NODES, PODS
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
    template_hash,
    try_to_create_pod,
)
from rehearsal.objects import Document, is_ending, labels_of, name_of, namespace_of, uid_of

REVISION_LABEL = "controller-revision-hash"


class DaemonSetController:
    """Keeps a pod of each DaemonSet on every node."""

    watches = (DAEMON_SETS, PODS, NODES)

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._retry_at: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Take each DaemonSet one step further."""
        pods = by_owner(self._api.storage.all(PODS).values())
        sets = tuple(self._api.storage.all(DAEMON_SETS).values())
        return earliest(*(self._sync(each, pods.get(uid_of(each), ()), now) for each in sets if not is_ending(each)))

    def _sync(self, daemon_set: Document, pods: Iterable[Document], now: datetime) -> datetime | None:
        update = template_hash(daemon_set["spec"]["template"])
        nodes = [name_of(node) for node in self._api.storage.all(NODES).values()]
        on_node = {pod["spec"]["nodeName"]: pod for pod in pods if not has_ended(pod)}
        self._report(daemon_set, nodes, on_node, update, now)
        generation = str(daemon_set["metadata"]["generation"])
        for node in nodes:
            if node not in on_node and self._retry_at.get(uid_of(daemon_set), now) <= now:
                labels = {REVISION_LABEL: update, "pod-template-generation": generation}
                if try_to_create_pod(self._api, daemon_set, now, labels=labels, node=node):
                    self._retry_at[uid_of(daemon_set)] = now + RETRY
        self._update(daemon_set, on_node, update, now)
        later = (available_at(pod, daemon_set) for pod in on_node.values())
        due = (*later, self._retry_at.get(uid_of(daemon_set)))
        return earliest(*(at for at in due if at is not None and at > now))

    def _update(self, daemon_set: Document, on_node: dict[str, Document], update: str, now: datetime) -> None:
        strategy = daemon_set["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        may_go = int(strategy["rollingUpdate"]["maxUnavailable"])
        may_go -= sum(not is_active(pod) or not is_available(pod, daemon_set, now) for pod in on_node.values())
        for pod in on_node.values():
            if labels_of(pod).get(REVISION_LABEL) == update or is_ending(pod):
                continue
            available = is_available(pod, daemon_set, now)
            if available and may_go <= 0:
                continue
            may_go -= available
            delete_pod(self._api, pod)

    def _report(
        self, daemon_set: Document, nodes: list[str], on_node: dict[str, Document], update: str, now: datetime
    ) -> None:
        pods = [on_node[node] for node in nodes if node in on_node]
        available = sum(is_available(pod, daemon_set, now) for pod in pods)
        status = {
            "currentNumberScheduled": len(pods),
            "numberMisscheduled": 0,
            "desiredNumberScheduled": len(nodes),
            "numberReady": sum(is_ready(pod) for pod in pods),
            "observedGeneration": daemon_set["metadata"]["generation"],
            "updatedNumberScheduled": sum(labels_of(pod).get(REVISION_LABEL) == update for pod in pods),
            "numberAvailable": available,
            "numberUnavailable": len(nodes) - available,
        }
        optional = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable")
        status = {name: value for name, value in status.items() if value or name not in optional}
        key = Key(namespace_of(daemon_set), name_of(daemon_set))
        self._api.update(DAEMON_SETS, key, {"status": status}, MANAGER, subresource="status")
