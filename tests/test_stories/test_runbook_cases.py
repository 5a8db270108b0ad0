"""The failure cases R1 to R28, each by its number, as far as the real cluster can produce them.

| case | its test on the real cluster | where else |
| --- | --- | --- |
| R1, R4, R5, R6, R9, R10, R21, R24, R28 | here | `tests/test_runbook` |
| R2, R15, R16 (seen), R20 | here | |
| R8, R23 | `test_runbook_connections` | |
| R3, R18 | | `test_drain`, `test_rollout`: a moment that no real controller can be held in |
| R7, R11, R12, R13 | `test_runbook_outages`, `…_crashes`, `…_rivals`, `…_takeovers` | `test_engine`: at every effect |
| R14, R16, R17 | `test_runbook_contests` | |
| R19, R22, R25 | `test_runbook_endings` | `test_endings`, `test_rollout` |
| R26 | here: plain progress and no prompt | `test_cli`, `test_reporters_lines`: the heartbeat |
| R27 | `test_runbook_kinds`: StatefulSet and DaemonSet restarted | `test_preconditions`, `test_cli`: what is refused |
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from certlag.run_record import Step
from tests.api_proxy import Answer, Pass, Reaction, Request
from tests.bench import waiting
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Cluster, Object
from tests.runbook_process import Ran, of
from tests.test_stories.drained_ground import (
    TARGET,
    WORKER,
    DrainedGround,
    Fault,
    drained_ground,
    serving,
    step_written,
    working,
)
from tests.test_stories.ground import Ground

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(7)]

RECORDED = 2
REFUSED = 3


# --- the drain ------------------------------------------------------------------------------------


@pytest.mark.promise("P2")
def test_r1_pods_that_are_ending_hold_the_drain_although_the_status_counts_none(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        busy = drained.fault(Fault.BUSY)
        run = drained.runbook.start(*drained.words("restart"))
        run.wait_for("progress", phase="draining", why="2 pods not ended")
        drained.cluster.wait(drained.path(WORKER), lambda seen: "replicas" not in seen["status"])
        assert [pod["metadata"]["deletionTimestamp"] for pod in ground.pods(WORKER)], "they do run, and are ending"
        assert restart_id(drained) is None
        (last,) = of(run.events, "progress")[-1:]
        assert {pod["state"] for pod in last["pods"]} == {"ending"}
        assert all(pod["since"] and pod["latest_end"] for pod in last["pods"])

        busy.unlink()
        assert run.wait().code == 0
        drained.assert_settled(worker=RECORDED)


def test_r2_a_worker_that_matches_nothing_is_refused(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.configure(workers=["deployment/wroker"])
        ran = drained.run("restart")
        assert_refused(drained, ran, "deployment/wroker does not exist")


def test_r4_an_evicted_pod_that_is_left_behind_does_not_hold_the_drain(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        evicted = ground.pods(WORKER)[0]["metadata"]
        status = {"status": {"phase": "Failed", "reason": "Evicted"}}
        drained.cluster.api("PATCH", f"{ground.path('pods', evicted['name'])}/status", status, MERGE_PATCH)
        waiting.until("it to be replaced", lambda: len(ground.pods(WORKER)) == RECORDED + 1)
        drained.cluster.wait(drained.path(WORKER), lambda seen: seen["status"].get("readyReplicas") == RECORDED)
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.serial
def test_r5_a_pod_of_a_dead_node_is_never_counted_as_gone_nor_deleted(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        cluster = drained.cluster

        def revive(request: Request) -> Reaction:
            # Only where it runs can new pods start, so that the workers are back.
            if step_written(request) == Step.SCALED_UP:
                cluster.restore()
            return Pass()

        drained.proxy.after = revive
        cluster.kill("kubelet")
        ran = drained.run("restart", "--no-verify", "--drain-timeout=5s", "--accept-drain-timeout")
        assert ran.code == 5, str(ran)
        assert "2 pods not ended" in ran.ended["message"]
        assert ran.goes_on == ["check-one", "restart-one"]
        assert restart_id(drained) is None
        assert {request.method for request in drained.proxy.writes} == {"POST", "PATCH"}, "nothing is deleted"
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})


def test_r6_a_worker_that_was_killed_is_reported_as_lost_work(ground: Ground) -> None:
    with drained_ground(ground, [serving(), working(grace=2)]) as drained:
        drained.fault(Fault.BUSY)
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        lost = of(ran.events, "lost_work")
        assert {(each["container"], each["exit_code"]) for each in lost} == {("server", 137)}
        assert len({each["pod"] for each in lost}) == len(lost) == RECORDED


def test_r6_the_default_grace_period_is_refused_unless_it_is_accepted(ground: Ground) -> None:
    with drained_ground(ground, [serving(), working(grace=30)]) as drained:
        ran = drained.run("restart")
        assert_refused(drained, ran, "default grace period of 30 s")
        assert "--accept-grace" in check(ran, "grace")["remedy"]
        ran = drained.run("restart", "--accept-grace")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


def test_r6_a_drain_timeout_that_is_shorter_than_a_worker_may_take_is_refused(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        ran = drained.run("restart", "--drain-timeout=59m")
        assert_refused(drained, ran, "may take 1h to finish")
        assert "--drain-timeout 3600s" in check(ran, "drain-timeout")["remedy"]


def test_r9_a_watch_that_ends_at_once_is_made_up_for_by_lists(ground: Ground) -> None:
    with drained_ground(ground) as drained:

        def end_watches(request: Request) -> Reaction:
            return Answer(200, b"") if request.query.get("watch") else Pass()

        drained.proxy.before = end_watches
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.promise("P1")
def test_r10_a_second_restart_over_an_unfinished_one_is_refused_and_offers_to_resume(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.fault(Fault.BUSY)
        run = drained.runbook.start(*drained.words("restart"))
        run.wait_for("progress", phase="draining")
        run.kill()
        before = drained.record
        drained.proxy.requests.clear()
        ran = drained.run("restart")
        assert_refused(drained, ran, "not finished")
        assert "resume-one" in check(ran, "record")["remedy"]
        assert ran.goes_on == ["resume-one", "abort-one"]
        assert drained.record == before
        assert before["run"]["workers"] == {f"deployment/{WORKER}": RECORDED}


# --- who else ------------------------------------------------------------------------------------


@pytest.mark.serial
def test_r15_keda_is_paused_at_no_number_and_gets_its_own_back(ground: Ground) -> None:
    # KEDA itself is played by the test: what matters is what is asked of it. Its resource is the whole cluster's.
    its_own = {"autoscaling.keda.sh/paused-replicas": str(RECORDED)}
    held = scaled_object(paused="True", annotations=its_own)
    with drained_ground(ground) as drained, keda(drained, held) as path, reporting(drained, path):
        ran = drained.run("restart")
        assert_refused(drained, ran, "ScaledObject of-the-worker scales deployment/worker")
        seen: list[dict[str, str]] = []
        drained.once_at(Step.SCALED_DOWN, lambda: seen.append(_annotations(drained, path)))
        ran = drained.run("restart", "--pause-controllers")
        assert ran.code == 0, str(ran)
        (during,) = seen
        assert "autoscaling.keda.sh/paused-replicas" not in during
        assert during["autoscaling.keda.sh/paused"] == "true"
        assert _annotations(drained, path) == its_own
        drained.assert_settled(worker=RECORDED)


@pytest.mark.serial
def test_r15_a_keda_that_reports_no_pause_is_refused(ground: Ground) -> None:
    with drained_ground(ground) as drained, keda(drained, scaled_object(paused=None, annotations={})):
        ran = drained.run("restart", "--pause-controllers")
        assert_refused(drained, ran, "reports no condition Paused")


@pytest.mark.serial
def test_r15_a_keda_that_does_not_pause_on_request_drains_nothing(ground: Ground) -> None:
    with drained_ground(ground) as drained, keda(drained, scaled_object(paused="False", annotations={})) as path:
        ran = drained.run("restart", "--pause-controllers")
        assert ran.code == REFUSED, str(ran)
        assert "does not say that it is" in ran.ended["message"]
        assert _annotations(drained, path) == {}
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})


def _annotations(drained: DrainedGround, path: str) -> dict[str, str]:
    found: dict[str, str] = drained.cluster.api("GET", path)["metadata"].get("annotations") or {}
    return found


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "ops"}}, "Flux"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "ops:apps/Deployment:x/worker"}}, "Argo CD"),
    ],
)
def test_r16_what_gitops_applies_is_refused_before_anything(metadata: Object, named: str, ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.patch(WORKER, {"metadata": metadata})
        ran = drained.run("restart")
        assert_refused(drained, ran, f"deployment/worker is applied by {named}")


def test_r20_a_paused_deployment_is_refused_with_the_command_that_mends_it(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.patch(TARGET, {"spec": {"paused": True}})
        ran = drained.run("restart")
        assert_refused(drained, ran, "deployment/one is paused")
        assert "kubectl rollout resume deployment/one" in check(ran, "rollout")["remedy"]


def test_r21_a_volume_that_one_node_may_use_is_warned_of_before_anything(ground: Ground) -> None:
    claimed = serving()
    pod = claimed["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "data"}})
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"data-{ground.namespace}"},
        "spec": {**_STORAGE, "hostPath": {"path": "/faults", "type": ""}, "persistentVolumeReclaimPolicy": "Retain"},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": _STORAGE["accessModes"],
            "storageClassName": "",
            "volumeName": f"data-{ground.namespace}",
            "resources": {"requests": _STORAGE["capacity"]},
        },
    }
    ground.apply(volume, claim)
    try:
        with drained_ground(ground, [claimed, working()]) as drained:
            ran = drained.run("restart", "--dry-run")
            assert ran.code == 0, str(ran)
            warned = check(ran, "volumes")
            assert warned["result"] == "warned"
            assert "volume claim data is ReadWriteOnce" in warned["text"]
            assert drained.proxy.writes == []
    finally:
        ground.cluster.api("DELETE", f"/api/v1/persistentvolumes/data-{ground.namespace}")


_STORAGE: Object = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"}, "storageClassName": ""}


# --- the way to the cluster, and the operator ------------------------------------------------------


def test_r24_the_plan_says_that_disruption_budgets_protect_nothing_here(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        ran = drained.run("restart", "--dry-run")
        assert ran.code == 0, str(ran)
        assert "do not ask them" in check(ran, "disruption-budget")["text"]


def test_r26_without_a_terminal_there_is_no_prompt_and_each_pod_is_named_as_it_ends(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        ran = drained.runbook.run("restart-one", "--no-settle", output="text")
        assert ran.code == 2, str(ran)
        assert "--yes" in ran.stderr
        assert drained.proxy.writes == []
        names = [pod["metadata"]["name"] for pod in ground.pods(WORKER)]
        busy = drained.fault(Fault.BUSY)
        run = drained.runbook.start(*drained.words("restart"), output="text")
        waiting.until("it to wait for the workers", lambda: "waiting: 2 pods not ended" in run.output)
        busy.unlink()
        ran = run.wait()
        assert ran.code == 0, str(ran)
        told = ran.stdout + ran.stderr
        for name in names:
            said = [f"{name} is ending", f"{name} is gone", "reached: workers finished", "restart deployment/one"]
            assert re.search(".*".join(map(re.escape, said)), told, re.DOTALL), told


def test_r28_with_a_clock_that_is_an_hour_off_the_api_servers_time_is_used(ground: Ground) -> None:
    # The test shifts the API server's clock instead of the operator's: an hour ahead.
    def shift(head: bytes) -> bytes:
        ahead = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True).encode()
        return re.sub(rb"(?mi)^date: .*?\r$", b"Date: " + ahead + b"\r", head, count=1)

    with drained_ground(ground) as drained:
        drained.proxy.head = shift
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        warned = check(ran, "clock")
        assert warned["result"] == "warned"
        assert re.search(r"3[56]\d\d s behind", warned["text"])
        begun = datetime.fromisoformat(drained.record["finished"][-1]["begun"])
        assert begun - datetime.now(UTC) > timedelta(minutes=58)


def test_r28_a_clock_that_is_right_says_so(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        ran = drained.run("restart", "--dry-run")
        assert check(ran, "clock")["result"] == "passed"


# --- the story that is told -----------------------------------------------------------------------


def test_events_and_the_change_cause_tell_the_story_to_whoever_has_only_kubectl(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        for name in (TARGET, WORKER):
            told = drained.kubectl("describe", f"deployment/{name}")
            reasons = [line.split()[1] for line in told.splitlines() if "certlag" in line and len(line.split()) > 2]
            ours = [reason for reason in reasons if reason in STORY]
            assert set(ours) == set(STORY), told
        run = drained.record["finished"][-1]["id"]
        history = drained.kubectl("rollout", "history", f"deployment/{TARGET}")
        assert f"certlag run {run} by bench:admin: certificate revision {drained.revision}" in history


STORY = ("RunStarted", "WorkersScaledDown", "RestartAsked", "CertificateVerified", "WorkersScaledUp", "RunFinished")


# --- parts ----------------------------------------------------------------------------------------


def check(ran: Ran, name: str) -> dict[str, str]:
    """One check of the plan: the worst of that name."""
    found: list[dict[str, str]] = [each for each in ran.events[0]["checks"] if each["name"] == name]
    return next((each for each in found if each["result"] == "refused"), found[0])


def assert_refused(drained: DrainedGround, ran: Ran, why: str) -> None:
    """It says why, and has changed nothing."""
    assert ran.code == REFUSED, str(ran)
    assert why in ran.ended["message"], ran.ended["message"]
    assert ran.ended["next_commands"], "it says what to do then"
    assert drained.proxy.writes == []


def restart_id(drained: DrainedGround) -> str | None:
    """Which restart made the target's present template."""
    annotations = drained.get(TARGET)["spec"]["template"]["metadata"].get("annotations") or {}
    found: str | None = annotations.get("certlag.dev/restart-id")
    return found


