"""Prometheus' text format 0.0.4: families, samples, and a page that is kept in pieces. Pure; knows no metric.

The format wants all samples of a family together, and one change touches few of them. So `Page` keeps, for each
family, one piece of text for each thing that is told of, and joins them when asked.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """A metric family: one row of the contract."""

    name: str
    labels: tuple[str, ...]
    help: str
    type: str = "gauge"


class Sample(NamedTuple):
    """One line of the text. `labels` are the values, in the family's order."""

    family: Family
    labels: tuple[str, ...]
    value: float


class Page:
    """The text of everything judged, kept in pieces so that one change renders one piece."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._pieces: dict[Family, dict[Hashable, str]] = {family: {} for family in families}

    def put(self, key: Hashable, samples: Iterable[Sample]) -> bool:
        """Replace what is said under a key (nothing, if there are no samples); tell whether the text changed."""
        lines: dict[Family, list[str]] = {}
        for sample in samples:
            lines.setdefault(sample.family, []).append(_line(sample))
        changed = False
        for family, pieces in self._pieces.items():
            piece = "".join(lines.get(family, ()))
            if pieces.get(key, "") != piece:
                changed = True
                if piece:
                    pieces[key] = piece
                else:
                    del pieces[key]
        return changed

    def text(self) -> str:
        """Return the exposition of all pieces."""
        return "".join(
            part for family, pieces in self._pieces.items() if pieces for part in (_head(family), *pieces.values())
        )


def render(families: Iterable[Family], samples: Iterable[Sample]) -> str:
    """Return the exposition of samples, grouped by family in the given order."""
    lines: dict[Family, list[str]] = {family: [] for family in families}
    for sample in samples:
        lines[sample.family].append(_line(sample))
    return "".join(part for family, body in lines.items() if body for part in (_head(family), *body))


_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _head(family: Family) -> str:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"


def _line(sample: Sample) -> str:
    pairs = zip(sample.family.labels, sample.labels, strict=True)
    labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
    return f"{sample.family.name}{{{labels}}} {_number(sample.value)}\n"


def _number(value: float) -> str:
    """Write a number exactly; whole ones (nearly all are) without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)
