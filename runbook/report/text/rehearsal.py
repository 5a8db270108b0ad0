"""A rehearsal for people: what is about to happen, what is typed next, what came of it, what was learned. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from runbook.outcomes import EXIT_CODES, MEANINGS, Outcome
from runbook.report.layout import Command, Form, Part, cell, item, pairs, section, table, title

_LOOKS = {0: "settled", 1: "a restart or a renewal is due", 2: "expired", 3: "it cannot be told"}
_ENDS = {
    **{EXIT_CODES[outcome]: MEANINGS[outcome] for outcome in reversed(Outcome)},
    2: "that cannot be typed so",
    137: "killed by SIGKILL",
}
"""What an exit code says; for 0 the first outcome that has it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One command that was typed, and what it ended with."""

    words: str
    code: int
    expected: int

    @property
    def as_told(self) -> bool:
        """Tell whether it ended as it was to."""
        return self.code == self.expected


def meaning(words: str, code: int) -> str:
    """Return what the exit code of a command says."""
    return (_LOOKS if " check-" in words else _ENDS).get(code, "nothing that is known")


def list_parts(rows: Sequence[tuple[str, str]], form: Form) -> list[Part]:
    """Show what can be rehearsed."""
    return [
        title("What may go wrong, and what rehearsing it teaches"),
        table(("fault", "teaches"), rows, form),
        *section("Rehearse one with"),
        Command("runbook rehearse --fault NAME"),
    ]


def opening_parts(
    form: Form, *, name: str, teaches: str, happens: str, changes: Iterable[tuple[str, str]], speed: int
) -> list[Part]:
    """Show where one is, and what is going to happen."""
    time = f"{speed} times as fast while the runbook waits; it stands still while the runbook works or asks"
    return [
        title(f"Rehearsal: {name}"),
        pairs(
            [
                ("cluster", "embedded in this process: no Kubernetes, nothing of yours is touched"),
                ("time", time),
                ("teaches", teaches),
                ("happens", happens),
            ]
        ),
        *section("What the workers are working on"),
        table(("pod", "change"), list(changes), form),
    ]


def act_parts(number: int, count: int, why: str, words: str, *, elsewhere: bool, form: Form) -> list[Part]:
    """Show what the operator does next."""
    where = " elsewhere" if elsewhere else ""
    head = Text.assemble((f"{form.signs.arrow} Step {number} of {count}{where}: ", "title"), cell(why))
    return [Text(), head, Command(words if elsewhere else f"$ {words}"), Text()]


def ended_parts(said: Said, form: Form) -> list[Part]:
    """Show what a command ended with."""
    sign, style = (form.signs.done, "good") if said.as_told else (form.signs.bad, "bad")
    text = f"exit code {said.code}: {meaning(said.words, said.code)}"
    text += "" if said.as_told else f"; this rehearsal expected {said.expected}: {meaning(said.words, said.expected)}"
    return [Text(), item(sign, text, style, indent=0)]


def left_parts() -> list[Part]:
    """Show that somebody has left before its end."""
    return [Text(), Text("The rehearsal was left; nothing of it remains.")]


def learned_parts(
    form: Form,
    *,
    teaches: str,
    said: Sequence[Said],
    runs: Sequence[Part],
    look_at: Sequence[str],
    workers: str,
) -> list[Part]:
    """Show what was learned."""
    rows = [(each.words, str(each.code), meaning(each.words, each.code)) for each in said]
    return [
        *section(f"What was learned: {teaches}"),
        table(("typed", "exit code", "meaning"), rows, form),
        *section("The runs, as runbook history shows them"),
        *runs,
        *section("At the end"),
        item(form.signs.bullet, workers),
        *section("What to look at on the real night"),
        *(item(form.signs.bullet, line) for line in look_at),
    ]
