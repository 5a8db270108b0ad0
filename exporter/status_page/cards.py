"""One card for each workload: its state, by when, what to do, its run, its pods and what each presents. Pure.

A card is a value: as long as it is equal to the one before, its HTML is too. It has words instead of instants, so time
passes without changing it, until a word changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from certlag.assessment import Reason, Verdict, WindowState
from certlag.model import Evidence, ProbeFailure
from certlag.run_record import RunState
from exporter.status_page import advice
from exporter.status_page.advice import Advice
from exporter.status_page.runs import RunView, last_run, open_run
from exporter.status_page.timeline import Timeline, timeline
from exporter.status_page.words import FAILURES, REASONS, STATES, VERDICTS, Moment, counted, instant, moment


class Level(StrEnum):
    """How much of a problem it is, the worst first."""

    CRITICAL = "critical"
    BUSY = "busy"
    WARNING = "warning"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    GOOD = "good"


PROBLEMS = frozenset({Level.CRITICAL, Level.WARNING, Level.BUSY, Level.UNKNOWN})


@dataclass(frozen=True, slots=True)
class PodLine:
    """One endpoint of a pod (or the pod, if it has none): what it presents, and the verdict."""

    pod: str
    endpoint: str
    presents: str
    serial: str
    verdict: str
    verdict_words: str
    reason: str
    trouble: str


@dataclass(frozen=True, slots=True)
class UseView:
    """How the workload uses one certificate."""

    certificate: str
    issuer: str
    issued: str
    serial: str
    timeline: Timeline | None
    pods: tuple[PodLine, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Due:
    """By when something is due, and what."""

    label: str
    at: Moment


@dataclass(frozen=True, slots=True)
class Card:
    """All that is shown of one workload. `rank` is its place: the most urgent first."""

    id: str
    name: str
    place: str
    level: Level
    state: str
    due: Due | None
    advice: Advice
    run: RunView | None
    last_run: str
    uses: tuple[UseView, ...]
    needs_restart: bool
    rank: tuple[int, str, str]

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look at it."""
        return self.level in PROBLEMS

    @property
    def search(self) -> str:
        """All names on it, in lower case."""
        pods = (line.pod for use in self.uses for line in use.pods)
        return " ".join((self.name, self.place, self.state, *(use.certificate for use in self.uses), *pods)).lower()


Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


def cards(document: Mapping[str, Any], now: datetime) -> list[Card]:
    """Make the cards of a status document, the most urgent first."""
    uses: dict[tuple[str, ...], list[Pair]] = {}
    for certificate in document["certificates"]:
        for use in certificate["uses"]:
            uses.setdefault(_key(use["target"], use["workload"]), []).append((certificate, use))
    targets = {_key(target["name"], target["workload"]): target for target in document["targets"]}
    masters = {_key("", worker): target["name"] for target in document["targets"] for worker in target["workers"]}
    release = document["release"]
    made = [_card(target, target["workload"], uses.pop(key, []), now, release) for key, target in targets.items()]
    for key, pairs in uses.items():
        workload = pairs[0][1]["workload"]
        made.append(
            _worker_card(masters[key], workload, pairs, now) if key in masters else _card(None, workload, pairs, now)
        )
    return sorted(made, key=lambda card: card.rank)


def _key(target: str, workload: Mapping[str, str]) -> tuple[str, ...]:
    return (target,) if target else (workload["namespace"], workload["type"], workload["name"])


def _card(
    target: Mapping[str, Any] | None,
    workload: Mapping[str, str],
    pairs: list[Pair],
    now: datetime,
    release: str | None = None,
) -> Card:
    run = open_run(target, now) if target is not None else None
    level, state = _level(target, run, pairs, now)
    due = _due(pairs, now)
    name = target["name"] if target is not None else workload["name"]
    place = f"{workload['namespace']} · {workload['type']}/{workload['name']}"
    urgency = (list(Level).index(level), due.at.iso if due is not None else "~", name)
    return Card(
        id=".".join(("target", name) if target is not None else ("workload", *workload.values())),
        name=name,
        place=place,
        level=level,
        state=state,
        due=due,
        advice=advice.for_target(target, release, run, pairs, now)
        if target is not None
        else advice.for_discovered(workload, pairs),
        run=run,
        last_run=last_run(target, now) if target is not None else "",
        uses=tuple(_use(certificate, use, now) for certificate, use in pairs),
        needs_restart=any(use["needsRestart"] for _, use in pairs),
        rank=urgency,
    )


def _worker_card(target: str, workload: Mapping[str, str], pairs: list[Pair], now: datetime) -> Card:
    """Make the card of a target's worker: a client, of which no more than its start is known, and no alarm is made."""
    card = _card(None, workload, pairs, now)
    if card.level is not Level.WARNING or any(use["evidence"] != Evidence.START_TIME for _, use in pairs):
        return card
    text = f"A worker of {target}, so a client: the drained restart of {target} renews it as well."
    return replace(
        card,
        level=Level.WAITING,
        state="Started before the renewal",
        advice=Advice(text),
        rank=(list(Level).index(Level.WAITING), *card.rank[1:]),
    )


# --- the state ------------------------------------------------------------------------------------


