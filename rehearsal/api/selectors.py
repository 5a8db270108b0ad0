"""Label and field selectors: text to predicate. Pure.

Labels as k8s.io/apimachinery/pkg/labels reads them (`a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`); fields as
the API server knows them for all resources (`metadata.name`, `metadata.namespace`) and for pods and events, whose
fields are looked up where they stand.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehearsal.api.refusals import bad_request
from rehearsal.objects import labels_of

Selects = Callable[[Mapping[str, Any]], bool]

_NAME = r"[A-Za-z0-9./_-]+"
_SET = re.compile(rf"^({_NAME})\s+(in|notin)\s+\(([^()]*)\)$")
_EQUAL = re.compile(rf"^({_NAME})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)$")
_PRESENT = re.compile(rf"^(!?)\s*({_NAME})$")


def selects(labels: str, fields: str) -> Selects:
    """Return whether an object is meant by a labelSelector and a fieldSelector (either may be empty).

    Raises:
        Refusal: they cannot be read (400).
    """
    wanted = [_label(part) for part in _requirements(labels)]
    named = [_field(part) for part in fields.split(",") if part.strip()]

    def selected(document: Mapping[str, Any]) -> bool:
        found = labels_of(document)
        return all(requirement(found) for requirement in wanted) and all(field(document) for field in named)

    return selected


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether labels match a LabelSelector as workloads hold it."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _expression(expression)(labels) for expression in selector.get("matchExpressions") or ()
    )


def _requirements(text: str) -> Iterator[str]:
    """Split at the commas outside parentheses."""
    return (part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


def _label(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(text):
        name, operator, values = found.groups()
        return _expression(
            {
                "key": name,
                "operator": "In" if operator == "in" else "NotIn",
                "values": [value.strip() for value in values.split(",")],
            }
        )
    if found := _EQUAL.match(text):
        name, operator, value = found.groups()
        return _expression({"key": name, "operator": "NotIn" if operator == "!=" else "In", "values": [value]})
    if found := _PRESENT.match(text):
        absent, name = found.groups()
        return _expression({"key": name, "operator": "DoesNotExist" if absent else "Exists"})
    raise bad_request(f"unable to parse requirement: {text}")


def _expression(expression: Mapping[str, Any]) -> Callable[[Mapping[str, str]], bool]:
    name, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return lambda labels: name in labels and labels[name] in values
        case "NotIn":
            return lambda labels: labels.get(name) not in values
        case "Exists":
            return lambda labels: name in labels
        case "DoesNotExist":
            return lambda labels: name not in labels
    raise bad_request(f"{expression['operator']!r} is not a valid label selector operator")


def _field(text: str) -> Selects:
    negated = "!=" in text
    path, _, value = text.partition("!=" if negated else "=")
    steps, value = path.strip().split("."), value.removeprefix("=").strip()

    def selected(document: Mapping[str, Any]) -> bool:
        found: Any = document
        for step in steps:
            found = found.get(step, "") if isinstance(found, Mapping) else ""
        return (str(found) == value) != negated

    return selected
