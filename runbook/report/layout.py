"""The few shapes that all text is made of: titles, labelled pairs, tables, items, commands. Pure.

Whatever is given as `str` is foreign or may be: it is made visible here, once. `Text` is ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runbook.report.wording import visible


@dataclass(frozen=True, slots=True)
class Signs:
    """The marks before lines. `doing` is a row of pictures that show that time passes."""

    done: str
    doing: str
    todo: str
    note: str
    warning: str
    bad: str
    arrow: str
    bullet: str
    dot: str


UNICODE = Signs(done="✓", doing="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", todo="·", note="•", warning="!", bad="✗", arrow="→", bullet="•", dot="·")
ASCII = Signs(done="+", doing="|/-\\", todo=".", note="*", warning="!", bad="x", arrow="->", bullet="-", dot="-")


@dataclass(frozen=True, slots=True)
class Form:
    """What the place that text goes to can show."""

    narrow: bool = False
    signs: Signs = UNICODE


@dataclass(frozen=True, slots=True)
class Command:
    """A line that is to be copied: never broken by us, so that what is pasted is what was meant."""

    text: str


Part: TypeAlias = RenderableType | Command
"""One piece of what is shown; parts stand below each other."""

Cell: TypeAlias = str | Text
"""What stands in a table or beside a label."""

INDENT = 2
WHOLE = 45
"""Columns of this many characters are not broken: a pod's name is to be copied."""


def cell(content: Cell, style: str = "") -> Text:
    """Make any text harmless, and ours."""
    return content if isinstance(content, Text) else Text(visible(content), style=style)


def title(text: Cell, style: str = "title") -> Text:
    """Head what follows."""
    return cell(text, style)


def section(text: str) -> Iterable[Part]:
    """Head a section, with air above."""
    return (Text(), Text(text, style="title"))


def grid(rows: Iterable[Sequence[Cell]], *, indent: int = INDENT, gap: int = INDENT) -> RenderableType:
    """Set rows under each other; only the last cell of a row is ever broken."""
    shown = Table.grid(padding=(0, gap, 0, 0))
    for row in rows:
        while len(shown.columns) < len(row):
            shown.add_column(no_wrap=len(shown.columns) < len(row) - 1, overflow="fold")
        shown.add_row(*map(cell, row))
    return Padding(shown, (0, 0, 0, indent), expand=False)


def pairs(rows: Iterable[tuple[str, Cell]]) -> RenderableType:
    """Put a label before each; the labels are as wide as the widest."""
    return grid((Text(label, style="label"), content) for label, content in rows)


def item(sign: str, content: Cell, style: str = "", *, indent: int = INDENT) -> RenderableType:
    """Put a sign before a text whose further lines begin under its first."""
    return grid([(Text(sign, style=style), content)], indent=indent, gap=1)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[Cell]], form: Form, *, indent: int = INDENT
) -> RenderableType:
    """Show rows in columns; where there is no room, each as its first cell with the others below it.

    A column in which nothing stands is left out.
    """
    cells = [[cell(each) for each in row] for row in rows]
    used = [number for number in range(len(headers)) if any(row[number].plain for row in cells)]
    shown = _stacked(headers, cells, used) if form.narrow else _in_columns(headers, cells, used)
    return Padding(shown, (0, 0, 0, indent), expand=False)


def _in_columns(headers: Sequence[str], rows: Sequence[Sequence[Text]], used: Sequence[int]) -> RenderableType:
    shown = Table.grid(padding=(0, INDENT, 0, 0))
    for number in used:
        longest = max((row[number].cell_len for row in rows), default=0)
        shown.add_column(no_wrap=number != used[-1] and longest <= WHOLE, overflow="fold")
    shown.add_row(*(Text(headers[number].upper(), style="label") for number in used))
    for row in rows:
        shown.add_row(*(row[number] for number in used))
    return shown


def _stacked(headers: Sequence[str], rows: Sequence[Sequence[Text]], used: Sequence[int]) -> RenderableType:
    shown = Table.grid()
    shown.add_column(overflow="fold")
    for row in rows:
        first, *others = used
        named = [Text.assemble((f"{headers[number]} ", "label"), row[number]) for number in others if row[number].plain]
        separated = chain.from_iterable((Text(", "), each) for each in named)
        shown.add_row(row[first])
        if named:
            shown.add_row(Padding(Text.assemble(*list(separated)[1:]), (0, 0, 0, INDENT), expand=False))
    return shown
