"""The page as a whole: what is said in big, the counts below it, and the cards. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from certlag.assessment import Assessment
from exporter.status import Status
from exporter.status_page.cards import Card, cards
from exporter.status_page.headline import Count, Headline, counts, headline
from exporter.status_page.health import ExporterHealth, health
from exporter.status_page.words import Moment, moment

MAX_CARDS = 2000
"""More than that nobody reads on a page; the JSON has them all."""
MAX_UNUSED = 50


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
    health: ExporterHealth
    cards: tuple[Card, ...]
    left_out: int
    unused: int
    unused_overdue: tuple[UnusedCertificate, ...]


def view(status: Status) -> View:
    """Make the page of a status."""
    now, all_cards, seen = status.now, cards(status), health(status)
    unused = [assessment for assessment in status.certificates if not assessment.uses]
    said = headline(all_cards, seen)
    return View(
        as_of=moment(now.replace(second=0, microsecond=0), now),  # to the minute: else it alone would change the page
        title=said.text,
        headline=said,
        counts=tuple(counts(all_cards)),
        health=seen,
        cards=tuple(all_cards[:MAX_CARDS]),
        left_out=max(0, len(all_cards) - MAX_CARDS),
        unused=len(unused),
        unused_overdue=tuple(_overdue(unused, now))[:MAX_UNUSED],
    )


def _overdue(unused: Sequence[Assessment], now: datetime) -> Iterator[UnusedCertificate]:
    for assessment in unused:
        renewal, ends = assessment.renewal_at, assessment.issued.not_after if assessment.issued else None
        if ends is not None and (ends <= now or (renewal is not None and renewal <= now)):
            yield UnusedCertificate(assessment.key.name, assessment.key.namespace, moment(ends, now))
