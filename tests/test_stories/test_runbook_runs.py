"""Whole runs against the real build service, its workers each in the middle of a build."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api_proxy import ApiProxy, Request, api_proxy
from tests.bench import waiting
from tests.bench.cluster import Object
from tests.bench.opschain import BUILD_SERVICE, WORKER, Opschain
from tests.field.record import case
from tests.figures import Figures, distribution
from tests.runbook_process import Runbook, operator
from tests.sampling import Dice
from tests.test_stories.pod_watch import pod_watch

pytestmark = pytest.mark.cluster

RESTART = ("restart-build-service", "--yes", "--no-settle")
WORKERS = 3
OVERHEAD = 3.0
START = 0.4
"""Seconds in which a command starts on the machine for which `OVERHEAD` was promised.

A slower machine may take as much longer for a run as it takes to start a command: what else a run waits for, the API
server and kubelets, is slower there too.
"""


@case(
    "W18",
    kind="Found by tests: wrong endings and answers of a run",
    situation="The new pods are Ready, and kube-proxy does not know them yet.",
    says="The workers are restored a second later at the earliest. Before: at once, and a build failed with a timeout.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize("runs", [2, pytest.param(20, marks=pytest.mark.proof)])
@pytest.mark.promise("P5")
def test_runs_in_a_row_under_varied_timing_cut_off_no_build_and_load_what_was_issued(
    runs: int, opschain: Opschain, tmp_path: Path, figures: Figures
) -> None:
    dice = Dice()
    chance = dice.source
    with laptop(opschain, tmp_path) as (_, runbook):
        for _ in range(runs):
            workers, seconds, long_before = chance.randint(1, WORKERS), chance.uniform(0.5, 6), chance.random() < 0.5
            vary(opschain, workers, seconds)
            opschain.cluster.renew(opschain.namespace, BUILD_SERVICE)
            if long_before:
                wait_for_builds(opschain, workers)
            ran = runbook.run(*RESTART)
            assert ran.code == 0, ran
            assert_as_before(opschain, runbook, workers)
            assert [opschain.presented(pod) for pod in living(opschain, BUILD_SERVICE)] == [opschain.issued()]
            wait_for_builds(opschain, workers)
            assert [build for build in opschain.builds() if build.exit] == [], logs(opschain)
    builds = opschain.builds()
    assert builds_cut_off(opschain) == []
    in_the_middle = sum(build.stopping for build in builds)
    assert in_the_middle
    figures(
        f"{runs} runs ({dice}): {in_the_middle} builds of {len(builds)} were in the middle when drained, 0 were cut off"
    )


def logs(opschain: Opschain) -> str:
    """What the workers that still run have said, and which runs there were."""
    said = opschain.cluster.kubectl("logs", f"--selector=app={WORKER}", "--tail=40", namespace=opschain.namespace)
    record = opschain.cluster.kubectl("get", "configmap", "--output=yaml", namespace=opschain.namespace)
    return f"{said}\n{record}"


@pytest.mark.serial
@pytest.mark.parametrize("runs", [3, pytest.param(20, marks=pytest.mark.proof)])
def test_a_run_takes_three_seconds_more_than_its_workers_and_the_new_pods_need(
    runs: int, opschain: Opschain, tmp_path: Path, figures: Figures
) -> None:
    overheads, computed, starts = [], [], []
    with laptop(opschain, tmp_path) as (proxy, runbook):
        for _ in range(runs):
            started = runbook.run(*RESTART, "--help")
            assert started.code == 0
            starts.append(started.seconds)
            opschain.cluster.renew(opschain.namespace, BUILD_SERVICE)
            proxy.requests.clear()
            with pod_watch(opschain.cluster, opschain.namespace) as pods:
                before = cpu_seconds()
                ran = runbook.run(*RESTART)
                computed.append(cpu_seconds() - before)
            assert ran.code == 0, ran
            down = answered(proxy, lambda spec: spec.get("replicas") == 0)
            restart = answered(proxy, lambda spec: "template" in spec)
            up = answered(proxy, lambda spec: spec.get("replicas") == WORKERS)
            needed = (
                pods.last_gone(WORKER) - down,
                pods.all_ready(BUILD_SERVICE) - restart,
                pods.all_ready(WORKER) - up,
            )
            overheads.append(ran.seconds - sum(needed))
    figures(distribution("a run, less its workers' last builds, the new pod's and the workers' start", overheads))
    figures(distribution("of it, the processor's time", computed))
    figures(distribution("of that, a command's start", starts))
    # The least: what else the machine does can only add to it.
    assert min(map(held_against_the_machine, overheads, starts)) < OVERHEAD


def held_against_the_machine(overhead: float, start: float) -> float:
    """What a run would have cost where a command starts as fast as where `OVERHEAD` was promised."""
    return overhead / max(1.0, start / START)


@contextmanager
def laptop(opschain: Opschain, folder: Path) -> Iterator[tuple[ApiProxy, Runbook]]:
    """Be outside the cluster's network."""
    with api_proxy(opschain.cluster) as proxy:
        kubeconfig = proxy.kubeconfig(folder, opschain.cluster.client.token, opschain.namespace)
        with operator(kubeconfig, folder / "laptop") as runbook:
            yield proxy, runbook


