"""The Grafana dashboard, built with Grafana's own builders; `text` is the JSON that is checked in. Pure.

The first row answers in one look: is a restart needed, by when, are workers missing, can the answer be trusted. What
follows says why. Each panel's description says how to read it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from alerts import queries
from alerts.alerting import DASHBOARD_UID
from alerts.rule_text import SETTINGS, Filled, variables
from alerts.settings import CONTAINER, FORMS, LEGEND, NAMESPACE_LEGEND, NAMESPACE_OF, POD, marks

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
DAY = 86400
GUIDE = """\
**issued** is what cert-manager last issued; **loaded** is what a pod presents in a TLS handshake. A daemon that reads
its certificate once keeps the old one after a renewal, until it is restarted. The **deadline** is when that one is no
longer accepted. **unknown** is never counted as fine: look at the last row, whether the exporter sees what it should.
Each alert has a page: `runbook page CertlagNeedsRestart` says what to do.
"""

_Panel = TypeVar("_Panel", bound="_Described")


class _Described(Protocol):
    """What all panels' builders have in common, as far as it is used here."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: dashboard.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


IN = f"{LEGEND}{NAMESPACE_LEGEND}"
"""In a legend: cluster and namespace."""


def text() -> str:
    """Return the dashboard's JSON, with the settings' defaults."""
    return Filled().text(marked_text())


def marked_text() -> str:
    """Return the dashboard's JSON, with marks for settings."""
    encoded = json.loads(json.dumps(_dashboard().build(), cls=JSONEncoder))
    return json.dumps(encoded, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _dashboard() -> builders.Dashboard:
    made = (
        builders.Dashboard("certlag: issued and loaded certificates")
        .uid(DASHBOARD_UID)
        .description("How far behind the issued certificate is the one that pods still present.")
        .tags(["certlag", "cert-manager", "tls"])
        .readonly()
        .timezone("utc")
        .time("now-7d", "now")
        .refresh("1m")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        made = made.with_variable(variable)
    for name, query, color in (("Renewals", queries.RENEWALS, "blue"), ("Restarts", queries.RESTARTS, "green")):
        annotation = builders.AnnotationQuery().name(name).datasource(SOURCE).enable(enable=True).icon_color(color)
        made = made.annotation(annotation.expr(query))
    for title, panels in (
        ("At a glance", _glance()),
        ("Renewal windows", _windows()),
        ("Pods", _pods()),
        ("Expiry", _expiry()),
        ("Restarts", _runs()),
        ("The exporter", _exporter()),
    ):
        made = made.with_row(builders.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _variables() -> Iterable[Any]:
    yield builders.DatasourceVariable("datasource").label("Data Source").type("prometheus")
    for name, label, query in (
        ("namespace", "Namespace", queries.NAMESPACES),
        ("workload", "Workload", queries.WORKLOADS),
    ):
        yield (
            builders.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query(query)
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".+")
        )
    yield builders.AdHocVariable("filters").label("Filters").datasource(SOURCE)


def chart_template() -> str:
    """Return the chart's template of the ConfigMap: the checked-in JSON, with the values in place of its marks."""
    made = marked_text()
    used = sorted(marks(made) & FORMS.keys())
    settings = sorted(marks(made) - FORMS.keys())
    replaced = "".join(f'\n      | replace "⟨{mark}⟩" {mark}' for mark in used)
    replaced += "".join(f'\n      | replace "⟨{path}⟩" (toString ({SETTINGS[path].reference}))' for path in settings)
    return f"""\
{{{{- if .Values.dashboard.enabled }}}}
{variables(made)}apiVersion: v1
kind: ConfigMap
metadata:
  {{{{- include "certlag.metadata" (dict
        "root" .
        "name" (printf "%s-dashboard" (include "certlag.fullname" .))
        "namespace" .Values.dashboard.namespace
        "component" "dashboard"
        "labels" .Values.dashboard.labels
        "annotations" .Values.dashboard.annotations) | nindent 2 }}}}
data:
  certlag.json: |-
    {{{{- .Files.Get "files/dashboard.json"{replaced}\n      | nindent 4 }}}}
{{{{- end }}}}
"""


# --- parts of panels ------------------------------------------------------------------------------


def _described(panel: _Panel, title: str, description: str, *, width: int, height: int) -> _Panel:
    return panel.title(title).description(description).datasource(SOURCE).span(width).height(height)


def _query(expression: str, letter: str = "A", legend: str = "__auto") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).ref_id(letter).legend_format(legend).datasource(SOURCE)


def _steps(*steps: tuple[float | None, str]) -> builders.ThresholdsConfig:
    made = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def _mapping(meanings: Mapping[int, tuple[str, str]]) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        {str(value): dashboard.ValueMappingResult(text=said, color=color) for value, (said, color) in meanings.items()}
    )


