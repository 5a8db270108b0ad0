"""A run without a terminal: one line per change, and one a minute while nothing changes. Touches one stream.

The minute is kept by a thread: a line comes also while the API server does not answer and the engine tells nothing.
"""

import threading
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.text import Text

from certlag.clock import Clock
from runbook.events import Ended, Event, Level
from runbook.plan.model import Plan
from runbook.report import run_progress
from runbook.report.consoles import form, show
from runbook.report.run_progress import RunProgress
from runbook.report.summary import summary_parts
from runbook.report.text.line import Line, changed_lines, heartbeat_line
from runbook.report.text.plan import plan_parts, warning_parts
from runbook.report.wording import moment, visible

SILENCE: Final = 60.0
"""Seconds without a line after which one says that all still goes on."""
BEAT: Final = 1.0
"""Seconds between two looks whether it is time for one."""


class LineReporter:
    """Writes what changes, with the time of each change; if `quiet`, only warnings and the end."""

    def __init__(self, results: Console, progress: Console, clock: Clock, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._results = results
        self._progress = progress
        self._clock = clock
        self._lock = threading.Lock()
        self._picture = RunProgress()
        self._spoke_at = clock.monotonic()
        self._paused = False
        self._pulse = _Pulse(self.beat)

    def plan(self, plan: Plan) -> None:
        """Write the plan, or what of it is not as it should be."""
        shown, now = form(self._results), self._clock.now()
        with self._lock:
            show(self._results, warning_parts(plan, shown) if self._quiet else plan_parts(plan, shown, now))

    def tell(self, event: Event) -> None:
        """Write what an event has changed."""
        if not self._quiet:
            self._pulse.start()
        with self._lock:
            now = self._clock.now()
            lines = [
                line for line in changed_lines(self._picture, event, now) if line[0] is Level.WARNING or not self._quiet
            ]
            self._picture = run_progress.after(self._picture, event, now)
            for line in lines:
                self._say(line)
            if isinstance(event, Ended):
                air = () if self._quiet else (Text(),)
                show(self._results, [*air, *summary_parts(event, form(self._results))])

    def beat(self) -> None:
        """Write what is being waited for, if nothing was written for a minute."""
        with self._lock:
            if self._paused or self._clock.monotonic() - self._spoke_at < SILENCE:
                return
            if (line := heartbeat_line(self._picture, self._clock.now())) is not None:
                self._say(line)

    def pause(self) -> None:
        """Write nothing of itself while a question stands."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    def close(self) -> None:
        """Write nothing more of itself."""
        self._pulse.stop()

    def _say(self, line: Line) -> None:
        write_line(self._progress, self._clock, line)
        self._spoke_at = self._clock.monotonic()


def write_line(console: Console, clock: Clock, line: Line) -> None:
    """Write one line with its time, whatever stands in it."""
    level, text = line
    warning = "WARNING " if level is Level.WARNING else ""
    style = "warning" if warning else ""
    shown = Text.assemble((f"{moment(clock.now())} ", "faint"), (f"{warning}{visible(text)}", style))
    console.print(shown, soft_wrap=True)


class _Pulse:
    """Calls something again and again, in a thread that ends with the process or earlier."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, once what is being called has returned; not waited for long, as it may wait for the caller."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopped.set()
            thread.join(BEAT)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT):
            self._call()
