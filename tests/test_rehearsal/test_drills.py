"""`runbook rehearse` as a person or a script runs it: every fault ends as its text says."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.drills.actions import FREEZE_SAYS
from rehearsal.drills.catalogue import BY_NAME, DRILLS
from rehearsal.drills.drill import Drill, Typed
from tests import output_lines
from tests.bench import waiting
from tests.pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.thorough
AT_ONCE = "1000000"
"""As fast as the machine can: time passes only while the runbook waits, so nothing is ever late."""
PATIENT = 300.0
"""Seconds after which something hangs: a busy machine makes a rehearsal slow, and nothing else."""
ALSO_SAYS = {"stuck-worker": ("workers finished", "build-service  drain_timed_out  1h")}
"""What a drill's text must match besides: steps, and how long they take by the cluster's time, not by the wall's."""


@dataclass(frozen=True)
class Played:
    """A rehearsal that has ended."""

    code: int
    text: str
    left: list[str]

    @property
    def codes(self) -> list[int]:
        """What the commands ended with, in order."""
        return [int(code) for code in re.findall(r"^. exit code (\d+): ", self.text, re.MULTILINE)]


def argv(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "runbook", "rehearse", *options)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short path: that of a socket in it may have a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="drill-", dir="/tmp") as folder:
        yield Path(folder)


def environment(folder: Path) -> dict[str, str]:
    """Where a rehearsal keeps its files is a folder of the test's, so that what it leaves behind is seen."""
    return {**os.environ, "TMPDIR": str(folder), "KUBECONFIG": os.devnull}


def rehearse(folder: Path, *options: str) -> Played:
    ran = subprocess.run(
        argv("--speed", AT_ONCE, *options),
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENT,
    )
    return Played(ran.returncode, ran.stdout, [file.name for file in folder.iterdir()])


