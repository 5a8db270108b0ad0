"""Anyone who may make pods beside a target makes them as fat as etcd takes: a run lists them and stays small."""

import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from certlag.clock import SystemClock
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from certlag.tls.handshake import probe
from runbook.alertmanager import Silences
from runbook.check.inspector import CertificateInspector
from runbook.effects import AfterInterrupt, List, Steps
from runbook.kube.change_waiter import ChangeWaiter
from runbook.kube.views import PodState, pod_state
from runbook.plan.facts import Gatherer
from runbook.run.driver import Driver
from runbook.run.retry import RetryingClient
from tests.builders import NAMESPACE, a_target
from tests.field.record import case
from tests.figures import Figures
from tests.scripted_api import page, scripted_api

pytestmark = pytest.mark.thorough

MIB = 1024 * 1024
FAT_PODS = 16
VARIABLES = 40_000
"""Of a pod, so that it has more than a MiB of JSON, which is ten times as much once it is parsed."""
TOO_LARGE = 8
"""Pages that are asked for in vain: of 500 objects, 250, … 3."""
MOST = 64
"""MiB; the chart gives its Job 192, and 70 of them are the program itself."""

Lists = Callable[[Connection], Sequence[PodState]]


def fat_pod(number: int) -> dict[str, Any]:
    variables = [{"name": f"VARIABLE_{each:06d}"} for each in range(VARIABLES)]
    spec = {"containers": [{"name": "main", "image": "fat", "env": variables}]}
    return {"metadata": {"name": f"fat-{number}", "uid": f"uid-{number}"}, "spec": spec}


FAT = len(json.dumps(fat_pod(0)))


def before_the_run(connection: Connection) -> Sequence[PodState]:
    return Gatherer(a_target(), RetryingClient(connection, time.sleep, print)).pods()


def in_the_run(connection: Connection) -> Sequence[PodState]:
    def steps() -> Steps[Sequence[PodState]]:
        pods: Sequence[PodState] = yield List(f"/api/v1/namespaces/{NAMESPACE}/pods", pod_state)
        return pods

    client, clock = ClusterClient(connection), SystemClock()
    driver = Driver(
        connection,
        CertificateInspector(a_target(), client, clock, partial(probe, clock=clock)),
        ChangeWaiter([], client, clock),
        tell=lambda _: None,
        ask=lambda _: AfterInterrupt.LEAVE,
        silences=Silences(None, clock, namespace=NAMESPACE, alerts=(), by="ann", warn=lambda _: None),
    )
    return driver.drive(steps())


@case(
    "W43",
    kind="Found by tests: a peer that used up time or memory",
    situation="16 pods of more than a MiB each are beside a target.",
    says="The run holds 22 MiB. Before: 160 MiB, and its Job was killed while the workers were at 0.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("N9")
@pytest.mark.parametrize("lists", [before_the_run, in_the_run])
@pytest.mark.matrix(1)
def test_of_fat_pods_only_what_is_needed_is_held(lists: Lists, tmp_path: Path, figures: Figures) -> None:
    last = FAT_PODS - 1
    alone = [page([fat_pod(each)], "7", following="more" if each < last else "") for each in range(FAT_PODS)]
    with scripted_api(*[page([fat_pod(each) for each in range(3)], "7")] * TOO_LARGE, *alone) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path))
        tracemalloc.start()
        try:
            pods = lists(connection)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert [pod.name for pod in pods] == [f"fat-{number}" for number in range(FAT_PODS)]
    figures(f"{FAT_PODS} pods of {FAT / MIB:.1f} MiB, {lists.__name__}: at most {peak / MIB:.0f} MiB")
    assert peak / MIB < MOST
