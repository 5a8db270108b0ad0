"""How each step of a run ends when it is late, does not help, or is to be undone: each with its exit code and a way on.

Interrupts (Ctrl-C) are in `test_runbook_interrupts`, contests in `test_runbook_contests`.
"""

import pytest

from certlag.run_record import Step
from tests.bench import waiting
from tests.runbook_process import of
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

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(5)]

RECORDED = 2
OPEN = ["resume-one", "abort-one"]
CLOSED = ["check-one", "restart-one"]


@pytest.mark.promise("draining: timeout")
def test_r25_a_drain_that_takes_too_long_ends_with_5_not_restarted_and_workers_put_back(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        busy = drained.fault(Fault.BUSY)
        ran = drained.run("restart", "--drain-timeout=2s", "--accept-drain-timeout")
        assert ran.code == 5, str(ran)
        assert "2 pods not ended" in ran.ended["message"]
        assert ran.goes_on == CLOSED
        assert restart_id(drained) is None
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})
        assert drained.record["finished"][-1]["outcome"] == "drain_timed_out"

        busy.unlink()
        assert drained.run("restart").code == 0
        drained.assert_settled(worker=RECORDED)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.CRASH])
@pytest.mark.promise("restarting: timeout")
def test_r25_a_restart_that_does_not_come_up_ends_with_6_and_leaves_the_workers_drained(
    fault: Fault, ground: Ground
) -> None:
    with drained_ground(ground) as drained:
        broken = drained.fault(fault)
        ran = drained.run("restart", "--restart-timeout=3s")
        assert ran.code == 6, str(ran)
        assert "not rolled out in time" in ran.ended["message"]
        assert ran.goes_on == OPEN
        assert ran.ended["replicas"] == [{"workload": f"deployment/{WORKER}", "replicas": RECORDED}]
        assert_left_drained(drained)

        broken.unlink()
        assert drained.run("resume").code == 0
        drained.assert_settled(worker=RECORDED)


@pytest.mark.fault("F40")
def test_r19_a_rollout_past_its_own_deadline_is_reported_as_stalled_and_waited_for(ground: Ground) -> None:
    hasty = serving()
    hasty["spec"]["progressDeadlineSeconds"] = 1
    with drained_ground(ground, [hasty, working()]) as drained:
        hanging = drained.fault(Fault.HANG)
        run = drained.runbook.start(*drained.words("restart"))

        def stalled() -> list[str]:
            assert run.is_running, run.output
            return [each["stalled"] for each in of(run.events, "progress", phase="restarting") if each["stalled"]]

        (said, *_) = waiting.until("it to be reported as stalled", stalled)
        assert "timed out progressing" in said
        assert drained.replicas() == 0
        hanging.unlink()
        ran = run.wait()
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.promise("verifying: timeout")
def test_the_old_certificate_after_one_more_restart_ends_with_8_and_the_workers_are_put_back(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        old = drained.fault(Fault.SERVE_BEFORE)
        ran = drained.run("restart")
        assert ran.code == 8, str(ran)
        assert "after 2 restarts" in ran.ended["message"]
        assert ran.goes_on == CLOSED
        assert len(restarts(drained)) == 2
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})

        old.unlink()
        assert drained.run("restart").code == 0
        drained.assert_settled(worker=RECORDED)


def test_r22_a_pod_that_read_the_secret_of_before_is_restarted_once_more_while_the_workers_are_at_0(
    ground: Ground,
) -> None:
    with drained_ground(ground) as drained:
        old = drained.fault(Fault.SERVE_BEFORE)
        drained.once_at(Step.RESTARTED, old.unlink)
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        assert len(restarts(drained)) == 2
        assert len(set(restarts(drained))) == 2, "each restart has an id of its own, also within one second"
        (back,) = of(ran.events, "written", what=f"scale deployment/{WORKER} from 0 to {RECORDED}")
        asked = [each for each in of(ran.events, "written") if each["what"].startswith("restart ")]
        assert back["at"] > asked[-1]["at"]
        drained.assert_settled(worker=RECORDED)


