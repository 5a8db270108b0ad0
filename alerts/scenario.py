"""A scenario: series minute by minute, and which alerts fire when. Pure.

Series are lists of one value a minute, so that what happens to an exporter (it restarts, it is not scraped, there are
two of it) is a function on lists. Time begins at 0, as promtool has it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import yaml

from alerts.rule_text import rules_file
from alerts.settings import Value

STALE = "stale"
"""Prometheus' marker for a series that has ended."""

Point = float | str | None
Points = tuple[Point, ...]
Labels = tuple[tuple[str, str], ...]

MINUTE, HOUR, DAY = 60, 3600, 86400
URLS = {"runbookUrl": "https://certlag.example.org/alerts", "grafanaUrl": "https://grafana.example.org"}
"""Settings with which alerts have links."""


@dataclass(frozen=True)
class Firing:
    """An alert that fires: its labels besides `alertname`, and its texts as a person reads them."""

    labels: Mapping[str, str]
    summary: str
    description: str
    dashboard: str = ""
    """What the link to the dashboard chooses."""


@dataclass(frozen=True)
class Check:
    """At a minute, just these of an alert fire."""

    minute: int
    alert: str
    firing: tuple[Firing, ...] = ()


@dataclass(frozen=True)
class World:
    """All series that a Prometheus has."""

    series: Mapping[tuple[str, Labels], Points]

    def with_series(self, name: str, points: Iterable[Point], /, **labels: str) -> "World":
        """Return it with a series more, or another one in its place."""
        return World({**self.series, (name, tuple(sorted(labels.items()))): tuple(points)})

    def without(self, *names: str) -> "World":
        """Return it without these metrics."""
        return World({key: points for key, points in self.series.items() if key[0] not in names})

    def relabelled(self, name: str, *, value: str, was: str) -> "World":
        """Return it with another value of a label, where it was this one."""
        return World(
            {
                (metric, tuple((key, value if (key, old) == (name, was) else old) for key, old in labels)): points
                for (metric, labels), points in self.series.items()
            }
        )

    def and_also(self, other: "World") -> "World":
        """Return both in one Prometheus."""
        return World({**self.series, **other.series})

    def with_replica(self) -> "World":
        """Return it as two replicas of the exporter tell it."""
        return self.and_also(self.told_by_another())

    def elsewhere(self) -> "World":
        """Return it as it is in another namespace."""
        return self.relabelled("namespace", value="staging", was="opschain")

    def told_by_another(self) -> "World":
        """Return it as another exporter tells it."""
        return self.relabelled("instance", value="b", was="a")

    def ended(self, at: int) -> "World":
        """Return it until its exporter ends at a minute."""
        return World({key: (*points[:at], STALE) for key, points in self.series.items()})

    def out_of_contact(self, since: int = -10) -> "World":
        """Return it as told by an exporter that the API server has told nothing since a minute; it repeats itself."""

        def told(name: str, points: Points) -> Points:
            if name == "certlag_watch_last_contact_timestamp_seconds":
                return tuple(
                    min(point, since * MINUTE) if isinstance(point, int | float) else point for point in points
                )
            return points if since < 0 else (*points[:since], *[points[since]] * len(points[since:]))

        return World({(name, labels): told(name, points) for (name, labels), points in self.series.items()})

    def watched_everywhere(self) -> "World":
        """Return it as told by an exporter that watches all namespaces at once."""
        return self.relabelled("watch_namespace", value="*", was="opschain")

    def succeeded_by(self, other: "World", at: int, *, away: int = 2) -> "World":
        """Return it until its exporter ends at a minute, and another world when the next one begins to tell."""
        after = {key: (*[None] * (at + away), *points[at + away :]) for key, points in other.series.items()}
        return self.ended(at).and_also(World(after).told_by_another())

    def unscraped(self, at: int, minutes: int = 10) -> "World":
        """Return it with a gap: the exporter did not answer, or Prometheus was not there."""
        gap = (STALE, *[None] * (minutes - 1))
        return World({key: (*points[:at], *gap, *points[at + minutes :]) for key, points in self.series.items()})

    def input_series(self) -> Iterator[dict[str, str]]:
        """Yield it as promtool reads it."""
        for (name, labels), points in self.series.items():
            pairs = ",".join(f'{key}="{value}"' for key, value in labels)
            yield {"series": f"{name}{{{pairs}}}", "values": " ".join(_runs(points))}


@dataclass(frozen=True)
class Scenario:
    """A world, and what the alerts make of it. `name` is the sentence that it proves."""

    name: str
    world: World
    checks: tuple[Check, ...] = field(default=())
    step: int = 1
    """Minutes between two points and two evaluations: more where days have to pass."""
    of_defaults: bool = False
    """It holds of the settings' defaults only."""

    def promtool(self) -> dict[str, object]:
        """Return it as one of promtool's test groups."""
        return {
            "name": self.name,
            "interval": f"{self.step}m",
            "input_series": list(self.world.input_series()),
            "alert_rule_test": [
                {
                    "eval_time": f"{check.minute}m",
                    "alertname": check.alert,
                    "exp_alerts": [_expected(check.alert, firing) for firing in check.firing],
                }
                for check in self.checks
            ],
        }


def rules_with_links(settings: Mapping[str, Value] | None = None) -> dict[str, Any]:
    """Return the rules for which the scenarios hold, as a rule file has them."""
    loaded: dict[str, Any] = yaml.safe_load(rules_file({**URLS, **(settings or {})}))
    return loaded


def quiet(alert: str, *minutes: int) -> tuple[Check, ...]:
    """Nothing of an alert fires at these minutes."""
    return tuple(Check(minute, alert) for minute in minutes)


def fires(alert: str, minute: int, *firing: Firing) -> tuple[Check, ...]:
    """Just these fire at a minute."""
    return (Check(minute, alert, firing),)


def _expected(alert: str, firing: Firing) -> dict[str, object]:
    dashboard = f"{URLS['grafanaUrl']}/d/certlag"
    return {
        "exp_labels": dict(firing.labels),
        "exp_annotations": {
            "summary": firing.summary,
            "description": firing.description,
            "runbook_url": f"{URLS['runbookUrl']}/{alert}",
            "dashboard_url": dashboard + (f"?{firing.dashboard}" if firing.dashboard else ""),
        },
    }


def _runs(points: Points) -> Iterator[str]:
    """Write points in promtool's notation: `1x3` is four times 1."""
    for point, group in groupby(points):
        text, more = "_" if point is None else str(point), len(list(group)) - 1
        if point is None or point == STALE:
            yield from [text] * (more + 1)
        else:
            yield f"{text}x{more}" if more else text
