"""A cluster in memory for the runbook's engine: OpsChain on a `MemoryApi`, controllers by steps, a driver with faults.

Time passes only while the engine waits: then the controllers take one step, each doing the next thing that is to do,
so that a run sees every state in between. Worker pods take some steps to end; a pod presents what was issued when it
was made. `check_write` holds every write against the promises that each of them could break.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from certlag.assess import assess
from certlag.model import Leaf, ProbeFailure, Target, Workload
from certlag.run_record import RECORD_KEY, record_name
from runbook.check.status import TargetStatus, target_status
from runbook.effects import (
    AfterInterrupt,
    Change,
    Confirm,
    Effect,
    Emit,
    EndSilence,
    Get,
    Inspect,
    List,
    Silence,
    Steps,
    T,
    Wait,
)
from runbook.events import Event
from runbook.guard.controllers import KEDA_PAUSED, KEDA_PAUSED_REPLICAS
from runbook.guard.fence import workload_path
from runbook.guard.guarded_run import ApprovedRun, Limits
from runbook.guard.record import Operator, Paused, Record, loads
from runbook.kube.views import RESTART_ANNOTATION
from runbook.run.engine import Ending, Engine
from tests.builders import KEY, NAMESPACE, RENEWED_AT, a_leaf, a_pod, a_subject, a_target, a_use, a_view, an_observation
from tests.fake_clock import FakeClock
from tests.memory_api import Document, MemoryApi

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
RECORD = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{record_name('build-service')}"
SCALED_OBJECT = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects/workers"
WORKERS = tuple(Workload(NAMESPACE, "deployment", name) for name in ("worker-a", "worker-b"))
REPLICAS = dict(zip(WORKERS, (2, 1), strict=True))
TARGET = a_target(workers=WORKERS)
PAUSED = Paused(
    SCALED_OBJECT,
    {KEDA_PAUSED: "true", KEDA_PAUSED_REPLICAS: None},
    {KEDA_PAUSED: None, KEDA_PAUSED_REPLICAS: None},
)
NEEDED = 2
"""Steps for which a worker pod goes on after it was asked to end."""


@dataclass
class MemoryCluster:
    """The API, the controllers and what pods present."""

    api: MemoryApi = field(default_factory=MemoryApi)
    clock: FakeClock = field(default_factory=lambda: FakeClock(RENEWED_AT + timedelta(days=1)))
    target: Target = TARGET
    issued: str = "second"
    old_mounts: int = 0
    """So many pods to come still mount the old Secret."""
    never_ready: frozenset[str] = frozenset()
    """Workloads whose new pods do not become ready."""
    never_ending: bool = False
    """Whether worker pods ignore that they were asked to end."""
    without_history: frozenset[str] = frozenset()
    """Workloads with `revisionHistoryLimit: 0`: old ReplicaSets are deleted at 0, while their pods are ending."""
    _presented: dict[str, Leaf] = field(default_factory=dict)
    _ending: dict[str, int] = field(default_factory=dict)
    _made: int = 0

    def __post_init__(self) -> None:
        (renewed, mounts), (self.issued, self.old_mounts) = (self.issued, self.old_mounts), ("first", 0)
        for workload in (self.target.workload, *self.target.workers):
            self.api.put(workload_path(workload), _deployment(workload, REPLICAS.get(workload, 1)))
        for _ in range(4):
            self.step()
        self.issued, self.old_mounts = renewed, mounts
        self.api.put(
            SCALED_OBJECT,
            {
                "metadata": {"name": "workers", "annotations": {"mine": "stays"}},
                "spec": {"scaleTargetRef": {"name": WORKERS[0].name}},
            },
        )
        self.api.witnesses += [self.check_write, self._wake_keda]

    # --- what is so ---------------------------------------------------------------------------------------

    def workload(self, workload: Workload) -> Document:
        """Return a workload's document; an empty one of no uid if it is gone."""
        return self.api.documents.get(workload_path(workload), {"metadata": {"uid": None}})

    def replicas(self) -> dict[Workload, int]:
        """Return how many replicas each worker has that exists."""
        paths = {worker: self.api.documents.get(workload_path(worker)) for worker in self.target.workers}
        return {worker: document["spec"]["replicas"] for worker, document in paths.items() if document is not None}

    @property
    def record(self) -> Record:
        """The record as it stands."""
        held = self.api.documents.get(RECORD)
        return Record() if held is None else loads(held["data"][RECORD_KEY])

    @property
    def restarts(self) -> int:
        """How often the target's template was made another."""
        made = self.api.within(REPLICA_SETS)
        return sum(_owner(document) == self.target.workload.name for _, document in made) - 1

    def marks(self) -> set[str]:
        """Return the annotations of ours that stand anywhere."""
        documents = (self.workload(each) for each in (self.target.workload, *self.target.workers))
        return {key for each in documents for key in each["metadata"].get("annotations", {}) if "certlag.dev/" in key}

    def held(self) -> set[str]:
        """Return the holders of Leases."""
        return {document["spec"]["holderIdentity"] for _, document in self.api.within(LEASES)} - {""}

    def pods(self, workload: Workload) -> list[Document]:
        """Return the pods with a workload's label that have not ended and that no ReplicaSet of another one owns."""
        others = {each["metadata"]["uid"] for each in self.api.list(REPLICA_SETS) if _owner(each) != workload.name}
        labelled = (each for each in self.api.list(PODS) if each["metadata"]["labels"]["app"] == workload.name)
        mine = (each for each in labelled if _owner_uid(each) not in others)
        return [each for each in mine if each["status"]["phase"] not in ("Succeeded", "Failed")]

    def restarting(self, restart_id: str) -> bool:
        """Tell whether this restart of the target was asked for, stands, and is not over yet."""
        pods = self.pods(self.target.workload)
        asked = _restart_id(self.workload(self.target.workload).get("spec", {}).get("template", {})) == restart_id
        return asked and not (pods and all(_is_ready(pod) and _restart_id(pod) == restart_id for pod in pods))

    def status(self, leaf: Leaf | None = None, *, failure: ProbeFailure | None = None) -> TargetStatus:
        """Assess what is presented, by the exporter's own assessment; or this leaf, or that no pod could be seen."""
        views = (
            a_view(
                a_pod(pod["metadata"]["name"], uid=pod["metadata"]["uid"]),
                an_observation(None if failure else leaf or self._presented[pod["metadata"]["uid"]], failure=failure),
            )
            for pod in self.pods(self.target.workload)
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"
        )
        revision = {"first": 1, "second": 2}[self.issued]
        subject = a_subject(a_use(*views, target=self.target), revision=revision)
        return target_status(self.target, assess({KEY: subject}, self.clock.now()), self.clock.now())

    # --- the promises that one write could break --------------------------------------------------------

    def check_write(self, change: Change, before: Document | None, after: Document) -> None:
        """Hold a write of the runbook against promises 1 and 2 of the design, and against a restart that goes on."""
        if before is None or not change.path.startswith("/apis/apps/"):
            return
        for worker in self.target.workers:
            if change.path == workload_path(worker) and before["spec"] != after["spec"]:
                self._check_scale(worker, before["spec"]["replicas"], after["spec"]["replicas"])
        if change.path == workload_path(self.target.workload) and before["spec"] != after["spec"]:
            alive = [pod["metadata"]["name"] for worker in self.target.workers for pod in self.pods(worker)]
            assert not alive, f"restarted while {alive} still run"
            assert self.record.run is not None, "restarted without a record"

    def _check_scale(self, worker: Workload, before: int, after: int) -> None:
        run = self.record.run
        assert run is not None, "scaled without a record"
        recorded = run.workers[f"{worker.type}/{worker.name}"].replicas
        if after == 0:
            # Anyone who resumes knows what was contested; what was recorded is then what counts.
            assert recorded == before or run.epoch > 1, "scaled down before its replicas were recorded"
        else:
            assert (before, after) == (0, recorded), "scaled over somebody else's count"
            assert not self.restarting(run.restart_id), "workers put back while the restart goes on"

    # --- time and controllers -----------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and everybody do the next thing."""
        self.clock.advance(seconds)
        self.step()

    def sleep(self, seconds: float) -> None:
        """Be suspended: for us nothing happens, for the cluster all that could."""
        for _ in range(20):
            self.pass_time(seconds / 20)

    def step(self) -> None:
        """Let each controller and the kubelet do one thing."""
        self._scale()
        self._end_pods()
        self._start_pods()
        self._collect_garbage()
        for path, document in tuple(self.api.documents.items()):
            if "/deployments/" in path:
                self._roll(path, document)
        for path, document in tuple(self.api.within(REPLICA_SETS)):
            self._fill(path, document)
        for path, document in tuple(self.api.documents.items()):
            if "/deployments/" in path:
                self._report(path, document)

    def _wake_keda(self, change: Change, _before: Document | None, _after: Document) -> None:
        """Let KEDA reconcile at once when its ScaledObject is written to: it watches it."""
        if change.path == SCALED_OBJECT:
            self._scale()

    def _scale(self) -> None:
        """Let KEDA reconcile, as it may at any time: to the number that it is held at, or never to 0 unless paused."""
        scaled_object = self.api.documents.get(SCALED_OBJECT)
        worker = self.api.documents.get(workload_path(WORKERS[0]))
        if scaled_object is None:
            return
        annotations = scaled_object["metadata"].get("annotations", {})
        held, paused = annotations.get(KEDA_PAUSED_REPLICAS), annotations.get(KEDA_PAUSED) == "true"
        condition = {"type": "Paused", "status": str(paused or held is not None)}
        self.api.edit(SCALED_OBJECT, {"status": {"conditions": [condition]}}, manager="keda")
        if worker is not None and (held is not None or not paused):
            replicas = max(worker["spec"]["replicas"], 1) if held is None else int(held)
            self.api.edit(workload_path(WORKERS[0]), {"spec": {"replicas": replicas}}, manager="keda")

    def _roll(self, path: str, deployment: Document) -> None:
        """Have a ReplicaSet for the template; when its pods are ready, let go of those of before."""
        uid, spec = deployment["metadata"]["uid"], deployment["spec"]
        owned = {each: held for each, held in self.api.within(REPLICA_SETS) if _owner_uid(held) == uid}
        new = next((each for each, held in owned.items() if held["spec"]["template"] == spec["template"]), None)
        if new is None:
            self._made += 1
            new = f"{REPLICA_SETS}/{deployment['metadata']['name']}-{self._made}"
            self.api.put(new, _replica_set(deployment))
        self.api.edit(new, {"spec": {"replicas": spec["replicas"]}}, manager="controller")
        if self.api.documents[new].get("status", {}).get("readyReplicas", 0) >= spec["replicas"]:
            for old in owned.keys() - {new}:
                self.api.edit(old, {"spec": {"replicas": 0}}, manager="controller")
                if deployment["metadata"]["name"] in self.without_history and not _is_counted(owned[old]):
                    self.api.delete(old)

    def _fill(self, path: str, replica_set: Document) -> None:
        """Make the pods that are missing, and ask the others to end."""
        uid = replica_set["metadata"]["uid"]
        mine = [(each, pod) for each, pod in self.api.within(PODS) if _owner_uid(pod) == uid]
        kept = [(each, pod) for each, pod in mine if "deletionTimestamp" not in pod["metadata"]]
        wanted = replica_set["spec"]["replicas"]
        for each, pod in kept[wanted:]:
            self._ask_to_end(each, pod)
        for _ in range(wanted - len(kept)):
            self._make_pod(replica_set)
        status = {
            "observedGeneration": replica_set["metadata"]["generation"],
            "replicas": len(kept[:wanted]),
            "readyReplicas": sum(_is_ready(pod) for _, pod in kept[:wanted]),
        }
        self.api.edit(path, {"status": status}, manager="controller")

    def _ask_to_end(self, path: str, pod: Document) -> None:
        by = (self.clock.now() + timedelta(hours=1)).isoformat()
        self.api.edit(path, {"metadata": {"deletionTimestamp": by}}, manager="controller")
        is_worker = pod["metadata"]["labels"]["app"] != self.target.workload.name
        self._ending[pod["metadata"]["uid"]] = NEEDED if is_worker else 1

    def _collect_garbage(self) -> None:
        """Delete ReplicaSets whose Deployment is gone, and ask pods whose ReplicaSet is gone to end."""
        owners = {held["metadata"]["uid"] for path, held in self.api.documents.items() if "/apis/apps/" in path}
        for path, _ in [each for each in self.api.within(REPLICA_SETS) if _owner_uid(each[1]) not in owners]:
            self.api.delete(path)
        for path, pod in tuple(self.api.within(PODS)):
            if _owner_uid(pod) not in owners and "deletionTimestamp" not in pod["metadata"]:
                self._ask_to_end(path, pod)

    def _make_pod(self, replica_set: Document) -> None:
        self._made += 1
        path = f"{PODS}/{replica_set['metadata']['name']}-{self._made}"
        pod = self.api.put(path, _pod(replica_set))
        is_old = self.old_mounts > 0 and _owner(replica_set) == self.target.workload.name
        self.old_mounts -= is_old
        self._presented[pod["metadata"]["uid"]] = a_leaf("first" if is_old else self.issued)

    def _start_pods(self) -> None:
        for path, pod in self.api.within(PODS):
            if pod["status"]["phase"] == "Pending" and pod["metadata"]["labels"]["app"] not in self.never_ready:
                ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
                self.api.edit(path, {"status": ready}, manager="kubelet")

    def _end_pods(self) -> None:
        """End pods that were asked to: first they succeed, then they are gone."""
        for path, pod in self.api.within(PODS):
            uid, name = pod["metadata"]["uid"], pod["metadata"]["labels"]["app"]
            if pod["status"]["phase"] == "Succeeded":
                self.api.delete(path)
            elif uid in self._ending and not (self.never_ending and name != self.target.workload.name):
                self._ending[uid] -= 1
                if self._ending[uid] < 0:
                    self.api.edit(path, {"status": {"phase": "Succeeded"}}, manager="kubelet")

    def _report(self, path: str, deployment: Document) -> None:
        """Write a Deployment's status, as far as its ReplicaSets are."""
        sets = [each for each in self.api.list(REPLICA_SETS) if _owner_uid(each) == deployment["metadata"]["uid"]]
        new = [each for each in sets if each["spec"]["template"] == deployment["spec"]["template"]]
        ready = _sum(sets, "readyReplicas")
        complete = _sum(new, "readyReplicas") == deployment["spec"]["replicas"] == _sum(sets, "replicas")
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": _sum(sets, "replicas"),
            "updatedReplicas": _sum(new, "replicas"),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [
                {"type": "Available", "status": "True" if ready else "False"},
                {
                    "type": "Progressing",
                    "status": "True",
                    "reason": "NewReplicaSetAvailable" if complete else "Updated",
                },
            ],
        }
        self.api.edit(path, {"status": status}, manager="controller")


