"""The live view: a picture of a run, drawn for one instant to fit a terminal. Pure.

What is past has one line each; the present phase has its pods, as many as there is room for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from runbook.events import PodLine, Progress
from runbook.kube.views import counted
from runbook.report.layout import INDENT, Cell, Form, cell, grid, item
from runbook.report.run_progress import RunProgress, Stage
from runbook.report.text.pods import pod_table
from runbook.report.wording import PHASES, length, ticking

FEWER = (1000, 40, 20, 10, 5, 2, 0)
"""How many pods of a workload are shown, until all fits."""
AIR = 4
"""Lines of the terminal that are left for what was printed above: the latest writes and warnings."""
PICTURES_PER_SECOND = 4
HINT = "Ctrl-C stops after the write in progress, and asks"
FOLLOWING_HINT = "Ctrl-C ends following it, the run goes on"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at one instant; rich asks it to draw itself for the terminal as it is then."""

    run_progress: RunProgress
    form: Form
    now: datetime
    hint: str = HINT

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as much as fits."""
        room = max(options.size.height - AIR, 1)
        lines: list[list[Segment]] = []
        for pods, whole in chain(((pods, True) for pods in FEWER), ((pods, False) for pods in FEWER)):
            lines = console.render_lines(Group(*self._parts(pods, whole=whole)), options, pad=False)
            if len(lines) <= room:
                break
        for line in lines[:room]:
            yield from line
            yield Segment.line()

    def _parts(self, pods: int, *, whole: bool) -> Iterable[RenderableType]:
        """Yield what is shown: all, or only the present phase."""
        past = [stage for stage in self.run_progress.stages if stage.ended is not None]
        if whole:
            yield Text()
        if whole and past:
            yield grid(map(self._past, past), indent=0)
        if (present := self.run_progress.present) is not None:
            yield from self._present(present, pods)
        if whole:
            yield from self._to_come()
            yield Text(f"{self._total()}{self.hint}", style="faint")

    def _past(self, stage: Stage) -> tuple[Cell, ...]:
        words = Text.assemble((f"{self.form.signs.done} ", "good"), PHASES[stage.phase])
        return words, Text(length(stage.lasted(self.now)), style="faint")

    def _present(self, stage: Stage, pods: int) -> Iterable[RenderableType]:
        """Draw the present phase: how long it goes on, how much is left, what it waits for."""
        pictures = self.form.signs.doing
        sign = pictures[int(self.now.timestamp() * PICTURES_PER_SECOND) % len(pictures)]
        times = ticking(stage.lasted(self.now))
        if (left := stage.left(self.now)) is not None:
            times += f", {ticking(left)} left" if left >= 0 else f", {ticking(-left)} over its limit"
        yield Text.assemble((f"{sign} ", "note"), (PHASES[stage.phase], "title"), "  ", (times, "note"))
        for progress in self.run_progress.progress:
            yield from self._workload(progress, pods)

    def _workload(self, progress: Progress, shown: int) -> Iterable[RenderableType]:
        live, seen = self.run_progress.counts(progress.workload)
        sign = self.form.signs.bullet if progress.why else self.form.signs.done
        text = Text.assemble(cell(progress.workload), "  ", (self._waits_for(progress, live, seen), "faint"))
        yield item(sign, text, "note" if progress.why else "good")
        if progress.stalled:
            yield item(self.form.signs.warning, cell(f"stalled: {progress.stalled}", "warning"), "warning", indent=4)
        pods = _of_interest(progress.pods, shown)
        if pods:
            yield pod_table(pods, self.form, self.now, indent=INDENT * 2)
        if len(pods) < len(progress.pods):
            hidden = counted(len(progress.pods) - len(pods), "more pod" if pods else "pod")
            yield Text(f"{' ' * INDENT * 2}{hidden}", style="faint")

    @staticmethod
    def _waits_for(progress: Progress, live: int, seen: int) -> str:
        gone = f" ({seen - live} of {seen} gone)" if seen > live > 0 else ""
        return f"{cell(progress.why)}{gone}" if progress.why else "done"

    def _to_come(self) -> Iterable[RenderableType]:
        names = [PHASES[phase] for phase in self.run_progress.to_come]
        if self.form.narrow:
            if names:
                yield item(self.form.signs.todo, Text(", ".join(names), style="faint"), "faint", indent=0)
        else:
            yield from (Text(f"{self.form.signs.todo} {name}", style="faint") for name in names)

    def _total(self) -> str:
        begun = self.run_progress.begun
        if begun is None:
            return ""
        return f"{ticking(self.now.astimezone(UTC) - begun)} in all {self.form.signs.dot} "


def _of_interest(pods: tuple[PodLine, ...], shown: int) -> tuple[PodLine, ...]:
    """Return so many, those that may take longest, in the order of their names."""
    if len(pods) <= shown:
        return tuple(sorted(pods, key=lambda pod: pod.name))
    longest = sorted(pods, key=lambda pod: pod.latest_end.timestamp() if pod.latest_end else 0.0, reverse=True)
    return tuple(sorted(longest[:shown], key=lambda pod: pod.name))
