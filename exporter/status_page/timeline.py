"""A certificate's life as a line: from issue over renewal to the end, with today on it. Pure.

Where something is stale the line is that of the certificate which is still presented, and its second part is the
restart window; else it is that of the issued one, and its second part the time in which cert-manager renews.
Positions are percent of the line, to a tenth: they move every two hours in 90 days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from exporter.status_page.words import Moment, instant, moment

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


def timeline(use: Mapping[str, Any], certificate: Mapping[str, Any], now: datetime) -> Timeline | None:
    """Draw the line of one use of a certificate; None if nothing is known to be issued."""
    issued = certificate["issued"]
    if issued is None:
        return None
    deadline, begins = instant(use["deadline"]), _stale_since(use)
    if deadline is not None and begins is not None:
        renewed = instant(issued["at"]) or instant(issued["notBefore"])
        return _line(("Issued", begins), ("Renewed", renewed), ("Deadline", deadline), now, stale=True)
    begins, ends, renewal = (
        instant(issued["notBefore"]),
        instant(issued["notAfter"]),
        instant(certificate["renewalAt"]),
    )
    if begins is None or ends is None:
        return None
    due = "Renewal was due" if renewal is not None and renewal <= now else "Renewal"
    return _line(("Issued", begins), (due, renewal), ("Expires", ends), now, stale=False)


def _stale_since(use: Mapping[str, Any]) -> datetime | None:
    """Return when the certificate was issued that is presented still."""
    endpoints = [endpoint for pod in use["pods"] for endpoint in pod["endpoints"]]
    stale = [endpoint["loaded"] for endpoint in endpoints if endpoint["verdict"] == "stale" and endpoint["loaded"]]
    first = min(stale, key=lambda loaded: str(loaded["notAfter"]), default=None)
    return instant(first["notBefore"]) if first else None


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
