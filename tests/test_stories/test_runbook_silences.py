"""A run and a real Alertmanager: what is silenced, for how long, and that it ends; and the gate on what fires."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from certlag.run_record import Step
from tests import alertmanager
from tests.alertmanager import Alertmanager, labels
from tests.runbook_process import Ran, of
from tests.test_stories.drained_ground import DrainedGround, Fault, drained_ground
from tests.test_stories.ground import Ground

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(4)]

REQUIRED, NEAR, UNKNOWN = "CertlagNeedsRestart", "CertlagRestartDeadlineNear", "CertlagLoadedCertificateUnknown"
BUILDS = "BuildsFail"


@pytest.fixture
def manager(ground: Ground) -> Iterator[Alertmanager]:
    with alertmanager.on_the_machine(ground.folder / "alertmanager") as made:
        yield made


@pytest.fixture
def drained(ground: Ground) -> Iterator[DrainedGround]:
    with drained_ground(ground) as made:
        yield made


# --- the silence ----------------------------------------------------------------------------------


def test_only_warnings_of_a_drain_in_its_namespace_are_silent_and_only_as_long_as_the_run(
    drained: DrainedGround, manager: Alertmanager
) -> None:
    here = drained.ground.namespace
    caused = {labels(name, "warning", here) for name in (REQUIRED, NEAR, UNKNOWN)}
    critical = {labels(name, "critical", here) for name in (NEAR, "CertlagWorkersLeftDrained")}
    of_others = {labels(NEAR, "warning", "elsewhere"), labels(BUILDS, "warning", here)}
    manager.fire(*caused, *critical, *of_others)

    busy = drained.fault(Fault.BUSY)
    process = drained.runbook.start(*silencing(drained, manager))
    process.wait_for("progress", phase="draining")
    assert manager.silenced() == caused
    run = drained.open_run
    assert run is not None
    (silence,) = manager.silences()
    assert run["silence"] == f"{manager.url}/api/v2/silence/{silence.id}"
    assert silence.ends <= datetime.fromisoformat(run["deadline"])
    assert silence.by == run["operator"]["user"]

    busy.unlink()
    ran = process.wait()
    assert ran.code == 0, ran
    assert_heard_again(manager)


def timed_out(drained: DrainedGround, manager: Alertmanager) -> Ran:
    drained.fault(Fault.BUSY)
    return drained.runbook.run(*silencing(drained, manager), "--drain-timeout=2s", "--accept-drain-timeout")


def restart_failed(drained: DrainedGround, manager: Alertmanager) -> Ran:
    drained.fault(Fault.CRASH)
    return drained.runbook.run(*silencing(drained, manager), "--restart-timeout=2s")


def interrupted(drained: DrainedGround, manager: Alertmanager) -> Ran:
    drained.fault(Fault.BUSY)
    process = drained.runbook.start(*silencing(drained, manager))
    process.wait_for("progress", phase="draining")
    process.interrupt()
    return process.wait()


def killed(drained: DrainedGround, manager: Alertmanager) -> None:
    """Kill the run in its drain: its silence goes on."""
    busy = drained.fault(Fault.BUSY)
    process = drained.runbook.start(*silencing(drained, manager))
    process.wait_for("progress", phase="draining")
    process.kill()
    busy.unlink()
    assert [each.state for each in manager.silences()] == ["active"]


def killed_and_resumed(drained: DrainedGround, manager: Alertmanager) -> Ran:
    """Resume as the alert says it, which does not know of the Alertmanager."""
    killed(drained, manager)
    return drained.run("resume")


def killed_and_aborted(drained: DrainedGround, manager: Alertmanager) -> Ran:
    killed(drained, manager)
    return drained.run("abort")


ENDS: dict[Callable[[DrainedGround, Alertmanager], Ran], int] = {
    timed_out: 5,
    restart_failed: 6,
    interrupted: 130,
    killed_and_resumed: 0,
    killed_and_aborted: 0,
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_silence_ends_whatever_the_end_of_the_run(
    end: Callable[[DrainedGround, Alertmanager], Ran], drained: DrainedGround, manager: Alertmanager
) -> None:
    ran = end(drained, manager)
    assert ran.code == ENDS[end], ran
    assert_heard_again(manager)
    assert (drained.open_run or {}).get("silence") is None


@pytest.mark.parametrize(
    ("step", "told"), [(Step.RECORDED, "no silence"), (Step.SCALED_DOWN, "it ends by itself")], ids=["begin", "drain"]
)
def test_an_alertmanager_that_is_down_is_a_warning_and_the_run_goes_on(
    step: Step, told: str, drained: DrainedGround, manager: Alertmanager
) -> None:
    drained.once_at(step, manager.kill)
    ran = drained.runbook.run(*silencing(drained, manager))
    assert ran.code == 0, ran
    (warning,) = of(ran.events, "remark", level="warning")
    assert told in warning["text"]
    drained.assert_settled(worker=2)


# --- the gate -------------------------------------------------------------------------------------


def test_a_run_is_refused_while_a_given_alert_fires_unless_that_is_accepted(
    drained: DrainedGround, manager: Alertmanager
) -> None:
    gate = ("--alertmanager", manager.url, "--refuse-while-firing")
    manager.fire(labels(BUILDS, "critical", "elsewhere"))
    ran = drained.run("restart", *gate, BUILDS)
    assert ran.code == 3, ran
    assert f"firing: {BUILDS}" in ran.ended["message"]
    assert drained.run("restart", *gate, "AnotherOne", "--dry-run").code == 0
    assert drained.proxy.writes == []
    assert drained.run("restart", *gate, BUILDS, "--accept-alerts").code == 0
    drained.assert_settled(worker=2)


def test_a_gate_that_cannot_be_asked_is_closed_unless_that_is_accepted(
    drained: DrainedGround, manager: Alertmanager
) -> None:
    manager.kill()
    named = ("--alertmanager", manager.url)
    for alertmanagers in (named, ()):
        ran = drained.run("restart", *alertmanagers, "--refuse-while-firing", BUILDS)
        assert ran.code == 3, ran
        assert f"whether {BUILDS} fire is not known" in ran.ended["message"]
    assert drained.proxy.writes == []
    ran = drained.run("restart", *named, "--refuse-while-firing", BUILDS, "--accept-alerts", "--dry-run")
    assert ran.code == 0, ran


# --- parts ----------------------------------------------------------------------------------------


def silencing(drained: DrainedGround, manager: Alertmanager) -> tuple[str, ...]:
    """The words of a restart with a silence."""
    return drained.words("restart", "--silence", "--alertmanager", manager.url)


def assert_heard_again(manager: Alertmanager) -> None:
    """The run had one silence, and it is over."""
    assert [each.state for each in manager.silences()] == ["expired"]
    assert manager.silenced() == set()
