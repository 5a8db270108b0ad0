"""A plan for people: where, why, what will change, what was checked, how long it may take, what if not. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.text import Text

from runbook.kube.views import counted
from runbook.plan.model import Busy, Check, CheckResult, Plan
from runbook.report.layout import Cell, Form, Part, Signs, cell, grid, item, pairs, section, table, title
from runbook.report.text.pods import pod_table
from runbook.report.wording import length

RESULTS = {
    CheckResult.PASSED: ("done", "good"),
    CheckResult.NOTED: ("note", "note"),
    CheckResult.WARNED: ("warning", "warning"),
    CheckResult.OVERRIDDEN: ("warning", "warning"),
    CheckResult.REFUSED: ("bad", "bad"),
}
"""The sign and the style of each result of a check."""


def plan_parts(plan: Plan, form: Form, now: datetime) -> list[Part]:
    """Show the whole plan."""
    parts: list[Part] = [title(f"Plan of {plan.command}"), pairs(_where(plan))]
    if plan.presented:
        parts += [*section("What each pod presents"), pod_table(plan.presented, form, now)]
    if plan.changes and not plan.nothing_to_do:
        parts += [*section("What will change"), *_changes(plan, form)]
        parts += [item(form.signs.bullet, "written too: " + ", ".join(plan.bookkeeping))]
    if plan.checks:
        parts += [*section("What was checked"), *_checks(plan.checks, form)]
    acts = not plan.nothing_to_do and not plan.refusals
    if plan.busy and acts:
        parts += [*section("Who is given time to finish"), _busy(plan.busy, form, now)]
    if plan.limits and acts:
        parts += [*section("How long it may take"), pairs(_limits(plan.limits))]
    if plan.on_failure and acts:
        parts += [*section("If it is not over in time")]
        parts += [item(form.signs.bullet, line) for line in plan.on_failure]
    return [*parts, *_end(plan, form)]


def warning_parts(plan: Plan, form: Form) -> list[Part]:
    """Show only what is not as it should be."""
    return list(_checks([check for check in plan.checks if RESULTS[check.result][1] in ("warning", "bad")], form))


def _where(plan: Plan) -> Iterable[tuple[str, Cell]]:
    yield "context", cell(plan.context, "title")
    yield "server", cell(plan.server, "title")
    yield "namespace", plan.namespace
    yield "target", plan.target
    yield "from", plan.source
    yield "you", plan.user
    if plan.reason:
        yield "why", plan.reason


def _changes(plan: Plan, form: Form) -> Iterable[Part]:
    for change in plan.changes:
        turn = (cell(change.before), (f" {form.signs.arrow} ", "faint"), cell(change.after, "title"))
        yield item(form.signs.bullet, Text.assemble(cell(change.what), ": ", *turn))


def _checks(checks: Iterable[Check], form: Form) -> Iterable[Part]:
    """Show each check by its sign and name, with what would be right below it."""
    found = [(*RESULTS[check.result], check) for check in checks]
    if form.narrow:
        for sign, style, check in found:
            text = Text.assemble(cell(check.name, style), ": ", _finding(check, form.signs))
            yield item(getattr(form.signs, sign), text, style)
    elif found:
        marked = [
            (Text(getattr(form.signs, sign), style), cell(check.name, style), _finding(check, form.signs))
            for sign, style, check in found
        ]
        yield grid(marked)


def _finding(check: Check, signs: Signs) -> Text:
    text = cell(check.text, "faint" if check.result is CheckResult.PASSED else "")
    if check.result is CheckResult.OVERRIDDEN:
        text.append(" (overridden)", "warning")
    if check.remedy:
        text.append_text(Text.assemble("\n", (f"{signs.arrow} ", "faint"), cell(check.remedy)))
    return text


def _busy(busy: Iterable[Busy], form: Form, now: datetime) -> Part:
    rows = [
        (
            cell(each.pod),
            cell(each.node),
            "" if each.started_at is None else length((now - each.started_at).total_seconds() // 1),
            length(each.grace),
        )
        for each in busy
    ]
    return table(("pod", "node", "running for", "may take"), rows, form)


def _limits(limits: tuple[tuple[str, timedelta], ...]) -> Iterable[tuple[str, Cell]]:
    for name, limit in limits:
        yield name, Text(f"at most {length(limit)}")
    if len(limits) > 1:
        total = sum((limit for _, limit in limits), timedelta(0))
        yield "in all", Text(f"at most {length(total)}", style="title")


def _end(plan: Plan, form: Form) -> Iterable[Part]:
    if plan.refusals:
        stand = "stands" if len(plan.refusals) == 1 else "stand"
        text = f"{counted(len(plan.refusals), 'precondition')} {stand} in the way: nothing will be changed"
        yield Text()
        yield item(form.signs.bad, Text(text, style="bad"), "bad", indent=0)
