"""A record, a mark or a Lease that somebody forged: a run changes nothing but what its configuration names."""

import json
from typing import Any

import pytest

from certlag.model import Workload
from certlag.run_record import RECORD_KEY
from runbook.effects import Effect
from runbook.guard.controllers import KEDA_PAUSED, KEDA_PAUSED_REPLICAS
from runbook.guard.fence import workload_path
from runbook.guard.process_identity import this_process
from runbook.kube.views import RUN_ANNOTATION
from runbook.outcomes import Outcome
from tests.builders import NAMESPACE
from tests.field.record import case
from tests.memory_api import Document
from tests.memory_cluster import RECORD, SCALED_OBJECT, WORKERS, Driver, Killed, MemoryCluster, engine

VICTIM = Workload(NAMESPACE, "deployment", "victim")
ITS_SCALER = SCALED_OBJECT.replace("/workers", "/victim")
ZERO = {KEDA_PAUSED_REPLICAS: "0", KEDA_PAUSED: "true"}
ELSEWHERE = SCALED_OBJECT.replace(f"/{NAMESPACE}/", "/elsewhere/")

FORGERIES: dict[str, dict[str, Any]] = {
    "another workload's count": {"workers": {"deployment/victim": 0}},
    "another autoscaler to pause": {"paused": [{"path": ITS_SCALER, "during": ZERO, "before": ZERO}]},
    "one of another namespace": {"paused": [{"path": ELSEWHERE, "during": ZERO, "before": ZERO}]},
    "a workload to annotate": {"paused": [{"path": workload_path(VICTIM), "during": ZERO, "before": {"any": "thing"}}]},
    "any annotation on our own": {"paused": [{"path": workload_path(WORKERS[0]), "during": {}, "before": {"a": "b"}}]},
    "a path that leads away": {"paused": [{"path": f"{SCALED_OBJECT}/../victim", "during": ZERO, "before": ZERO}]},
    "another target": {"workload": "deployment/victim"},
    "another object of that name": {"workload_uid": "uid-of-victim"},
}


def with_an_open_run() -> MemoryCluster:
    """A run that was killed while it drained, beside a workload that is none of its business."""
    cluster = MemoryCluster()
    cluster.api.put(
        workload_path(VICTIM),
        {
            "metadata": {"name": VICTIM.name, "uid": "uid-of-victim", "annotations": {}},
            "spec": {"replicas": 4, "template": {"metadata": {"annotations": {}}, "spec": {}}},
        },
    )
    for path in (ITS_SCALER, ELSEWHERE):
        scaler = {"metadata": {"name": "victim", "annotations": {}}, "spec": {"scaleTargetRef": {"name": "victim"}}}
        cluster.api.put(path, scaler)

    def dies_once_drained(perform: Any, effect: Effect) -> Any:
        if cluster.replicas() == dict.fromkeys(WORKERS, 0):
            raise Killed
        return perform(effect)

    with pytest.raises(Killed):
        Driver(cluster, dict.fromkeys(range(10_000), dies_once_drained)).drive(engine(cluster).restart())
    return cluster


def forge(cluster: MemoryCluster, changes: dict[str, Any]) -> None:
    """Write into the open run of the record what somebody who may write ConfigMaps could."""
    record = json.loads(cluster.api.documents[RECORD]["data"][RECORD_KEY])
    workers = changes.get("workers", {})
    record["run"] |= {
        **changes,
        "workers": record["run"]["workers"] | workers,
        "worker_uids": record["run"]["worker_uids"] | dict.fromkeys(workers, "uid-of-victim"),
        "worker_pods": record["run"]["worker_pods"] | {name: [] for name in workers},
    }
    cluster.api.edit(RECORD, {"data": {RECORD_KEY: json.dumps(record)}})


def others(cluster: MemoryCluster) -> list[tuple[Document, Document]]:
    """What is none of the run's business: annotations and specifications (a controller writes the status)."""
    documents = (cluster.api.documents[path] for path in (workload_path(VICTIM), ITS_SCALER, ELSEWHERE))
    return [(document["metadata"]["annotations"], document["spec"]) for document in documents]


@case(
    "W22",
    kind="Found by tests: wrong endings and answers of a run",
    situation="A forged record says that another ScaledObject was paused.",
    says="Refused. Before: resume and abort wrote the forger's annotations on any object that the operator may patch.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("H6")
@pytest.mark.parametrize("way", ["resume", "abort"])
@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_record_scales_restarts_and_annotates_nothing_else(forgery: dict[str, Any], way: str) -> None:
    cluster = with_an_open_run()
    forge(cluster, forgery)
    before = others(cluster)
    other = engine(cluster, "run-2")
    Driver(cluster).drive(other.resume() if way == "resume" else other.abort())
    assert others(cluster) == before
    assert cluster.restarts <= 1


@pytest.mark.fault("H6")
def test_a_pause_that_no_run_makes_is_refused_and_named() -> None:
    cluster = with_an_open_run()
    forge(cluster, FORGERIES["another autoscaler to pause"])
    ending = Driver(cluster).drive(engine(cluster, "run-2").resume())
    assert (ending.outcome, "scaledobjects/victim" in ending.message) == (Outcome.REFUSED, True)


@pytest.mark.fault("H7")
@pytest.mark.parametrize("digits", [19, 5000])
def test_an_epoch_of_any_length_on_a_workload_is_none_of_ours(digits: int) -> None:
    cluster = with_an_open_run()
    mark = {"metadata": {"annotations": {RUN_ANNOTATION: f"run-1/{'9' * digits}"}}}
    cluster.api.edit(workload_path(WORKERS[0]), mark)
    assert Driver(cluster).drive(engine(cluster, "run-2").resume()).outcome is Outcome.DONE


@pytest.mark.fault("H7")
@pytest.mark.parametrize("number", ["9" * 11, "9" * 30, "9" * 5000, "-1", "", "x"])
def test_a_holder_of_no_process_number_is_never_known_to_be_dead(number: str) -> None:
    me = this_process("ann")
    assert not me.is_dead(f"ann@{me.host}/{me.machine}/{number}/run-1")
