"""What is damaged, and what is left alone."""

import ast

import pytest

from tests.mutants.damage import mutants


def damages(source: str) -> list[str]:
    return [each.damage for each in mutants("m.py", source)]


@pytest.mark.parametrize(
    ("source", "damage"),
    [
        ("x = a < b", "a < b → a <= b"),
        ("x = a is None", "a is None → a is not None"),
        ("x = a and b and c", "a and b and c → a and c"),
        ("x = a or b", "a or b → b"),
        ("x = not a", "not a → a"),
        ("x = a + b", "a + b → a - b"),
        ("x = any(a)", "any(a) → all(a)"),
        ("x = f(2)", "f(2) → f(3)"),
        ("x = f(flag=True)", "True → False"),
        ("x = a['name']", "a['name'] → a['name~']"),
        ("x = a.get('name')", "a.get('name') → a.get('name~')"),
        ("x, y = Kind.ONE, Kind.TWO", "(Kind.ONE, Kind.TWO) → (Kind.TWO, Kind.TWO)"),
        ("if a:\n    f()", "always if a"),
        ("if a:\n    f()", "never if a"),
        ("while a:\n    f()", "never a"),
        ("x = [a for a in b if a]", "never if a"),
        ("match a:\n    case B(c) if c:\n        f()", "never case B(c)"),
        ("match a:\n    case B(c) if c:\n        f()", "always if c"),
        ("def f() -> str:\n    return a", "return a → None"),
        ("def f() -> bool:\n    return a", "return a → True"),
        ("def f() -> bool:\n    return a", "return a → False"),
        ("def f():\n    yield from a", "without yield from a"),
        ("self.a = b", "without self.a = b"),
        ("raise a", "without raise a"),
        ("try:\n    f()\nexcept (A, B):\n    g()", "not caught: B"),
    ],
)
def test_is_damaged(source: str, damage: str) -> None:
    assert damage in damages(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "def f(a: int | None = None) -> int | None: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "x = f('words for people')",
        "x = f'{1 + a} words'",
    ],
)
def test_is_left_alone(source: str) -> None:
    assert damages(source) == []


def test_a_damaged_module_differs_in_its_piece_only() -> None:
    source = "def f(a, b):\n    return a < b and a < 3\n"
    (mutant,) = (each for each in mutants("m.py", source) if each.damage == "a < 3 → a < 4")
    assert ast.unparse(mutant.damaged(source)) == "def f(a, b):\n    return a < b and a < 4"


def test_what_yields_still_does_when_it_is_left_out() -> None:
    source = "def f():\n    yield 1\n"
    (mutant,) = (each for each in mutants("m.py", source) if each.damage.startswith("without"))
    names: dict[str, object] = {}
    exec(compile(mutant.damaged(source), "m.py", "exec"), names)  # noqa: S102 - a mutant of the line above
    assert list(names["f"]()) == []  # type: ignore[operator]


def test_mutants_of_the_same_name_are_numbered() -> None:
    assert damages("x = a < b\ny = a < b") == ["a < b → a <= b (1)", "a < b → a <= b (2)"]


def test_a_mutant_keeps_its_name_when_its_module_grows() -> None:
    names = [str(each) for each in mutants("m.py", "def f(a):\n    return a < 1\n")]
    assert names == [str(each) for each in mutants("m.py", "import x\n\n\ndef f(a):\n    return a < 1\n")]