@contextmanager
def keda(drained: DrainedGround, scaled: Object) -> Iterator[str]:
    """Install KEDA's resource for a while, with one ScaledObject; returns its path."""
    cluster = drained.cluster
    collection = f"/apis/keda.sh/v1alpha1/namespaces/{drained.ground.namespace}/scaledobjects"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.api("POST", definitions, DEFINITION)
    try:
        cluster.wait_condition(f"{definitions}/{DEFINITION['metadata']['name']}", "Established")
        waiting.until("KEDA's resource to be served", lambda: "keda.sh" in _groups(cluster))
        drained.kubectl("create", "--filename=-", stdin=json.dumps(scaled))
        yield f"{collection}/{scaled['metadata']['name']}"
    finally:
        cluster.api("DELETE", f"{definitions}/{DEFINITION['metadata']['name']}")
        waiting.until("KEDA's resource to be gone", lambda: "keda.sh" not in _groups(cluster))


def _groups(cluster: Cluster) -> list[str]:
    return [group["name"] for group in cluster.api("GET", "/apis")["groups"]]


@contextmanager
def reporting(drained: DrainedGround, path: str) -> Iterator[None]:
    """Have KEDA say of the ScaledObject whether it is paused, as its annotations tell it, until the block ends."""
    over = threading.Event()

    def report() -> None:
        while not over.wait(0.1):
            annotations = _annotations(drained, path)
            paused = any(annotations.get(f"autoscaling.keda.sh/{key}") for key in ("paused", "paused-replicas"))
            status = {"conditions": [{"type": "Paused", "status": str(paused)}]}
            drained.cluster.api("PATCH", path, {"status": status}, MERGE_PATCH)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def scaled_object(*, paused: str | None, annotations: dict[str, str]) -> Object:
    """A ScaledObject of the worker; a KEDA that reports pauses has a condition that says so."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "of-the-worker", "annotations": annotations},
        "spec": {"scaleTargetRef": {"name": WORKER}, "minReplicaCount": 1},
        "status": {"conditions": [] if paused is None else [{"type": "Paused", "status": paused}]},
    }


DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}