# --- runs --------------------------------------------------------------------------------------------------


def approved(cluster: MemoryCluster, run_id: str = "run-1", **changes: Any) -> ApprovedRun:
    """What a command was told: a drain of an hour, a restart of five minutes."""
    told = ApprovedRun(
        target=cluster.target,
        operator=Operator("ann", "laptop", 7, "1.0"),
        holder=f"ann@laptop/machine/{run_id}",
        run_id=run_id,
        limits=Limits(timedelta(minutes=10), timedelta(minutes=5), settle=timedelta(0)),
        pause=(PAUSED,),
        accepted_until=a_leaf("first").not_after,
    )
    return replace(told, **changes)


def engine(
    cluster: MemoryCluster, run_id: str = "run-1", *, dead: bool = True, may_take_over: bool = True, **changes: Any
) -> Engine:
    """An engine on the cluster. `dead`: the holder of the lock is known to be gone; else he is watched for 60 s."""
    return Engine(
        approved(cluster, run_id, **changes),
        cluster.clock,
        may_take_over=lambda _: may_take_over,
        is_dead=lambda _: dead,
    )


class NoLock:
    """Where a test is about no lock."""

    def renew_if_due(self) -> Steps[None]:
        """It is ours."""
        yield from ()

    def wait(self, seconds: float) -> Steps[None]:
        """Wait."""
        yield Wait(seconds, early=False)


