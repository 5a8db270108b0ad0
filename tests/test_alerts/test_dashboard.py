"""The dashboard keeps the rules of dashboards that people know, and shows only what is exported."""

import re
from typing import Any

import pytest

from alerts.generate import generated
from exporter.metrics.samples import FAMILIES
from tests import dashboard_queries
from tests.dashboard_queries import document, expressions, panels

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COUNTERS = {family.name for family in FAMILIES if family.type == "counter"}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert str(panel["description"]).endswith(".")
    assert panel["datasource"] == SOURCE


@pytest.mark.parametrize(
    "panel", [panel for panel in panels() if panel["type"] != "text"], ids=lambda panel: panel["title"]
)
def test_a_panel_has_a_unit_and_asks_the_chosen_datasource(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["datasource"] == SOURCE for target in panel["targets"])


def test_its_variables_are_datasource_namespace_workload_and_filters() -> None:
    variables = document()["templating"]["list"]
    assert [(each["name"], each["label"]) for each in variables] == [
        ("datasource", "Data Source"),
        ("namespace", "Namespace"),
        ("workload", "Workload"),
        ("filters", "Filters"),
    ]
    assert variables[3]["type"] == "adhoc"
    for each in variables[1:3]:
        assert each["refresh"] == 2, "with the time range"
        assert (each["multi"], each["includeAll"], each["allValue"]) == (True, True, ".+")


def test_it_has_a_fixed_address_and_is_not_edited_in_place() -> None:
    assert (document()["uid"], document()["editable"]) == ("certlag", False)
    assert document()["timezone"] == "utc"


def test_its_first_row_answers_in_one_look() -> None:
    first = [panel["title"] for panel in panels() if panel["gridPos"]["y"] == min(p["gridPos"]["y"] for p in panels())]
    assert first == [
        "Restarts needed",
        "Nearest deadline",
        "Workers drained",
        "Pods unknown",
        "The exporter",
        "How to read this",
    ]


def test_panels_do_not_lie_on_each_other_and_keep_to_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_that_it_shows_is_exported() -> None:
    exported = {family.name for family in FAMILIES}
    asked = {name for query in expressions() for name in re.findall(r"\bcertlag_\w+", query)}
    assert asked <= exported


def test_counters_are_shown_as_rates_over_the_interval_that_grafana_chooses() -> None:
    for query in expressions():
        for counter in COUNTERS:
            if counter in query:
                assert f"rate({counter}[$__rate_interval])" in query


def test_the_checked_in_json_is_what_is_generated() -> None:
    text = dashboard_queries.FILE.read_text(encoding="utf-8")
    assert generated()[dashboard_queries.FILE] == text, "run `make docs`"
