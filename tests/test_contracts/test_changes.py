"""Who may change a cluster: one module of the runbook, by the one call that can, and nobody else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_SEND = {"certlag/kube/transport.py", "runbook/kube/write.py"}
"""The module that can, and the module that does."""
METHODS = {"DELETE", "PATCH", "POST", "PUT"}


def calls(package: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a package, with its file."""
    for file in sorted((ROOT / package).glob("**/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield str(file.relative_to(ROOT)), node


def named(call: ast.Call, *names: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in names


def test_nobody_else_sends() -> None:
    """`Connection.send` takes its body by name; a generator's and a protocol's `send` have no names to give."""
    senders = {
        file
        for package in ("certlag", "exporter", "runbook", "rehearsal")
        for file, call in calls(package)
        if named(call, "send") and call.keywords
    }
    assert senders - MAY_SEND == set()


@pytest.mark.thorough
def test_the_exporter_asks_for_nothing_but_get() -> None:
    """Neither by a request of another method, nor by a word for one anywhere."""
    methods = {
        (file, argument.value if isinstance(argument, ast.Constant) else ast.unparse(argument))
        for file, call in [*calls("certlag"), *calls("exporter")]
        if file not in MAY_SEND and named(call, "request")
        for argument in call.args[:1]
    }
    assert methods == {("certlag/kube/client.py", "GET")}
    words = {
        (file, argument.value)
        for file, call in [*calls("certlag"), *calls("exporter")]
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]
        if isinstance(argument, ast.Constant) and argument.value in METHODS
    }
    assert words == set()
