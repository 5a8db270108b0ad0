"""A YAML file into a pydantic model, and one clear message when it does not fit. Pure: text in, value out.

pydantic finds what is wrong; this module adds what it lacks: the line in the file, and what would be right. The first
problem of the file is told: file, line, key, what stands there, the right form.
"""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.scanner import ScannerError

Model = TypeVar("Model", bound=BaseModel)


MAX_MESSAGE = 500
"""Characters: a message repeats what it complains of."""
MAX_DEPTH = 50
"""Levels within each other: what PyYAML takes for more grows with their square, until its recursion ends it."""
MAX_DIGITS = 100
"""Of a number: in base 60, which YAML 1.1 has (`1:30`), PyYAML's work grows with their square."""
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = MAX_MESSAGE


class YamlFileError(Exception):
    """The file is refused; the message says what, where, and what would be right."""


def read(
    text: str, source: str, model: type[Model], right_forms: Mapping[str, str], secret: frozenset[str] = frozenset()
) -> Model:
    """Read YAML text into a model.

    Args:
        text: the file's content.
        source: its name in messages.
        model: what it must fit; keys are the fields' aliases.
        right_forms: for each key of the file, and "" for the whole of it, what would be right; and for a list's key
            with `[]` what each of its items must be, where that is another thing.
        secret: keys whose values are never repeated in a message. Nor is then what a parser says, which quotes.

    Raises:
        YamlFileError: it does not fit.
    """
    try:
        loader = _Loader(text)
        document = loader.get_single_node()
        _refuse_repeated_keys(document, source)
        data = loader.construct_document(document) if document else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlFileError(f"{source}:{line}: not YAML{_quoting(error.problem, secret)}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # An escape may name no character.
        raise YamlFileError(f"{source}: not YAML{_quoting(error, secret)}") from error
    try:
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = sorted(_problem(detail, document, model, right_forms, secret) for detail in error.errors())
        raise YamlFileError(f"{source}:{problems[0].line}: {problems[0].message[:MAX_MESSAGE]}") from error


class _Loader(yaml.SafeLoader):
    """Reads plain values only, without aliases and merge keys, and nothing that is nested without end.

    Aliases and merge keys make of a few lines what would fill the memory, written out.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next node."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call] # PyYAML has no types
            problem = f"alias *{event.anchor} is not supported: repeat the value"
            raise ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803 - PyYAML's name
        self._refuse_too_deep()
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        self._refuse_too_deep()
        return bool(super().add_indent(column))

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse what PyYAML would merge into a mapping."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ConstructorError(None, None, "merge key << is not supported: repeat the keys", key.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        """Make what a node says. PyYAML fails in many ways over a scalar that is not what its tag says."""
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        if node.tag in NUMBERS and len(node.value) > MAX_DIGITS:
            raise ConstructorError(None, None, f"a number of more than {MAX_DIGITS} digits", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError) as error:
            tag = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"{node.value!r} is not a valid {tag}", node.start_mark) from error

    def _refuse_too_deep(self) -> None:
        if self.flow_level + len(self.indents) > MAX_DEPTH:
            raise ScannerError(None, None, f"nested more than {MAX_DEPTH} levels deep", self.get_mark())


def _quoting(problem: object, secret: frozenset[str]) -> str:
    return ", or a value must be quoted" if secret else f": {str(problem)[:MAX_MESSAGE]}"


@dataclass(frozen=True, slots=True, order=True)
class _Problem:
    """One problem; the order is that of the file."""

    line: int
    message: str


def _problem(
    detail: Any,
    document: yaml.Node | None,
    model: type[BaseModel],
    right_forms: Mapping[str, str],
    secret: frozenset[str],
) -> _Problem:
    unknown = detail["type"] == "extra_forbidden"
    steps = detail["loc"]
    named = steps[:-1] if unknown else steps  # an unknown key hides nothing, however it is called
    # What is named by the author of the file leads to its line, but may itself be what is secret.
    hidden = next((number for number, step in enumerate(named, 1) if step in secret), None)
    # Besides keys and indexes, pydantic's location names the branch of a union that was tried.
    location = [step for step in steps[:hidden] if unknown or isinstance(step, int) or step in right_forms]
    place = location if hidden is None else [*location, *steps[hidden:]]
    node, is_there = _find(document, place)
    line = node.start_mark.line + 1 if node is not None else 1
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
    if unknown and not hidden:
        return _Problem(line, f"{path}: unknown key{_known_keys(model, location)}")
    key = next((step for step in reversed(location) if isinstance(step, str)), "")
    right = right_forms[key]
    if location and isinstance(location[-1], int):
        right = right_forms.get(f"{key}[]", right)
    if not location:
        return _Problem(line, f"must be {right}")
    if detail["type"] == "missing" or not (is_there or hidden):
        return _Problem(line, f"{path}: missing; it must be {right}")
    given = "what stands here (not repeated)" if hidden else _SHORT.repr(detail.get("input"))
    return _Problem(line, f"{path}: {given} is not {right}")


def _known_keys(model: type[BaseModel], location: list[int | str]) -> str:
    """Say which keys are known where an unknown one stands, and which of them was perhaps meant."""
    *way, unknown = (step for step in location if isinstance(step, str))
    section: type[BaseModel] | None = model
    for step in way:
        fields = section.model_fields.values() if section else ()
        section = next((_section(field.annotation) for field in fields if field.alias == step), None)
    known = [field.alias or name for name, field in section.model_fields.items()] if section else []
    close = get_close_matches(unknown, known, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    return f"{hint}; known here: {', '.join(known)}"


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the model within an annotation such as `tuple[Section, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def _find(node: yaml.Node | None, location: list[int | str]) -> tuple[yaml.Node | None, bool]:
    """Return the node nearest to a location, and whether it is the very one."""
    for step in location:
        match node, step:
            case yaml.MappingNode(), str():
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    return node, False
                key, value = pair
                # An empty value has no place of its own that a reader would look at.
                node = value if value.value not in ("", []) else key
            case yaml.SequenceNode(), int() if step < len(node.value):
                node = node.value[step]
            case _:
                return node, False
    return node, True


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Yield every mapping of a document, in its order."""
    if isinstance(node, yaml.MappingNode):
        yield node
    parts = node.value if isinstance(node, yaml.CollectionNode) else ()
    for part in parts:
        yield from _mappings(part[1] if isinstance(part, tuple) else part)


def _refuse_repeated_keys(document: yaml.Node | None, source: str) -> None:
    """YAML forbids a key given twice, but the loader takes the last one silently."""
    for mapping in _mappings(document):
        seen: dict[str, int] = {}
        for key in (key for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in seen:
                before = seen[key.value]
                name = key.value[:MAX_MESSAGE]
                raise YamlFileError(f"{source}:{line}: {name}: given twice; it stands in line {before} already")
            seen[key.value] = line