def cpu_seconds() -> float:
    """What processes that have ended have used of a processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def answered(proxy: ApiProxy, changes: Callable[[dict[str, Any]], bool]) -> float:
    """When the write to a workload was answered whose specification is like this."""

    def matches(request: Request) -> bool:
        return "/apis/apps/" in request.path and changes(request.document.get("spec", {}))

    # One that met another's change is refused, and asked again.
    (at,) = (request.answered for request in proxy.writes if matches(request) and request.status == 200)
    assert at is not None
    return at


def vary(opschain: Opschain, workers: int, build_seconds: float) -> None:
    """Have so many workers, whose builds take so long, each with one begun."""
    environment = [{"name": "BUILD_SECONDS", "value": f"{build_seconds:.1f}"}]
    containers = [{"name": "worker", "env": environment}]
    change = {"spec": {"replicas": workers, "template": {"spec": {"containers": containers}}}}
    path = opschain.path("deployments", WORKER)
    opschain.cluster.api("PATCH", path, change, "application/strategic-merge-patch+json")
    opschain.wait_available(WORKER)
    wait_for_builds(opschain, workers)


def wait_for_builds(opschain: Opschain, workers: int) -> None:
    """Wait until each worker has begun another build."""
    before = opschain.begun()

    def begun() -> bool:
        pods = {pod["metadata"]["name"] for pod in living(opschain, WORKER)}
        return len(pods) == workers and pods <= {*opschain.begun()[len(before) :]}

    waiting.until("each worker to begin a build", begun)


def living(opschain: Opschain, application: str) -> list[Object]:
    """Its pods that are not ending."""
    return [pod for pod in opschain.pods(application) if "deletionTimestamp" not in pod["metadata"]]


def builds_cut_off(opschain: Opschain) -> list[str]:
    """The pods that are no more, once for each build that they began and did not end."""
    begun, ended = opschain.begun(), [build.pod for build in opschain.builds()]
    present = {pod["metadata"]["name"] for pod in opschain.pods(WORKER)}
    return [pod for pod in {*begun} - present for _ in range(begun.count(pod) - ended.count(pod))]


def assert_as_before(opschain: Opschain, runbook: Runbook, workers: int) -> None:
    """Replicas are what they were, all of them Ready, and nothing is left of the run but its history."""
    (history,) = runbook.run("history").events[0]["targets"]
    assert history["open"] is None
    assert history["finished"][0]["outcome"] == "done"
    for name in (BUILD_SERVICE, WORKER):
        workload = opschain.cluster.api("GET", opschain.path("deployments", name))
        assert [key for key in workload["metadata"]["annotations"] if key.startswith("certlag.dev/")] == []
        assert workload["status"]["readyReplicas"] == workload["spec"]["replicas"]
    assert workload["spec"]["replicas"] == workers
