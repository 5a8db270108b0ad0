"""A run without a terminal, quiet, or for programs: what is written, when, and what happens when nobody reads it."""

import io
import subprocess
import sys
from datetime import timedelta
from typing import Any, get_args

import pytest

from runbook.events import Event, Level, Notice, PhaseBegun, Written
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.report.choice import Output, reporter_for
from runbook.report.json.documents import LINES
from runbook.report.json.lines import JsonReporter
from runbook.report.lines import LineReporter
from runbook.report.live import LiveReporter
from runbook.report.reporter import Reporter
from tests import output_lines
from tests.bench.waiting import until
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.pseudo_terminal import ROOT
from tests.reporter_texts import Terminal, a_file
from tests.scripted_run import BEGUN, HOSTILE, NEW, PODS, WORKER, a_plan, a_run, an_end, draining


def play(reporter: Reporter, clock: FakeClock, until_second: float = 1000) -> None:
    """Tell the scripted run, each event at its time."""
    for seconds, event in a_run():
        if seconds <= until_second:
            clock.set(BEGUN + timedelta(seconds=seconds))
            reporter.tell(event)


def lines_of(seconds: float = 1000) -> list[str]:
    """What a log holds of the scripted run up to a second of it."""
    console, file = a_file()
    clock = FakeClock(BEGUN)
    reporter = LineReporter(console, console, clock)
    play(reporter, clock, seconds)
    reporter.close()
    return file.getvalue().splitlines()


class Waiting:
    """A line reporter in a drain that has just begun, and its clock."""

    def __init__(self) -> None:
        self.console, self.file = a_file()
        self.clock = FakeClock(BEGUN)
        self.reporter = LineReporter(self.console, self.console, self.clock)
        self.reporter.tell(PhaseBegun(draining(BEGUN).phase, BEGUN, 3600))
        self.reporter.tell(draining(BEGUN, 0, 1))

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


# --- lines -------------------------------------------------------------------------------------------


def test_a_change_is_one_line_and_looking_again_is_none() -> None:
    latest = "on node-{}, for 0 s, until 03:14:01Z at the latest"
    about = [line for line in lines_of(300) if WORKER in line or PODS[0] in line]
    assert [line.partition("Z ")[2] for line in about] == [
        f"done: scale {WORKER} from 3 to 0",
        *(f"{WORKER}: {pod} is ending, {latest.format(number)}" for number, pod in enumerate(PODS)),
        f"{WORKER}: waiting: 3 pods not ended",
    ]


def test_every_line_begins_with_its_time_in_utc() -> None:
    lines = lines_of(757)
    assert lines[0] == "2026-06-01 02:14:00Z take the lock"
    assert all(line.startswith("2026-06-01 02:") and line[19] == "Z" for line in lines)


def test_a_pod_that_is_gone_is_told_with_how_long_it_took() -> None:
    assert f"2026-06-01 02:19:05Z {WORKER}: {PODS[0]} is gone, 5m 4s after it was asked to end" in lines_of()


def test_work_that_was_lost_and_a_rollout_that_stalls_are_warnings() -> None:
    warnings = [line.partition(" WARNING ")[2] for line in lines_of() if " WARNING " in line]
    assert (
        f"container worker of pod {PODS[2]} ended with 137, it was killed: what it worked on may be cut off" in warnings
    )
    assert any("stalled: has timed out on node" in warning for warning in warnings)


def test_what_a_new_pod_presents_is_told() -> None:
    assert any(f"{NEW} is current, presents 9be1d2c3f4a5 until 2026-08-30 02:00Z" in line for line in lines_of())


@pytest.mark.fault("H3")
def test_foreign_text_is_one_line_and_holds_nothing_that_a_terminal_obeys() -> None:
    written = "\n".join(lines_of())
    assert r"node\x1b[2J\u202e[bold]x[/bold]\nnext" in written
    assert "\x1b" not in written
    assert "\u202e" not in written


