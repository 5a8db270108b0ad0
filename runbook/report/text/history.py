"""Past runs for people: when, of what, how it ended, how long each step took, who. The latest first. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from rich.text import Text

from runbook.guard.record import FinishedRun, Operator, Record, Run
from runbook.outcomes import Outcome
from runbook.report.layout import Form, Part, Signs, cell, item
from runbook.report.summary import outcome_sign, outcome_style
from runbook.report.wording import STEPS, length, moment

NOTABLE = 1.0
"""Seconds below which a step of a past run is not worth mentioning."""


def history_parts(records: Mapping[str, Record], form: Form, now: datetime) -> list[Part]:
    """Show the runs of some targets, all in one order."""
    runs: list[tuple[datetime, Part]] = []
    for target, record in records.items():
        runs += [(past.begun, _past(target, past, form.signs)) for past in record.finished]
        if record.run is not None:
            runs.append((record.run.begun, _run(target, record.run, form.signs, now)))
    latest_first = sorted(runs, key=lambda run: run[0], reverse=True)
    return [part for _, part in latest_first] or [Text("No run is recorded")]


def _past(target: str, past: FinishedRun, signs: Signs) -> Part:
    head = _head(target, past.begun, past.finished - past.begun, past.outcome)
    lines = [head, *_more(past.operator, past.detail, past.seconds)]
    return item(outcome_sign(past.outcome, signs), Text("\n").join(lines), outcome_style(past.outcome), indent=0)


def _run(target: str, run: Run, signs: Signs, now: datetime) -> Part:
    """Show an open run: where it is, and whether anybody says that it was left."""
    head = _head(target, run.begun, (run.ended_at or now) - run.begun, run.ended)
    lines = [head, *_more(run.operator, run.detail, ()), cell(f"open at: {STEPS[run.step]}", "warning")]
    return item(signs.warning, Text("\n").join(lines), "warning", indent=0)


def _head(target: str, begun: datetime, lasted: timedelta, outcome: Outcome | None) -> Text:
    how = cell("open", "warning") if outcome is None else cell(str(outcome), outcome_style(outcome))
    return Text.assemble(moment(begun), "  ", cell(target, "title"), "  ", how, f"  {length(lasted)}")


def _more(operator: Operator, detail: str, seconds: Iterable[tuple[str, float]]) -> Iterable[Text]:
    yield cell(f"by {operator.user} on {operator.host}" + (f": {operator.reason}" if operator.reason else ""))
    steps = [f"{STEPS.get(step, step)} {length(took)}" for step, took in seconds if took >= NOTABLE]
    if steps:
        yield cell(", ".join(steps), "faint")
    if detail:
        yield cell(detail)
