"""What is said in big: the most important thing in one sentence, and in a second what else there is. Pure.

Each of `_SAYINGS` may have something to say about some of the problems; the first that has is heard.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from certlag.assessment import WindowState
from certlag.run_record import RunState
from exporter.status_page.cards import Card, Level
from exporter.status_page.health import ExporterHealth
from exporter.status_page.health import Level as Seeing
from exporter.status_page.words import STATES, counted


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer, in big: a level, a sentence, and what belongs to it."""

    level: str
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many workloads are in a state, in words: `2` and `restarts needed`."""

    level: Level
    count: int
    words: str


@dataclass(frozen=True, slots=True)
class _Saying:
    """A sentence, what belongs to it, and the cards that it is about."""

    text: str
    detail: str
    about: Sequence[Card]


def counts(cards: Sequence[Card]) -> Iterator[Count]:
    """Count cards by their state, in their order."""
    states = ((card.level, card.state.partition(":")[0].lower()) for card in cards)
    for (level, state), count in Counter(states).items():
        yield Count(level, count, re.sub("^(restart|renewal) ", r"\1s ", state) if count > 1 else state)


def headline(cards: Sequence[Card], health: ExporterHealth) -> Headline:
    """Say the most important thing about all workloads, given how well the exporter sees."""
    problems = [card for card in cards if card.is_problem]
    if health.level is Seeing.UNREACHED:
        return Headline("critical", "The exporter cannot reach the API server", f"{health.headline}.")
    if health.level is Seeing.STARTING:
        return Headline("waiting", "Looking for the first time", "Nothing is assessed before everything was seen once.")
    if health.level is Seeing.DOWN:
        detail = f"The data below is old. {_others(problems)}".strip()
        return Headline("critical", "Monitoring is down", detail)
    for saying in (say(problems) for say in _SAYINGS):
        if saying.about:
            said = {card.id for card in saying.about}
            others = _others([card for card in problems if card.id not in said])
            return Headline(saying.about[0].level, saying.text, f"{saying.detail} {others}".strip())
    if not cards:
        return Headline("waiting", "Nothing is watched yet", "No configured target and no discovered pod was found.")
    if problems:
        return Headline("unknown", "No restart needed", _others(problems, also="But: "))
    return Headline("good", "Nothing to do", _why_nothing(cards))


# --- what may be said -----------------------------------------------------------------------------


def _left_unfinished(problems: Sequence[Card]) -> _Saying:
    left = [card for card in problems if card.run and (card.run.state is RunState.LEFT_DRAINED or not card.run.alive)]
    return _Saying(_named(left, "{name}: a run was left unfinished", "{count} runs were left unfinished"), "", left)


def _expired(problems: Sequence[Card]) -> _Saying:
    expired = [card for card in problems if card.state == STATES[WindowState.EXPIRED]]
    detail = "Clients that check it are refused."
    one, several = "{name} presents an expired certificate", "{count} expired certificates are presented"
    if expired and all(card.needs_restart for card in expired):
        one, detail = "Restart {name} now: it presents an expired certificate", "A valid one was issued."
    return _Saying(_named(expired, one, several), detail, expired)


def _running(problems: Sequence[Card]) -> _Saying:
    running = [card for card in problems if card.level is Level.BUSY]
    doing = running[0].state.lower() if running else ""
    text = _named(running, f"{{name}}: {doing}", "{count} runs are in progress")
    return _Saying(text, "A run is in progress; this page follows it.", running)


def _to_restart(problems: Sequence[Card]) -> _Saying:
    to_restart = [card for card in problems if card.needs_restart and not card.run]
    by = to_restart[0].due.at if to_restart and to_restart[0].due else None
    if by is None:
        return _Saying(_named(to_restart, "Restart {name}", "{count} restarts needed"), "", to_restart)
    several = len(to_restart) > 1
    detail = f"First deadline: {by.date}, {by.words}." if several else f"{by.words.capitalize()}: {by.date}."
    return _Saying(_named(to_restart, f"Restart {{name}} by {by.day}", "{count} restarts needed"), detail, to_restart)


_SAYINGS: tuple[Callable[[Sequence[Card]], _Saying], ...] = (_left_unfinished, _expired, _running, _to_restart)


# --- how it is said -------------------------------------------------------------------------------


def _named(about: Sequence[Card], one: str, several: str) -> str:
    """Fill in how many, or the name of the only one."""
    return one.replace("{name}", about[0].name) if len(about) == 1 else several.replace("{count}", f"{len(about):,}")


def _others(problems: Sequence[Card], also: str = "Also: ") -> str:
    found = ", ".join(f"{count.count:,} {count.words}" for count in counts(problems))
    return f"{also}{found}." if found else ""


def _why_nothing(cards: Sequence[Card]) -> str:
    settled = [card for card in cards if card.level is Level.GOOD]
    what = "The only workload presents" if len(settled) == 1 else f"All {counted(len(settled), 'workload')} present"
    renewals = [(card.due.at.iso, card.name, card.due.at) for card in settled if card.due]
    if not renewals:
        return f"{what} the certificate that was issued."
    _, name, at = min(renewals, key=lambda renewal: renewal[:2])
    return f"{what} the certificate that was issued. Next renewal: {name}, {at.day}, {at.words}."