def test_what_is_presented_and_not_valid_ends_with_6_and_leaves_the_workers_drained(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        other = drained.fault(Fault.SERVE_OTHER)
        ran = drained.run("restart")
        assert ran.code == 6, str(ran)
        assert "what is presented is not valid" in ran.ended["message"]
        assert "presents_sibling" in ran.ended["message"], "it is a certificate of the same pod"
        assert ran.goes_on == OPEN
        assert len(restarts(drained)) == 1, "only the old certificate is a reason for another restart"
        assert_left_drained(drained)

        other.unlink()
        assert drained.run("resume").code == 6, "nobody has changed its pods"
        drained.kubectl("rollout", "restart", f"deployment/{TARGET}")
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


@pytest.mark.fault("F42")
@pytest.mark.promise("P3", "restoring: timeout")
def test_workers_that_do_not_come_back_in_time_end_with_7_and_the_record_is_kept(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        # There is room for the target's pod, and for no other.
        drained.once_at(Step.VERIFIED, lambda: drained.kubectl("create", "quota", "full", "--hard=pods=1"))
        # Time enough for the target's new pod, which has as much.
        ran = drained.run("restart", "--restart-timeout=20s")
        assert ran.code == 7, str(ran)
        assert "0 ready" in ran.ended["message"]
        assert ran.goes_on == OPEN
        run = drained.open_run
        assert run is not None
        assert (run["step"], run["ended"]["outcome"]) == ("scaled_up", "restore_incomplete")
        assert drained.replicas() == RECORDED

        drained.kubectl("delete", "quota", "full")
        assert drained.run("resume").code == 0
        drained.assert_settled(worker=RECORDED)


# --- abort, of a run that was killed at a step ----------------------------------------------------


@pytest.mark.promise("draining: abort")
def test_abort_in_the_drain_puts_the_workers_back_without_a_restart(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.fault(Fault.BUSY)
        killed_in(drained, "draining")
        ran = drained.run("abort")
        assert (ran.code, ran.ended["outcome"], ran.ended["next_commands"]) == (0, "aborted", []), str(ran)
        assert restart_id(drained) is None
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})


@pytest.mark.promise("restarting: abort")
def test_abort_after_the_restart_was_asked_for_waits_for_it_and_then_puts_the_workers_back(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        hanging = drained.fault(Fault.HANG)
        killed_in(drained, "restarting")
        abort = drained.runbook.start(*drained.words("abort"))
        abort.wait_for("progress", phase="restarting")
        assert drained.replicas() == 0, "not while the restart goes on"
        hanging.unlink()
        ran = abort.wait()
        assert (ran.code, ran.ended["outcome"]) == (0, "aborted"), str(ran)
        assert restart_id(drained) is not None, "it is never undone"
        drained.assert_settled(worker=RECORDED)


@pytest.mark.promise("restoring: abort")
def test_abort_while_the_workers_are_put_back_goes_on(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.once_at(Step.VERIFIED, lambda: drained.kubectl("create", "quota", "full", "--hard=pods=1"))
        killed_in(drained, "restoring")
        drained.kubectl("delete", "quota", "full")
        ran = drained.run("abort")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


def test_abort_and_resume_without_a_run_are_refused_and_say_what_begins_one(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        for verb in ("abort", "resume"):
            ran = drained.run(verb)
            assert ran.code == 3, str(ran)
            assert "no run is open" in ran.ended["message"]
            assert ran.goes_on == CLOSED
        assert drained.proxy.writes == []


# --- parts ----------------------------------------------------------------------------------------


def killed_in(drained: DrainedGround, phase: str) -> None:
    """Begin a run, and kill it in a phase."""
    process = drained.runbook.start(*drained.words("restart"))
    process.wait_for("progress", phase=phase)
    process.kill()


def assert_left_drained(drained: DrainedGround) -> None:
    """Workers are at 0, and everybody can see that they were at 2."""
    run = drained.open_run
    assert run is not None
    assert run["workers"] == {f"deployment/{WORKER}": RECORDED}
    assert run["ended"]["outcome"] == "restart_failed"
    assert drained.replicas() == 0
    annotations = drained.get(WORKER)["metadata"]["annotations"]
    assert annotations["certlag.dev/replicas"] == str(RECORDED)


def restart_id(drained: DrainedGround) -> str | None:
    """Which restart made the target's present template."""
    found: str | None = (drained.get(TARGET)["spec"]["template"]["metadata"].get("annotations") or {}).get(
        "certlag.dev/restart-id"
    )
    return found


def restarts(drained: DrainedGround) -> list[str]:
    """The ids of all restarts that were asked for."""
    templates = [
        request.document["spec"]["template"]["metadata"]["annotations"]
        for request in drained.proxy.writes
        if step_written(request) is None
        and request.path.endswith(f"/{TARGET}")
        and "template" in str(request.body)
        and request.status == 200  # another one is asked again
    ]
    return [annotations["certlag.dev/restart-id"] for annotations in templates]
