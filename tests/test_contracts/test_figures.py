"""Figures go from a test, through the run's file and the committed one, into the table of faults."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from docs import figures
from tests.fault_matrix import FULL, FUZZING, LONGEST_FIGURE, SOAK, figure_cell
from tests.figures import IN_FULL

ROOT = Path(__file__).parents[2]
MEASURING = """
import pytest

@pytest.mark.parametrize("size", [2, 1, 1])
def test_size(size, figures):
    figures(f"size {size}")

@pytest.mark.parametrize("size", [3, pytest.param(300, marks=pytest.mark.proof)])
def test_all(size, figures):
    figures(f"size {size}")

@pytest.mark.parametrize("page", "ab")
def test_pages(page, tally):
    tally("pages", 2)

def test_that_fails(figures):
    figures("never mind")
    assert False
"""


def measure(folder: Path, *options: str) -> Mapping[str, Any]:
    """Run pytest there, and return what it left."""
    (folder / "pytest.ini").touch()
    (folder / "test_it.py").write_text(MEASURING)
    before = set(folder.glob("build/figures/*.json"))
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "tests.figures", *options)
    subprocess.run(argv, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, capture_output=True)
    (left,) = set(folder.glob("build/figures/*.json")) - before
    run: Mapping[str, Any] = json.loads(left.read_text())
    return run


@pytest.mark.thorough
def test_each_run_leaves_the_figures_of_tests_that_passed_in_a_file_of_its_own(tmp_path: Path) -> None:
    """In one process and under xdist alike."""
    for run in (measure(tmp_path, "-pno:xdist"), measure(tmp_path, "-n2")):
        assert run["figures"] == {
            "test_it.py::test_all": ["size 3"],
            "test_it.py::test_all (make proof)": ["size 300"],
            "test_it.py::test_pages": ["pages: 2/2"],
            "test_it.py::test_size": ["size 1", "size 2"],
        }
    assert len(list(figures.runs(tmp_path / "build/figures"))) == 2


def test_of_each_test_the_newest_figures_are_taken_and_those_of_none_are_dropped() -> None:
    before = {"t::kept": {"measured": "2026-01-01", "figures": ["1"]}, "t::gone": {}}
    runs = (
        {"at": "2026-01-02T10:00:00", "figures": {"t::a": ["2"], "t::b": ["3"]}},
        {"at": "2026-01-03T10:00:00", "figures": {"t::b": ["4"], "t::unknown": ["5"]}},
    )
    assert figures.take(before, iter(runs), {"t::kept", "t::a", "t::b"}) == {
        "t::a": {"measured": "2026-01-02", "figures": ["2"]},
        "t::b": {"measured": "2026-01-03", "figures": ["4"]},
        "t::kept": {"measured": "2026-01-01", "figures": ["1"]},
    }


def test_what_is_shown_at_length_is_shown_by_tests_that_there_are() -> None:
    for name in {*FULL.values()} - {SOAK, FUZZING}:
        file, _, test = name.removesuffix(IN_FULL).partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_a_cell_has_two_figures_at_most_and_of_as_many_tests_as_it_can() -> None:
    assert figure_cell([]) == figure_cell([[]]) == "—"
    assert figure_cell([["a 1", "a 2"]]) == "a 1<br>a 2"
    assert figure_cell([["a 1", "a 2"], ["b 1"], ["c 1"]]) == "a 1<br>b 1"


@pytest.mark.parametrize(
    ("figure", "cell"),
    [
        ("a | b", r"a \| b"),
        (r"a \| b", r"a \\\| b"),
        ("two\nlines\r\n", "two lines"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("[a](b) `c` *d* e_f ~g~", r"\[a\](b) \`c\` \*d\* e\_f \~g\~"),
        ("x" * 500, "x" * (LONGEST_FIGURE - 1) + "…"),
        ("|" * 500, r"\|" * (LONGEST_FIGURE - 1) + "…"),
    ],
)
def test_no_figure_breaks_the_table(figure: str, cell: str) -> None:
    assert figure_cell([[figure]]) == cell
