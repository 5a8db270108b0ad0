"""Which reporter a command speaks through. Touches nothing itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO

from certlag.clock import Clock
from runbook.report.consoles import console, is_terminal
from runbook.report.json.lines import JsonReporter
from runbook.report.lines import LineReporter
from runbook.report.live import LiveReporter
from runbook.report.reporter import Reporter
from runbook.report.run_view import FOLLOWING_HINT, HINT


class Output(StrEnum):
    """`--output`."""

    TEXT = "text"
    JSON = "json"


def reporter_for(
    output: Output,
    *,
    stdout: TextIO,
    stderr: TextIO,
    environment: Mapping[str, str],
    clock: Clock,
    quiet: bool = False,
    no_color: bool = False,
    following: bool = False,
) -> Reporter:
    """Choose: JSON lines if asked for, nothing but warnings if asked for, a live view on a terminal, else lines.

    Plan and result go to stdout, what happens in between to stderr.

    `quiet` leaves most of the plan out, so anyone who is to say yes to it should not be given a quiet reporter.
    `following`: another process makes the run, so Ctrl-C does not stop it.
    """
    if output is Output.JSON:
        return JsonReporter(stdout, clock)
    results, progress = (console(each, environment, no_color=no_color) for each in (stdout, stderr))
    if quiet or not is_terminal(stderr, environment):
        return LineReporter(results, progress, clock, quiet=quiet)
    return LiveReporter(results, progress, clock, FOLLOWING_HINT if following else HINT)
