"""The rules as YAML: once with every setting's value, once as the chart's template. Pure.

Both come from the same lines. They differ in what a setting is written as, in what stands around a rule that can be
switched off, and in that Helm must not read Prometheus' own `{{ }}`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from alerts.alerting import ALERTS, Alert
from alerts.recording import RECORDINGS
from alerts.settings import (
    DEFAULT_NAMESPACE,
    FORMS,
    GENERAL,
    NAMESPACE,
    NAMESPACE_LABEL,
    NAMESPACE_OF,
    Setting,
    Value,
    marks,
    replace_marks,
)

GROUP = "certlag"
_ACTION = re.compile(r"\{\{.*?\}\}")
_INDENT = "  "


class Dialect(Protocol):
    """How settings are written."""

    def text(self, text: str) -> str:
        """Return a text with its marks replaced."""

    def when(self, condition: Setting, lines: Iterator[str]) -> Iterator[str]:
        """Yield lines that are there only if a setting is true, or not empty."""

    def namespace(self) -> Iterator[str]:
        """Yield an alert's label `namespace`, where its series have that under another name."""

    def extra_labels(self) -> Iterator[str]:
        """Yield the labels that an installation adds to every alert."""

    def group_options(self) -> Iterator[str]:
        """Yield what an installation may say of the group."""


@dataclass(frozen=True)
class Filled:
    """Every setting as its value: the default, or the one given for its path."""

    values: Mapping[str, Value] = field(default_factory=dict)

    def _value(self, path: str) -> Value:
        if path == NAMESPACE.path:
            return self.values.get(path) or DEFAULT_NAMESPACE
        return self.values.get(path, SETTINGS[path].default)

    def _written(self, mark: str) -> str:
        form = FORMS.get(mark)
        return form.text(self._value(form.of.path)) if form else str(self._value(mark))

    def text(self, text: str) -> str:
        """Return a text with the values in it."""
        return replace_marks(replace_marks(text, self._written), self._written)  # a form may hold another's mark

    def when(self, condition: Setting, lines: Iterator[str]) -> Iterator[str]:
        """Yield the lines, or nothing."""
        if self._value(condition.path):
            yield from lines

    def namespace(self) -> Iterator[str]:
        """Yield the label, or nothing."""
        label = self._value(NAMESPACE_LABEL.path)
        if label != "namespace":
            yield _namespace(f"{{{{ $labels.{label} }}}}")

    def extra_labels(self) -> Iterator[str]:
        """Yield none: a file that is edited by hand needs no such means."""
        yield from ()

    def group_options(self) -> Iterator[str]:
        """Yield none, likewise."""
        yield from ()


class Helm:
    """Every setting as a reference to the chart's values."""

    def text(self, text: str) -> str:
        """Return a text with references in it, and with Prometheus' own actions quoted for Helm."""
        quoted = _ACTION.sub(lambda found: f"{{{{ `{found[0]}` }}}}", text)
        return replace_marks(quoted, lambda mark: f"{{{{ {_reference(mark)} }}}}")

    def when(self, condition: Setting, lines: Iterator[str]) -> Iterator[str]:
        """Yield the lines inside a condition."""
        yield f"{{{{- if {condition.reference} }}}}"
        yield from lines
        yield "{{- end }}"

    def namespace(self) -> Iterator[str]:
        """Yield the label inside a condition."""
        yield f'{{{{- if ne ${NAMESPACE_OF.name} "namespace" }}}}'
        yield _namespace(f"{{{{ {_reference('$inNamespace')} }}}}")
        yield "{{- end }}"

    def extra_labels(self) -> Iterator[str]:
        """Yield them as the values have them."""
        yield "{{- with .Values.rules.labels }}"
        yield "{{- toYaml . | nindent 12 }}"
        yield "{{- end }}"

    def group_options(self) -> Iterator[str]:
        """Yield the evaluation interval, if one is set."""
        yield "{{- with .Values.rules.interval }}"
        yield "  interval: {{ . }}"
        yield "{{- end }}"


def _reference(mark: str) -> str:
    """Return the chart's expression for a mark: that of a form is a variable, which `variables` sets."""
    return mark if mark in FORMS else SETTINGS[mark].reference


def _namespace(value: str) -> str:
    return f'        namespace: "{value}"'


def variables(text: str) -> str:
    """Return the head of a chart's template: the variables for the forms of settings that a text has."""
    used = (form for mark, form in FORMS.items() if mark in marks(text))
    return "".join(f"{{{{- ${form.name} := {form.template} }}}}\n" for form in used)


def settings() -> Iterator[Setting]:
    """Yield everything that can be set, each path once, in the order of the values file."""
    seen: set[str] = set()
    for setting in (*GENERAL, *(each for alert in ALERTS for each in alert.all_settings)):
        if setting.path not in seen:
            seen.add(setting.path)
            yield setting


SETTINGS: dict[str, Setting] = {setting.path: setting for setting in settings()}


def rules_file(values: Mapping[str, Value] | None = None) -> str:
    """Return the text of a Prometheus rule file."""
    return "groups:\n" + _joined(_group(Filled(values or {})), 1)


def chart_template() -> str:
    """Return the chart's template of the PrometheusRule."""
    body = _joined(_group(Helm()), 2)
    head = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "certlag.metadata" (dict
        "root" .
        "name" (printf "%s-rules" .Release.Name)
        "namespace" .Values.rules.namespace
        "component" "rules"
        "labels" .Values.rules.additionalLabels) | nindent 2 }}
spec:
  groups:
"""
    said = "".join(text for recording in RECORDINGS for text in (recording.expr,))
    said += "".join(text for alert in ALERTS for text in (alert.expr, *alert.annotations.values()))
    said += "".join(address for alert in ALERTS for _name, _setting, address in alert.links)
    return "{{- if .Values.rules.enabled }}\n" + variables(said) + head + body + "{{- end }}\n"


def _joined(lines: Iterator[str], depth: int) -> str:
    """Put lines at their depth; Helm's own control lines stand at the margin."""
    return "".join(
        f"{line}\n" if line.startswith("{{-") else f"{_INDENT * depth}{line}\n" if line else "\n" for line in lines
    )


def _group(dialect: Dialect) -> Iterator[str]:
    yield f"- name: {GROUP}"
    yield from dialect.group_options()
    yield "  rules:"
    for recording in RECORDINGS:
        yield f"    - record: {recording.record}"
        yield from _block("expr", dialect.text(recording.expr))
    for alert in ALERTS:
        yield from dialect.when(alert.enabled_setting, _alert(alert, dialect))


def _alert(alert: Alert, dialect: Dialect) -> Iterator[str]:
    yield f"    - alert: {alert.name}"
    yield from _block("expr", dialect.text(alert.expr))
    if not alert.immediate:
        yield f"      for: {dialect.text(str(alert.for_setting))}"
    yield "      labels:"
    for name, value in alert.labels.items():
        yield f"        {name}: {dialect.text(value)}"
    if not alert.of_exporter:
        yield from dialect.namespace()
    yield from dialect.extra_labels()
    yield "      annotations:"
    for name, text in alert.annotations.items():
        yield _annotation(name, text, dialect)
    for name, setting, address in alert.links:
        yield from dialect.when(setting, iter([_annotation(name, address, dialect)]))


def _annotation(name: str, text: str, dialect: Dialect) -> str:
    return f"        {name}: {dialect.text(json.dumps(text, ensure_ascii=False))}"


def _block(key: str, text: str) -> Iterator[str]:
    yield f"      {key}: |-"
    yield from (f"        {line}" for line in text.splitlines())
