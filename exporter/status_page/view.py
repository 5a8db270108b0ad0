"""The page as a whole: what is said in big, the counts below it, and the cards. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exporter.run_record import RunState
from exporter.status_page.cards import PROBLEMS, Card, Level, cards
from exporter.status_page.sight import Level as Seeing
from exporter.status_page.sight import Sight, sight
from exporter.status_page.words import Moment, counted, instant, moment

MAX_CARDS = 2000
"""More than that nobody reads on a page; the JSON has them all."""
MAX_UNUSED = 50


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer, in big: a level, a sentence, and what belongs to it."""

    level: str
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many workloads are in a state, in words: `1` and `restart needed`."""

    level: Level
    count: int
    words: str


@dataclass(frozen=True, slots=True)
class UnusedCertificate:
    """A certificate that no watched workload uses and that cert-manager should have renewed."""

    name: str
    namespace: str
    ends: Moment


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page."""

    as_of: Moment
    title: str
    headline: Headline
    counts: tuple[Count, ...]
    sight: Sight
    cards: tuple[Card, ...]
    left_out: int
    unused: int
    unused_overdue: tuple[UnusedCertificate, ...]


def view(document: Mapping[str, Any]) -> View:
    """Make the page of a status document, as of the instant at which that was made."""
    now = datetime.fromisoformat(document["at"])
    all_cards, seen = cards(document, now), sight(document, now)
    unused = [certificate for certificate in document["certificates"] if not certificate["uses"]]
    headline = _headline(all_cards, seen)
    return View(
        as_of=moment(now.replace(second=0, microsecond=0), now),  # to the minute: else it alone would change the page
        title=headline.text,
        headline=headline,
        counts=tuple(_counts(all_cards)),
        sight=seen,
        cards=tuple(all_cards[:MAX_CARDS]),
        left_out=max(0, len(all_cards) - MAX_CARDS),
        unused=len(unused),
        unused_overdue=tuple(_overdue(unused, now))[:MAX_UNUSED],
    )


def _counts(all_cards: Sequence[Card]) -> Iterator[Count]:
    for (level, state), count in Counter((card.level, _short(card)) for card in all_cards).items():
        yield Count(level, count, _plural(state) if count > 1 else state)


def _short(card: Card) -> str:
    return card.state.partition(":")[0].lower()


def _plural(state: str) -> str:
    return re.sub("^(restart|renewal) ", r"\1s ", state)


def _headline(all_cards: Sequence[Card], seen: Sight) -> Headline:
    """Say the most important thing in one sentence, and what else there is."""
    problems = [card for card in all_cards if card.level in PROBLEMS]
    if seen.level is Seeing.STARTING:
        return Headline("waiting", "Looking for the first time", "Nothing is judged before everything was seen once.")
    if seen.level is Seeing.BLIND:
        text = "The exporter cannot see"
        return Headline("critical", text, f"What stands below is what it saw last. {_others(problems)}".strip())
    for text, detail, cause in _causes(problems):
        if cause:
            others = _others([card for card in problems if card not in cause])
            return Headline(cause[0].level, text, f"{detail} {others}".strip())
    if not all_cards:
        return Headline("waiting", "Nothing is watched yet", "No configured target and no discovered pod was found.")
    if problems:
        return Headline("unknown", "No restart needed", _others(problems, also="But: "))
    return Headline("good", "Nothing to do", _why_nothing(all_cards))


def _causes(problems: Sequence[Card]) -> Iterator[tuple[str, str, list[Card]]]:
    """Yield what may be said in big, the most important first: sentence, detail, and the cards it is about."""
    left = [card for card in problems if card.run and (card.run.state is RunState.LEFT_DRAINED or not card.run.alive)]
    yield _of(left, "{name}: a run was left unfinished", "{count} runs were left unfinished"), "", left
    running = [card for card in problems if card.run and card not in left]
    text = f"{running[0].name}: {running[0].run.title.lower()}" if running and running[0].run else ""
    yield _of(running, text, "{count} runs are in progress"), "A run is in progress; this page follows it.", running
    due = [card for card in problems if card.needs_restart and not card.run]
    by = due[0].due.at if due and due[0].due else None
    when = f"{by.date}, {by.words}." if by else ""
    left_to = f"{by.words.removeprefix('in ')} left, until {by.date}." if by and by.words.startswith("in ") else when
    one = f"Restart {{name}} by {by.day}" if by else "Restart {name}"
    yield _of(due, one, "{count} restarts needed"), f"First deadline: {when}" if len(due) > 1 else left_to, due
    expired = [card for card in problems if card.level is Level.CRITICAL and card not in due and not card.run]
    yield (
        _of(expired, "{name} presents an expired certificate", "{count} expired certificates are presented"),
        "",
        expired,
    )


def _of(about: Sequence[Card], one: str, several: str) -> str:
    template = one if len(about) == 1 else several
    return template.replace("{count}", f"{len(about):,}").replace("{name}", about[0].name if about else "")


def _others(problems: Sequence[Card], also: str = "Also: ") -> str:
    """Say what else there is, by state."""
    found = ", ".join(f"{count.count:,} {count.words}" for count in _counts(problems))
    return f"{also}{found}." if found else ""


def _why_nothing(all_cards: Sequence[Card]) -> str:
    settled = [card for card in all_cards if card.level is Level.GOOD]
    what = f"All {counted(len(settled), 'workload')} present" if len(settled) != 1 else "The only workload presents"
    renewals = [card for card in settled if card.due]
    first = min(renewals, key=lambda card: card.due.at.iso if card.due else "", default=None)
    then = f" Next renewal: {first.name}, {first.due.at.day}, {first.due.at.words}." if first and first.due else ""
    return f"{what} the certificate that was issued.{then}"


def _overdue(unused: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[UnusedCertificate]:
    for certificate in unused:
        renewal, issued = instant(certificate["renewalAt"]), certificate["issued"]
        ends = instant(issued["notAfter"]) if issued else None
        if ends is not None and (ends <= now or (renewal is not None and renewal <= now)):
            yield UnusedCertificate(certificate["name"], certificate["namespace"], moment(ends, now))
