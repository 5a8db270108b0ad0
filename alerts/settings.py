"""What an installation may change of the rules: one table, from which come the chart's values and all defaults.

A `Setting` stands in an expression or a text as a mark; anyone who writes the text replaces the marks, by the defaults
or by references to the chart's values. Pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool | dict[str, str] | list[str]

_MARK = re.compile("⟨(.+?)⟩")


@dataclass(frozen=True)
class Setting:
    """One value: its path below `rules` in the chart's values, its default, and what it is.

    `helm` is the expression for the chart's template, where that is more than the value itself; `schema` is what the
    chart's schema says beyond what the default shows.
    """

    path: str
    default: Value
    comment: str = ""
    helm: str = ""
    schema: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """The mark that stands for it in a text."""
        return f"⟨{self.path}⟩"

    @property
    def reference(self) -> str:
        """Its expression in the chart's template."""
        return self.helm or f".Values.rules.{self.path}"


@dataclass(frozen=True)
class Form:
    """One of the forms in which a setting stands in a text: its mark, what it is made of, and the chart's variable.

    `template` is the chart's expression for the same, from the root context.
    """

    name: str
    of: Setting
    text: Callable[[Value], str]
    template: str

    def __str__(self) -> str:
        """The mark that stands for it in a text."""
        return f"⟨${self.name}⟩"


