"""The mutants of a module: its source with one piece of the syntax tree damaged. Pure.

A mutant is told by what it does and not by its line, so that it keeps its name when the module grows elsewhere.
"""

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

Place = tuple[tuple[str, int | None], ...]
"""The way from one node to another below it: names of fields, with an index where a field is a list."""
Piece = tuple[Place, ast.AST, str]
"""What is put where, and the name of that damage."""

SWAPPED: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
"""No `and` for `or`: a test that notices either operand missing notices that."""
SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
ASKED_BY_WORD = frozenset({"get", "startswith", "endswith"})
"""Methods whose argument is a word that decides; all other words are for people."""
LEFT_OUT = frozenset({"annotation", "returns", "decorator_list", "bases", "type_params"})
CONDITIONS = frozenset({"test", "ifs", "guard", "values"})
"""Fields with what is forced either way, or left out: a test that notices that notices it turned round."""
SHOWN = 90
"""Characters of the expression around a damaged word that are part of the mutant's name."""


@dataclass(frozen=True)
class Mutant:
    """A module with one piece damaged. `function` is its qualified name, empty at the module's level."""

    module: str
    function: str
    damage: str
    place: Place
    piece: ast.AST

    def __str__(self) -> str:
        return f"{self.module} {self.function or 'module'}: {self.damage}"

    def damaged(self, source: str) -> ast.Module:
        """Return the syntax tree of the module's source with the piece in its place."""
        tree = ast.parse(source)
        _put(tree, self.place, self.piece)
        return ast.fix_missing_locations(tree)


def mutants(module: str, source: str) -> list[Mutant]:
    """Return every mutant of a module, by its path below the root; those with the same name are numbered."""
    tree = ast.parse(source)
    found = list(_Finder(module, _words(tree)).below(tree, (), ""))
    several, seen = Counter(map(str, found)), Counter[str]()
    for index, mutant in enumerate(found):
        seen[str(mutant)] += 1
        if several[str(mutant)] > 1:
            found[index] = replace(mutant, damage=f"{mutant.damage} ({seen[str(mutant)]})")
    return found


