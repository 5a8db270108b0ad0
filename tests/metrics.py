"""Expositions as tests read them: one strict parser, which holds each of them to what is promised of all.

No two equal label sets; each family in one piece, with its HELP and TYPE, and declared in `exporter.metrics.samples`
with just these labels (or one of those about the process); of a state set exactly one is 1; no sample is NaN or
infinite; no instant is 0, since one that is not known has no sample. `tests/test_contracts/test_expositions.py` sees
to it that no test reads an exposition in another way.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.samples import FAMILIES
from exporter.metrics.text import Family

_HEAD = re.compile(r"# HELP (\w+) (.+)\n# TYPE (\w+) (gauge|counter)\n")
_OTHERS = ("process_", "python_")
"""How the names of prometheus-client's own families begin."""
_LABEL = re.compile(r'(\w+)="')
_TEXT = r'"((?:[^"\\\n]|\\[\\"n])*)"'
_ESCAPED = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: dict[str, str]
    value: float


class _Read(NamedTuple):
    """A family as it was read: the names of its labels, and of each sample their values and its own."""

    labels: tuple[str, ...]
    rows: Sequence[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class Metrics:
    """One scrape."""

    _families: Mapping[str, _Read]

    @classmethod
    def parse(cls, text: str, families: Iterable[Family] = FAMILIES) -> "Metrics":
        """Read an exposition of these families.

        Raises:
            AssertionError: it breaks one of the promises.
        """
        declared = {family.name: family for family in families}
        read: dict[str, _Read] = {}
        start, *blocks = re.split(r"^(?=# HELP )", text, flags=re.MULTILINE)
        assert not start, f"before the first HELP stands {start[:200]!r}"
        for block in blocks:
            name, found = _read(block, declared)
            assert name not in read, f"{name} is not in one piece"
            read[name] = found
        return cls(read)

    @property
    def samples(self) -> Sequence[Sample]:
        """All samples."""
        return [sample for name in self._families for sample in self.all(name)]

    def all(self, name: str, /, **labels: str) -> Iterator[Sample]:
        """The samples of a metric that have these labels, whatever others they have."""
        if name in self._families:
            names, rows = self._families[name]
            for texts, value in rows:
                own = dict(zip(names, texts, strict=True))
                if labels.items() <= own.items():
                    yield Sample(name, own, value)

    def value(self, name: str, /, **labels: str) -> float | None:
        """The value of the one sample that has these labels; None if the series is absent."""
        found = list(self.all(name, **labels))
        assert len(found) <= 1, f"{name}{labels} names {len(found)} series: {found}"
        return found[0].value if found else None

    def state(self, name: str, /, **labels: str) -> str | None:
        """The state of a state set that is 1; None if the set is absent."""
        chosen = [sample.labels["state"] for sample in self.all(name, **labels) if sample.value == 1]
        assert len(chosen) <= 1, f"{name}{labels} names {len(chosen)} state sets"
        return chosen[0] if chosen else None


def as_prometheus_client_reads(text: str) -> Sequence[Sample]:
    """Read an exposition by prometheus-client's own parser, which knows none of the promises."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return [Sample(sample.name, sample.labels, sample.value) for sample in samples]


def _read(block: str, declared: Mapping[str, Family]) -> tuple[str, _Read]:
    """Read one family."""
    head = _HEAD.match(block)
    assert head, f"no HELP and TYPE as they should be: {block[:200]!r}"
    name, described, typed, kind = head.groups()
    assert name == typed, f"HELP of {name}, TYPE of {typed}"
    family = declared.get(name)
    labels: tuple[str, ...]
    if family is None:
        assert name.startswith(_OTHERS), f"{name} is not declared"
        labels = tuple(_LABEL.findall(block[head.end() :].partition("\n")[0]))
    else:
        assert (described, kind) == (family.help, family.type), f"{name} is described otherwise than declared"
        labels = family.labels
    rows = list(_rows(name, labels, block[head.end() :]))
    _hold(name, labels, rows, states=described.startswith("State set"))
    return name, _Read(labels, rows)


def _rows(name: str, labels: tuple[str, ...], body: str) -> Iterator[tuple[tuple[str, ...], float]]:
    line = _line(name, labels)
    found = line.findall(body)
    if len(found) != body.count("\n") or not f"\n{body}".endswith("\n"):
        wrong = next((each for each in body.splitlines() if not line.fullmatch(each)), "its end")
        raise AssertionError(f"{name}: no sample with the labels {labels}: {wrong!r}")
    for *texts, number, _ in found:
        yield tuple(map(_unescaped, texts)), float(number)


@cache
def _line(name: str, labels: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the samples of a family: values of labels, the sample's value, and nothing.

    Braces may be missing where there is no label.
    """
    pairs = ",".join(f"{label}={_TEXT}" for label in labels)
    braces = rf"\{{{pairs}\}}" if labels else r"(?:\{\})?"
    return re.compile(rf"^{name}{braces} (\S+)()$", re.MULTILINE)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text


def _hold(name: str, labels: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], float]], *, states: bool) -> None:
    """Hold one family to what is promised of all.

    Raises:
        AssertionError: it does not keep it.
    """
    assert rows, f"{name} has a head and no sample"
    if len({texts for texts, _ in rows}) < len(rows):
        ((twice, times),) = Counter(texts for texts, _ in rows).most_common(1)
        raise AssertionError(f"{name} has {times} times the labels {dict(zip(labels, twice, strict=True))}")
    for texts, value in rows:
        assert isfinite(value), f"{name}{texts} is {value}"
    if name.endswith("_timestamp_seconds"):
        unknown = [texts for texts, value in rows if value == 0]
        assert not unknown, f"{name}{unknown[0]} is 0; what is not known has no sample"
    if states:
        at = labels.index("state")
        chosen: Counter[tuple[str, ...]] = Counter()
        for texts, value in rows:
            assert value in (0, 1), f"{name}{texts} is {value}"
            chosen[texts[:at] + texts[at + 1 :]] += int(value)
        for texts, count in chosen.items():
            assert count == 1, f"{name}{texts}: {count} states are 1"
