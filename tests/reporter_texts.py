"""What the runbook shows to people, in each form, as it was looked at: `tests/test_runbook/test_report/texts/`.

`python -m tests.reporter_texts` writes the texts again; then look at them, and at the difference.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from certlag.assess import assess
from certlag.assessment import AssessmentInput
from certlag.run_record import Step
from certlag.target_assessment import assess_target
from runbook.check.advice import CheckReport, Commands
from runbook.check.status import target_status
from runbook.guard.record import FinishedRun, Operator, Record, Run, WorkerRecord
from runbook.outcomes import Outcome
from runbook.plan.model import Check, CheckResult
from runbook.report import run_progress
from runbook.report.consoles import console, form, show
from runbook.report.layout import Form, Part
from runbook.report.run_view import RunView
from runbook.report.summary import summary_parts
from runbook.report.text.check import check_parts
from runbook.report.text.history import history_parts
from runbook.report.text.plan import plan_parts
from tests.builders import (
    DEPLOYMENT,
    KEY,
    RENEWED_AT,
    a_leaf,
    a_pod,
    a_subject,
    a_target,
    a_use,
    a_view,
    a_workload,
    an_observation,
)
from tests.scripted_run import BEGUN, HOSTILE, a_plan, a_run, an_end

TEXTS = Path(__file__).parent / "test_runbook" / "test_report" / "texts"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LOOKED_AT = RENEWED_AT + timedelta(days=10)
COMMANDS = Commands(*(f"runbook {verb}-build-service --context prod-eu" for verb in ("restart", "resume", "abort")))


class Terminal(io.StringIO):
    """What takes text for a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def a_terminal(width: int) -> tuple[Console, Terminal]:
    """A terminal of this many columns, and what it got."""
    screen = Terminal()
    return console(screen, {"TERM": "xterm-256color"}, width=width), screen


def a_file() -> tuple[Console, io.StringIO]:
    """What a log is written to, and what it got."""
    file = io.StringIO()
    return console(file, {}), file


def shown(parts: Callable[[Form], list[Part]], width: int | None) -> str:
    """What people see of parts: on a terminal of this many columns, or in a file."""
    to, got = a_terminal(width) if width else a_file()
    show(to, parts(form(to)))
    return "".join(f"{line.rstrip()}\n" for line in COLOURS.sub("", got.getvalue()).splitlines())


# --- what is shown -----------------------------------------------------------------------------------


def presenting(*labels: str, revision: int | None = 2) -> AssessmentInput:
    """A Certificate of a revision, with one pod for each leaf that is presented; the last has a hostile name."""
    names = [f"build-service-6d9c7b5f4-{number}" for number in range(len(labels))]
    views = (
        a_view(a_pod(name), an_observation(a_leaf(label) if label else None))
        for name, label in zip([*names[:-1], HOSTILE], labels, strict=True)
    )
    return a_subject(a_use(*views), revision=revision)


def an_answer(
    subject: AssessmentInput, run: Run | None = None, *, found: bool = True, at: datetime = LOOKED_AT
) -> CheckReport:
    """The answer of `check-build-service`, by default ten days after the renewal."""
    target = a_target()
    status = target_status(target, assess({KEY: subject}, at), at)
    workloads = {DEPLOYMENT: a_workload(), target.workers[0]: a_workload(target.workers[0])} if found else {}
    assessment = assess_target(target, certificate_found=True, workloads=workloads, record=None, heartbeat_at=None)
    return CheckReport(status, assessment, run, COMMANDS)


def a_left_run(**changes: object) -> Run:
    """A run that stopped while the workers were at 0."""
    run = Run(
        id="20260510-021400-x7k2",
        epoch=1,
        step=Step.RESTARTING,
        begun=LOOKED_AT - timedelta(hours=1),
        deadline=LOOKED_AT + timedelta(minutes=5),
        operator=Operator(f"jane {HOSTILE}", "laptop", 4711, "0.1.0"),
        workload="deployment/build-service",
        workload_uid="uid",
        workers={"deployment/worker": WorkerRecord(3, "uid")},
        ended=Outcome.RESTART_FAILED,
        ended_at=LOOKED_AT - timedelta(minutes=30),
        detail="not rolled out in time: 0 of 1 pods are Ready",
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def a_past(outcome: Outcome, days: int, detail: str = "", reason: str = "") -> FinishedRun:
    """A finished run, so many days ago."""
    begun = LOOKED_AT - timedelta(days=days)
    operator = Operator("jane@example.org", "laptop", 4711, "0.1.0", reason)
    return FinishedRun("id", begun, begun + timedelta(seconds=758), outcome, operator, an_end().seconds, detail)


def a_history() -> dict[str, Record]:
    """Two targets with runs of each kind."""
    failed = a_past(Outcome.DRAIN_TIMED_OUT, 40, f"not drained in time: {HOSTILE}", "first try")
    return {"build-service": Record(a_left_run(), (failed, a_past(Outcome.DONE, 39))), "vault": Record()}


def a_drawing(seconds: float, form: Form) -> list[Part]:
    """The live view this many seconds after the scripted run began."""
    seen = run_progress.RunProgress()
    for at, event in a_run():
        if at <= seconds:
            seen = run_progress.after(seen, event, BEGUN + timedelta(seconds=at))
    return [RunView(seen, form, BEGUN + timedelta(seconds=seconds))]


REFUSED = a_plan(
    checks=(
        Check("rights", CheckResult.PASSED, "14 rights, all held"),
        Check("grace", CheckResult.REFUSED, "3 pods have the default grace period of 30 s", "--accept-grace"),
    )
)
FAILED = an_end(Outcome.RESTART_FAILED, f"not rolled out in time: {HOSTILE}", COMMANDS.resume, COMMANDS.abort)

SHOWN: dict[str, Callable[[Form], list[Part]]] = {
    "plan": lambda form: plan_parts(a_plan(), form, BEGUN),
    "plan-refused": lambda form: plan_parts(REFUSED, form, BEGUN),
    "draining": lambda form: a_drawing(310, form),
    "stalled": lambda form: a_drawing(742, form),
    "verified": lambda form: a_drawing(752.05, form),
    "done": lambda form: summary_parts(an_end(), form),
    "failed": lambda form: summary_parts(FAILED, form),
    "check-restart-due": lambda form: check_parts(an_answer(presenting("second", "", "first")), form),
    "check-left-run": lambda form: check_parts(an_answer(presenting("first"), a_left_run()), form),
    "history": lambda form: history_parts(a_history(), form, LOOKED_AT),
}
FORMS = {"wide": 120, "narrow": 60, "plain": None}


def texts() -> Iterator[tuple[str, str]]:
    """Every text in every form, by its file's name."""
    for name, parts in SHOWN.items():
        for kind, width in FORMS.items():
            yield f"{name}-{kind}.txt", shown(parts, width)


if __name__ == "__main__":
    TEXTS.mkdir(exist_ok=True)
    for file, text in texts():
        (TEXTS / file).write_text(text, encoding="utf-8")
