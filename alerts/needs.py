"""What the rules read of what exporters and Prometheus tell: which metrics, and which alerts read each. Pure."""

import re
from collections.abc import Iterator, Mapping

from alerts.alerting import ALERTS
from alerts.recording import RECORDINGS

OF_PROMETHEUS = frozenset({"up"})
"""What Prometheus tells of each scrape: no relabelling can drop it."""

_MARK = re.compile("⟨.+?⟩")
_SELECTOR = re.compile(r'"[^"]*"|\{[^{}]*\}|\[[^\]]*\]')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]| *\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "Inf", "NaN"})

_RECORDED = {recording.record: recording.expr for recording in RECORDINGS}


def names(expression: str) -> frozenset[str]:
    """Return the metrics that an expression names, recorded ones included."""
    text = expression
    for pattern in (_MARK, _SELECTOR, _GROUPING):
        text = pattern.sub(" ", text)
    return frozenset(_NAME.findall(text)) - _WORDS


def metrics(expression: str) -> frozenset[str]:
    """Return the metrics that an expression depends on, none of which the rules record themselves."""
    found: frozenset[str] = frozenset()
    for name in names(expression):
        found |= metrics(_RECORDED[name]) if name in _RECORDED else {name}
    return found


def readers() -> Mapping[str, tuple[str, ...]]:
    """Return every metric that the rules read, with the names of the alerts that depend on it."""
    of: dict[str, list[str]] = {}
    for alert in ALERTS:
        for metric in sorted(metrics(alert.expr)):
            of.setdefault(metric, []).append(alert.name)
    return {metric: tuple(dict.fromkeys(of[metric])) for metric in sorted(of)}


def recorded_for_nothing() -> Iterator[str]:
    """Yield the recorded series that no alert reads."""
    read = frozenset[str]().union(*(names(text) for text in (*_RECORDED.values(), *(alert.expr for alert in ALERTS))))
    yield from (record for record in _RECORDED if record not in read)