class Killed(BaseException):
    """The process of the engine is gone: nothing of it runs any more."""


Perform = Callable[[Effect], Any]
Fault = Callable[[Perform, Effect], Any]
"""What happens in place of one effect: it may perform it, or not, or something else as well."""


@dataclass
class Driver:
    """Performs an engine's effects on a cluster. `at` has faults by the number of the effect (Tell has none)."""

    cluster: MemoryCluster
    at: Mapping[int, Fault] = field(default_factory=dict)
    says: AfterInterrupt = AfterInterrupt.LEAVE
    """The operator's answer to every question."""
    effects: list[Effect] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    def drive(self, steps: Steps[T]) -> T:
        """Perform all effects until the engine returns.

        Raises:
            Killed: a fault said so; the generator is closed.
        """
        answer, error = None, None
        while True:
            try:
                effect = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as ended:
                result: T = ended.value
                return result
            answer, error = None, None
            if isinstance(effect, Emit):
                self.told.append(effect.event)
                continue
            fault = self.at.get(len(self.effects), _none)
            self.effects.append(effect)
            try:
                answer = fault(self.perform, effect)
            except Killed:
                steps.close()
                raise
            except Exception as failed:
                if isinstance(failed, AssertionError):
                    raise
                error = failed

    def perform(self, effect: Effect) -> Any:
        match effect:
            case Get(path):
                return self.cluster.api.get(path)
            case List(path, read):
                return [read(each) for each in self.cluster.api.list(path)]
            case Change():
                return self.cluster.api.change(effect)
            case Wait(seconds, early):
                return self.cluster.pass_time(min(seconds, 1.0) if early else seconds)
            case Inspect():
                return self.cluster.status()
            case Confirm():
                return self.says
            case Silence():
                return "silence-1"
            case EndSilence():
                return None
            case _:
                raise AssertionError(effect)


