"""Which test shows which fault, read from the text of the tests, none of which is run; and a table of it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import CHAPTERS, FAULTS, Fault

TESTS = Path(__file__).parent
CASES_OF_A_RUN = re.compile(r"test_((?:r\d+_)+)")


@dataclass(frozen=True, order=True)
class Shown:
    """One test that shows a fault."""

    file: str
    test: str

    @property
    def sentence(self) -> str:
        """The test's name as the sentence that it is."""
        return CASES_OF_A_RUN.sub("test_", self.test).removeprefix("test_").replace("_", " ")


def shown_by() -> Mapping[str, Sequence[Shown]]:
    """Return the tests of each number that any test names, known or not."""
    found: dict[str, list[Shown]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for test in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                for number in numbers(test):
                    found[number].append(Shown(file.relative_to(TESTS.parent).as_posix(), test.name))
    return {number: sorted(tests) for number, tests in found.items()}


def numbers(test: ast.FunctionDef) -> Iterator[str]:
    """Give the numbers in a test's `@pytest.mark.fault(…)`, or in that of one of its parameters, and in its name."""
    for part in (part for decorator in test.decorator_list for part in ast.walk(decorator)):
        if isinstance(part, ast.Call) and ast.unparse(part.func) == "pytest.mark.fault":
            yield from (str(ast.literal_eval(argument)) for argument in part.args)
    if cases := CASES_OF_A_RUN.match(test.name):
        yield from (case.upper() for case in cases[1].strip("_").split("_"))


def table() -> Iterator[str]:
    """Give docs/reliability.md's part: what is shown and what is not, then each chapter."""
    shown = shown_by()
    missing = [number for number in FAULTS if number not in shown]
    yield f"Of {len(FAULTS)} faults {len(FAULTS) - len(missing)} are shown by a test.\n"
    if missing:
        yield f"**Shown by none: {', '.join(missing)}.**\n"
    for chapter in CHAPTERS:
        yield f"\n### {chapter.title}\n\n| | happens | promised | shown by |\n| --- | --- | --- | --- |\n"
        yield from (_line(fault, shown.get(fault.number, ())) for fault in chapter.faults)


def _line(fault: Fault, tests: Sequence[Shown]) -> str:
    links = "<br>".join(f"[{test.sentence}](../{test.file})" for test in tests)
    return f"| {fault.number} | {fault.happens} | {fault.promised} | {links or '**no test**'} |\n"