SOON = ((None, "red"), (3 * DAY, "orange"), (14 * DAY, "green"))
SOME_IS_BAD = ((None, "green"), (1.0, "red"))


def _stat(
    title: str, query: str, description: str, steps: Iterable[tuple[float | None, str]], *, nothing: str
) -> stat.Panel:
    return (
        _described(stat.Panel(), title, description, width=4, height=4)
        .with_target(_query(query).instant())
        .thresholds(_steps(*steps))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value(nothing)
    )


def _timeline(title: str, query: str, description: str, legend: str, meanings: Mapping[int, tuple[str, str]]) -> Any:
    return (
        _described(statetimeline.Panel(), title, description, width=24, height=7)
        .with_target(_query(query, legend=legend))
        .mappings([_mapping(meanings)])
        .unit("none")
        .merge_values(merge_values=True)
        .show_value(common.VisibilityMode.AUTO)
    )


def _graph(title: str, description: str, unit: str, targets: Mapping[str, str], *, width: int = 12) -> timeseries.Panel:
    panel = _described(timeseries.Panel(), title, description, width=width, height=8).unit(unit)
    for letter, (legend, query) in zip("ABC", targets.items(), strict=False):
        panel = panel.with_target(_query(query, letter, legend))
    return panel


# --- rows -----------------------------------------------------------------------------------------


def _glance() -> Iterable[Any]:
    yield _stat(
        "Restarts needed",
        queries.RESTARTS_NEEDED,
        "Workloads that present an older certificate than the one issued. Nothing to show: no verdict is known.",
        SOME_IS_BAD,
        nothing="unknown",
    ).unit("none")
    yield _stat(
        "Nearest deadline",
        queries.NEAREST_DEADLINE,
        "Time left until what the first of them presents is no longer accepted.",
        SOON,
        nothing="none known",
    ).unit("dtdurations")
    yield _stat(
        "Workers drained",
        queries.WORKERS_DRAINED,
        "Workers that an open run has scaled down and not yet put back.",
        SOME_IS_BAD,
        nothing="no run known",
    ).unit("none")
    yield _stat(
        "Pods unknown",
        queries.PODS_UNKNOWN,
        "Running pods of which it should be known what they present, and is not.",
        ((None, "green"), (1, "orange")),
        nothing="no pods known",
    ).unit("none")
    yield (
        _stat(
            "The exporter",
            queries.BLIND,
            "Whether some exporter is blind: a watch is silent for 15 minutes, or has no complete list. What it tells"
            " is then old. DOWN: too few are scraped, in some cluster in which there were enough in the last days.",
            SOME_IS_BAD,
            nothing="DOWN",
        )
        .unit("none")
        .mappings([_mapping({0: ("sees", "green"), 1: ("BLIND", "red"), 2: ("DOWN", "red")})])
    )
    yield (
        _described(text_panel.Panel(), "How to read this", "The words that are used here.", width=4, height=4)
        .mode(TextMode.MARKDOWN)
        .content(GUIDE)
    )


def _windows() -> Iterable[Any]:
    yield _timeline(
        "State of each renewal window",
        queries.WINDOW_STATE,
        "settled: every pod presents what was issued. renewal disabled: cert-manager will not renew it. renewal due:"
        " cert-manager is late, a restart does not help. needs restart: renewed, and some pod still presents the old"
        " one. expired: some pod presents an expired one.",
        f"{IN}/{{{{workload}}}} {{{{certificate}}}}",
        {
            1: ("settled", "green"),
            2: ("renewal disabled", "purple"),
            3: ("unknown", "text"),
            4: ("renewal due", "yellow"),
            5: ("needs restart", "orange"),
            6: ("expired", "red"),
        },
    )


