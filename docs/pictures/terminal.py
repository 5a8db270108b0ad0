"""Pictures of the terminal: a rehearsal as it goes on, and what it says at its end, as SVG that loads nothing."""

import io
import re
import sys
from contextlib import closing
from itertools import groupby
from pathlib import Path

from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.pseudo_terminal import PseudoTerminal

FOLDER = Path(__file__).parent
COLUMNS, LINES = 116, 40
DRAINING = re.compile(r"let workers finish.*ending +[2-5]\d s .*Ctrl-C stops", re.DOTALL)
FONT_FILES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""rich would load its font from somewhere; the reader's own fixed-width font will do."""


def make() -> None:
    """Make all of them."""
    rehearse = (sys.executable, "-m", "runbook", "rehearse", "--yes", "--speed", "30", "--fault", "scaled-up")
    with closing(PseudoTerminal(rehearse, columns=COLUMNS, lines=LINES)) as shown:
        shown.sees("the drain, half a minute old", lambda screen: DRAINING.search(screen) is not None)
        _take(shown, "rehearse")
        shown.shows("What to look at on the real night", "and closes the run")
        _take(shown, "rehearse-learned")


def _take(shown: PseudoTerminal, name: str) -> None:
    lines = [_line(row) for row in shown.cells]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="standard")
    console.print(Text("\n").join(lines))
    svg = console.export_svg(title="runbook rehearse --fault scaled-up", unique_id=name)
    (FOLDER / f"{name}.svg").write_text(FONT_FILES.sub("", svg), encoding="utf-8")


def _line(row: list[Char]) -> Text:
    """Join what looks alike."""
    pieces = groupby(row, lambda cell: (cell.fg, cell.bold))
    joined = Text.assemble(*(("".join(cell.data for cell in cells), _style(*look)) for look, cells in pieces))
    joined.rstrip()
    return joined


def _style(colour: str, bold: bool) -> Style:  # noqa: FBT001 - a pair that belongs together
    """Return pyte's colour as rich's: the sixteen of a terminal."""
    known = {"default": None, "brown": "yellow", "brightbrown": "bright_yellow"}
    return Style(color=known.get(colour, colour.replace("bright", "bright_")), bold=bold)
