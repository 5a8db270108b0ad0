"""Workloads, ReplicaSets and pods as the API gives them at rest, for the predicates; a test says what differs."""

from typing import Any

from certlag.model import Workload
from tests.builders import DEPLOYMENT, NAMESPACE
from tests.memory_api import merged

Document = dict[str, Any]
STATEFUL_SET = Workload(NAMESPACE, "statefulset", "build-service")
DAEMON_SET = Workload(NAMESPACE, "daemonset", "build-service")
WORKER = Workload(NAMESPACE, "deployment", "worker")
RESTART_ID = "run-1-1"
RESTARTED: Document = {"annotations": {"certlag.dev/restart-id": RESTART_ID}}
TEMPLATE: Document = {"metadata": RESTARTED, "spec": {"terminationGracePeriodSeconds": 60}}
"""Live pods may have been made with another grace: see `a_pod`."""


def a_deployment(workload: Workload = DEPLOYMENT, replicas: int = 1, **changes: Any) -> Document:
    """Return a Deployment that was restarted and is rolled out; `changes` are merged into it."""
    document = {
        "metadata": {"name": workload.name, "uid": f"uid-of-{workload.name}", "resourceVersion": "7", "generation": 3},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": workload.name}},
            "strategy": {"type": "RollingUpdate"},
            "template": TEMPLATE,
        },
        "status": {
            "observedGeneration": 3,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    }
    found: Document = merged(document, changes)
    return found


def a_stateful_set(replicas: int = 1, **changes: Any) -> Document:
    """Return a StatefulSet that was restarted and is rolled out."""
    document = a_deployment(STATEFUL_SET, replicas)
    document["spec"]["updateStrategy"] = document["spec"].pop("strategy")
    document["status"] |= {"updateRevision": "rev-2", "currentRevision": "rev-2"}
    del document["status"]["conditions"]
    found: Document = merged(document, changes)
    return found


def a_daemon_set(pods: int = 1, **changes: Any) -> Document:
    """Return a DaemonSet that was restarted and is rolled out on so many nodes."""
    document = a_deployment(DAEMON_SET)
    document["spec"]["updateStrategy"] = document["spec"].pop("strategy")
    del document["spec"]["replicas"]
    counts = ("desired", "current", "updated")
    document["status"] = {"observedGeneration": 3, "numberReady": pods, "numberAvailable": pods}
    document["status"] |= {f"{count}NumberScheduled": pods for count in counts}
    found: Document = merged(document, changes)
    return found


def a_replica_set(workload: Workload = DEPLOYMENT, name: str = "new", replicas: int = 1, **changes: Any) -> Document:
    """Return a ReplicaSet of a Deployment, with its template and the label that its controller adds."""
    template = merged(TEMPLATE, {"metadata": {"labels": {"pod-template-hash": name}}})
    document = {
        "metadata": {
            "name": f"{workload.name}-{name}",
            "uid": f"uid-of-{workload.name}-{name}",
            "generation": 2,
            "ownerReferences": [owner("Deployment", workload.name)],
        },
        "spec": {"replicas": replicas, "template": template},
        "status": {"observedGeneration": 2, "replicas": replicas},
    }
    found: Document = merged(document, changes)
    return found


def a_pod(
    name: str = "pod-1", of: str = "build-service-new", kind: str = "ReplicaSet", phase: str = "Running", **changes: Any
) -> Document:
    """Return a pod of the restart that runs and is Ready, owned by `of`."""
    document = {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": {"app": of.rpartition("-")[0] or of, "controller-revision-hash": "rev-2"},
            "ownerReferences": [owner(kind, of)],
            **RESTARTED,
        },
        "spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 3600},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    found: Document = merged(document, changes)
    return found


def owner(kind: str, name: str) -> Document:
    """Return the ownerReference of a controller."""
    return {"kind": kind, "name": name, "uid": f"uid-of-{name}", "controller": True}


ENDING: Document = {"metadata": {"deletionTimestamp": "2026-06-01T13:00:00Z", "deletionGracePeriodSeconds": 3600}}
"""What a pod that was asked to end has more."""
