"""What a case from the field is, and the table of all of them (docs/field-cases.md).

A test of any file is a case by `@case(...)`, all of whose arguments are literals: the table is read from the text of
the tests, none of which is run. A further test that holds the same case has `@pytest.mark.field_case("A1")`.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

TESTS = Path(__file__).parents[1]
Test = TypeVar("Test", bound=Callable[..., object])


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
    file: str
    test: str


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
    return pytest.mark.field_case(number)


def cases() -> Sequence[Case]:
    """Return every case, by kind and number."""
    return sorted(_cases(), key=lambda found: (found.kind, found.number[0], int(found.number[1:]), found.test))


def further_tests() -> dict[str, list[str]]:
    """Return, by number, the tests (`file::name`) that hold a case which another test describes."""
    found: dict[str, list[str]] = defaultdict(list)
    for file, test in _tests():
        for decorator in test.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.field_case":
                for number in decorator.args:
                    found[str(ast.literal_eval(number))].append(f"{file}::{test.name}")
    return found


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
            tests = [f"{one.file}::{one.test}", *further.get(one.number, ())]
            links = "<br>".join(_link(test) for test in tests)
            row = (one.number, one.situation, one.says, one.reference or "—", f"{one.found_by}, {one.since}", links)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n"


def _cases() -> Iterator[Case]:
    for file, test in _tests():
        for decorator in test.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in {"case", "record.case"}:
                said = {str(part.arg): str(ast.literal_eval(part.value)) for part in decorator.keywords}
                yield Case(
                    number=str(ast.literal_eval(decorator.args[0])),
                    situation=said["situation"],
                    says=said["says"],
                    reference=said.get("reference", ""),
                    found_by=said.get("found_by", "public report"),
                    since=said.get("since", "2026-11-28"),
                    kind=said.get("kind") or _first_line(file),
                    file=file,
                    test=test.name,
                )


def _tests() -> Iterator[tuple[str, ast.FunctionDef]]:
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "case(" in text:
            for part in ast.walk(ast.parse(text)):
                if isinstance(part, ast.FunctionDef) and part.name.startswith("test_"):
                    yield file.relative_to(TESTS.parent).as_posix(), part


def _first_line(file: str) -> str:
    module = ast.parse((TESTS.parent / file).read_text(encoding="utf-8"))
    return (ast.get_docstring(module) or file).partition("\n")[0]


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"
