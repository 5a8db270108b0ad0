"""Where text goes: a terminal or a file, with colour or without. Touches stdout and stderr.

A reader may go away in the middle of a run (`| head`, a closed terminal): then what would be written is dropped, and
the run goes on.
"""

import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from runbook.report.layout import ASCII, UNICODE, Command, Form, Part

THEME: Final = Theme(
    {
        "title": "bold",
        "label": "dim",
        "faint": "dim",
        "good": "green",
        "note": "cyan",
        "warning": "yellow",
        "bad": "bold red",
        "command": "bold",
    },
    inherit=False,
)
"""Colours of the sixteen that every terminal lets its owner choose, so they are legible on light and dark."""

UNBOUNDED = 1_000_000
"""The width of what is no terminal: a line of a log is never broken."""

NARROW = 90
"""Below this many columns, what would be columns of a table stands below each other."""


class BrokenPipeSafe(io.TextIOBase):
    """A text stream that never fails: what its reader can't take any more is dropped, what it can't encode is replaced.

    Reading and seeking are not offered.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream underneath."""
        return self._stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        """Write what can be written; returns as if all had been."""
        if not self._gone:
            try:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def isatty(self) -> bool:
        """Tell whether it was a terminal."""
        try:
            return self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the descriptor underneath, from which rich learns how large the terminal is."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def _give_up(self) -> None:
        """Drop what comes, and what is still buffered: Python would fail to flush it at exit, and exit with 120."""
        self._gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def is_terminal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether a person looks at a terminal that can move its cursor."""
    return BrokenPipeSafe(stream).isatty() and environment.get("TERM", "") not in ("", "dumb", "unknown")


def console(
    stream: TextIO, environment: Mapping[str, str], *, no_color: bool = False, width: int | None = None
) -> Console:
    """Make the way to a stream.

    Nothing in what is printed is taken for markup, for an emoji's name or for something to highlight.

    Args:
        stream: stdout or stderr.
        environment: NO_COLOR (any text but an empty one: no-color.org), TERM, COLORTERM.
        no_color: as NO_COLOR.
        width: None for the terminal's own; what is no terminal has none.
    """
    terminal = is_terminal(stream, environment)
    return Console(
        file=BrokenPipeSafe(stream),  # type: ignore[arg-type] # rich only writes, flushes and asks isatty and fileno
        force_terminal=terminal,
        no_color=no_color or bool(environment.get("NO_COLOR")),
        color_system="auto" if terminal else None,
        width=width if width is not None or terminal else UNBOUNDED,
        theme=THEME,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
        # Not the whole of it: an exported COLUMNS would stand, and be wrong, after the terminal was resized.
        _environ={name: environment[name] for name in ("TERM", "COLORTERM") if name in environment},
    )


def form(to: Console) -> Form:
    """Return what fits: columns or lines below each other, signs or ASCII."""
    return Form(narrow=to.width < NARROW, signs=UNICODE if to.encoding.lower().startswith("utf") else ASCII)


def show(to: Console, parts: Iterable[Part]) -> None:
    """Print parts one below the other; what is no terminal gets no spaces at the ends of its lines."""
    for part in parts:
        if isinstance(part, Command):
            to.print(Text(f"    {part.text}", style="command"), soft_wrap=True)
        elif to.is_terminal:
            to.print(part)
        else:
            for line in to.render_lines(part, pad=False):
                to.print(Text("".join(segment.text for segment in line).rstrip()), soft_wrap=True)
