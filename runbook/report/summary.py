"""The end of a command for people: how it came out, how long each step took, what is left to be typed. Pure."""

from collections.abc import Iterable

from rich.text import Text

from runbook.events import Ended
from runbook.outcomes import MEANINGS, Outcome
from runbook.report.layout import Cell, Command, Form, Part, Signs, cell, item, pairs, section
from runbook.report.wording import BRIEF, STEPS, length, sentence, visible

GOOD = frozenset({Outcome.DONE, Outcome.DRY_RUN, Outcome.NOTHING_TO_DO, Outcome.ABORTED})
AS_BEFORE = frozenset(
    {
        Outcome.REFUSED,
        Outcome.CANCELLED,
        Outcome.DENIED,
        Outcome.LOCKED,
        Outcome.DRAIN_TIMED_OUT,
        Outcome.OLD_CERTIFICATE,
        Outcome.NOT_VERIFIED,
        Outcome.INTERRUPTED,
    }
)
"""Not what was wanted, but the workers are not left drained by it."""


def summary_parts(ended: Ended, form: Form) -> list[Part]:
    """Show how a command ended."""
    return [_outcome(ended, form), *_facts(ended), *_durations(ended), *_left_to_do(ended)]


def outcome_style(outcome: Outcome) -> str:
    """Return how an outcome is coloured."""
    return "good" if outcome in GOOD else "warning" if outcome in AS_BEFORE else "bad"


def outcome_sign(outcome: Outcome, signs: Signs) -> str:
    """Return the sign of an outcome."""
    return {"good": signs.done, "warning": signs.warning, "bad": signs.bad}[outcome_style(outcome)]


def _outcome(ended: Ended, form: Form) -> Part:
    style = outcome_style(ended.outcome)
    said = ended.message if ended.outcome is Outcome.DRY_RUN else sentence(MEANINGS[ended.outcome])
    words = Text(visible(said), style=style)
    if code := ended.exit_code:
        words.append(f" (exit code {code})", "faint")
    return item(outcome_sign(ended.outcome, form.signs), words, style, indent=0)


def _facts(ended: Ended) -> Iterable[Part]:
    facts: list[tuple[str, Cell]] = []
    if ended.message and ended.outcome is not Outcome.DRY_RUN:
        facts.append(("because" if ended.outcome not in GOOD else "note", ended.message))
    if ended.run is not None:
        facts.append(("run", ended.run))
    facts += [("recorded", f"{workload} had {count} replicas") for workload, count in ended.replicas]
    if facts:
        yield pairs(facts)


def _durations(ended: Ended) -> Iterable[Part]:
    steps: list[tuple[str, Cell]] = [
        (STEPS.get(step, visible(step)), length(seconds)) for step, seconds in ended.seconds if seconds >= BRIEF
    ]
    if steps:
        total = sum(seconds for _, seconds in ended.seconds)
        yield from section("How long it took")
        yield pairs([*steps, ("in all", cell(length(total), "title"))])


def _left_to_do(ended: Ended) -> Iterable[Part]:
    if ended.next_commands:
        yield from section("What to do next")
        yield from (Command(visible(command)) for command in ended.next_commands)
