"""The chart's values as their file documents them: each value with its default, what is said of it, and its schema.

`# --` above a key begins what is said of it; `# @schema` is a JSON object that adds to what the default shows. A key
without a comment whose value is a mapping is a section. Pure.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

SAID, SCHEMA = "# --", "# @schema"


@dataclass(frozen=True)
class Value:
    """One value: its keys from the top, its default, what is said of it, and what its schema adds to the default."""

    path: tuple[str, ...]
    default: Any
    said: str
    schema: dict[str, Any]

    @property
    def name(self) -> str:
        """Its path as `helm --set` takes it."""
        return ".".join(self.path)


def values(text: str) -> tuple[Value, ...]:
    """Read a values file."""
    return tuple(_values(yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text), text.splitlines(), ()))


def _values(node: yaml.Node | None, defaults: Any, lines: list[str], above: tuple[str, ...]) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(f"{'.'.join(above)}: a section is a mapping")
    for key, below in node.value:
        path, default = (*above, str(key.value)), defaults[key.value]
        comment = _comment(lines, key.start_mark.line)
        if isinstance(default, dict) and default and not comment:
            yield from _values(below, default, lines, path)
        else:
            yield Value(path, default, _said(comment), _schema(comment))


def _comment(lines: list[str], at: int) -> list[str]:
    """Return the comment lines right above a line, those before the last `# --` left out."""
    begin = at
    while begin and lines[begin - 1].lstrip().startswith("#") and not lines[begin].lstrip().startswith(SAID):
        begin -= 1
    comment = [line.strip() for line in lines[begin:at]]
    return comment if comment and comment[0].startswith(SAID) else []


def _said(comment: list[str]) -> str:
    said = (line.removeprefix(SAID).removeprefix("#").strip() for line in comment if not line.startswith(SCHEMA))
    return " ".join(said)


def _schema(comment: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in comment:
        if line.startswith(SCHEMA):
            found |= json.loads(line.removeprefix(SCHEMA))
    return found
