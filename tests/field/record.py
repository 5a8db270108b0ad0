"""What a case from the field is, and the table of all of them (docs/field-cases.md).

A test of any file is a case by `@case(...)`, all of whose arguments are literals: the table is read from the text of
the tests, none of which is run. A further test that holds the same case has `@pytest.mark.field_case("A1")`.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import pytest

from tests.catalogue import TestFunction, every_test, modules

Test = TypeVar("Test", bound=Callable[..., object])
HOLDS = pytest.mark.field_case


@dataclass(frozen=True)
class Case:
    """One case. `kind` is the first line of its file's docstring, unless it says another."""

    number: str
    situation: str
    says: str
    reference: str
    found_by: str
    since: str
    kind: str
    test: TestFunction


def case(
    number: str,
    *,
    situation: str,
    says: str,
    reference: str = "",
    found_by: str = "public report",
    since: str = "2026-11-28",
    kind: str = "",
) -> Callable[[Test], Test]:
    """Mark a test as a case from the field.

    Args:
        number: a letter and a number, as in `A1`; several tests may show sides of one case.
        situation: what is so, in one sentence.
        says: what certlag says then.
        reference: the public report: `owner/repository#number`, several separated by commas.
        found_by: `public report`, `reader`, `user trial`, `test`, `fuzzing` or `simulation`.
        since: the day on which the wrong answer was found.
        kind: the kind, where the file is not about one.
    """
    del situation, says, reference, found_by, since, kind  # read from the text
    return HOLDS(number)


@cache
def cases() -> Sequence[Case]:
    """Return every case, by kind and number."""
    return sorted(_cases(), key=lambda found: (found.kind, found.number[0], int(found.number[1:]), str(found.test)))


def further_tests() -> dict[str, list[TestFunction]]:
    """Return, by number, the tests that hold a case which another test describes."""
    found: dict[str, list[TestFunction]] = defaultdict(list)
    for test in every_test():
        for number in test.arguments("field_case"):
            found[number].append(test)
    return found


def lost(page: str) -> Sequence[str]:
    """Return the rows of a committed docs/field-cases.md (number and situation) of which there are fewer tests now.

    A case is given up by deleting its row there first, so that a reader of the change sees it.
    """
    now = Counter(found.number for found in cases())
    before = Counter(number for number, _ in _rows(page))
    fewer = {number for number, count in before.items() if now[number] < count}
    situations = {(found.number, _cell(found.situation)) for found in cases()}
    return [
        f"{number}: {situation}"
        for number, situation in _rows(page)
        if number in fewer and (number, situation) not in situations
    ]


def table() -> Iterator[str]:
    """Give the generated part of docs/field-cases.md."""
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for found in cases():
        by_kind[found.kind].append(found)
    further = further_tests()
    yield f"{sum(map(len, by_kind.values()))} cases of {len(by_kind)} kinds.\n"
    for kind, of_kind in by_kind.items():
        yield f"\n### {kind.rstrip('.')}\n\n| | situation | certlag says | reference | found | test |\n"
        yield "| --- | --- | --- | --- | --- | --- |\n"
        for one in of_kind:
            links = "<br>".join(test.link for test in (one.test, *further.get(one.number, ())))
            row = (one.number, one.situation, one.says, one.reference or "—", f"{one.found_by}, {one.since}", links)
            yield f"| {' | '.join(map(_cell, row))} |\n"


def _cases() -> Iterator[Case]:
    for test in every_test():
        for decorator in test.code.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in {"case", "record.case"}:
                said = {str(part.arg): str(ast.literal_eval(part.value)) for part in decorator.keywords}
                yield Case(
                    number=str(ast.literal_eval(decorator.args[0])),
                    situation=said["situation"],
                    says=said["says"],
                    reference=said.get("reference", ""),
                    found_by=said.get("found_by", "public report"),
                    since=said.get("since", "2026-11-28"),
                    kind=said.get("kind") or _first_line(test.file),
                    test=test,
                )


def _first_line(file: str) -> str:
    return (ast.get_docstring(modules()[file]) or file).partition("\n")[0]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _rows(page: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"^\| ([A-Z]\d+) \| (.*?) (?<!\\)\|", page, re.MULTILINE)