@pytest.mark.fault("R26")
def test_nothing_said_for_a_minute_is_ended_by_a_line_that_says_what_is_waited_for_and_how_long() -> None:
    waiting = Waiting()
    said = len(waiting.lines)
    waiting.clock.advance(59)
    waiting.reporter.beat()
    assert len(waiting.lines) == said
    waiting.clock.advance(1)
    waiting.reporter.beat()
    waiting.reporter.beat()
    waiting.reporter.close()
    waits = f"{WORKER}: 2 pods not ended ({PODS[0]}, {PODS[1]}), until 03:14:00Z at the latest"
    assert waiting.lines[said:] == [f"2026-06-01 02:15:00Z let workers finish: for 1m so far, 59m left; {waits}"]


@pytest.mark.fault("R26")
@pytest.mark.thorough
def test_the_minute_is_kept_even_if_the_engine_tells_nothing() -> None:
    waiting = Waiting()
    said = len(waiting.lines)
    waiting.clock.advance(60)
    until("a heartbeat", lambda: len(waiting.lines) > said)
    waiting.reporter.close()


@pytest.mark.thorough
def test_no_heartbeat_comes_into_a_question() -> None:
    waiting = Waiting()
    waiting.reporter.pause()
    said = len(waiting.lines)
    waiting.clock.advance(600)
    waiting.reporter.beat()
    assert len(waiting.lines) == said
    waiting.reporter.resume()
    until("a heartbeat", lambda: len(waiting.lines) > said)
    waiting.reporter.close()


# --- quiet -------------------------------------------------------------------------------------------


def test_quiet_writes_warnings_once_and_the_end() -> None:
    console, file = a_file()
    clock = FakeClock(BEGUN)
    reporter = LineReporter(console, console, clock, quiet=True)
    reporter.plan(a_plan())
    play(reporter, clock)
    written = file.getvalue()
    assert "rights" not in written
    assert "gitops" in written
    assert "scale" not in written.partition("Restarted, verified, workers back")[0]
    assert written.count("stalled") == 1
    assert written.count("503 Service Unavailable") == 1
    assert written.count("Restarted, verified, workers back") == 1


# --- JSON --------------------------------------------------------------------------------------------


def documents(*, outcome: Outcome = Outcome.DONE) -> list[dict[str, Any]]:
    """What a program reads of the scripted run."""
    stream, clock = io.StringIO(), FakeClock(BEGUN)
    reporter = JsonReporter(stream, clock)
    reporter.plan(a_plan())
    play(reporter, clock, 758.3)
    reporter.tell(an_end(outcome))
    return output_lines.read(stream.getvalue())


def test_every_event_is_a_line_with_its_name_and_its_time() -> None:
    read = documents()
    assert len(read) == len(list(a_run())) + 1
    assert [each["event"] for each in read[:3]] == ["plan", "phase_begun", "step_reached"]
    assert read[1] == {"event": "phase_begun", "at": "2026-06-01T02:14:00Z", "phase": "locking", "limit": None}
    assert {each["event"] for each in read} == {
        "plan", "phase_begun", "step_reached", "written", "progress", "lost_work", "remark", "ended",
    }  # fmt: skip
    assert all(each["at"].endswith("Z") for each in read)


def test_no_event_lacks_a_name() -> None:
    assert set(get_args(Event)) <= LINES.keys()


@pytest.mark.parametrize("outcome", Outcome)
def test_the_last_line_has_the_exit_code_and_how_long_each_step_took(outcome: Outcome) -> None:
    last = documents(outcome=outcome)[-1]
    assert (last["event"], last["exit_code"], last["outcome"]) == ("ended", EXIT_CODES[outcome], outcome.value)
    assert {"step": "drained", "seconds": 723.6} in last["seconds"]


def test_the_plan_s_lengths_of_time_are_seconds() -> None:
    plan = documents()[0]
    assert plan["limits"][0] == {"part": "drain", "seconds": 3600}
    assert plan["busy"][0]["grace"] == 3600
    assert plan["refused"] == []


@pytest.mark.fault("H3")
def test_foreign_text_in_json_is_ascii() -> None:
    stream = io.StringIO()
    JsonReporter(stream, FakeClock()).tell(Notice(Level.INFO, HOSTILE))
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1
    assert output_lines.read(stream.getvalue())[0]["text"] == HOSTILE


# --- readers that go away ----------------------------------------------------------------------------


