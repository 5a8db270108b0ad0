"""What people are shown, word for word, on wide and narrow terminals and in files; and what holds for any text."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certlag.assessment import Reason, WindowState
from certlag.model import IssuedEvidence
from certlag.run_record import Step
from runbook.check.advice import CheckReport, advise, exit_code
from runbook.events import Phase
from runbook.outcomes import MEANINGS, Outcome
from runbook.plan.model import PlannedChange
from runbook.report import wording
from runbook.report.json.answers import Checked, History
from runbook.report.json.documents import line
from runbook.report.summary import summary_parts
from runbook.report.text.check import check_parts
from runbook.report.text.plan import plan_parts
from tests import reporter_texts
from tests.builders import RENEWED_AT
from tests.field.record import case
from tests.reporter_texts import COMMANDS, a_history, a_left_run, an_answer, presenting, shown
from tests.scripted_run import BEGUN, a_plan, an_end

LOOKED_AT_GOOD = dict(reporter_texts.texts())


@pytest.mark.parametrize("name", LOOKED_AT_GOOD)
def test_people_are_shown_what_was_looked_at_and_found_good(name: str) -> None:
    expected = (reporter_texts.TEXTS / name).read_text(encoding="utf-8")
    assert LOOKED_AT_GOOD[name] == expected, "if it is better now: `python -m tests.reporter_texts`, and look at it"


def test_no_text_is_left_that_nothing_shows() -> None:
    assert {file.name for file in reporter_texts.TEXTS.iterdir()} == set(LOOKED_AT_GOOD)


@pytest.mark.parametrize("name", LOOKED_AT_GOOD)
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    width = {"wide": 120, "narrow": 60}.get(name.rpartition("-")[2].removesuffix(".txt"), 10_000)
    commands = (COMMANDS.restart, COMMANDS.resume, COMMANDS.abort)
    lines = [line for line in LOOKED_AT_GOOD[name].splitlines() if line.strip() not in commands]
    assert max(map(len, lines)) <= width


@pytest.mark.fault("H3")
@given(text=st.text())
def test_foreign_text_is_printable_and_one_line(text: str) -> None:
    assert wording.visible(text).isprintable()


@pytest.mark.fault("H3", "H8")
def test_very_long_foreign_text_is_cut_and_says_so() -> None:
    assert wording.visible("x" * 5000).endswith("x (and 4000 more characters)")


@pytest.mark.fault("H3")
@settings(max_examples=30)
@given(text=st.text(max_size=300))
@pytest.mark.thorough
def test_no_foreign_text_reaches_a_terminal_as_a_command_or_as_markup(text: str) -> None:
    plan = a_plan(context=text, reason=text, changes=(PlannedChange(text, text, text),))
    on_terminal = shown(lambda form: plan_parts(plan, form, BEGUN), 120)
    assert all(char.isprintable() or char == "\n" for char in on_terminal)
    in_file = shown(lambda form: plan_parts(plan, form, BEGUN), None)
    assert wording.visible(text).strip() in in_file


def test_a_command_to_be_copied_is_never_broken() -> None:
    command = "runbook resume-build-service " + "--config /a/long/path/to/a/file.yaml " * 5 + "--yes"
    end = an_end(Outcome.RESTART_FAILED, "late", command)
    assert command in shown(lambda form: summary_parts(end, form), 60)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "0 s"),
        (0.0123, "12 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (59.96, "1m"),
        (185, "3m 5s"),
        (3600, "1h"),
        (3725, "1h 2m"),
        (timedelta(days=19, hours=4, minutes=59), "19d 4h"),
        (-5, "0 s"),
    ],
)
def test_a_length_of_time_is_written_in_its_two_largest_units(length: float | timedelta, words: str) -> None:
    assert wording.length(length) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (19 * 86400 + 5, "in 19 days"),
        (2 * 86400 - 1, "in 47 hours"),
        (-3 * 3600, "3 hours ago"),
        (90, "in 90 seconds"),
        (1, "in 1 second"),
        (0, "now"),
    ],
)
def test_a_deadline_is_as_far_away_as_a_person_counts(seconds: float, words: str) -> None:
    assert wording.distance(BEGUN + timedelta(seconds=seconds), BEGUN) == words


def test_there_are_words_for_everything() -> None:
    assert set(wording.PHASES) == set(Phase)
    assert set(Step) <= set(wording.STEPS)
    assert set(wording.REASONS) == set(Reason)
    assert set(wording.STATES) == set(WindowState)
    assert set(wording.EVIDENCE) == set(IssuedEvidence)
    assert set(MEANINGS) == set(Outcome)


# --- the answer of check -----------------------------------------------------------------------------


def answers() -> dict[str, CheckReport]:
    """An answer of each kind."""
    return {
        "settled": an_answer(presenting("second")),
        "restart due": an_answer(presenting("second", "first")),
        "expired": an_answer(presenting("first"), at=RENEWED_AT + timedelta(days=31)),
        "renewal due": an_answer(presenting("first", revision=1)),
        "unknown": an_answer(presenting("second", "")),
        "never issued": an_answer(presenting("", revision=None)),
        "left": an_answer(presenting("first"), a_left_run()),
        "open": an_answer(presenting("first"), a_left_run(ended=None, ended_at=None)),
        "missing": an_answer(presenting("second"), found=False),
    }


@case(
    "W13",
    kind="Found by tests: wrong endings and answers of a run",
    situation="`runbook check` of a target whose workload does not exist, though its certificate does.",
    says="Exit code 3. Before: 0.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize(
    ("kind", "code", "words", "commands"),
    [
        ("settled", 0, "Nothing to do", ()),
        ("restart due", 1, "Restart it before the deadline", (COMMANDS.restart,)),
        ("expired", 2, "what it presents has expired", (COMMANDS.restart,)),
        ("renewal due", 1, "why cert-manager has not renewed", ("cmctl status certificate build-service -n opschain",)),
        ("unknown", 3, "why it cannot be told", ()),
        ("never issued", 3, "why it cannot be told", ()),
        ("left", 1, "go on with it, or undo it", (COMMANDS.resume, COMMANDS.abort)),
        ("open", 1, "wait for it", (COMMANDS.resume,)),
        ("missing", 3, "Create what is missing", ()),
    ],
)
def test_check_says_what_to_do_in_words_as_commands_and_by_its_exit_code(
    kind: str, code: int, words: str, commands: tuple[str, ...]
) -> None:
    answer = answers()[kind]
    assert words in advise(answer).text
    assert advise(answer).commands == commands
    assert exit_code(answer) == code
    text = shown(lambda form: check_parts(answer, form), 60)
    assert all(command in text for command in commands)
    assert ("Workload deployment/build-service does not exist in opschain" in " ".join(text.split())) == (
        kind == "missing"
    )


@pytest.mark.parametrize("kind", answers())
def test_check_in_json_says_what_is_so_and_what_to_do(kind: str) -> None:
    answer = answers()[kind]
    document = line(Checked.of([answer]), BEGUN)
    (target,) = document["targets"]
    ((_, use),) = answer.status.uses
    assert (document["event"], document["exit_code"]) == ("check", exit_code(answer))
    assert (target["name"], target["exit_code"]) == ("build-service", exit_code(answer))
    assert (target["state"], target["needs_restart"]) == (use.state, use.needs_restart)
    assert target["next_commands"] == list(advise(answer).commands)


def test_history_in_json_has_the_open_run_and_the_latest_first() -> None:
    build_service, vault = line(History.of(a_history()), BEGUN)["targets"]
    assert build_service["open"]["step"] == "restarting"
    assert build_service["open"]["workers"] == {"deployment/worker": 3}
    assert [past["outcome"] for past in build_service["finished"]] == ["done", "drain_timed_out"]
    assert [past["exit_code"] for past in build_service["finished"]] == [0, 5]
    assert vault == {"name": "vault", "open": None, "finished": []}
