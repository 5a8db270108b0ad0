"""The runbook's promises (design, section 7), held against every write at the moment when it lands.

Anyone who writes is known: a command of ours, or somebody else. What nobody can be blamed for is left out: a change
that a command cannot have seen, because the answer to its own write was lost.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from certlag.model import Target, Workload
from rehearsal.api.resources import CONFIG_MAPS, SCALED_OBJECTS
from rehearsal.controllers.autoscalers import KEDA
from rehearsal.objects import Document, annotations_of, uid_of
from runbook.check.status import TargetStatus
from runbook.effects import Change
from runbook.outcomes import Outcome
from tests.simulation import truth
from tests.simulation.operators import Command
from tests.simulation.place import BROKEN, NAMESPACE, RESOURCES, Place

RESTART_ID = "certlag.dev/restart-id"
FENCE = "certlag.dev/run"
MARKS = (FENCE, "certlag.dev/replicas")
ENDED = ("Succeeded", "Failed")
OBSERVED = (CONFIG_MAPS, *RESOURCES.values())


class Looks(NamedTuple):
    """How a workload looks, as far as anybody may change it."""

    uid: str
    replicas: int
    template: Document

    @property
    def restart_id(self) -> str | None:
        """Which restart of the runbook made its template."""
        annotations: dict[str, str] = self.template["metadata"].get("annotations") or {}
        return annotations.get(RESTART_ID)


@dataclass
class Promises:
    """Watches every write. A promise that is broken is an AssertionError, raised where it is broken."""

    place: Place
    ledger: truth.Ledger
    commands: list[Command]
    writer: Command | None = None
    checked: int = 0
    meddled: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By the pid of a command: what somebody else has changed while it was at work."""
    unsure: set[int] = field(default_factory=set)
    """Commands that lost an answer: what they have done they may take for undone."""
    acceptable: dict[str, set[int]] = field(default_factory=dict)
    """What each worker may be scaled to once no run is open."""
    _unready: set[str] = field(default_factory=set)
    """Workers that a run scaled to 0, none of whom were all Ready since."""
    _templates: dict[str, datetime] = field(default_factory=dict)
    """When each template was changed last."""
    _looks: dict[str, Looks | None] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._targets = self.place.configuration.targets
        self._workloads = {
            reference(each): each for target in self._targets for each in (target.workload, *target.workers)
        }
        self._looks = {name: self._look(each) for name, each in self._workloads.items()}
        for target in self._targets:
            for worker in target.workers:
                self.acceptable[reference(worker)] = {self._replicas(worker)}
            self._records[target.name] = {}
        self.place.cluster.api.storage.on_change(self._written)

    # --- what operators do --------------------------------------------------------------------------------

    def writes(self, command: Command, change: Change, send: Callable[[], Any]) -> Any:
        """Be there while a command writes."""
        self.writer = command
        if command.line.loses is not None:
            self.unsure.add(command.pid)
        try:
            return send()
        finally:
            self.writer = None

    def looked(self, command: Command, status: TargetStatus) -> None:
        """Promise 5, first half: what a command sees is so, and it assesses as the gauges do."""
        target = command.order.target
        command.saw_current = truth.all_current(self.place, self.ledger, target)
        assert not status.verified or command.saw_current, f"promise 5: {command.what} sees what is not so"
        command.known.look(self.ledger, reaches=self.place.forwards)
        right = truth.gauges(self.place, self.ledger, command.known, target)
        expected = [(each.needs_restart, each.state, each.deadline) for each in right]
        deadline = None if status.deadline is None else status.deadline.timestamp()
        seen = (status.needs_restart, status.state, deadline)
        assert seen in expected, f"gauges of {target.name}: {command.what} sees {seen}, and {expected} is so"
        self.checked += 1

    # --- every write ----------------------------------------------------------------------------------------

    def _written(self) -> None:
        """Look at what has changed with a write."""
        storage = self.place.cluster.api.storage
        resource = next((each for each in OBSERVED if storage.changed(each) == storage.version), None)
        for name, workload in self._workloads.items() if resource in RESOURCES.values() else ():
            before, after = self._looks[name], self._look(workload)
            if name in self._unready and self._is_ready(workload):
                self._unready.discard(name)
            if before != after:
                self._looks[name] = after
                self._changed(name, before, after)
        for target in self._targets if resource is CONFIG_MAPS else ():
            before_record, after_record = self._records[target.name], self._record(target)
            if before_record != after_record:
                self._records[target.name] = after_record
                self._recorded(target, before_record, after_record)

    def _changed(self, name: str, before: Looks | None, after: Looks | None) -> None:
        if before is None or after is None or before.template != after.template:
            self._templates[name] = self.place.clock.now()
        if self.writer is None:
            if before is None or after is None or before[:2] != after[:2]:  # another template gets in nobody's way
                self._meddle(name, after)
            return
        assert before is not None, f"{self.writer.what} made {name}"
        assert after is not None, f"{self.writer.what} deleted {name}"
        self.checked += 1
        record = self._records[self.writer.order.target.name]
        run = record.get("run")
        assert run is not None, f"{self.writer.what} changed {name} without a record"
        owner = run["operator"]["pid"]
        assert owner == self.writer.pid, f"promise 4: {self.writer.what} changed {name}, which is run{owner}'s"
        fence, ours = self._fence(name), f"{run['id']}/{run['epoch']}"
        assert fence == ours, f"promise 4: {self.writer.what} changed {name}, on which is {fence}, not {ours}"
        if before.replicas != after.replicas:
            self._scaled(self.writer, name, run, before.replicas, after.replicas)
        if before.template != after.template:
            self._restarted(self.writer, name, run)

    def _meddle(self, name: str, after: Looks | None) -> None:
        """Note what somebody else did."""
        self._unready.discard(name)
        for command in self.commands:
            if not command.over:
                self.meddled[command.pid].add(name)
        was_ordered_to = after is not None and after.replicas == 0 and self._scaled_by(name) == KEDA
        assert not was_ordered_to, f"promise 3: KEDA, which never goes below 1, was ordered to take {name} to 0"
        if name in self.acceptable and after is not None:
            is_open = any(
                name in (record.get("run") or {"workers": ()})["workers"] for record in self._records.values()
            )
            self.acceptable[name] = (self.acceptable[name] if is_open else set()) | {after.replicas}

    def _scaled(self, command: Command, name: str, run: dict[str, Any], before: int, after: int) -> None:
        """Promises 1, 4 and 6, of a worker."""
        recorded = run["workers"].get(name)
        assert recorded is not None, f"promise 1: {command.what} scaled {name} before it was recorded"
        if after == 0:
            assert recorded == before or run["epoch"] > 1, f"promise 1: {name} was at {before}, recorded is {recorded}"
            policy = self._spec(name).get("persistentVolumeClaimRetentionPolicy", {})
            lost = policy.get("whenScaled") == "Delete"
            assert command.order.accept or not lost, f"promise 8: {command.what} deletes the volumes of {name}"
            known = self._templates.get(name, command.began) < command.began and command.order.verb == "restart"
            broken = self._spec(name)["template"]["spec"]["containers"][0]["image"] == BROKEN
            assert command.order.accept or not (known and broken), (
                f"promise 8: {command.what} takes the last {name} that works, and its new template crashes"
            )
            self._unready.add(name)
        else:
            assert (before, after) == (0, recorded), f"promise 3: {name} from {before} to {after}, not to {recorded}"
            assert run["step"] != "restarting", f"promise 2: {name} is put back while the restart goes on"
        excused = command.order.verb != "restart" or command.pid in self.unsure
        assert excused or name not in self.meddled[command.pid], f"promise 6: {command.what} scaled {name} over others"

    def _restarted(self, command: Command, name: str, run: dict[str, Any]) -> None:
        """Promise 2, and what the record must say."""
        target = command.order.target
        assert name == reference(target.workload), f"{command.what} changed the template of {name}"
        assert run["step"] == "drained", f"promise 2: restarted in step {run['step']}"
        for worker in target.workers:
            pods = truth.pods_of(self.place, worker.name)
            alive = [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") not in ENDED]
            strangers = reference(worker) in self.meddled[command.pid]
            assert not alive or strangers, f"promise 2: restarted while {alive} still run"

    # --- the record -------------------------------------------------------------------------------------------

    def _recorded(self, target: Target, before: dict[str, Any], after: dict[str, Any]) -> None:
        assert self.writer is not None, "somebody else wrote the record"
        command, old, new = self.writer, before.get("run"), after.get("run")
        assert old is None or new is None or old["id"] == new["id"], "promise 1: an unfinished record is overwritten"
        self.checked += 1
        if old is None and new is not None:
            for name, replicas in new["workers"].items():
                looks = self._looks[name]
                same = looks is not None and looks.replicas == replicas
                assert same or name in self.meddled[command.pid], f"promise 1: {replicas} is recorded for {name}"
                if same:
                    self.meddled[command.pid].discard(name)  # what was done before is what the run goes by
        if new is not None and new["step"] == "verified" and (old is None or old["step"] == "restarted"):
            assert command.saw_current or new["put_back"], f"promise 5: {command.what} verified what is not served"
        if old is not None and new is None:
            self._closed(target, command, old, after["finished"][-1]["outcome"])

    def _closed(self, target: Target, command: Command, run: dict[str, Any], outcome: str) -> None:
        """Promise 3: a run that is closed has left nothing behind."""
        for worker in target.workers:
            name = reference(worker)
            looks = self._looks[name]
            back = looks is not None and looks.replicas == run["workers"].get(name)
            excused = looks is None or looks.replicas in self.acceptable[name]
            assert back or excused, f"promise 3: {outcome}, and {name} is at {looks and looks.replicas}"
            assert name not in self._unready, f"promise 3: {outcome}, and {name} never got Ready again"
            if looks is not None:
                self.acceptable[name] = {looks.replicas}
        for workload in (target.workload, *target.workers):
            found = self.place.get(RESOURCES[workload.type], workload.name)
            marks = {mark for mark in MARKS if mark in annotations_of(found)} if found else set()
            same = found is not None and uid_of(found) in {run["workload_uid"], *run["worker_uids"].values()}
            assert not marks or not same, f"promise 3: {outcome}, and {workload.name} still has {marks}"
        for paused in self.place.everything(SCALED_OBJECTS):
            left = {key for key in annotations_of(paused) if key in MARKS or key.startswith("autoscaling.keda.sh/")}
            assert not left or paused["metadata"]["name"] not in _paused(run), (
                f"promise 3: {outcome}, and KEDA has {left}"
            )
        if outcome == Outcome.DONE:
            assert run["put_back"] is None, "promise 5: done, although it only put the workers back"

    # --- at any time -----------------------------------------------------------------------------------------

    def hold_now(self) -> None:
        """Promise 3, at any time: workers are what they were, or an open record says that they are not."""
        for name, acceptable in self.acceptable.items():
            looks = self._looks[name]
            if looks is not None and looks.replicas not in acceptable:
                runs = [record.get("run") for record in self._records.values()]
                told = [run for run in runs if run is not None and name in run["workers"]]
                assert told, f"promise 3: {name} is at {looks.replicas}, not {acceptable}, and no record says so"
        self.checked += 1

    def is_open(self, target: Target) -> bool:
        """Tell whether a run of a target is open."""
        return self._records[target.name].get("run") is not None

    def is_done(self, target: Target) -> bool:
        """Tell whether nothing of any run is left: no record that is open, no mark, workers as they should be."""
        documents = [self.place.get(RESOURCES[each.type], each.name) for each in (target.workload, *target.workers)]
        marks = [mark for each in documents if each is not None for mark in MARKS if mark in annotations_of(each)]
        return not self.is_open(target) and not marks

    def _look(self, workload: Workload) -> Looks | None:
        found = self.place.get(RESOURCES[workload.type], workload.name)
        return None if found is None else Looks(uid_of(found), found["spec"]["replicas"], found["spec"]["template"])

    def _is_ready(self, workload: Workload) -> bool:
        """Tell whether as many pods of a worker are Ready as are wanted, and some are."""
        found = self.place.get(RESOURCES[workload.type], workload.name)
        wanted = found["spec"]["replicas"] if found else 0
        return found is not None and bool(wanted) and found["status"].get("readyReplicas", 0) >= wanted

    def _fence(self, name: str) -> str | None:
        workload = self._workloads[name]
        found = self.place.get(RESOURCES[workload.type], workload.name)
        return None if found is None else annotations_of(found).get(FENCE)

    def _spec(self, name: str) -> Document:
        workload = self._workloads[name]
        found = self.place.get(RESOURCES[workload.type], workload.name)
        spec: Document = found["spec"] if found else {}
        return spec

    def _scaled_by(self, name: str) -> str | None:
        """Return the field manager that has written a workload's replicas."""
        workload = self._workloads[name]
        found = self.place.get(RESOURCES[workload.type], workload.name)
        fields = found["metadata"].get("managedFields", ()) if found else ()
        return next((each["manager"] for each in fields if "f:replicas" in each["fieldsV1"].get("f:spec", {})), None)

    def _replicas(self, workload: Workload) -> int:
        looks = self._look(workload)
        assert looks is not None
        return looks.replicas

    def _record(self, target: Target) -> dict[str, Any]:
        found = self.place.get(CONFIG_MAPS, f"certlag-run-{target.name}")
        document: dict[str, Any] = json.loads(found["data"]["record.json"]) if found else {}
        return document


def _paused(run: dict[str, Any]) -> set[str]:
    """Return the names of the ScaledObjects that a run has paused."""
    return {paused["path"].rpartition("/")[2] for paused in run["paused"] if "/scaledobjects/" in paused["path"]}


def reference(workload: Workload) -> str:
    """Return `type/name`."""
    assert workload.namespace == NAMESPACE
    return f"{workload.type}/{workload.name}"
