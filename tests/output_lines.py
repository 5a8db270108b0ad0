"""What `--output json` wrote, read as a program reads it: each line must be one of the documents of the shipped schema.

    (ended,) = read(stdout)

Every test that reads lines reads them here, so no line is tested that the schema does not describe.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "runbook" / "report" / "json" / "output.schema.json"
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
UNDERSTOOD = {
    *("$schema", "$defs", "$ref", "title", "description", "oneOf", "anyOf", "const", "enum", "type", "format"),
    *("properties", "required", "additionalProperties", "items"),
}
"""The keywords that `faults` knows: one that it does not is no part of the schema."""
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def read(text: str) -> list[dict[str, Any]]:
    """Return the documents of whole lines; the last may be in the midst of being written."""
    documents = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    for document in documents:
        found = [*faults(document, of_event(document))]
        assert not found, f"not as {FILE.name} says: {found}\n{document}"
    return documents


@cache
def schema() -> dict[str, Any]:
    """Return the schema as it is shipped."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def of_event(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one kind of line; of a kind that there is not, what allows nothing."""
    found: dict[str, Any] = schema()["$defs"].get(document.get("event"), {"anyOf": []})
    return found


def faults(value: Any, form: dict[str, Any], place: str = "$") -> Iterator[str]:
    """Tell what JSON Schema 2020-12 has against a value, as far as the shipped schema uses it."""
    assert form.keys() <= UNDERSTOOD, f"{place}: a keyword that no test understands: {form.keys() - UNDERSTOOD}"
    if "$ref" in form:
        yield from faults(value, schema()["$defs"][form["$ref"].removeprefix("#/$defs/")], place)
    for keyword in form.keys() & {"oneOf", "anyOf"}:
        fitting = sum(not [*faults(value, each, place)] for each in form[keyword])
        if fitting == 0 or (keyword == "oneOf" and fitting > 1):
            yield f"{place}: {fitting} of {keyword} fit {value!r}"
    if value not in form.get("enum", [value]) or value != form.get("const", value):
        yield f"{place}: {value!r} is none of {form.get('enum', form.get('const'))}"
    if "type" in form and not _is(value, form["type"]):
        yield f"{place}: {value!r} is no {form['type']}"
    if form.get("format") == "date-time" and not _is_instant(value):
        yield f"{place}: {value!r} is no instant in UTC"
    if isinstance(value, dict):
        yield from _faults_of_object(value, form, place)
    for index, each in enumerate(value if isinstance(value, list) else ()):
        yield from faults(each, form.get("items", {}), f"{place}[{index}]")


def _faults_of_object(value: dict[str, Any], form: dict[str, Any], place: str) -> Iterator[str]:
    properties, others = form.get("properties", {}), form.get("additionalProperties", True)
    for name in form.get("required", ()):
        if name not in value:
            yield f"{place}: {name} is missing"
    for name, each in value.items():
        if name in properties:
            yield from faults(each, properties[name], f"{place}.{name}")
        elif others is False:
            yield f"{place}: {name} is unknown"
        elif others is not True:
            yield from faults(each, others, f"{place}.{name}")


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (isinstance(value, bool) == (name == "boolean"))


def _is_instant(value: Any) -> bool:
    return bool(DATE_TIME.fullmatch(str(value))) and datetime.fromisoformat(value).tzinfo is not None
