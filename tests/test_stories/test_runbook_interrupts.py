"""Ctrl-C and SIGTERM: what was begun is finished, left, or put back, and the command to go on with is printed."""

import shlex
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing

import pytest

from certlag.run_record import Step
from tests.api_proxy import Drop, Pass, Reaction, Request, let_pass
from tests.bench import waiting
from tests.pseudo_terminal import PseudoTerminal
from tests.runbook_process import Ran, RunbookProcess
from tests.test_stories.drained_ground import TARGET, WORKER, DrainedGround, Fault, drained_ground, step_written
from tests.test_stories.ground import Ground

pytestmark = pytest.mark.cluster

INTERRUPTED = 130
SIGNALS: dict[str, Callable[[RunbookProcess], None]] = {
    "Ctrl-C": RunbookProcess.interrupt,
    "SIGTERM": RunbookProcess.terminate,
}


@pytest.fixture
def drained(ground: Ground) -> Iterator[DrainedGround]:
    with drained_ground(ground) as made:
        yield made


@pytest.mark.fault("R11")
@pytest.mark.parametrize("interrupted_by", SIGNALS)
@pytest.mark.promise("P9", "before the drain: abort")
def test_interrupted_before_the_drain_nothing_was_changed(interrupted_by: str, drained: DrainedGround) -> None:
    running: Future[RunbookProcess] = Future()
    before = [drained.get(name)["spec"] for name in (TARGET, WORKER)]
    drained.once_at(Step.RECORDED, lambda: SIGNALS[interrupted_by](running.result()))
    running.set_result(drained.runbook.start(*drained.words("restart")))
    ran = running.result().wait()
    assert ran.code == INTERRUPTED, ran
    assert "nothing was changed" in ran.ended["message"]
    assert [drained.get(name)["spec"] for name in (TARGET, WORKER)] == before
    assert (drained.open_run, drained.marks()) == (None, {})
    assert drained.record["finished"][-1]["outcome"] == "interrupted"
    assert drained.run("restart").code == 0


@pytest.mark.fault("R11")
@pytest.mark.parametrize("interrupted_by", SIGNALS)
def test_interrupted_while_draining_with_nobody_to_ask_the_run_is_left_and_the_printed_command_goes_on(
    interrupted_by: str, drained: DrainedGround
) -> None:
    busy = drained.fault(Fault.BUSY)
    process = drained.runbook.start(*drained.words("restart"))
    process.wait_for("progress", phase="draining")
    SIGNALS[interrupted_by](process)
    ran = process.wait()
    assert ran.code == INTERRUPTED, ran
    assert drained.replicas() == 0
    assert drained.open_run is not None
    assert drained.open_run["ended"]["outcome"] == "interrupted"
    busy.unlink()
    assert printed(drained, ran.ended["next_commands"][0]).code == 0
    drained.assert_settled(worker=2)


def test_interrupted_twice_it_leaves_at_once_and_the_printed_command_goes_on(drained: DrainedGround) -> None:
    running: Future[RunbookProcess] = Future()

    def press() -> bool:
        running.result().interrupt()
        return not running.result().is_running

    def interrupt_twice(request: Request) -> Reaction:
        if step_written(request) is Step.SCALED_DOWN:
            # In the midst of a write, which it would finish first. Two signals at once are one: so until it is gone.
            waiting.until("it to leave", press, 10)
            return Drop()
        return Pass()

    drained.proxy.before = interrupt_twice
    running.set_result(drained.runbook.start(*drained.words("restart")))
    ran = running.result().wait()
    drained.proxy.before = let_pass
    assert ran.code == INTERRUPTED, ran
    assert drained.open_run is not None
    assert printed(drained, ran.stderr.strip().rpartition("go on with: ")[2]).code == 0
    drained.assert_settled(worker=2)


@pytest.mark.promise("draining: abort")
def test_interrupted_while_draining_and_asked_the_workers_are_put_back(drained: DrainedGround) -> None:
    busy = drained.fault(Fault.BUSY)
    with closing(
        PseudoTerminal(drained.runbook.argv(*drained.words("restart")), environment=drained.runbook.environment)
    ) as terminal:
        terminal.shows("2 pods not ended")
        terminal.process.send_signal(signal.SIGINT)
        terminal.shows("What now?")
        terminal.type("wait\n")
        terminal.shows("the run goes on")
        terminal.process.send_signal(signal.SIGINT)
        waiting.until("it to ask again", lambda: terminal.text.count("What now?") >= 2)
        terminal.type("restore\n")
        waiting.until("the workers to be put back", lambda: drained.replicas() == 2)
        busy.unlink()
        assert terminal.process.wait(60) == INTERRUPTED, terminal.text
    assert drained.replicas() == 2
    assert (drained.open_run, drained.marks()) == (None, {})
    assert drained.record["finished"][-1]["outcome"] == "interrupted"
    assert drained.get(TARGET)["spec"]["template"]["metadata"].get("annotations") is None, "not restarted"


def printed(drained: DrainedGround, command: str) -> Ran:
    """Type what was printed, as somebody who need not be asked."""
    program, *words = shlex.split(command)
    assert program == "runbook"
    assert words[0] == f"resume-{TARGET}"
    return drained.runbook.run(*words, "--yes", "--no-settle")