class Gone(Terminal):
    """What nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


@pytest.mark.fault("N6")
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("output", Output)
def test_a_reader_that_goes_away_does_not_stop_a_run(output: Output, *, terminal: bool) -> None:
    clock = FakeClock(BEGUN)
    stream, environment = Gone(), {"TERM": "xterm" if terminal else "dumb"}
    reporter = reporter_for(output, stdout=stream, stderr=stream, environment=environment, clock=clock)
    reporter.plan(a_plan())
    play(reporter, clock)
    reporter.close()


@pytest.mark.fault("N6")
def test_a_pipe_that_is_closed_in_the_middle_leaves_the_exit_code_as_it_is() -> None:
    program = (
        "import sys, time; from runbook.report.json.lines import JsonReporter; from runbook.events import *;"
        "from tests.fake_clock import FakeClock; reporter = JsonReporter(sys.stdout, FakeClock());"
        "[reporter.tell(Notice(Level.INFO, 'x' * 1000)) for _ in range(1000)]; sys.exit(9)"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 9


def test_what_an_encoding_lacks_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    reporter = reporter_for(Output.TEXT, stdout=stream, stderr=stream, environment={}, clock=FakeClock(BEGUN))
    reporter.plan(a_plan(context="prod-é"))
    reporter.tell(an_end())
    reporter.close()
    written = raw.getvalue().decode("ascii")
    assert "prod-?" in written
    assert "+ Restarted, verified, workers back" in written


# --- which one ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "environment", "output", "quiet", "expected"),
    [
        (Terminal, {"TERM": "xterm"}, Output.TEXT, False, LiveReporter),
        (Terminal, {"TERM": "dumb"}, Output.TEXT, False, LineReporter),
        (Terminal, {}, Output.TEXT, False, LineReporter),
        (io.StringIO, {"TERM": "xterm"}, Output.TEXT, False, LineReporter),
        (Terminal, {"TERM": "xterm"}, Output.TEXT, True, LineReporter),
        (Terminal, {"TERM": "xterm"}, Output.JSON, False, JsonReporter),
    ],
)
def test_who_looks_decides_how_it_is_told(
    stream: type[io.StringIO], environment: dict[str, str], output: Output, *, quiet: bool, expected: type
) -> None:
    notices = stream()
    chosen = reporter_for(
        output, stdout=io.StringIO(), stderr=notices, environment=environment, clock=FakeClock(), quiet=quiet
    )
    assert isinstance(chosen, expected)


@pytest.mark.parametrize(
    ("environment", "no_color", "colours"),
    [({}, False, True), ({"NO_COLOR": "1"}, False, False), ({"NO_COLOR": ""}, False, True), ({}, True, False)],
)
def test_colours_can_be_switched_off(environment: dict[str, str], *, no_color: bool, colours: bool) -> None:
    screen = Terminal()
    terminal = {"TERM": "xterm-256color"} | environment
    reporter = reporter_for(
        Output.TEXT,
        stdout=screen,
        stderr=screen,
        environment=terminal,
        clock=FakeClock(BEGUN),
        no_color=no_color,
    )
    reporter.plan(a_plan())
    assert ("\x1b[33m" in screen.getvalue()) == colours


@case(
    "D18",
    kind="The on-call path",
    situation="a plan and the end of a run, as text or as JSON",
    says="on stdout, where `> plan.txt` gets them; what happens in between, and questions, on stderr",
    found_by="reader",
    since="2026-11-29",
)
@pytest.mark.parametrize("output", Output)
def test_plan_and_result_go_to_stdout_and_progress_to_stderr(output: Output) -> None:
    out, err = io.StringIO(), io.StringIO()
    reporter = reporter_for(output, stdout=out, stderr=err, environment={}, clock=FakeClock(BEGUN))
    reporter.plan(a_plan())
    reporter.tell(Written("scale deployment/worker to 0"))
    reporter.tell(an_end())
    reporter.close()
    if output is Output.JSON:
        assert [line["event"] for line in output_lines.read(out.getvalue())] == ["plan", "written", "ended"]
        assert err.getvalue() == ""
    else:
        assert "Plan of restart-build-service" in out.getvalue()
        assert "Restarted, verified" in out.getvalue()
        assert "scale deployment/worker to 0" in err.getvalue()
        assert "scale deployment/worker to 0" not in out.getvalue()