def processes(folder: Path) -> list[str]:
    """Return the processes that were started with a path of this folder."""
    listed = subprocess.run(("ps", "-ww", "-eo", "args"), capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


@pytest.mark.matrix(5)
@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_every_fault_ends_as_its_text_says(drill: Drill, tmp_path: Path) -> None:
    played = rehearse(tmp_path, "--fault", drill.name)
    assert (played.code, played.codes) == (0, [act.exit_code for act in drill.acts if isinstance(act, Typed)]), (
        played.text
    )
    learned = played.text.partition(f"What was learned: {drill.teaches}\n")[2]
    assert "3 workers are ready, no run is open" in learned
    assert [line for line in drill.look_at if line not in learned] == []
    assert [told for told in ALSO_SAYS.get(drill.name, ()) if not re.search(told, played.text)] == []
    assert (played.left, processes(tmp_path)) == ([], [])


def test_a_policy_that_denies_is_quoted_before_any_worker_is_asked_to_end(tmp_path: Path) -> None:
    played = rehearse(tmp_path, "--fault", "denied")
    refused, _, accepted = played.text.partition("exit code 3: ")
    assert f"denied request: {FREEZE_SAYS}" in refused
    assert "let workers finish" not in refused, "a worker was touched"
    assert "let workers finish" in accepted
    assert FREEZE_SAYS not in accepted


def test_a_wrong_name_gets_the_nearest_and_starts_nothing(tmp_path: Path) -> None:
    played = rehearse(tmp_path, "--fault", "stuck-wroker")
    assert played.code == 2
    assert played.text.splitlines()[-1].endswith("there is no fault 'stuck-wroker': did you mean stuck-worker?")


def test_a_name_that_is_like_none_is_told_where_they_are(tmp_path: Path) -> None:
    assert rehearse(tmp_path, "--fault", "xyzzy").text.rstrip().endswith("runbook rehearse --list names them")


def test_the_list_names_each_fault_and_what_it_teaches(tmp_path: Path) -> None:
    text = rehearse(tmp_path, "--list").text
    width = max(len(drill.name) for drill in DRILLS)
    assert [drill.name for drill in DRILLS if f"{drill.name:<{width}}  {drill.teaches}" not in text] == []


def test_the_list_for_programs_has_each_step_with_its_exit_code(tmp_path: Path) -> None:
    (told,) = output_lines.read(rehearse(tmp_path, "--list", "-o", "json").text)
    faults = {each["name"]: each for each in told["faults"]}
    assert list(faults) == list(BY_NAME)
    assert [step["exit_code"] for step in faults["crash-loop"]["steps"]] == [6, None, 0]


def test_shells_are_given_the_names_of_the_faults(tmp_path: Path) -> None:
    asked = {"_RUNBOOK_COMPLETE": "bash_complete", "COMP_WORDS": "runbook rehearse --fault s", "COMP_CWORD": "3"}
    program = "from runbook.cli.main import main; main(prog_name='runbook')"
    said = subprocess.run(
        (sys.executable, "-c", program), env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [f"plain,{name}" for name in BY_NAME if name.startswith("s")]


# --- leaving early --------------------------------------------------------------------------------


@contextmanager
def at_the_drain(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Begin a rehearsal slowly, and wait until its workers finish."""
    files, output = folder / "files", folder / "output"
    files.mkdir()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            argv("--speed", "1"),
            env=environment(files),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        waiting.until("the drain", lambda: "let workers finish" in output.read_text(), PATIENT)
        yield process, output
    finally:
        process.kill()
        process.wait()


@pytest.mark.matrix(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_leaves_in_the_middle_leaves_no_process_and_no_file(number: signal.Signals, tmp_path: Path) -> None:
    with at_the_drain(tmp_path) as (process, output):
        for _ in range(10):  # as a person does who sees that nothing happens
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENT / 10)
        assert process.returncode == 130, output.read_text()
    assert "The rehearsal was left; nothing of it remains." in output.read_text()
    assert (list((tmp_path / "files").iterdir()), processes(tmp_path)) == ([], [])


def test_a_long_path_of_temporary_files_is_no_hindrance(tmp_path: Path) -> None:
    files = tmp_path / ("long" * 30)
    files.mkdir()
    played = rehearse(files, "--fault", "locked")
    assert (played.code, played.left) == (0, []), played.text


def test_a_command_whose_rehearsal_was_killed_ends_too(tmp_path: Path) -> None:
    with at_the_drain(tmp_path) as (process, _):
        assert processes(tmp_path)
        process.kill()
    waiting.until("no process", lambda: not processes(tmp_path), PATIENT)


# --- on a terminal --------------------------------------------------------------------------------


@contextmanager
def terminal(folder: Path, *options: str, columns: int = 120) -> Iterator[PseudoTerminal]:
    shown = PseudoTerminal(
        argv("--speed", AT_ONCE, *options), columns=columns, lines=60, environment=environment(folder)
    )
    try:
        yield shown
    finally:
        shown.close()


PROMPT = "Enter types it; or type a command yourself: "


def shows(shown: PseudoTerminal, *texts: str) -> str:
    return shown.sees(f"{texts} on the screen", lambda screen: all(text in screen for text in texts), PATIENT)


def test_a_person_types_the_commands_and_answers_the_runbooks_own_question(tmp_path: Path) -> None:
    with terminal(tmp_path, "--fault", "locked") as shown:
        shows(shown, "Step 1 of 3", PROMPT.strip())
        shown.type("runbook history\n")
        shows(shown, "No run is recorded", "exit code 0")
        shown.type("\n")
        shows(shown, "restart-build-service in opschain (rehearsal)? [y/N]")
        shown.type("y\n")
        shows(shown, "exit code 4", "Step 2 of 3 elsewhere", "Enter does it for you")
        shown.type("\n")
        shows(shown, "Step 3 of 3", PROMPT.strip())
        shown.type("\n")
        shown.sees("the question", lambda screen: screen.rstrip().endswith("(rehearsal)? [y/N]:"), PATIENT)
        shown.type("y\n")
        shows(shown, "What was learned", "3 workers are ready, no run is open")
        assert shown.process.wait(timeout=PATIENT) == 0


def test_an_answer_of_no_cancels_and_suggests_nothing(tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shows(shown, "Step 1", PROMPT.strip())
        shown.type("runbook restart-build-service\n")
        shows(shown, "restart-build-service in opschain (rehearsal)? [y/N]")
        shown.type("n\n")
        screen = shows(shown, "Cancelled, nothing was changed (exit code 3)")
        assert "What to do next" not in screen.partition("[y/N]")[2]


def test_ctrl_c_in_the_drain_is_asked_about_and_restoring_makes_the_abort_needless(tmp_path: Path) -> None:
    with terminal(tmp_path, "--fault", "interrupted") as shown:
        shows(shown, "Step 1 of 3", PROMPT.strip())
        shown.type("runbook restart-build-service --yes\n")
        shows(shown, "scale the workers up, without a restart", "What now?")
        shown.type("restore\n")
        shows(shown, "exit code 130", "Step 3 of 3")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("runbook restart-build-service --context production", "A rehearsal has its own cluster and configuration."),
        ("kubectl get pods", "Here the runbook's commands for build-service can be typed"),
        ("runbook rehearse", "Here the runbook's commands for build-service can be typed"),
        ("runbook 'restart", "No closing quotation"),
    ],
)
@pytest.mark.matrix(1)
def test_what_does_not_belong_into_a_rehearsal_is_not_run(typed: str, answer: str, tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shows(shown, PROMPT.strip())
        shown.type(f"{typed}\n")
        shows(shown, answer)


def test_ctrl_c_at_the_prompt_leaves_the_rehearsal(tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shows(shown, PROMPT.strip())
        shown.process.send_signal(signal.SIGINT)
        shows(shown, "The rehearsal was left")
        assert shown.process.wait(timeout=PATIENT) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_narrow_terminal_breaks_no_command(tmp_path: Path) -> None:
    with terminal(tmp_path, "--fault", "killed", "--yes", columns=60) as shown:
        assert shown.process.wait(timeout=PATIENT) == 0
        screen = shows(shown, "What to look at on the real night", "last sign of life")
    assert [line for line in screen.splitlines() if len(line) > 60] == []


# --- the table itself -----------------------------------------------------------------------------


def test_the_first_drill_goes_well() -> None:
    assert DRILLS[0].name == "none"
    assert not DRILLS[0].strikes


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_what_is_typed_are_commands_of_the_runbook(drill: Drill) -> None:
    typed = [shlex.split(act.words) for act in drill.acts if isinstance(act, Typed)]
    assert typed
    assert all(words[0] == "runbook" and words[1].endswith("-build-service") for words in typed)
