"""The rules do minute by minute what they must, in a rule file and in the chart alike."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts import dashboard, promtool, rule_text
from alerts import needs as what_is_read
from alerts.alerting import ALERTS
from alerts.generate import ALERTS as FOLDER
from alerts.generate import CHART
from alerts.scenario import Scenario, fires, quiet, rules_with_links
from alerts.scenario_catalogue import OF_ALERT, OF_ALL, WITHOUT_A_METRIC
from alerts.scenarios.deadline_near import ALERT as NEAR
from alerts.scenarios.deadline_near import AT_100, SIX_DAYS, STEP, forgotten
from alerts.scenarios.everything import PAGING
from alerts.scenarios.exporter_down import ALERT as DOWN
from alerts.scenarios.exporter_down import said
from alerts.scenarios.installations import INSTALLATIONS, OVERWRITES, TWO_CLUSTERS, VANISHED, Installation
from alerts.scenarios.monitoring_degraded import ALERT as BLIND
from alerts.scenarios.monitoring_degraded import other_namespace
from alerts.scenarios.worlds import healthy, paced
from alerts.settings import Value
from exporter.metrics.samples import FAMILIES
from tests import dashboard_queries
from tests.bench import needs, parts

OF_RELEASE: dict[str, Value] = {"release": "certlag/certlag"}
"""What the chart knows of itself."""
ADDRESS = "https://example.org"
STRINGS = {"release": "monitoring/prod", "runbookUrl": ADDRESS, "grafanaUrl": ADDRESS}
NAMES = tuple(dict.fromkeys(alert.name for alert in ALERTS))


def rendered(*options: str, kind: str = "PrometheusRule", name: str = "") -> dict[str, Any]:
    """The PrometheusRule that the chart makes, or another object whose name has this in it."""
    argv = (parts.binary("helm"), "template", "certlag", CHART, "--namespace", "certlag", "--set", "rules.enabled=true")
    ran = subprocess.run((*argv, *options), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    objects = (each for each in yaml.safe_load_all(ran.stdout) if each and each["kind"] == kind)
    (document,) = (each for each in objects if name in each["metadata"]["name"])
    found: dict[str, Any] = document
    return found


def rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    """All rules of a document."""
    return [rule for group in document["groups"] for rule in group["rules"]]


def alerting(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its alerts."""
    yield from (rule for rule in rules(document) if "alert" in rule)


