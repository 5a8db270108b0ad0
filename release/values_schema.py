"""The schema of the chart's values: closed, so that a key that is spelled wrong is refused, not ignored. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from certlag.config.schema import json_schema
from release.values_file import Value

Schema = dict[str, Any]

DURATION = {"$ref": "#/$defs/Duration"}
OF_RULES: dict[str, Schema] = {
    **dict.fromkeys(("for", "memory", "deadlineMemory", "interval"), DURATION),
    "severity": {"minLength": 1},
}
"""What the alerts' settings are, by their last key: their section is written by `alerts`."""

_QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_SECONDS = {"type": "integer", "minimum": 1}
DEFINITIONS: dict[str, Schema] = {
    "Duration": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))*$", "examples": ["30s", "5m", "1h30m"]},
    "Resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": {"type": "array"}},
    },
    "Probe": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "initialDelaySeconds": {"type": "integer", "minimum": 0},
            "periodSeconds": _SECONDS,
            "timeoutSeconds": _SECONDS,
            "successThreshold": _SECONDS,
            "failureThreshold": _SECONDS,
        },
    },
    "Subject": {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "name"],
        "properties": {
            "kind": {"enum": ["User", "Group", "ServiceAccount"]},
            "name": {"type": "string", "minLength": 1},
            "namespace": {"type": "string", "minLength": 1},
        },
    },
}


def text(values: Iterable[Value]) -> str:
    """Return `values.schema.json`."""
    root = _section()
    for value in values:
        at = root
        for key in value.path[:-1]:
            at = at["properties"].setdefault(key, _section())
        at["properties"][value.path[-1]] = _of(value)
    root["properties"]["global"] = {"type": "object", "description": "What a chart above this one shares."}
    configuration = json_schema()
    definitions = configuration.pop("$defs")
    del configuration["$schema"]
    document: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the certlag chart",
        **root,
        "$defs": {**DEFINITIONS, **definitions, "ConfigurationFile": configuration},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _section() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _of(value: Value) -> Schema:
    """Return the schema of one value: what its default shows, and what is added to that."""
    added = value.schema or (OF_RULES.get(value.path[-1], {}) if value.path[0] == "rules" else {})
    shown = {} if {"$ref", "enum"} & set(added) else _shown(value.default)
    described = {"description": value.said} if value.said else {}
    return described | shown | added


def _shown(default: Any) -> Schema:
    match default:
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number", "minimum": 0}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array"}
        case dict():
            return {"type": "object", "additionalProperties": {"type": "string"}}
    raise TypeError(f"no schema for the default {default!r}")
