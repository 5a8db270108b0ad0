"""Expositions as tests read them: by prometheus-client's own parser, so that a text it rejects fails the test."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class Metrics:
    """One scrape."""

    samples: tuple[Sample, ...]

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        """Read an exposition."""
        return cls(tuple(sample for family in text_string_to_metric_families(text) for sample in family.samples))

    def all(self, name: str, **labels: str) -> Iterator[Sample]:
        """The samples of a metric that have these labels, whatever others they have."""
        for sample in self.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the one sample that has these labels; None if the series is absent."""
        found = list(self.all(name, **labels))
        assert len(found) <= 1, f"{name}{labels} names {len(found)} series: {found}"
        return found[0].value if found else None

    def state(self, name: str, **labels: str) -> str | None:
        """The state of a state set that is 1; None if the set is absent. Exactly one may be."""
        states = list(self.all(name, **labels))
        chosen = [sample.labels["state"] for sample in states if sample.value == 1]
        assert len(chosen) == bool(states), f"{name}{labels}: not exactly one state is 1: {states}"
        return chosen[0] if chosen else None
