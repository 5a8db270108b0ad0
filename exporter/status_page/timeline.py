"""A certificate's life as a line: from issue over renewal to the end, with today on it. Pure.

Where something is stale the line is that of the certificate which is still presented, and its second part is the
restart window; else it is that of the issued one, and its second part the time in which cert-manager renews.
Positions are percent of the line, to a tenth: they move every two hours in 90 days.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from certlag.assessment import Assessment, UseAssessment, Verdict
from exporter.status_page.words import Moment, moment

_LABEL_ROOM = 8.0
"""Percent from either end within which a centred label would stand out."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A named instant on the line. `sign` says which: issue, renewal, end."""

    sign: str
    label: str
    at: Moment


@dataclass(frozen=True, slots=True)
class Timeline:
    """The line: where its second part begins and ends, where today is, and what is marked; all in percent."""

    turn: float
    end: float
    today: float
    marks: tuple[Mark, ...]
    stale: bool

    @property
    def anchor(self) -> str:
        """SVG's text-anchor of the label over today."""
        if self.today < _LABEL_ROOM:
            return "start"
        return "end" if self.today > 100 - _LABEL_ROOM else "middle"


def timeline(use: UseAssessment, assessment: Assessment, now: datetime) -> Timeline | None:
    """Draw the line of one use of a certificate; None if nothing is known to be issued."""
    issued = assessment.issued
    if issued is None:
        return None
    begins = _stale_since(use)
    if use.deadline is not None and begins is not None:
        renewed = issued.at or issued.not_before
        return _line(("Issued", begins), ("Renewed", renewed), ("Deadline", use.deadline), now, stale=True)
    begins, ends, renewal = issued.not_before, issued.not_after, assessment.renewal_at
    due = "Renewal was due" if renewal is not None and renewal <= now else "Renewal"
    return _line(("Issued", begins), (due, renewal), ("Expires", ends), now, stale=False)


def _stale_since(use: UseAssessment) -> datetime | None:
    """Return when the certificate was issued that is presented still."""
    stale = (each for pod in use.pods for each in pod.endpoints if each.verdict is Verdict.STALE)
    leaves = (each.observed.loaded.leaf for each in stale if each.observed.loaded)
    first = min(leaves, key=lambda leaf: leaf.not_after, default=None)
    return first.not_before if first else None


def _line(
    begin: tuple[str, datetime],
    turn: tuple[str, datetime | None],
    end: tuple[str, datetime],
    now: datetime,
    *,
    stale: bool,
) -> Timeline:
    starts, stops = min(begin[1], now), max(end[1], now)
    whole = max(stops - starts, timedelta(seconds=1))

    def place(at: datetime) -> float:
        return round(100 * min(1.0, max(0.0, (at - starts) / whole)), 1)

    (turn_label, turns), (end_label, ends) = turn, end
    marks = [Mark("issue", begin[0], moment(begin[1], now))]
    if turns is not None:
        marks.append(Mark("renewal", turn_label, moment(turns, now)))
    marks.append(Mark("end", "Expired" if ends <= now and end_label == "Expires" else end_label, moment(ends, now)))
    return Timeline(place(turns or ends), place(ends), place(now), tuple(marks), stale)
