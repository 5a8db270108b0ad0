"""Prometheus' text format 0.0.4: families, samples, and a page that is kept in pieces. Pure; knows no metric.

The format wants all samples of a family together, and one change touches few of them. So `Page` deals the things that
are told of into blocks, and keeps for each family and block one piece of text: a change replaces lines within a piece,
and what is served of all other pieces, plain or compressed, stays as it is.
"""

import re
from array import array
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from exporter.metrics.compression import CompressedText

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BLOCK = 64
"""Things in a block. Measured at 10,000 certificates (docs/performance.md): the pieces have some 15 KB each."""


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


class _Block:
    """The lines of one family about the things of one block, in the order of their slots."""

    __slots__ = ("lengths", "text")

    def __init__(self) -> None:
        self.lengths = array("I", bytes(array("I").itemsize * BLOCK))
        self.text = b""

    def replace(self, slot: int, lines: bytes) -> bool:
        """Put lines into a slot; tell whether that changed anything."""
        length = self.lengths[slot]
        if not length and not lines:
            return False
        text, start = self.text, sum(self.lengths[:slot])
        if text[start : start + length] == lines:
            return False
        self.text = b"".join((text[:start], lines, text[start + length :]))
        self.lengths[slot] = len(lines)
        return True


class Page:
    """The text of everything assessed, kept so that one change renders one thing and copies one piece."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._blocks: dict[Family, dict[int, _Block]] = {family: {} for family in families}
        self._heads = {family: _head(family) for family in self._blocks}
        self._rows: dict[Family, CompressedText] = {}
        self._places: dict[Hashable, int] = {}
        self._vacant: list[int] = []

    def put(self, key: Hashable, samples: Iterable[Sample]) -> bool:
        """Replace what is said under a key (nothing, if there are no samples); tell whether the text changed."""
        lines = _lines(samples)
        if key not in self._places and not lines:
            return False
        place = self._place(key)
        changed = [self._replace(family, place, lines.get(family, b"")) for family in self._blocks]
        if not lines:
            self._vacant.append(self._places.pop(key))
        return any(changed)

    def put_some(self, key: Hashable, samples: Iterable[Sample]) -> bool:
        """Replace what is said under a key in the families of these samples, and in no other; tell the same."""
        place = self._place(key)
        changed = [self._replace(family, place, lines) for family, lines in _lines(samples).items()]
        return any(changed)

    def _replace(self, family: Family, place: int, lines: bytes) -> bool:
        number, slot = divmod(place, BLOCK)
        blocks = self._blocks[family]
        if lines and number not in blocks:
            blocks[number] = _Block()
        if number not in blocks or not blocks[number].replace(slot, lines):
            return False
        self._rows.pop(family, None)
        return True

    def rows(self) -> tuple[CompressedText, ...]:
        """Return the exposition: one row for each family, the same one as long as nothing in it changes."""
        return tuple(row for family in self._blocks if (row := self._row(family)).pieces)

    def _row(self, family: Family) -> CompressedText:
        row = self._rows.get(family)
        if row is None:
            filled = [block.text for block in self._blocks[family].values() if block.text]
            row = self._rows[family] = CompressedText((self._heads[family], *filled) if filled else ())
        return row

    def _place(self, key: Hashable) -> int:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._vacant.pop() if self._vacant else len(self._places)
        return place


def render(families: Iterable[Family], samples: Iterable[Sample]) -> bytes:
    """Return the exposition of samples, grouped by family in the given order."""
    lines = _lines(samples)
    return b"".join(part for family in families if family in lines for part in (_head(family), lines[family]))


_SPECIAL = re.compile(r'[\\\n"]')
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _head(family: Family) -> bytes:
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n".encode()


def _lines(samples: Iterable[Sample]) -> dict[Family, bytes]:
    """Return the lines of each family. Samples about one thing mostly share their labels: those are written once."""
    lines: dict[Family, list[str]] = {}
    written: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
    for family, values, value in samples:
        labels = written.get((family.labels, values))
        if labels is None:
            pairs = zip(family.labels, values, strict=True)
            labels = written[family.labels, values] = ",".join(f'{name}="{_escaped(text)}"' for name, text in pairs)
        lines.setdefault(family, []).append(f"{family.name}{{{labels}}} {_number(value)}\n")
    return {family: "".join(own).encode() for family, own in lines.items()}


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def _number(value: float) -> str:
    """Write a number exactly; whole ones (nearly all are) without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)