@dataclass(frozen=True)
class _Finder:
    """Finds the mutants of one module. `words` are the members that it uses of each enumeration."""

    module: str
    words: Mapping[str, Sequence[str]]

    def below(self, node: ast.AST, place: Place, function: str) -> Iterator[Mutant]:
        """Yield the mutants of a node and of all below it."""
        is_condition = bool(place) and place[-1][0] in CONDITIONS
        for way, piece, name in self._pieces(node, function, is_condition=is_condition):
            yield Mutant(self.module, function.removesuffix(" -> bool"), name, (*place, *way), piece)
        for step, child in _children(node):
            yield from self.below(child, (*place, step), _named(child, function))

    def _pieces(self, node: ast.AST, function: str, *, is_condition: bool) -> Iterator[Piece]:
        yield from _conditions(node)
        yield from _statements(node, function)
        operators = () if is_condition and _is_yes_or_no(node) else _operators(node)
        for way, piece in (*operators, *self._leaves(node)):
            yield way, piece, _name(node, way, piece)

    def _leaves(self, node: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
        """Yield other constants and other members of enumerations for those right below a node."""
        for way, child in _children(node):
            match child:
                case ast.Constant(bool() as value):
                    yield (way,), ast.Constant(not value)
                case ast.Constant(int() as number):
                    yield (way,), ast.Constant(number + 1)
                case ast.Constant(str() as word) if word and _decides(node, way):
                    yield (way,), ast.Constant(f"{word}~")
                case ast.Attribute(ast.Name(kind), word) if len(words := self.words.get(kind, ())) > 1:
                    other = words[(words.index(word) + 1) % len(words)]
                    yield (way,), ast.Attribute(ast.Name(kind, ast.Load()), other, ast.Load())


def _is_yes_or_no(node: ast.AST) -> bool:
    """Tell whether all that can be done to an operator is to turn its answer round."""
    match node:
        case ast.UnaryOp(ast.Not()):
            return True
        case ast.Compare(_, [ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot() | ast.In() | ast.NotIn()]):
            return True
    return False


def _operators(node: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    """Yield what may stand for an operator of an expression."""
    match node:
        case ast.Compare(_, ops):
            yield from (((("ops", index),), SWAPPED[type(op)]()) for index, op in enumerate(ops))
        case ast.BoolOp(op, values):
            for index in range(len(values)):
                rest = [value for other, value in enumerate(values) if other != index]
                yield (), rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield (), operand
        case ast.BinOp(_, op, right) if type(op) in SWAPPED and not _is_none(right):
            yield (("op", None),), SWAPPED[type(op)]()
        case ast.Call(ast.Name(called)) if called in SWAPPED_CALLS:
            yield (("func", None),), ast.Name(SWAPPED_CALLS[called], ast.Load())


def _conditions(node: ast.AST) -> Iterator[Piece]:
    """Yield conditions forced either way. They are still evaluated: what they name and yield stays."""
    match node:
        case ast.If(test) | ast.IfExp(test):
            yield from _forced(test, ("test", None))
        case ast.While(test) if not isinstance(test, ast.Constant):
            yield (("test", None),), ast.BoolOp(ast.And(), [test, ast.Constant(value=False)]), f"never {_text(test)}"
        case ast.comprehension(ifs=ifs):
            for index, test in enumerate(ifs):
                yield from _forced(test, ("ifs", index))
        case ast.match_case(pattern, guard):
            yield (("guard", None),), ast.Constant(value=False), f"never case {_text(pattern)}"
            if guard is not None:
                yield (("guard", None),), ast.Constant(value=True), f"always if {_text(guard)}"


def _forced(test: ast.expr, way: tuple[str, int | None]) -> Iterator[Piece]:
    yield (way,), ast.BoolOp(ast.Or(), [test, ast.Constant(value=True)]), f"always if {_text(test)}"
    yield (way,), ast.BoolOp(ast.And(), [test, ast.Constant(value=False)]), f"never if {_text(test)}"


def _statements(node: ast.AST, function: str) -> Iterator[Piece]:
    """Yield statements left out, other returns, and exceptions that are not caught."""
    match node:
        case ast.Return(ast.Constant()):
            pass
        case ast.Return(ast.expr() as value):
            for other in (True, False) if function.endswith(" -> bool") else (None,):
                # It is still evaluated: a generator stays one.
                both = ast.List([value, ast.Constant(other)], ast.Load())
                piece = ast.Subscript(both, ast.Constant(1), ast.Load())
                yield (("value", None),), piece, f"return {_text(value)} → {other}"
        case (
            ast.Expr(ast.Call() | ast.Yield() | ast.YieldFrom())
            | ast.Raise()
            | ast.Continue()
            | ast.AugAssign()
            | ast.Assign([ast.Attribute() | ast.Subscript() | ast.Tuple([ast.Attribute() | ast.Subscript(), *_])])
        ):
            # Not taken out: what yields nothing any more would be no generator.
            yield (), ast.If(ast.Constant(value=False), [node], []), f"without {_text(node)}"
        case ast.ExceptHandler(ast.Tuple(kinds)):
            for index, kind in enumerate(kinds):
                yield (("type", None), ("elts", index)), ast.Tuple([], ast.Load()), f"not caught: {_text(kind)}"
        case ast.ExceptHandler(ast.expr() as kind):
            yield (("type", None),), ast.Tuple([], ast.Load()), f"not caught: {_text(kind)}"


def _decides(node: ast.AST, way: tuple[str, int | None]) -> bool:
    """Tell whether a word right below a node decides something, and is not only for people."""
    match node:
        case ast.Compare() | ast.Subscript() | ast.MatchValue():
            return True
        case ast.Dict():
            return way[0] == "keys"
        case ast.Call(ast.Attribute(attr=called)):
            return called in ASKED_BY_WORD
    return False


def _words(tree: ast.Module) -> Mapping[str, Sequence[str]]:
    """Return the members that a module uses of each enumeration."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(kind), word) if kind[:1].isupper() and word.isupper():
                found[kind].add(word)
    return {kind: sorted(words) for kind, words in found.items()}


def _children(node: ast.AST) -> Iterator[tuple[tuple[str, int | None], ast.AST]]:
    """Yield what is right below a node and can be damaged: no text for people, no types, no names of fields."""
    if isinstance(node, ast.JoinedStr):
        return
    for field, value in ast.iter_fields(node):
        if field in LEFT_OUT:
            continue
        if isinstance(value, ast.AST):
            yield (field, None), value
        elif isinstance(value, list):
            yield from (((field, index), each) for index, each in enumerate(value) if isinstance(each, ast.AST))


def _named(node: ast.AST, function: str) -> str:
    """Return the qualified name in which a node stands."""
    match node:
        case ast.FunctionDef(name, returns=returns):
            answers = " -> bool" if isinstance(returns, ast.Name) and returns.id == "bool" else ""
            return ".".join(filter(None, (function.removesuffix(" -> bool"), name))) + answers
        case ast.ClassDef(name):
            return ".".join(filter(None, (function, name)))
    return function


def _name(node: ast.AST, way: Place, piece: ast.AST) -> str:
    """Name a damage by the expression before and after it."""
    if not way:
        return f"{_text(node)} → {_text(piece)}"
    if isinstance(node, ast.expr) and len(_text(node)) <= SHOWN:
        after = copy.deepcopy(node)
        _put(after, way, piece)
        return f"{_text(node)} → {_text(after)}"
    return f"{_text(_at(node, way))} → {_text(piece)}"


def _put(root: ast.AST, place: Place, piece: ast.AST) -> None:
    *way, (field, index) = place
    node = _at(root, tuple(way))
    if index is None:
        setattr(node, field, piece)
    else:
        getattr(node, field)[index] = piece


def _at(root: ast.AST, place: Place) -> ast.AST:
    for field, index in place:
        below = getattr(root, field)
        root = below if index is None else below[index]
    return root


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())