def _level(
    target: Mapping[str, Any] | None, run: RunView | None, pairs: list[Pair], now: datetime
) -> tuple[Level, str]:
    """Name the state of a card and how much of a problem that is: an open run first, then the worst of its uses."""
    if run is not None and run.state is RunState.LEFT_DRAINED:
        return Level.CRITICAL, run.title
    if run is not None:
        return (Level.BUSY, run.title) if run.alive else (Level.CRITICAL, f"{run.title}: {run.heartbeat}")
    if target is not None and not target["found"]:
        return Level.WARNING, "Not found"
    return min((_of_use(use, now) for _, use in pairs), key=_severity, default=(Level.WAITING, "No certificate seen"))


def _severity(of: tuple[Level, str]) -> int:
    return list(Level).index(of[0])


def _of_use(use: Mapping[str, Any], now: datetime) -> tuple[Level, str]:
    verdicts = {pod["verdict"] for pod in use["pods"]}
    match use["state"]:
        case None:
            return Level.WAITING, "First look" if Verdict.PENDING in verdicts else "Not probed"
        case WindowState.EXPIRED:
            return Level.CRITICAL, STATES[WindowState.EXPIRED]
        case WindowState.NEEDS_RESTART if use["needsRestart"] is None:
            return Level.WARNING, "Restart probably needed"
        case WindowState.NEEDS_RESTART:
            urgent = use["issuerChanged"] or advice.is_urgent(use, now)
            return Level.CRITICAL if urgent else Level.WARNING, STATES[WindowState.NEEDS_RESTART]
        case WindowState.RENEWAL_DUE:
            return Level.WARNING, STATES[WindowState.RENEWAL_DUE]
        case WindowState.SETTLED | WindowState.RENEWAL_DISABLED as state:
            return Level.GOOD, STATES[state]
    return Level.UNKNOWN, STATES[WindowState.UNKNOWN]


def _due(pairs: list[Pair], now: datetime) -> Due | None:
    """Say what is due next: a restart, else the end of what is not renewed, else the next renewal."""
    deadlines = [at for _, use in pairs if (at := instant(use["deadline"])) is not None]
    if deadlines:
        return Due("Restart by", moment(min(deadlines), now))
    renewals = [at for certificate, _ in pairs if (at := instant(certificate["renewalAt"])) is not None]
    ends = [
        at for certificate, _ in pairs if (at := instant((certificate["issued"] or {}).get("notAfter"))) is not None
    ]
    if renewals and min(renewals) > now:
        return Due("Renews", moment(min(renewals), now))
    if not ends:
        return None
    return Due("Expires" if min(ends) > now else "Expired", moment(min(ends), now))


# --- one use of a certificate ---------------------------------------------------------------------


def _use(certificate: Mapping[str, Any], use: Mapping[str, Any], now: datetime) -> UseView:
    issuer, issued = certificate["issuer"], certificate["issued"]
    return UseView(
        certificate=certificate["name"],
        issuer=f"{issuer['kind']} {issuer['name']}" if issuer else "",
        issued=_validity(issued, now) if issued else "",
        serial=(issued["serialNumber"] or "") if issued else "",
        timeline=timeline(use, certificate, now),
        pods=tuple(line for pod in use["pods"] for line in _pod(pod, now)),
        summary=_summary(use["pods"]),
    )


def _validity(leaf: Mapping[str, Any], now: datetime) -> str:
    begins, ends = instant(leaf["notBefore"]), instant(leaf["notAfter"])
    if begins is None or ends is None:
        return ""
    return f"{moment(begins, now).day} to {moment(ends, now).day}"


def _summary(pods: list[Mapping[str, Any]]) -> str:
    if not pods:
        return "no running pod"
    found = [pod["verdict"] for pod in pods]
    parts = (f"{found.count(verdict):,} {VERDICTS[verdict]}" for verdict in Verdict if verdict in found)
    return f"{counted(len(pods), 'pod')}: {', '.join(parts)}"


def _pod(pod: Mapping[str, Any], now: datetime) -> Iterator[PodLine]:
    if not pod["endpoints"]:
        yield _line(pod["name"], "", pod, now)
    for endpoint in pod["endpoints"]:
        port = f":{endpoint['port']}" if endpoint["port"] else ""
        yield _line(pod["name"], f"{endpoint['container']}{port}", endpoint, now)


def _line(pod: str, where: str, judged: Mapping[str, Any], now: datetime) -> PodLine:
    loaded = judged.get("loaded")
    return PodLine(
        pod=pod,
        endpoint=where,
        presents=_validity(loaded, now) if loaded else "",
        serial=loaded["serialNumber"] if loaded else "",
        verdict=judged["verdict"],
        verdict_words=VERDICTS[Verdict(judged["verdict"])],
        reason=REASONS[Reason(judged["reason"])],
        trouble=_trouble(judged, now),
    )


def _trouble(judged: Mapping[str, Any], now: datetime) -> str:
    """Say why the last handshake failed, and when one last succeeded."""
    failure = judged.get("failure")
    if not failure:
        return ""
    seen = instant(judged["lastSuccessAt"])
    since = f"; last seen {moment(seen, now).words}" if seen is not None else ""
    return f"last handshake: {FAILURES[ProbeFailure(failure)]}{since}"
