"""What is promised has tests that show it: faults, promises of a run, cases from the field."""

import ast

import pytest

from docs import generate
from tests import catalogue, fault_matrix, promises
from tests.faults import CHAPTERS, FAULTS
from tests.field import record

MARKERS = ("fault", "field_case", promises.MARKER)
PAGE = "| {} | {} | something | — | reader, 2026-11-28 | a test |\n"


def test_every_fault_has_a_test_and_every_test_names_a_known_one() -> None:
    assert set(fault_matrix.shown_by()) == set(FAULTS)


def test_every_promise_and_ending_has_a_test_and_every_test_names_a_known_one() -> None:
    assert set(promises.shown_by()) == set(promises.promised())


def test_each_of_them_has_a_test_that_every_make_test_runs() -> None:
    shown, further = {**fault_matrix.shown_by(), **promises.shown_by()}, record.further_tests()
    shown |= {case.number: [case.test, *further.get(case.number, ())] for case in record.cases()}
    assert [name for name, tests in shown.items() if not any(test.always_runs for test in tests)] == []


def test_every_further_test_of_a_case_names_one_that_is_described() -> None:
    assert set(record.further_tests()) <= {case.number for case in record.cases()}


def test_no_case_from_the_field_has_lost_its_test() -> None:
    assert record.lost(generate.FIELD_CASES.read_text(encoding="utf-8")) == []


def test_a_case_that_loses_its_test_is_named() -> None:
    held = record.cases()[0]
    page = PAGE.format(held.number, held.situation) + PAGE.format("Z99", "somebody gave it up")
    assert record.lost(page) == ["Z99: somebody gave it up"]


def test_one_of_two_rows_of_a_case_that_loses_its_test_is_named() -> None:
    of_one = [case for case in record.cases() if case.number == record.cases()[0].number]
    page = "".join(PAGE.format(case.number, case.situation) for case in of_one)
    assert record.lost(page) == []
    assert record.lost(page + PAGE.format(of_one[0].number, "another side of it")) == [
        f"{of_one[0].number}: another side of it"
    ]


def test_every_mark_stands_where_it_is_read() -> None:
    found = {file: list(catalogue.unread(module, *MARKERS)) for file, module in catalogue.modules().items()}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("@pytest.mark.fault('F1')\ndef test_it(): ...", []),
        ("pytestmark = pytest.mark.fault('F1')", [1]),
        ("CASES = [\n    pytest.param(1, marks=pytest.mark.fault('F1'))]\ndef test_it(): ...", [2]),
        ("@pytest.mark.fault('F1')\ndef helper(): ...", [1]),
    ],
)
def test_a_mark_that_is_read_of_no_test_is_named_by_its_line(source: str, lines: list[int]) -> None:
    assert list(catalogue.unread(ast.parse(source), "fault")) == lines


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
    (test,) = catalogue.tests_of("test_it.py", ast.parse(source))
    assert list(fault_matrix.numbers(test)) == named
