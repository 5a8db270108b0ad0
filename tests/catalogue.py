"""All tests as their text has them: each file is parsed once, none is run."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

TESTS = Path(__file__).parent
CASES_OF_A_RUN = re.compile(r"test_((?:r\d+_)+)")
"""How a test's name begins that shows cases of a run."""


@dataclass(frozen=True)
class TestFunction:
    """One test function. `file` is the path from the project's root."""

    __test__ = False  # for pytest

    file: str
    code: ast.FunctionDef

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.code.name

    def __str__(self) -> str:
        """As pytest names it."""
        return f"{self.file}::{self.name}"

    @property
    def link(self) -> str:
        """A link to its file, from docs/, whose text is the name as the sentence that it is."""
        sentence = CASES_OF_A_RUN.sub("test_", self.name).removeprefix("test_").replace("_", " ")
        return f"[{sentence}](../{self.file})"

    def arguments(self, marker: str) -> Iterator[str]:
        """Give the arguments of each `@pytest.mark.MARKER(…)`, also of those on parameters."""
        for mark in chain.from_iterable(marks(decorator, marker) for decorator in self.code.decorator_list):
            yield from (str(ast.literal_eval(argument)) for argument in mark.args)

    @property
    def always_runs(self) -> bool:
        """Whether some of it is part of every `make test` for which a machine has the means."""
        return self.file not in matrices() and "pytest.mark.proof" not in map(ast.unparse, self.code.decorator_list)


@cache
def modules() -> Mapping[str, ast.Module]:
    """Return every Python file of the tests, by its path from the project's root."""
    files = sorted(TESTS.rglob("*.py"))
    return {file.relative_to(TESTS.parent).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


@cache
def every_test() -> tuple[TestFunction, ...]:
    """Return every test function, in the order of files and lines."""
    return tuple(
        function
        for file, module in modules().items()
        if file.rpartition("/")[2].startswith("test_")
        for function in tests_of(file, module)
    )


@cache
def matrices() -> frozenset[str]:
    """Return the files that are a matrix as a whole."""

    def is_matrix(part: ast.stmt) -> bool:
        return (
            isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "pytestmark" and any(marks(part, "matrix"))
        )

    return frozenset(file for file, module in modules().items() if any(map(is_matrix, module.body)))


def tests_of(file: str, module: ast.Module) -> Iterator[TestFunction]:
    """Give the test functions of a file."""
    for part in ast.walk(module):
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test_"):
            yield TestFunction(file, part)


def marks(code: ast.AST, *markers: str) -> Iterator[ast.Call]:
    """Give each `pytest.mark.MARKER(…)` of these markers in a piece of code."""
    for part in ast.walk(code):
        match part:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr=name)) if name in markers:
                yield part


def unread(module: ast.Module, *markers: str) -> Iterator[int]:
    """Give the lines of a file's marks that stand on no test, so that `TestFunction.arguments` reads them of none."""
    decorators = chain.from_iterable(test.code.decorator_list for test in tests_of("", module))
    read = set(chain.from_iterable(marks(decorator, *markers) for decorator in decorators))
    yield from sorted(mark.lineno for mark in marks(module, *markers) if mark not in read)
