"""A Prometheus that scrapes exporters of `tests.field.exporter`, and what our rules and panels make of that.

Each minute the API server tells something to those exporters that it reaches, and all are scraped. What they told is
handed to promtool with the rules as they are checked in, or with settings. promtool's time begins at 0, so instants are
shifted by that of the first scrape.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from alerts import promtool, rule_text
from alerts.scenario import STALE, Point, World
from alerts.settings import Value
from exporter.metrics.samples import FAMILIES
from tests.field.exporter import NOW, Exporter

INSTANT = "_timestamp_seconds"
Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Answer:
    """What an expression gives at a minute: values by labels, as PromQL writes them."""

    minute: int
    expression: str
    values: Mapping[str, float]


def paging(minute: int, *alerts: str) -> Answer:
    """Just these alerts are firing at a minute that call somebody, whatever else is."""
    query = 'max by (alertname) (ALERTS{alertstate="firing", severity="critical"})'
    return Answer(minute, query, {f'{{alertname="{name}"}}': 1 for name in alerts})


def firing(minute: int, alert: str, *labels: str) -> Answer:
    """An alert is firing at a minute, once for each of these sets of labels, which may leave out others."""
    names = sorted({pair.partition("=")[0] for text in labels for pair in text.split(", ")})
    query = f'max by ({", ".join(names)}) (ALERTS{{alertstate="firing", alertname="{alert}"}})'
    return Answer(minute, query, {f"{{{text}}}": 1 for text in labels})


class Prometheus:
    """Scrapes since the first minute; `exporters` by their instance, which a test may replace or take away."""

    step = 1

    def __init__(self, **exporters: Exporter) -> None:
        self.exporters = exporters
        self.without_contact: set[str] = set()
        """The instances that the API server does not reach."""
        self.target_labels: Mapping[str, Mapping[str, str]] = {}
        """By instance, what the server says of a scrape target."""
        self.honors_labels = True
        """Whether an exporter's own labels come before the target's; else they are renamed to `exported_…`."""
        self.settings: Mapping[str, Value] = {}
        """Of the rules."""
        self._scrapes: list[dict[Series, float]] = []
        self._answers: tuple[Answer, ...] = ()

    @property
    def now(self) -> datetime:
        """The instant of the next scrape."""
        return NOW + timedelta(minutes=len(self._scrapes))

    def minute(self, *documents: str) -> None:
        """Let a minute end: who has contact is told that these objects changed, and all are scraped."""
        for instance, exporter in self.exporters.items():
            exporter.wait((self.now - exporter.clock.now()).total_seconds())
            if instance not in self.without_contact:
                exporter.changed(*documents)
                exporter.bookmark()
        self._scrapes.append(dict(self._told()))

    def minutes(self, until: int) -> None:
        """Let minutes pass in which nothing changes, up to and without one."""
        while len(self._scrapes) < until:
            self.minute()

    def holds(self, folder: Path, *answers: Answer) -> None:
        """Hold rules and expressions to what they must give.

        Raises:
            AssertionError: with what promtool says.
        """
        self._answers = answers
        ran = promtool.run(yaml.safe_load(rule_text.rules_file(self.settings)), [self], folder)
        assert ran.passed, ran.output

    def promtool(self) -> dict[str, object]:
        """Return what was scraped, and what is asked, as one of promtool's test groups."""
        return {
            "interval": "1m",
            "input_series": list(self._world().input_series()),
            "promql_expr_test": [
                {
                    "expr": answer.expression,
                    "eval_time": f"{answer.minute}m",
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in answer.values.items()],
                }
                for answer in self._answers
            ],
        }

    def _told(self) -> list[tuple[Series, float]]:
        samples: list[tuple[Series, float]] = []
        for instance, exporter in self.exporters.items():
            scraped = {"instance": instance, "job": "certlag-exporter", **self.target_labels.get(instance, {})}
            samples.append((("up", tuple(scraped.items())), 1.0))
            metrics = exporter.scrape()
            for sample in (each for family in FAMILIES for each in metrics.all(family.name)):
                labels = tuple(sorted(self._labels(sample.labels, scraped).items()))
                shift = NOW.timestamp() if sample.name.endswith(INSTANT) else 0.0
                samples.append(((sample.name, labels), sample.value - shift))
        return samples

    def _labels(self, told: Mapping[str, str], scraped: Mapping[str, str]) -> Mapping[str, str]:
        if self.honors_labels:
            return {**scraped, **told}
        return {**{f"exported_{name}" if name in scraped else name: value for name, value in told.items()}, **scraped}

    def _world(self) -> World:
        """Return all series: one that a scrape lacks has ended."""
        world: dict[Series, list[Point]] = {}
        for minute, scrape in enumerate(self._scrapes):
            for series in scrape:
                world.setdefault(series, [None] * minute)
            for series, points in world.items():
                before = points[-1] if points else None
                points.append(scrape.get(series, STALE if isinstance(before, int | float) else None))
        return World({series: tuple(points) for series, points in world.items()})
