"""Can the exporter itself see? Its watches, when it last heard from the API server, its handshakes. Pure.

A page that says "nothing to do" because nothing was heard for an hour is worse than none, so this comes first.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from certlag.assessment import Assessment
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import Watch
from exporter.status import Status
from exporter.status_page.words import counted, span

SILENT = timedelta(minutes=5)
"""A watch that received nothing for this long has lost contact: a bookmark comes each minute."""
FAILING = timedelta(seconds=30)
"""As long as this, failed requests are tried again without alarm."""


class Level(StrEnum):
    """How well it sees."""

    CLEAR = "clear"
    PARTLY = "partly"
    DOWN = "down"
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


def health(status: Status) -> ExporterHealth:
    """Assess what the exporter says of itself."""
    lost = tuple(_lost_watches(status.watches, status.now))
    answering, asked = _handshakes(status.certificates)
    mute = asked > 0 and answering == 0
    level = _level(status, lost, mute=mute, all_answer=answering == asked)
    return ExporterHealth(
        level,
        _unreached(status) if level is Level.UNREACHED else _headline(level, lost),
        _watches(status.watches, status.now, lost=len(lost)),
        _said(answering, asked),
        lost,
    )


def _level(status: Status, lost: tuple[WatchLine, ...], *, mute: bool, all_answer: bool) -> Level:
    if not status.ready:
        return Level.UNREACHED if _unreached(status) else Level.STARTING
    if lost or mute:
        return Level.DOWN
    failing = any(health.failure is not None for health in status.watches.values())
    return Level.PARTLY if failing or not all_answer else Level.CLEAR


def _unreached(status: Status) -> str:
    """Say for how long the API server has not given the first lists, and why; empty if it has not failed for long."""
    failing = [
        (health.failing_since, _name(watch), health.failure)
        for watch, health in status.watches.items()
        if health.failing_since and health.failure and not health.synced
    ]
    since, what, failure = min(failing, default=(status.now, "", ""))
    if status.now - since < FAILING:
        return ""
    server, why = status.server or "the API server", failure.replace("_", " ")
    return (
        f"The exporter cannot read {what} from {server}: {why}, for {span(status.now - since)}; nothing is assessed yet"
    )


def _headline(level: Level, lost: tuple[WatchLine, ...]) -> str:
    match level:
        case Level.STARTING:
            return "The exporter looks for the first time: nothing is assessed before it has seen everything"
        case Level.DOWN if lost:
            return "Monitoring is down: the data is old, and new deadlines are not noticed"
        case Level.DOWN:
            return "Monitoring is down: no handshake succeeds, so a restart would not be noticed"
        case Level.PARTLY:
            return "The exporter sees, but not everything"
    return "The exporter sees"


def _lost_watches(watches: Mapping[Watch, WatchHealth], now: datetime) -> Iterator[WatchLine]:
    for watch, health in watches.items():
        silent = now - health.last_contact_at if health.last_contact_at is not None else timedelta.max
        why = f": {health.failure.replace('_', ' ')}" if health.failure else ""
        if not health.synced:
            yield WatchLine(_name(watch), f"not read completely{why}")
        elif silent > (FAILING if health.failure else SILENT):
            yield WatchLine(_name(watch), f"silent for {span(silent)}{why}")


def _name(watch: Watch) -> str:
    where = "all namespaces" if watch.namespace == "*" else f"namespace {watch.namespace}"
    return f"{watch.resource.name} {watch.name or ''}".strip() + f" in {where}"


def _watches(watches: Mapping[Watch, WatchHealth], now: datetime, *, lost: int) -> str:
    """Say how many watches see; the quietest counts, to the minute, as bookmarks come."""
    contacts = [health.last_contact_at for health in watches.values() if health.last_contact_at is not None]
    quiet = now - min(contacts, default=now)
    heard = "moments" if quiet < timedelta(minutes=2) and not lost else span(quiet)
    last = f"the quietest was heard {heard} ago" if contacts else "nothing heard yet"
    return f"{len(watches) - lost:,} of {counted(len(watches), 'watch', 'watches')} in step with the API server; {last}"


def _handshakes(certificates: Iterable[Assessment]) -> tuple[int, int]:
    """Return how many containers answered their last handshake, and how many were probed."""
    uses = (use for assessment in certificates for use in assessment.uses)
    endpoints = [each.observed for use in uses for pod in use.pods for each in pod.endpoints]
    last = [each.observation for each in endpoints if each.endpoint.port and each.observation]
    probed = [each for each in last if each.failure or each.last_success_at]
    return sum(each.failure is None for each in probed), len(probed)


def _said(answering: int, asked: int) -> str:
    if not asked:
        return "no handshake yet"
    return f"{answering:,} of {counted(asked, 'container')} answered the last handshake"