def _pods() -> Iterable[Any]:
    panel = (
        _described(
            table.Panel(),
            "Issued against loaded",
            "What each container presents, beside what was issued. The command restarts the workload; with a target it"
            " drains the workers first.",
            width=24,
            height=9,
        )
        .unit("dateTimeAsIso")
        .with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=_columns()))
        .override_by_name(
            "the issued one",
            [
                dashboard.DynamicConfigValue("unit", "none"),
                dashboard.DynamicConfigValue("mappings", [_mapping({0: ("no", "red"), 1: ("yes", "green")})]),
                dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
            ],
        )
        .override_by_name(
            "last probe",
            [
                dashboard.DynamicConfigValue("unit", "none"),
                dashboard.DynamicConfigValue("mappings", [_mapping({0: ("failed", "orange"), 1: ("ok", "green")})]),
            ],
        )
    )
    for letter, query in zip(
        "ABCD", (queries.LOADED_UNTIL, queries.ISSUED_UNTIL, queries.IS_ISSUED, queries.PROBED), strict=True
    ):
        panel = panel.with_target(_query(query, letter).instant().format(PromQueryFormat.TABLE))
    yield panel


def _columns() -> dict[str, object]:
    order = (
        str(NAMESPACE_OF),
        "workload",
        str(POD),
        str(CONTAINER),
        "port",
        "Value #C",
        "Value #A",
        "Value #B",
        "Value #D",
        "command",
    )
    names = {
        "Value #A": "loaded until",
        "Value #B": "issued until",
        "Value #C": "the issued one",
        "Value #D": "last probe",
    }
    hidden = ("Time", "workload_type", "target", "certificate")
    return {
        "indexByName": {name: index for index, name in enumerate(order)},
        "renameByName": names,
        "excludeByName": dict.fromkeys(hidden, True),
    }


def _expiry() -> Iterable[Any]:
    yield _graph(
        "Loaded: time left",
        "How long what pods present is still accepted. It jumps up at a restart, not at a renewal: a line that goes on"
        " falling after a renewal is a workload that must be restarted.",
        "dtdurations",
        {
            f"{IN}/{{{{workload}}}} loaded": queries.LOADED_LEFT,
            f"{IN}/{{{{workload}}}} deadline": queries.DEADLINE_LEFT,
        },
    ).thresholds(_steps(*SOON))
    yield _graph(
        "Issued: time left",
        "How long what cert-manager issued, and the CA that signed it, are good; and when it renews. Below zero, the"
        " renewal is overdue.",
        "dtdurations",
        {
            f"{IN}/{{{{certificate}}}} issued": queries.ISSUED_LEFT,
            f"{IN}/{{{{certificate}}}} renewal in": queries.RENEWAL_IN,
            f"{IN}/{{{{certificate}}}} CA": queries.AUTHORITY_LEFT,
        },
    )


def _runs() -> Iterable[Any]:
    yield _timeline(
        "Runs of the runbook",
        queries.RUN_STATE,
        "What the restart of each target is doing. left drained: it has stopped, and the workers are still missing.",
        f"{IN}/{{{{target}}}}",
        {
            1: ("idle", "green"),
            2: ("draining", "blue"),
            3: ("restarting", "blue"),
            4: ("verifying", "blue"),
            5: ("restoring", "blue"),
            6: ("left drained", "red"),
        },
    )
    yield _graph(
        "Workers",
        "While a run is open: the replicas that it recorded, and those there are.",
        "none",
        {f"{IN} {{{{worker}}}} expected": queries.WORKERS_EXPECTED, f"{IN} {{{{worker}}}} now": queries.WORKERS_NOW},
    )
    yield _graph(
        "Since the last run",
        "How long ago the last run ended.",
        "dtdurations",
        {f"{IN}/{{{{target}}}}": queries.SINCE_LAST_RUN},
    )


def _exporter() -> Iterable[Any]:
    yield _graph(
        "Silence of each watch",
        "Seconds since the API server last sent something. Bookmarks come once a minute; 15 minutes are an alarm.",
        "s",
        {f"{LEGEND}{{{{resource}}}} {{{{name}}}} {{{{watch_namespace}}}}": queries.WATCH_SILENCE},
    )
    yield _graph(
        "Failed requests to the API server",
        "By watch and reason.",
        "reqps",
        {f"{LEGEND}{{{{resource}}}} {{{{name}}}} {{{{reason}}}}": queries.WATCH_ERRORS},
    )
    yield _graph("Failed handshakes", "By reason.", "ops", {f"{LEGEND}{{{{reason}}}}": queries.PROBE_FAILURES})
    yield _graph(
        "Handshake durations",
        "The slowest of each workload.",
        "s",
        {f"{IN}/{{{{workload}}}}": queries.PROBE_DURATION},
    )
    yield _graph(
        "Targets that are not watched",
        "Configured targets whose workload does not exist, or for which there is no Certificate; empty if all is well.",
        "none",
        {f"{IN}/{{{{target}}}}": queries.TARGETS_MISSING},
        width=24,
    )
