"""Which test shows which fault, read from the text of the tests, none of which is run; and a table of it."""

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from tests.catalogue import CASES_OF_A_RUN, TESTS, TestFunction, every_test
from tests.faults import CHAPTERS, FAULTS, Fault
from tests.figures import IN_FULL

FIGURES = TESTS.parent / "docs/figures.json"
"""What tests measured, as `make figures` took it."""
MOST_FIGURES, LONGEST_FIGURE = 2, 120
"""Lines in the cell of a fault, and letters in a line."""
SOAK, FUZZING = "make soak", "make fuzz"
BY_COMMANDS = {"F43": SOAK, "F44": FUZZING}
"""Faults that a command shows at length."""
_ENGINE, _STORIES = "tests/test_runbook/test_run", "tests/test_stories"
FULL: Mapping[str, str] = {
    "the soak (`make soak`)": SOAK,
    "fuzzing (`make fuzz`)": FUZZING,
    "a run that is killed before or after any write, on a real cluster": (
        f"{_STORIES}/test_runbook_crashes.py::"
        "test_r11_a_run_that_is_killed_at_any_write_comes_to_the_same_end_when_somebody_goes_on" + IN_FULL
    ),
    "going on with it is killed too": (
        f"{_STORIES}/test_runbook_crashes.py::test_r11_going_on_may_be_killed_too" + IN_FULL
    ),
    "a run that is killed at any effect, on a cluster in memory": (
        f"{_ENGINE}/test_engine.py::test_r11_after_a_crash_at_any_effect_going_on_reaches_the_same_end"
    ),
    "the same twice": f"{_ENGINE}/test_engine.py::test_r11_a_resumed_run_that_crashes_too_is_resumed_again",
    "every schedule of two commands": (
        f"{_ENGINE}/test_interleavings.py::test_every_pair_of_points_of_two_commands" + IN_FULL
    ),
}
"""What is shown at length, and under which name its figures stand."""


def shown_by() -> Mapping[str, Sequence[TestFunction]]:
    """Return the tests of each number that any test names, known or not."""
    found: dict[str, list[TestFunction]] = defaultdict(list)
    for test in every_test():
        for number in numbers(test):
            found[number].append(test)
    return {number: sorted(tests, key=str) for number, tests in found.items()}


def numbers(test: TestFunction) -> Iterator[str]:
    """Give the numbers in a test's `@pytest.mark.fault(…)`, or in that of one of its parameters, and in its name."""
    yield from test.arguments("fault")
    if cases := CASES_OF_A_RUN.match(test.name):
        yield from (case.upper() for case in cases[1].strip("_").split("_"))


def committed_figures() -> Mapping[str, Any]:
    """Return what was measured, by test: the figures, and the day."""
    figures: Mapping[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return figures


def table() -> Iterator[str]:
    """Give docs/reliability.md's part: what is shown and what is not, then each chapter."""
    shown, figures = shown_by(), committed_figures()
    missing = [number for number in FAULTS if number not in shown]
    yield f"Of {len(FAULTS)} faults {len(FAULTS) - len(missing)} have a test that shows them.\n"
    if missing:
        yield f"**Shown by none: {', '.join(missing)}.**\n"
    if days := sorted(measured["measured"] for measured in figures.values()):
        yield f"\nFigures are of {' to '.join(dict.fromkeys((days[0], days[-1])))}.\n"
    for chapter in CHAPTERS:
        yield f"\n### {chapter.title}\n\n| | happens | promised | figure | shown by |\n"
        yield "| --- | --- | --- | --- | --- |\n"
        yield from (_line(fault, shown.get(fault.number, ()), figures) for fault in chapter.faults)
    yield "\n### At length\n\n| | measured | on |\n| --- | --- | --- |\n"
    for what, name in FULL.items():
        measured = figures.get(name, {"figures": (), "measured": "never"})
        yield f"| {what} | {'<br>'.join(map(_escaped, measured['figures'])) or '—'} | {measured['measured']} |\n"


def _line(fault: Fault, tests: Sequence[TestFunction], figures: Mapping[str, Any]) -> str:
    links = "<br>".join(test.link for test in tests)
    names = [BY_COMMANDS[fault.number]] if fault.number in BY_COMMANDS else []
    names += [name for test in tests for name in (str(test), str(test) + IN_FULL)]
    stated = figure_cell([figures[name]["figures"] for name in names if name in figures])
    return f"| {fault.number} | {fault.happens} | {fault.promised} | {stated} | {links or '**no test**'} |\n"


def figure_cell(stated: Sequence[Sequence[str]]) -> str:
    """Return a few of the figures of some tests as a cell: of each test its first, before any has a second."""
    figures = (figure for figure in chain.from_iterable(zip_longest(*stated)) if figure is not None)
    return "<br>".join(map(_in_a_cell, islice(figures, MOST_FIGURES))) or "—"


def _in_a_cell(figure: str) -> str:
    """Cut a figure."""
    text = " ".join(figure.split())
    return _escaped(text if len(text) <= LONGEST_FIGURE else text[: LONGEST_FIGURE - 1].rstrip() + "…")


def _escaped(text: str) -> str:
    """Have nothing in it be Markdown's or HTML's."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(text, quote=False))
