"""The JSON Schema of `--output json`: one line is one of its documents, by their classes. Pure.

`make docs` writes it to output.schema.json, which is in the wheel; no command reads it. It is closed: a line with a key
that is not in it, or without one that is, was written by another version.
"""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from certlag.config.release import Release
from runbook.report.json.documents import LINES, PAIRS, PROPERTIES, keys

Schema = dict[str, Any]

SCALARS: Mapping[type, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number", "description": "Seconds."},
    Release: {"type": "string", "description": "NAMESPACE/NAME."},
}


def json_schema() -> Schema:
    """Return the schema of one line.

    Raises:
        TypeError: a document has a field of a type that is not written.
    """
    shapes = _Shapes()
    lines = {name: shapes.line(kind, name) for kind, name in LINES.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line that `runbook --output json` writes",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in lines],
        "$defs": lines | dict(sorted(shapes.definitions.items())),
    }


class _Shapes:
    """Turns types into schemas, and collects those of classes."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._kinds: dict[str, type] = {}

    def line(self, kind: type, name: str) -> Schema:
        """Return the schema of a line."""
        return _closed(kind, {"event": {"const": name}, "at": SCALARS[datetime], **self._properties(kind)})

    def _of(self, kind: Any, name: str = "") -> Schema:
        """Return the schema of a type; `name` is the field that it stands in."""
        arguments, origin = get_args(kind), get_origin(kind)
        if kind in SCALARS:
            return SCALARS[kind]
        if origin in (UnionType, Union):
            return {"anyOf": [self._of(each, name) for each in arguments]}
        if origin is tuple and arguments[1:] == (...,):
            return {"type": "array", "items": self._item(arguments[0], name)}
        if origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
            return {"type": "object", "additionalProperties": self._of(arguments[1])}
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self._defined(kind, lambda: {"description": _about(kind), "enum": [each.value for each in kind]})
        if isinstance(kind, type) and is_dataclass(kind):
            return self._defined(kind, lambda: _closed(kind, self._properties(kind)))
        raise TypeError(f"{kind} has no form in JSON")

    def _item(self, kind: Any, name: str) -> Schema:
        if get_origin(kind) is not tuple:
            return self._of(kind)
        pair = dict(zip(PAIRS[name], map(self._of, get_args(kind)), strict=True))
        return {"type": "object", "properties": pair, "required": list(pair), "additionalProperties": False}

    def _properties(self, kind: type) -> dict[str, Schema]:
        types = get_type_hints(kind)
        for name in PROPERTIES.get(kind, ()):
            types[name] = get_type_hints(getattr(kind, name).fget)["return"]
        return {key: self._of(types[key], key) for key in keys(kind)}

    def _defined(self, kind: type, schema: Callable[[], Schema]) -> Schema:
        """Describe a class once, and refer to it."""
        if self._kinds.setdefault(kind.__name__, kind) is not kind:
            raise TypeError(f"two classes are called {kind.__name__}")
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = schema()
        return {"$ref": f"#/$defs/{kind.__name__}"}


def _closed(kind: type, properties: dict[str, Schema]) -> Schema:
    return {
        "description": _about(kind),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _about(kind: type) -> str:
    """Return what a class is, as its docstring says it."""
    return " ".join((kind.__doc__ or "").split())
