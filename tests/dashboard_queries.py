"""The dashboard as it is checked in, as tests read it: its panels, and what they ask."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alerts.rule_text import Filled

FILE = Path(__file__).parents[1] / "alerts" / "dashboard.json"


def document() -> dict[str, Any]:
    """The dashboard."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    """Its panels, without the rows."""
    return [panel for panel in document()["panels"] if panel["type"] != "row"]


def expressions() -> Sequence[str]:
    """Everything that it asks Prometheus, but for what its variables can be."""
    return expressions_of(FILE.read_text(encoding="utf-8"))


def expressions_of(text: str) -> Sequence[str]:
    """Everything that a dashboard asks Prometheus."""
    shown = json.loads(text)
    asked = [target["expr"] for panel in shown["panels"] for target in panel.get("targets", ())]
    return [*asked, *(annotation["expr"] for annotation in shown["annotations"]["list"])]


def filled(expression: str, variables: Mapping[str, str]) -> str:
    """An expression with its variables replaced, as Grafana does, and settings by their defaults."""
    expression = Filled().text(expression)
    for name, value in variables.items():
        expression = expression.replace(f"${name}", value)
    assert "$_" not in expression, expression
    return expression
