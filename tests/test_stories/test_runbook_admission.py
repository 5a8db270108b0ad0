"""What admission denies is found out before the drain, and a pod that no controller may make is explained."""

import pytest

from certlag.run_record import Step
from tests.bench import admission, waiting
from tests.bench.api import MERGE_PATCH, ApiError
from tests.bench.cluster import Object
from tests.runbook_process import Ran, of
from tests.test_stories.drained_ground import TARGET, WORKER, DrainedGround, drained_ground, serving, working
from tests.test_stories.ground import Ground
from tests.test_stories.test_runbook_cases import assert_refused, restart_id
from tests.test_stories.test_runbook_in_cluster import laptop, pods_of_job

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(3)]

RECORDED = 2
REFUSED, STALLED, NOT_BACK = 3, 6, 7
MESSAGE = "change freeze"
RESTART: Object = {"spec": {"template": {"metadata": {"annotations": {"certlag.dev/restart-id": "tried"}}}}}
DOWN: Object = {"spec": {"replicas": 0}}
DENIED = {
    "the restart": (admission.RESTART, TARGET, RESTART),
    "scaling to 0": ("object.spec.replicas > 0", WORKER, DOWN),
}


def wait_denied(drained: DrainedGround, name: str, change: Object) -> None:
    """Wait until the API server minds a policy."""

    def denied() -> bool:
        try:
            drained.patch(f"{name}?dryRun=All", change)
        except ApiError as error:
            return MESSAGE in str(error)
        return False

    waiting.until("the policy to deny it", denied)


def pods(ground: Ground) -> dict[str, str]:
    """The UIDs of all pods, by name."""
    metadata = [pod["metadata"] for name in (TARGET, WORKER) for pod in ground.pods(name)]
    return {each["name"]: each["uid"] for each in metadata if "deletionTimestamp" not in each}


@pytest.mark.field_case("G6")
@pytest.mark.parametrize(("expression", "name", "change"), DENIED.values(), ids=DENIED)
def test_what_a_policy_denies_is_refused_and_no_worker_is_scaled(
    ground: Ground, expression: str, name: str, change: Object
) -> None:
    with drained_ground(ground) as drained:
        before = pods(ground)
        with admission.policy(ground.cluster, ground.namespace, expression, message=MESSAGE) as policy:
            wait_denied(drained, name, change)
            says = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {MESSAGE}"
            for options in ((), ("--dry-run",)):
                ran = drained.run("restart", *options)
                assert_refused(drained, ran, says)
            assert (drained.open_run, drained.marks(), drained.replicas()) == (None, {}, RECORDED)
            assert pods(ground) == before
            text = drained.runbook.run(*drained.words("restart"), output="text")
            assert says in text.stdout, text
        waiting.until("it to be allowed again", lambda: drained.run("restart", "--dry-run").code == 0)
        assert drained.run("restart").code == 0
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G6")
def test_a_policy_that_begins_in_the_drain_ends_the_run_and_the_workers_are_restored(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        frozen = admission.policy(ground.cluster, ground.namespace, admission.RESTART, message=MESSAGE)

        def freeze() -> None:
            frozen.__enter__()
            wait_denied(drained, TARGET, RESTART)

        drained.once_at(Step.SCALED_DOWN, freeze)
        try:
            ran = drained.run("restart")
        finally:
            frozen.__exit__(None, None, None)
        assert ran.code == REFUSED, str(ran)
        assert MESSAGE in ran.ended["message"]
        assert restart_id(drained) is None
        assert (drained.open_run, drained.marks(), drained.replicas()) == (None, {}, RECORDED)
        restarts = [each for each in drained.proxy.writes if "template" in (each.document.get("spec") or {})]
        assert len(restarts) == 1


# --- no room for a pod ----------------------------------------------------------------------------


def fill(drained: DrainedGround, step: Step, **hard: str) -> list[str]:
    """Have a quota made at a step; returns where its path is found then."""
    made: list[str] = []
    ground = drained.ground
    drained.once_at(step, lambda: made.append(admission.quota(ground.cluster, ground.namespace, **hard)))
    return made


def stalls(ran: Ran, phase: str) -> list[str]:
    """What the progress of a phase says of why it does not go on."""
    return [each["stalled"] for each in of(ran.events, "progress", phase=phase) if each.get("stalled")]


@pytest.mark.field_case("G7")
def test_a_quota_without_room_is_refused_before_the_drain(ground: Ground) -> None:
    """Three pods run. Without the workers there is room for the target's two, and then not for the workers."""
    with drained_ground(ground) as drained:
        before = pods(ground)
        admission.quota(ground.cluster, ground.namespace, pods="2")
        ran = drained.run("restart")
        assert_refused(drained, ran, "ResourceQuota small")
        assert pods(ground) == before


@pytest.mark.field_case("G7")
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_quota_that_leaves_no_room_for_the_restarted_pod_is_shown(ground: Ground, kind: str) -> None:
    """The Deployment's new pod comes beside the old one; the others' in its place."""
    room = "1" if kind == "Deployment" else "0"
    with drained_ground(ground, [serving(kind), working()]) as drained:
        made = fill(drained, Step.DRAINED, pods=room)
        ran = drained.run("restart", "--restart-timeout=20s")
        assert ran.code == STALLED, str(ran)
        shown = [each for each in stalls(ran, "restarting") if "exceeded quota: small, requested: pods=1" in each]
        assert shown, str(ran)
        assert "exceeded quota: small, requested: pods=1" in ran.ended["message"]
        ground.cluster.api("DELETE", made[0])
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G7")
@pytest.mark.parametrize(
    ("hard", "says"),
    [
        ({"pods": "2"}, "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"),
        ({"requests.cpu": "1"}, "failed quota: small: must specify requests.cpu for: server"),
    ],
    ids=["pods", "requests.cpu"],
)
def test_a_quota_that_leaves_no_room_for_the_workers_is_shown(ground: Ground, hard: dict[str, str], says: str) -> None:
    with drained_ground(ground) as drained:
        made = fill(drained, Step.VERIFIED, **hard)
        ran = drained.run("restart", "--restart-timeout=20s")
        assert ran.code == NOT_BACK, str(ran)
        assert any(says in each for each in stalls(ran, "restoring")), str(ran)
        assert says in ran.ended["message"]
        ground.cluster.api("DELETE", made[0])
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G7")
def test_the_quotas_message_is_on_the_screen_while_it_is_waited_for(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        made = fill(drained, Step.DRAINED, pods="1")
        run = drained.runbook.start(*drained.words("restart"), output="text")
        waiting.until("it to say why", lambda: "stalled: no pod is made: " in run.output)
        assert run.is_running
        assert "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1" in run.output
        ground.cluster.api("DELETE", made[0])
        ran = run.wait()
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.field_case("G9")
@pytest.mark.usefixtures("our_image")
def test_a_job_that_a_quota_gives_no_pod_says_so_and_runs_once_there_is_room(ground: Ground) -> None:
    with drained_ground(ground) as drained, laptop(drained) as runbook:
        full = admission.quota(ground.cluster, ground.namespace, pods=str(RECORDED + 1))
        run = runbook.start(*drained.words("restart", "--in-cluster"))
        says = "exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3"
        waiting.until("it to say why", lambda: any(says in each["text"] for each in of(run.events, "remark")))
        assert (pods_of_job(drained), drained.replicas()) == ([], RECORDED)
        # The Job, and the new pod beside the old one.
        ground.cluster.api("PATCH", full, {"spec": {"hard": {"pods": str(RECORDED + 3)}}}, MERGE_PATCH)
        ran = run.wait()
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)