def _none(perform: Perform, effect: Effect) -> Any:
    return perform(effect)


def finish(cluster: MemoryCluster, run_id: str = "run-2", **changes: Any) -> Ending:
    """Do what an operator does after an ending: resume if a run is open, else restart."""
    following = engine(cluster, run_id, **changes)
    return Driver(cluster).drive(following.restart() if cluster.record.run is None else following.resume())


# --- documents ----------------------------------------------------------------------------------------------


def _deployment(workload: Workload, replicas: int) -> Document:
    template = {"metadata": {"annotations": {}}, "spec": {"terminationGracePeriodSeconds": 3600}}
    return {
        "metadata": {"name": workload.name},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": workload.name}},
            "template": template,
        },
    }


def _replica_set(deployment: Document) -> Document:
    owner = {"kind": "Deployment", "controller": True}
    owner |= {"name": deployment["metadata"]["name"], "uid": deployment["metadata"]["uid"]}
    return {
        "metadata": {"ownerReferences": [owner]},
        "spec": {"replicas": deployment["spec"]["replicas"], "template": deployment["spec"]["template"]},
    }


def _pod(replica_set: Document) -> Document:
    template = replica_set["spec"]["template"]
    owner = {"kind": "ReplicaSet", "controller": True, **_identity(replica_set)}
    metadata = {"ownerReferences": [owner], "labels": {"app": _owner(replica_set)}, **template["metadata"]}
    return {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}


def _identity(document: Document) -> Document:
    return {key: document["metadata"][key] for key in ("name", "uid")}


def _owner(document: Document) -> str:
    return str(document["metadata"]["ownerReferences"][0]["name"])


def _owner_uid(document: Document) -> str:
    return str(document["metadata"]["ownerReferences"][0]["uid"])


def _restart_id(templated: Document) -> str | None:
    found: str | None = templated.get("metadata", {}).get("annotations", {}).get(RESTART_ANNOTATION)
    return found


def _is_counted(replica_set: Document) -> bool:
    """Tell whether a ReplicaSet still has pods, or is to have some: those that are ending are not counted."""
    return bool(replica_set["spec"]["replicas"] or replica_set.get("status", {}).get("replicas"))


def _is_ready(pod: Document) -> bool:
    return bool(pod["status"].get("conditions")) and "deletionTimestamp" not in pod["metadata"]


def _sum(replica_sets: Iterable[Document], count: str) -> int:
    return sum(each.get("status", {}).get(count, 0) for each in replica_sets)
