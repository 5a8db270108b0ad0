"""The matrix of faults and the tests agree."""

import ast

import pytest

from tests.fault_matrix import TESTS, numbers, shown_by, unread
from tests.faults import CHAPTERS, FAULTS


def test_every_fault_that_a_test_names_is_in_the_table() -> None:
    assert {number: tests for number, tests in shown_by().items() if number not in FAULTS} == {}


def test_every_mark_stands_where_the_table_finds_it() -> None:
    files = {str(file.relative_to(TESTS)): ast.parse(file.read_text(encoding="utf-8")) for file in TESTS.rglob("*.py")}
    assert {name: lines for name, file in files.items() if (lines := list(unread(file)))} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("@pytest.mark.fault('F1')\ndef test_it(): ...", []),
        ("pytestmark = pytest.mark.fault('F1')", [1]),
        ("CASES = [\n    pytest.param(1, marks=pytest.mark.fault('F1'))]\ndef test_it(): ...", [2]),
        ("@pytest.mark.fault('F1')\ndef helper(): ...", [1]),
    ],
)
def test_a_mark_that_the_table_does_not_find_is_told_by_its_line(source: str, lines: list[int]) -> None:
    assert list(unread(ast.parse(source))) == lines


def test_no_number_is_given_twice() -> None:
    assert len(FAULTS) == sum(len(chapter.faults) for chapter in CHAPTERS)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("@pytest.mark.fault('F1', 'F2')\n@pytest.mark.serial\ndef test_it(): ...", ["F1", "F2"]),
        (
            "@pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.fault('F3'))])\ndef test_it(a): ...",
            ["F3"],
        ),
        ("def test_r1_r5_it(): ...", ["R1", "R5"]),
        ("@pytest.mark.fault('F13')\ndef test_r13_it(): ...", ["F13", "R13"]),
        ("@pytest.mark.proof\ndef test_reads_it(): ...", []),
    ],
)
def test_a_test_names_its_faults_by_marker_and_by_name(source: str, named: list[str]) -> None:
    (test,) = ast.parse(source).body
    assert isinstance(test, ast.FunctionDef)
    assert list(numbers(test)) == named
