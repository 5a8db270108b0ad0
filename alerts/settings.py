"""What an installation may change of the rules: one table, from which come the chart's values and all defaults.

A `Setting` stands in an expression or a text as a mark; whoever writes the text replaces the marks, by the defaults
or by references to the chart's values. Pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Value = str | int | float | bool | dict[str, str]

_MARK = re.compile("⟨(.+?)⟩")


@dataclass(frozen=True)
class Setting:
    """One value: its path below `rules` in the chart's values, its default, and what it is.

    `helm` is the expression for the chart's template, where that is more than the value itself.
    """

    path: str
    default: Value
    comment: str = ""
    helm: str = ""

    def __str__(self) -> str:
        """The mark that stands for it in a text."""
        return f"⟨{self.path}⟩"

    @property
    def reference(self) -> str:
        """Its expression in the chart's template."""
        return self.helm or f".Values.rules.{self.path}"


ENABLED = Setting("enabled", default=False, comment="Create the PrometheusRule; needs the CRDs of prometheus-operator.")
OBJECT_NAMESPACE = Setting("namespace", "", "Namespace of the PrometheusRule; default: that of the release.")
OBJECT_LABELS = Setting(
    "additionalLabels", {}, "Labels of the PrometheusRule, such as the `release` that a Prometheus selects by."
)
LABELS = Setting("labels", {}, "Labels on every alert.")
INTERVAL = Setting("interval", "", "Evaluation interval; default: Prometheus' own.")
RUNBOOK_URL = Setting("runbookUrl", "https://certlag.dev/alerts/pages", "Where the page of each alert is: URL/NAME.md.")
GRAFANA_URL = Setting("grafanaUrl", "https://grafana.example.org", "Where Grafana is, for links to the dashboard.")
JOB = Setting("job", "certlag-exporter", "The `job` label that Prometheus gives the exporter.")
NAMESPACE = Setting(
    "exporterNamespace",
    "",
    "The `namespace` label of alerts about the exporter itself; default: that of the release.",
    helm=".Values.rules.exporterNamespace | default .Release.Namespace",
)
MEMORY = Setting(
    "memory",
    "15m",
    "How long the last known value counts while there is none: a restart of the exporter, a gap in scraping.\n"
    "Keep it longer than `exporterDown.for`, so that an alert does not end before that one says why.",
)
CONTACT_SECONDS = Setting(
    "contactSeconds",
    120,
    "An exporter that the API server has told nothing for so long has no say in what is fine.\n"
    "A bookmark comes each minute.",
)
HEARTBEAT_SECONDS = Setting(
    "workersLeftDrained.heartbeatSeconds", 300, "A run whose Lease has not changed for so long is dead."
)
EXPORTERS = Setting(
    "exporterDown.exporters",
    1,
    "How many exporters must be scraped; at least as many as there are shards.",
    helm="max (int .Values.rules.exporterDown.exporters) (int .Values.shards)",
)
GENERAL = (
    ENABLED,
    OBJECT_NAMESPACE,
    OBJECT_LABELS,
    LABELS,
    INTERVAL,
    RUNBOOK_URL,
    GRAFANA_URL,
    JOB,
    NAMESPACE,
    MEMORY,
    CONTACT_SECONDS,
)

DEFAULT_NAMESPACE = "certlag"
"""The exporter's namespace in `rules.yaml`, where there is no release to ask."""


def replace_marks(text: str, replacement: Callable[[str], str]) -> str:
    """Return a text with each mark replaced by what `replacement` says for its path."""
    return _MARK.sub(lambda found: replacement(found[1]), text)


def marks(text: str) -> set[str]:
    """Return the paths of the settings that a text mentions."""
    return set(_MARK.findall(text))


def tree(settings: Mapping[str, Value]) -> dict[str, object]:
    """Return values by path as the nested mapping that a values file is."""
    nested: dict[str, object] = {}
    for path, value in settings.items():
        at = nested
        *parents, last = path.split(".")
        for parent in parents:
            inner = at.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise TypeError(f"{path}: {parent} is a value of its own")
            at = inner
        at[last] = value
    return nested
