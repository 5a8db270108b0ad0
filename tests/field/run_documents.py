"""What a run of the runbook leaves in the cluster, and its worker, as YAML."""

import json
from datetime import datetime

from certlag.model import Workload
from certlag.run_record import RECORD_KEY, lease_name, record_name
from tests.field.documents import instant
from tests.field.exporter import NAMESPACE, NOW

TARGET = f"""
targets:
  - {{name: svc, namespace: {NAMESPACE}, workload: statefulset/svc, certificate: svc, port: 8443,
     workers: [deployment/worker]}}
"""
WORKLOAD = Workload(NAMESPACE, "statefulset", "svc")
STATEFUL_SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: svc, namespace: {NAMESPACE}}}
spec: {{replicas: 1, template: {{spec: {{containers: [{{name: server}}]}}}}}}
"""


def worker(replicas: int, name: str = "worker") -> str:
    """The worker, scaled to so many."""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec: {{replicas: {replicas}, template: {{spec: {{containers: [{{name: worker}}]}}}}}}
"""


def record(step: str | None = "scaled_down", *, outcome: str | None = None, target: str = "svc") -> str:
    """The record of a target's run that is at a step, or has ended so; of none if there is no step."""
    run = step and {
        "id": "run-1",
        "epoch": 1,
        "step": step,
        "begun": instant(NOW),
        "deadline": instant(NOW.replace(hour=NOW.hour + 3)),
        "workers": {"deployment/worker": 3},
        "ended": outcome and {"at": instant(NOW), "outcome": outcome},
    }
    text = json.dumps({"schema": 1, "run": run, "finished": []})
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": record_name(target), "namespace": NAMESPACE},
            "data": {RECORD_KEY: text},
        }
    )


def lease(renewed: datetime) -> str:
    """The Lease of the run's workload."""
    return f"""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {lease_name(WORKLOAD)}, namespace: {NAMESPACE}}}
spec: {{holderIdentity: ann@laptop, renewTime: '{instant(renewed)}'}}
"""
