"""The live view on a terminal: drawn again a few times a second, and taken away when something else is to be shown.

Touches the terminal, and starts a thread (rich's) that redraws. What is worth keeping (writes, warnings) is printed
above the view and stays.
"""

from collections.abc import Callable

from rich.console import Console, ConsoleRenderable, RenderableType
from rich.control import Control
from rich.live import Live
from rich.text import Text

from certlag.clock import Clock
from runbook.events import Ended, Event, Level
from runbook.plan.model import Plan
from runbook.report import run_progress
from runbook.report.consoles import form, show
from runbook.report.layout import Part, cell, item
from runbook.report.run_progress import RunProgress
from runbook.report.run_view import HINT, PICTURES_PER_SECOND, RunView
from runbook.report.summary import summary_parts
from runbook.report.text.event import lasting_line
from runbook.report.text.plan import plan_parts
from runbook.report.wording import time_of_day


class LiveReporter:
    """Shows a run to a person who watches it."""

    def __init__(self, results: Console, progress: Console, clock: Clock, hint: str = HINT) -> None:
        self._results = results
        self._progress = progress
        self._clock = clock
        self._hint = hint
        self._picture = RunProgress()  # frozen, and replaced as a whole: the thread that redraws sees one or the other
        self._view: _View | None = None
        self._paused = False

    def plan(self, plan: Plan) -> None:
        """Show the plan; it stays above all else."""
        if plan.phases:
            self._picture = RunProgress(plan.phases)
        show(self._results, plan_parts(plan, form(self._results), self._clock.now()))

    def tell(self, event: Event) -> None:
        """Print what is to stay, draw what has changed."""
        self._picture = run_progress.after(self._picture, event, self._clock.now())
        if isinstance(event, Ended):
            self._leave()
            show(self._results, [Text(), *summary_parts(event, form(self._results))])
        elif (line := lasting_line(event)) is not None:
            show(self._progress, [self._line(*line)])
        self._draw()

    def pause(self) -> None:
        """Take the view away."""
        self._paused = True
        self._leave()

    def resume(self) -> None:
        """Draw it again."""
        self._paused = False
        self._draw()

    def close(self) -> None:
        """Take the view away, and give the cursor back."""
        self.pause()

    def _draw(self) -> None:
        """Have the view there; it draws itself, a few times a second."""
        if self._view is None and self._picture.present is not None and not self._paused:
            self._view = _View(self._progress, self._drawing)
            self._view.start(refresh=True)

    def _leave(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            view.stop()

    def _drawing(self) -> RenderableType:
        return RunView(self._picture, form(self._progress), self._clock.now(), self._hint)

    def _line(self, level: Level, text: str) -> Part:
        signs = form(self._progress).signs
        sign, style = (signs.warning, "warning") if level is Level.WARNING else (signs.note, "note")
        at = (f"{time_of_day(self._clock.now())} ", "faint")
        return item(sign, Text.assemble(at, cell(text, "warning" if level is Level.WARNING else "")), style, indent=0)


class _View(Live):
    """rich's live display, made to survive a terminal that changes its size.

    To draw again it goes up by as many lines as it drew; a terminal that became narrower has broken these lines, and
    there are more of them than it knows. So after a change of size it begins on a clear screen.
    """

    def __init__(self, console: Console, drawing: Callable[[], RenderableType]) -> None:
        super().__init__(
            console=console, get_renderable=drawing, refresh_per_second=PICTURES_PER_SECOND, transient=True
        )
        self._size = console.size

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Put the view below what is printed."""
        shown = super().process_renderables(renderables)
        if self.console.size != self._size:
            self._size = self.console.size
            shown[0] = Control.clear()
            shown.insert(1, Control.home())
        return shown
