"""A run in the cluster goes on when the terminal that started it dies, and when its own pod does."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench import waiting
from tests.bench.cluster import Object
from tests.helm_release import Release, values
from tests.runbook_process import Runbook, RunbookProcess, operator
from tests.test_stories.drained_ground import TARGET, WORKER, DrainedGround, Fault, drained_ground
from tests.test_stories.ground import Ground
from tests.test_stories.pod_process import process_of

pytestmark = pytest.mark.cluster

OPERATOR = "operator"
DETACHED = 130
REFUSED, LOCKED = 3, 4


@pytest.fixture
def drained(ground: Ground, our_image: None) -> Iterator[DrainedGround]:
    with drained_ground(ground) as made:
        yield made


def test_a_run_in_the_cluster_outlives_the_terminal_that_started_it_and_its_own_pods(drained: DrainedGround) -> None:
    busy = drained.fault(Fault.BUSY)
    with laptop(drained) as runbook:
        refused = runbook.run(*drained.words("restart", "--in-cluster", "--cron-job=other"))
        assert refused.code == REFUSED, refused
        assert "you may not get cronjobs.batch other" in refused.ended["message"]

        missing = drained.run("restart", "--in-cluster", "--cron-job=other")
        assert missing.code == REFUSED, missing
        assert "there is no CronJob other" in missing.ended["message"]
        tried = runbook.run(*drained.words("restart", "--in-cluster", "--dry-run"))
        assert tried.code == 0, tried
        assert tried.ended["message"].startswith("Dry run: nothing was changed.")
        assert pods_of_job(drained) == []

        terminal = runbook.start(*drained.words("restart", "--in-cluster", "--reason=renewed"))
        terminal.wait_for("progress", phase="draining", why="2 pods not ended")
        terminal.kill()

        again = runbook.run(*drained.words("restart", "--in-cluster"))
        assert again.code == LOCKED, again
        (attach,) = again.ended["next_commands"]
        watching = runbook.start(*attach.split()[1:])
        watching.wait_for("progress", phase="draining")
        watching.interrupt()
        left = watching.wait()
        assert (left.code, left.ended["next_commands"]) == (DETACHED, [attach]), left

        attached = runbook.start(f"restart-{TARGET}", "--attach")
        attached.wait_for("progress", phase="draining")
        (first,) = pods_of_job(drained)
        evict(drained, first)
        second = next_pod(drained, first, attached)
        os.kill(process_of(second, "/usr/local/bin/python3"), signal.SIGKILL)
        next_pod(drained, second, attached)
        assert drained.replicas() == 0, "it waits for the same workers"
        busy.unlink()
        ran = attached.wait()
        assert ran.code == 0, ran
        drained.assert_settled(**{WORKER: 2})

        (finished,) = drained.record["finished"]
        account = f"system:serviceaccount:{drained.ground.namespace}:{OPERATOR}"
        assert finished["operator"]["reason"] == f"renewed (started by {account})"
        assert finished["outcome"] == "done"
        late = runbook.run(f"restart-{TARGET}", "--attach")
        assert (late.code, late.ended["outcome"]) == (0, "done"), "who comes late is told how it ended"
        asked = drained.cluster.audit_events(account)
        refusals = [event for event in asked if event.get("responseStatus", {}).get("code") in (401, 403)]
        assert refusals == [], "no request was refused"


@contextmanager
def laptop(drained: DrainedGround) -> Iterator[Runbook]:
    """Install the chart, and be somebody whom its values name; pods may not be reached from outside."""
    cluster, namespace, folder = drained.cluster, drained.ground.namespace, drained.ground.folder
    accounts = drained.ground.path("serviceaccounts")
    cluster.api("POST", accounts, {"metadata": {"name": OPERATOR}})
    runs = {
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR}],
        "portForward": {"enabled": False},
        "inCluster": {"enabled": True},
    }
    chosen = {"replicas": 0, "config": {"targets": [drained.target]}, "runbook": runs}
    Release(cluster, namespace).install(values(chosen, folder / "values.json"))
    request = {"spec": {"expirationSeconds": 7200}}
    token = cluster.api("POST", f"{accounts}/{OPERATOR}/token", request)["status"]["token"]
    (folder / "laptop").mkdir()
    kubeconfig = drained.proxy.kubeconfig(folder / "laptop", token, namespace)
    with operator(kubeconfig, folder / "laptop", environment=drained.runbook.environment) as runbook:
        yield runbook


def pods_of_job(drained: DrainedGround) -> list[Object]:
    """The pods of all Jobs that were made."""
    selector = f"labelSelector=certlag.dev%2Ftarget%3D{TARGET}"
    found: list[Object] = drained.cluster.api("GET", f"{drained.ground.path('pods')}?{selector}")["items"]
    return found


def evict(drained: DrainedGround, pod: Object) -> None:
    """End a pod as the drain of its node does."""
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    drained.cluster.api("POST", f"{drained.ground.path('pods', name)}/eviction", eviction)


def next_pod(drained: DrainedGround, before: Object, attached: RunbookProcess) -> Object:
    """Wait until another pod goes on with the run, and who follows it is told so; returns that pod."""

    def gone_on() -> Object | None:
        others = (pod for pod in pods_of_job(drained) if pod["metadata"]["name"] != before["metadata"]["name"])
        return next((pod for pod in others if f"{pod['metadata']['name']} goes on with run" in attached.output), None)

    return waiting.until("another pod to go on with the run", gone_on, 120)
