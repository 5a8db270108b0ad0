"""The live view on a real (pseudo) terminal, as a person sees it: drawn, resized, paused and left."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.pseudo_terminal import PseudoTerminal
from tests.scripted_run import NEW, PODS, SERVICE, WORKER

pytestmark = pytest.mark.thorough


class Steered(PseudoTerminal):
    """A reporter on a terminal, and the pipe that steers it."""

    def __init__(self, columns: int, lines: int) -> None:
        approved, self._approved = os.pipe()
        self._answers, answers = os.pipe()
        command = [sys.executable, "-m", "tests.steered_reporter", str(approved), str(answers)]
        super().__init__(command, columns=columns, lines=lines, pass_fds=(approved, answers))
        os.close(approved)
        os.close(answers)

    def order(self, *approved: str | float) -> None:
        """Have it do this, and wait until it is done."""
        for each in approved:
            os.write(self._approved, f"{each}\n".encode())
            assert os.read(self._answers, 100) == b"done\n"

    def close(self) -> None:
        """End it."""
        super().close()
        os.close(self._approved)
        os.close(self._answers)


@pytest.fixture(params=[(120, 40), (60, 30)], ids=["wide", "narrow"])
def terminal(request: pytest.FixtureRequest) -> Iterator[Steered]:
    steered = Steered(*request.param)
    yield steered
    steered.close()


@pytest.fixture
def wide() -> Iterator[Steered]:
    steered = Steered(120, 40)
    yield steered
    steered.close()


def test_each_worker_is_shown_with_its_state_how_long_it_has_been_ending_and_its_latest_end(terminal: Steered) -> None:
    terminal.order("plan", 301)

    each_has = ("ending", "5m", "03:14:01Z", "(55m left)")
    nodes = [f"node-{number}" for number in range(len(PODS))]

    def whole(screen: str) -> bool:
        words = " ".join(screen.rpartition("let workers finish 5m, 55m left")[2].split())
        return all(words.count(text) >= len(PODS) for text in each_has) and all(
            each in words for each in (*nodes, *PODS)
        )

    terminal.sees("every worker", lambda screen: whole(" ".join(screen.split())))


def test_a_new_pod_is_shown_with_what_it_presents(terminal: Steered) -> None:
    terminal.order(752.05)
    terminal.shows(NEW, "current", "9be1d2c3f4a5", SERVICE)


@pytest.mark.fault("H3")
def test_why_a_rollout_stalls_is_shown_and_obeyed_by_nobody(terminal: Steered) -> None:
    terminal.order(742)
    terminal.shows("stalled", r"node\x1b[2J\u202e[bold]x[/bold]\nnext")
    assert "\u202e".encode() not in terminal.raw
    assert b"\x1b[2J" not in terminal.raw


def test_warnings_and_writes_stay_on_the_screen_after_the_view_is_gone(terminal: Steered) -> None:
    terminal.order(800)
    screen = " ".join(terminal.shows("Restarted, verified, workers back", "How long it took", "12m 4s").split())
    assert f"{PODS[2]} ended with 137" in screen
    assert f"scale {WORKER} from 0 to 3" in screen
    assert "Ctrl-C" not in screen
    terminal.sees("a cursor", lambda _: not terminal.cursor_hidden)


@pytest.mark.parametrize(("columns", "lines"), [(60, 30), (50, 16), (100, 24), (160, 50), (40, 8)])
def test_a_terminal_that_is_resized_shows_the_view_once_and_whole(wide: Steered, columns: int, lines: int) -> None:
    wide.order("plan", 100)
    wide.shows("1m 39s")
    wide.resize(columns, lines)
    wide.order(200)

    def once(screen: str) -> bool:
        return "1m 39s" not in screen and all(screen.count(text) == 1 for text in ("let workers finish", WORKER))

    wide.sees("one view", lambda screen: "3m 19s" in screen and once(screen) and len(screen.splitlines()) <= lines)


def test_a_question_has_the_terminal_to_itself(wide: Steered) -> None:
    wide.order("plan", 100)
    wide.shows("let workers finish", "Ctrl-C")
    wide.order("pause")
    wide.hides("Ctrl-C", "let workers finish")
    wide.sees("a cursor", lambda _: not wide.cursor_hidden)
    wide.order(110, "plan")
    assert "let workers finish" not in wide.sees("a second plan", lambda _: wide.raw.count(b"Plan of") == 2)
    wide.order("resume")
    wide.shows("let workers finish", "1m 49s")


def test_leaving_gives_the_cursor_back_and_keeps_what_was_printed(wide: Steered) -> None:
    wide.order(100)
    wide.shows("let workers finish")
    wide.sees("no cursor", lambda _: wide.cursor_hidden)
    wide.order("close", "close")
    screen = wide.hides("let workers finish")
    assert f"scale {WORKER} from 3 to 0" in screen
    wide.sees("a cursor", lambda _: not wide.cursor_hidden)
