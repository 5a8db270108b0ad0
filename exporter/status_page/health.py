"""Can the exporter itself see? Its watches, when it last heard from the API server, its handshakes. Pure.

A page that says "nothing to do" because nothing was heard for an hour is worse than none, so this comes first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from exporter.status_page.words import counted, instant, span

SILENT = timedelta(minutes=5)
"""A watch that heard nothing for so long is blind: a bookmark comes each minute."""
FAILING = timedelta(seconds=30)
"""As long as this, failed requests are tried again without alarm."""


class Level(StrEnum):
    """How well it sees."""

    CLEAR = "clear"
    PARTLY = "partly"
    BLIND = "blind"
    STARTING = "starting"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class WatchLine:
    """One watch that does not see, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ExporterHealth:
    """How well the exporter sees, in words, and what it does not see."""

    level: Level
    headline: str
    watches: str
    handshakes: str
    lost_watches: tuple[WatchLine, ...]


def health(document: Mapping[str, Any], now: datetime) -> ExporterHealth:
    """Judge what the exporter says of itself."""
    blind = tuple(_blind_watches(document["watches"], now))
    answering, asked = _handshakes(document)
    mute = asked > 0 and answering == 0
    level = _level(document, blind, now, mute=mute, all_answer=answering == asked)
    return ExporterHealth(
        level,
        _unreached(document, now) if level is Level.UNREACHED else _headline(level, blind),
        _watches(document["watches"], now, blind=len(blind)),
        _said(answering, asked),
        blind,
    )


def _level(
    document: Mapping[str, Any], blind: tuple[WatchLine, ...], now: datetime, *, mute: bool, all_answer: bool
) -> Level:
    if not document["ready"]:
        return Level.UNREACHED if _unreached(document, now) else Level.STARTING
    if blind or mute:
        return Level.BLIND
    failing = any(watch["failure"] is not None for watch in document["watches"])
    return Level.PARTLY if failing or not all_answer else Level.CLEAR


def _unreached(document: Mapping[str, Any], now: datetime) -> str:
    """Say for how long the API server has not given the first lists, and why; empty if it has not failed for long."""
    failing = [watch for watch in document["watches"] if watch["failingSince"] and not watch["synced"]]
    first = min(failing, key=lambda watch: str(watch["failingSince"]), default=None)
    since = instant(first["failingSince"]) if first else None
    if first is None or since is None or now - since < FAILING:
        return ""
    server, why = document["server"] or "the API server", first["failure"].replace("_", " ")
    return (
        f"The exporter cannot read {_name(first)} from {server}: {why}, for {span(now - since)}; nothing is judged yet"
    )


def _headline(level: Level, blind: tuple[WatchLine, ...]) -> str:
    match level:
        case Level.STARTING:
            return "The exporter looks for the first time: nothing is judged before it has seen everything"
        case Level.BLIND if blind:
            return "The exporter is blind: what stands here is old, and what becomes due now is not noticed"
        case Level.BLIND:
            return "The exporter is blind: no handshake succeeds, so a restart would not be noticed"
        case Level.PARTLY:
            return "The exporter sees, but not everything"
    return "The exporter sees"


def _blind_watches(watches: list[Mapping[str, Any]], now: datetime) -> Iterator[WatchLine]:
    for watch in watches:
        contact = instant(watch["lastContactAt"])
        silent = now - contact if contact is not None else timedelta.max
        why = f": {watch['failure'].replace('_', ' ')}" if watch["failure"] else ""
        if not watch["synced"]:
            yield WatchLine(_name(watch), f"not read completely{why}")
        elif silent > (FAILING if watch["failure"] else SILENT):
            yield WatchLine(_name(watch), f"silent for {span(silent)}{why}")


def _name(watch: Mapping[str, Any]) -> str:
    where = "all namespaces" if watch["namespace"] == "*" else f"namespace {watch['namespace']}"
    return f"{watch['resource']} {watch['name'] or ''}".strip() + f" in {where}"


def _watches(watches: list[Mapping[str, Any]], now: datetime, *, blind: int) -> str:
    """Say how many watches see; the quietest counts, to the minute, as bookmarks come."""
    contacts = [at for watch in watches if (at := instant(watch["lastContactAt"])) is not None]
    quiet = now - min(contacts, default=now)
    heard = "moments" if quiet < timedelta(minutes=2) and not blind else span(quiet)
    last = f"the quietest was heard {heard} ago" if contacts else "nothing heard yet"
    return (
        f"{len(watches) - blind:,} of {counted(len(watches), 'watch', 'watches')} in step with the API server; {last}"
    )


def _handshakes(document: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many containers answered their last handshake, and how many were asked."""
    uses = (use for certificate in document["certificates"] for use in certificate["uses"])
    ends = [endpoint for use in uses for pod in use["pods"] for endpoint in pod["endpoints"]]
    asked = [end for end in ends if end["port"] is not None and (end["failure"] or end["lastSuccessAt"])]
    return sum(end["failure"] is None for end in asked), len(asked)


def _said(answering: int, asked: int) -> str:
    if not asked:
        return "no handshake yet"
    return f"{answering:,} of {counted(asked, 'container')} answered the last handshake"