@pytest.mark.tools
@pytest.mark.parametrize("alert", NAMES)
@pytest.mark.matrix(5)
def test_an_alert_fires_when_it_must_and_is_quiet_when_it_must_be(alert: str, tmp_path: Path) -> None:
    ran = promtool.run(promtool.only(rules_with_links(), [alert]), OF_ALERT[alert], tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_nobody_is_woken_by_what_is_ordinary(tmp_path: Path) -> None:
    ran = promtool.run(rules_with_links(), OF_ALL, tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_nobody_is_paged_in_a_healthy_run_because_a_metric_is_dropped(tmp_path: Path) -> None:
    ran = promtool.run(promtool.only(rules_with_links(), PAGING), WITHOUT_A_METRIC, tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
@pytest.mark.parametrize("installation", INSTALLATIONS, ids=lambda installation: installation.name)
@pytest.mark.parametrize("alert", NAMES)
@pytest.mark.parametrize("scenarios", [1, pytest.param(None, marks=pytest.mark.proof)])
def test_an_alert_fires_likewise_where_labels_are_overwritten_and_beside_another_cluster(
    installation: Installation, alert: str, scenarios: int | None, tmp_path: Path
) -> None:
    made = rules_with_links(installation.settings)
    ran = promtool.run(promtool.only(made, [alert]), installation.of(OF_ALERT[alert])[:scenarios], tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_a_server_that_honors_our_labels_although_the_setting_says_otherwise_is_told_of(tmp_path: Path) -> None:
    made = rules_with_links(OVERWRITES.settings)
    told = other_namespace(5, "exported_namespace")
    scenario = Scenario("the setting is wrong", healthy(), quiet(BLIND, 14) + fires(BLIND, 15, told))
    ran = promtool.run(promtool.only(made, [BLIND]), [scenario], tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_a_cluster_that_vanishes_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    made = rules_with_links(TWO_CLUSTERS)
    ran = promtool.run(promtool.only(made, [DOWN]), VANISHED, tmp_path)
    assert ran.passed, ran.output


def test_every_list_of_labels_has_the_extra_ones_and_the_namespaces_label() -> None:
    values: dict[str, Value] = {"extraLabels": ["cluster", "region"], "namespaceLabel": "exported_namespace"}
    made = yaml.safe_load(rule_text.rules_file(values))
    asked = [rule["expr"] for rule in rules(made)]
    asked += dashboard_queries.expressions_of(rule_text.Filled(values).text(dashboard.marked_text()))
    lists = [found for text in asked for found in re.findall(r"\b(?:by|on) \((.*?)\)", text)]
    assert len(lists) > 100
    for labels in lists:
        assert labels.startswith("cluster, region"), labels
        assert not {"namespace", "ignoring"} & set(labels.split(", ")), labels
    assert not [text for text in asked if "ignoring" in text or re.search(r"(?<![\w_])namespace(?=[!=])", text)]


@pytest.mark.tools
def test_the_chart_makes_the_same_rules_and_dashboard_for_settings_of_labels() -> None:
    values: dict[str, Value] = {"extraLabels": ["cluster", "region"], "namespaceLabel": "exported_namespace"}
    options = [f"--set-json=rules.{path}={json.dumps(value)}" for path, value in values.items()]
    assert rendered(*options)["spec"] == yaml.safe_load(rule_text.rules_file(values | OF_RELEASE))
    shown = rendered(*options, "--set", "dashboard.enabled=true", kind="ConfigMap", name="dashboard")
    expected = rule_text.Filled(values | OF_RELEASE).text(dashboard.marked_text())
    assert json.loads(shown["data"]["certlag.json"]) == json.loads(expected)


@pytest.mark.tools
def test_a_deadline_that_one_of_two_shards_told_is_remembered_while_only_the_other_is_scraped(tmp_path: Path) -> None:
    made = rules_with_links({"exporterDown.exporters": 2})
    world = SIX_DAYS.ended(20).and_also(forgotten(SIX_DAYS, 0).told_by_another()).watched_everywhere()
    scenario = Scenario("a shard is gone", paced(world, STEP), fires(NEAR, 100 * STEP, AT_100), step=STEP)
    ran = promtool.run(promtool.only(made, [NEAR]), [scenario], tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_an_exporter_that_is_missing_among_several_shards_is_told_of(tmp_path: Path) -> None:
    rules = rules_with_links({"exporterDown.exporters": 2})
    both, one = healthy().with_replica(), healthy().ended(20).told_by_another().and_also(healthy())
    missing = said(job="certlag-exporter", needed="2")
    scenarios = (
        Scenario("is quiet while both shards are scraped", both, quiet(DOWN, 30, 75)),
        Scenario("fires when one of them is gone", one, quiet(DOWN, 29) + fires(DOWN, 30, missing)),
    )
    ran = promtool.run(promtool.only(rules, [DOWN]), scenarios, tmp_path)
    assert ran.passed, ran.output


@pytest.mark.tools
def test_the_chart_expects_as_many_exporters_as_it_has_shards() -> None:
    down = [rule for rule in alerting(rendered("--set", "shards=4")["spec"]) if rule["alert"] == DOWN]
    assert down
    assert all(" < 4" in rule["expr"] for rule in down)


@pytest.mark.tools
def test_promtool_finds_nothing_to_say_of_the_rules() -> None:
    argv = (needs.tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", FOLDER / "rules.yaml")
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.tools
def test_the_chart_with_its_defaults_makes_the_rule_file() -> None:
    assert rendered()["spec"] == yaml.safe_load(rule_text.rules_file(OF_RELEASE))


@pytest.mark.tools
def test_the_chart_makes_no_rules_unless_it_is_asked_to() -> None:
    argv = (parts.binary("helm"), "template", "certlag", CHART)
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "PrometheusRule" not in ran.stdout


@pytest.mark.tools
def test_every_setting_of_the_rules_reaches_the_chart() -> None:
    default = rendered()
    for setting in rule_text.SETTINGS.values():
        if setting.path == "enabled":
            continue
        other = {
            bool: not setting.default,
            int: 77,
            float: 0.77,
            str: "77m" if setting.path.endswith((".for", "emory", "interval")) else STRINGS.get(setting.path, "other"),
            dict: {"team": "builds"},
            list: ["cluster"],
        }[type(setting.default)]
        options = ("--set-json", f"rules.{setting.path}={json.dumps(other)}")
        assert rendered(*options) != default, setting.path


@pytest.mark.tools
def test_labels_of_an_installation_stand_on_every_alert_and_on_the_object() -> None:
    made = rendered("--set", "rules.labels.team=builds", "--set", "rules.additionalLabels.release=stack")
    assert {rule["labels"]["team"] for rule in alerting(made["spec"])} == {"builds"}
    assert made["metadata"]["labels"]["release"] == "stack"


@pytest.mark.tools
def test_an_alert_about_the_exporter_has_the_namespace_of_the_release() -> None:
    for rule in alerting(rendered("--namespace", "monitored")["spec"]):
        if rule["alert"] in ("CertlagExporterDown", "CertlagMonitoringDegraded"):
            assert rule["labels"]["namespace"] == "monitored"


def test_a_setting_given_for_the_rule_file_takes_the_place_of_its_default() -> None:
    quick = yaml.safe_load(rule_text.rules_file({"exporterDown.warning.for": "3s", "targetMissing.enabled": False}))
    waits = {rule["alert"]: rule.get("for") for rule in alerting(quick)}
    assert waits["CertlagExporterDown"] == "3s", "the warning stands last"
    assert "CertlagTargetMissing" not in waits


def test_the_rules_read_nothing_that_exporters_do_not_export() -> None:
    exported = {family.name for family in FAMILIES}
    assert set(what_is_read.readers()) <= exported | what_is_read.OF_PROMETHEUS


def test_every_metric_that_an_expression_names_is_listed_as_read() -> None:
    text = 'max by (job) (one{state="x"}) * on (a) group_left (b) two[5m] unless exporter:three:max == bool 1 or Inf'
    assert what_is_read.names(text) == {"one", "two", "exporter:three:max"}


def test_nothing_is_recorded_that_no_alert_reads() -> None:
    assert list(what_is_read.recorded_for_nothing()) == []


def test_an_alert_has_no_link_where_no_address_is_configured() -> None:
    for rule in alerting(yaml.safe_load(rule_text.rules_file())):
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_says_what_is_wrong_what_to_do_and_where_to_look() -> None:
    for rule in alerting(rules_with_links()):
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert "{{" not in rule["annotations"]["summary"], "a summary is a static sentence"
        assert "`" in rule["annotations"]["description"]
        assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}")
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_alert_has_scenarios() -> None:
    assert tuple(OF_ALERT) == NAMES
    names = [scenario.name for scenarios in OF_ALERT.values() for scenario in scenarios]
    assert len(names) > len(NAMES)
    for alert, scenarios in OF_ALERT.items():
        assert len({scenario.name for scenario in scenarios}) == len(scenarios), alert
        assert {check.alert for scenario in scenarios for check in scenario.checks} == {alert}
