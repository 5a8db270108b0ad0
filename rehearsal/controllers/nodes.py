"""What the control plane does about nodes: pods are placed on them, and taken from those that have fallen silent."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rehearsal.api.resources import NODES, PODS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import MANAGER, warn
from rehearsal.faults import Faults
from rehearsal.objects import Document, condition, is_ending, labels_of, name_of, namespace_of, with_condition


class Scheduler:
    """Gives every pod a node, in turn; a dead one gets none."""

    watches = (PODS, NODES)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._turn = 0

    def run(self, now: datetime) -> None:
        """Bind what is not bound."""
        nodes = tuple(self._api.storage.all(NODES).values())
        alive = sorted((node for node in nodes if name_of(node) not in self._faults.dead_nodes), key=name_of)
        for pod in tuple(self._api.storage.all(PODS).values()):
            if not pod["spec"].get("nodeName") and not is_ending(pod):
                wanted = (pod["spec"].get("nodeSelector") or {}).items()
                fitting = [name_of(node) for node in alive if wanted <= dict(labels_of(node)).items()]
                if fitting:
                    self._turn += 1
                    self._bind(pod, fitting[self._turn % len(fitting)], now)
                elif alive and wanted:
                    self._refuse(pod, len(nodes), now)

    def _bind(self, pod: Document, node: str, now: datetime) -> None:
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        conditions = with_condition(pod["status"].get("conditions") or (), scheduled, now)
        spec = {**pod["spec"], "nodeName": node}
        self._api.storage.put(PODS, {**pod, "spec": spec, "status": {**pod["status"], "conditions": conditions}})

    def _refuse(self, pod: Document, nodes: int, now: datetime) -> None:
        """Say that no node fits; an Event is made of it once."""
        if (condition(pod, "PodScheduled") or {}).get("status") == "False":
            return
        none = f"0/{nodes} nodes are available"
        why = f"{nodes} node(s) didn't match Pod's node affinity/selector"
        message = f"{none}: {why}. preemption: {none}: {nodes} Preemption is not helpful for scheduling."
        said = {"type": "PodScheduled", "status": "False", "lastProbeTime": None, "reason": "Unschedulable"}
        conditions = with_condition(pod["status"].get("conditions") or (), {**said, "message": message}, now)
        self._api.storage.put(PODS, {**pod, "status": {**pod["status"], "conditions": conditions}})
        warn(self._api, pod, now, reason="FailedScheduling", message=message, source="default-scheduler")


class NodeLifecycle:
    """What the control plane makes of a silent node: not ready after 40 s, its pods to be deleted 300 s later."""

    watches = (NODES, PODS)

    SILENT = timedelta(seconds=40)
    TOLERATED = timedelta(seconds=300)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._since: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Assess each node by how long it has been silent."""
        return earliest(*(self._sync(node, now) for node in tuple(self._api.storage.all(NODES).values())))

    def _sync(self, node: Document, now: datetime) -> datetime | None:
        name = name_of(node)
        if name not in self._faults.dead_nodes:
            self._since.pop(name, None)
            self._say(node, "True", "KubeletReady", now)
            return None
        since = self._since.setdefault(name, now)
        if now < since + self.SILENT:
            return since + self.SILENT
        self._say(node, "Unknown", "NodeStatusUnknown", now)
        pods = [pod for pod in self._api.storage.all(PODS).values() if pod["spec"].get("nodeName") == name]
        self._unready(pods, now)
        if now < since + self.SILENT + self.TOLERATED:
            return since + self.SILENT + self.TOLERATED
        for pod in pods:
            if not is_ending(pod):
                self._api.delete(PODS, Key(namespace_of(pod), name_of(pod)))
        return None

    def _say(self, node: Document, status: str, reason: str, now: datetime) -> None:
        ready = {"type": "Ready", "status": status, "reason": reason, "message": ""}
        if (condition(node, "Ready") or {}).get("status") != status:
            conditions = with_condition(node["status"].get("conditions") or (), ready, now)
            body = {"status": {**node["status"], "conditions": conditions}}
            self._api.update(NODES, Key("", name_of(node)), body, MANAGER, subresource="status")

    def _unready(self, pods: Iterable[Document], now: datetime) -> None:
        for pod in pods:
            ready = {"type": "Ready", "status": "False", "lastProbeTime": None, "reason": "NodeNotReady"}
            conditions = with_condition(pod["status"].get("conditions") or (), ready, now)
            body = {"status": {**pod["status"], "conditions": conditions}}
            key = Key(namespace_of(pod), name_of(pod))
            self._api.update(PODS, key, body, MANAGER, subresource="status")