ENABLED = Setting("enabled", default=False, comment="Create the PrometheusRule; needs the CRDs of prometheus-operator.")
OBJECT_NAMESPACE = Setting("namespace", "", "Namespace of the PrometheusRule; default: that of the release.")
OBJECT_LABELS = Setting(
    "additionalLabels", {}, "Labels of the PrometheusRule, such as the `release` that a Prometheus selects by."
)
LABELS = Setting("labels", {}, "Labels on every alert.")
INTERVAL = Setting("interval", "", "Evaluation interval; default: Prometheus' own.")
ADDRESS = {"pattern": "^(https?://.*[^/])?$"}
"""Something is appended to it."""
RUNBOOK_URL = Setting(
    "runbookUrl",
    "",
    "Where the pages of the alerts are; each alert then links to URL/NAME. The exporter serves them under `/alerts`.",
    schema=ADDRESS,
)
GRAFANA_URL = Setting("grafanaUrl", "", "Where Grafana is; each alert then links to the dashboard.", schema=ADDRESS)
JOB = Setting("job", "certlag-exporter", "The `job` label that Prometheus gives the exporter.")
NAMESPACE = Setting(
    "exporterNamespace",
    "",
    "The `namespace` label of alerts about the exporter itself; default: that of the release.",
    helm=".Values.rules.exporterNamespace | default .Release.Namespace",
)
RELEASE = Setting(
    "release",
    "",
    "The release whose targets the commands in alerts are about, as NAMESPACE/NAME; default: this one.",
    helm='.Values.rules.release | default (printf "%s/%s" .Release.Namespace .Release.Name)',
    schema={"pattern": "^([a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9.]*)?$"},
)
MEMORY = Setting(
    "memory",
    "15m",
    "How long the last known value counts while there is none: a restart of the exporter, a gap in scraping.\n"
    "Keep it longer than `exporterDown.warning.for`, so that an alert does not end before that one says why.",
)
DEADLINE_MEMORY = Setting(
    "deadlineMemory",
    "7d",
    "How long a deadline counts that no exporter can tell of, and how long a cluster is named whose exporter is gone.",
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
LABEL_NAME = "^[a-zA-Z_][a-zA-Z0-9_]*$"
OWN_LABELS = (
    *("namespace", "workload", "workload_type", "certificate", "target", "worker", "pod", "container", "port"),
    *("resource", "watch_namespace", "name", "state", "reason", "severity", "window", "alertname", "job", "instance"),
)
"""Labels that rules give a meaning to."""
EXTRA_LABELS = Setting(
    "extraLabels",
    [],
    "Labels that tell clusters apart where one server evaluates these rules for several: for example [cluster].\n"
    "Every aggregation, join and alert keeps them. Every series that the server evaluates must carry them.",
    schema={
        "items": {"type": "string", "pattern": LABEL_NAME, "not": {"enum": list(OWN_LABELS)}},
        "uniqueItems": True,
    },
)
NAMESPACE_LABEL = Setting(
    "namespaceLabel",
    "namespace",
    "The label that holds the certificate's namespace: `exported_namespace` where the server overwrites ours\n"
    "(`overrideHonorLabels: true`, `honor_labels: false`). Alerts carry it as `namespace` too.",
    schema={"pattern": LABEL_NAME},
)


def _each(pattern: str, separator: str = "") -> Callable[[Value], str]:
    """Return how extra labels are written: each in this pattern, in which `@` stands for it."""

    def written(value: Value) -> str:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is no list of labels")
        return separator.join(pattern.replace("@", label) for label in value)

    return written


EXTRA = Form("extra", EXTRA_LABELS, _each("@, "), 'include "certlag.rules.extra" .')
"""Before the other labels of a list."""
EXTRA_ONLY = Form("extraOnly", EXTRA_LABELS, _each("@", ", "), 'join ", " .Values.rules.extraLabels')
"""As the whole of a list."""
WHERE = Form(
    "where", EXTRA_LABELS, _each("{{ with $labels.@ }} (@ {{ . }}){{ end }}"), 'include "certlag.rules.where" .'
)
"""In an alert's texts: which cluster."""
CHOICE = Form(
    "choice", EXTRA_LABELS, _each("&var-filters=@%7C%3D%7C{{ $labels.@ }}"), 'include "certlag.rules.choice" .'
)
"""In a link to the dashboard: its filters."""
LEGEND = Form("legend", EXTRA_LABELS, _each("{{@}}/"), 'include "certlag.rules.legend" .')
"""In a legend of the dashboard."""
NAMESPACE_OF = Form("namespace", NAMESPACE_LABEL, str, ".Values.rules.namespaceLabel")
"""In an expression."""


def _overwritten(what: str) -> Form:
    """Return a label that a server overwrites if it overwrites our `namespace`."""
    return Form(
        what,
        NAMESPACE_LABEL,
        lambda label: f"exported_{what}" if str(label).startswith("exported_") else what,
        f'ternary "exported_{what}" "{what}" (hasPrefix "exported_" .Values.rules.namespaceLabel)',
    )


POD, CONTAINER = _overwritten("pod"), _overwritten("container")
IN_NAMESPACE = Form(
    "inNamespace",
    NAMESPACE_LABEL,
    lambda label: f"{{{{ $labels.{label} }}}}",
    'printf "{{ $labels.%s }}" .Values.rules.namespaceLabel',
)
"""In an alert's texts: the certificate's namespace."""
FROM = Form(
    "from",
    RELEASE,
    lambda release: f"--release {release}" if release else f"-n {IN_NAMESPACE}",
    'printf "--release %s" (.Values.rules.release | default (printf "%s/%s" .Release.Namespace .Release.Name))',
)
"""In a command of the runbook: where its target is configured."""
FROM_MATCH = Form("fromMatch", RELEASE, lambda release: f"--release {release}" if release else "-n $1", FROM.template)
"""The same in the replacement of a `label_replace` whose first match is the namespace."""
NAMESPACE_LEGEND = Form(
    "namespaceLegend",
    NAMESPACE_LABEL,
    lambda label: f"{{{{{label}}}}}",
    'printf "{{%s}}" .Values.rules.namespaceLabel',
)
OTHER_NAMESPACE = Form(
    "otherNamespace",
    NAMESPACE_LABEL,
    lambda label: 'exported_namespace!=""' if label == "namespace" else f'{label}=""',
    """ternary "exported_namespace!=\\"\\"" (printf "%s=\\"\\"" .Values.rules.namespaceLabel)"""
    """ (eq .Values.rules.namespaceLabel "namespace")""",
)
"""A matcher of what does not have the certificate's namespace in that label."""
FORMS = {
    f"${form.name}": form
    for form in (
        EXTRA,
        EXTRA_ONLY,
        WHERE,
        CHOICE,
        LEGEND,
        NAMESPACE_OF,
        POD,
        CONTAINER,
        IN_NAMESPACE,
        FROM,
        FROM_MATCH,
        NAMESPACE_LEGEND,
        OTHER_NAMESPACE,
    )
}
"""By their marks."""

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
    EXTRA_LABELS,
    NAMESPACE_LABEL,
    RELEASE,
    MEMORY,
    DEADLINE_MEMORY,
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
