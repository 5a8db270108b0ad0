"""The dashboard as it is checked in, as tests read it: its panels, and what they ask."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "alerts" / "dashboard.json"


def document() -> dict[str, Any]:
    """The dashboard."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    """Its panels, without the rows."""
    return [panel for panel in document()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Everything that it asks Prometheus, but for what its variables can be."""
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (annotation["expr"] for annotation in document()["annotations"]["list"])


def filled(expression: str, variables: Mapping[str, str]) -> str:
    """An expression with its variables replaced, as Grafana does."""
    for name, value in variables.items():
        expression = expression.replace(f"${name}", value)
    assert "$_" not in expression, expression
    return expression
