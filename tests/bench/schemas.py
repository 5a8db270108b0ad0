"""JSON Schemas of what an API server takes, in the form that kubeconform looks for: one file for each kind.

Made from the API's own description (swagger.json of k8s.io/kubernetes) and from CustomResourceDefinitions. Stricter
than either: a key that is not described is refused, since a key that is spelled wrong is what such a check is for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

REFERENCE = "#/definitions/"
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""The name of a kind's file, as kubeconform's `-schema-location` takes it."""


def write(swagger: Mapping[str, Any], custom: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Write a schema for every kind of the API and of the CustomResourceDefinitions."""
    folder.mkdir(parents=True, exist_ok=True)
    definitions = {name: _strict(schema) for name, schema in swagger["definitions"].items()}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            used = {each: definitions[each] for each in _reached(name, definitions)}
            _dump(folder / _file(**kind), {"$ref": f"{REFERENCE}{name}", "definitions": used})
    for definition in custom:
        for version, schema in _versions(definition):
            spec = definition["spec"]
            _dump(folder / _file(spec["group"], version, spec["names"]["kind"]), _strict(schema))


def _file(group: str, version: str, kind: str) -> str:
    """Return the file of a kind: kubeconform leaves out what follows the first dot of a group."""
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], version))) + ".json"


def _reached(name: str, definitions: Mapping[str, Schema]) -> list[str]:
    """Return a definition and all that it refers to, directly or not."""
    found, left = [name], [name]
    while left:
        for reference in _references(definitions[left.pop()]):
            if reference not in found:
                found.append(reference)
                left.append(reference)
    return found


def _references(schema: Any) -> Iterator[str]:
    """Yield the names that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(REFERENCE)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _versions(definition: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield each version of a custom resource with its schema, to which the API adds what every object has."""
    for version in definition["spec"]["versions"]:
        schema = dict(version["schema"]["openAPIV3Schema"])
        schema["properties"] = {"apiVersion": {}, "kind": {}, "metadata": {}} | schema.get("properties", {})
        yield str(version["name"]), schema


def _strict(schema: Any) -> Any:
    """Return a schema that refuses what it does not describe, and takes a number where the API takes number or text."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-kubernetes-int-or-string" in schema or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    made = {key: _strict(part) for key, part in schema.items() if key != "default"}
    if isinstance(made.get("$ref"), str):
        return {"$ref": made["$ref"]}
    open_ended = "additionalProperties" in made or made.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(made.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    return made


def _dump(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document), encoding="utf-8")
