"""One card for each workload: its state, by when, what to do, its run, its pods and what each presents. Pure.

A card is a value: as long as it is equal to the one before, its HTML is too. It has words instead of instants, so time
passes without changing it, until a word changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from certlag.assess import is_close
from certlag.assessment import (
    Assessment,
    ObservedEndpoint,
    PodAssessment,
    Reason,
    UseAssessment,
    Verdict,
    WindowState,
)
from certlag.config.release import Release
from certlag.model import Evidence, Workload
from certlag.run_record import RunState
from certlag.target_assessment import TargetAssessment
from exporter.status import Status
from exporter.status_page import advice
from exporter.status_page.advice import Advice
from exporter.status_page.runs import RunView, last_run, open_run
from exporter.status_page.timeline import Timeline, timeline
from exporter.status_page.words import FAILURES, REASONS, STATES, VERDICTS, Moment, counted, moment


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


Uses = Sequence[tuple[Assessment, UseAssessment]]
"""Certificates, each with how the card's workload uses it."""


def cards(status: Status) -> list[Card]:
    """Make the cards of a status, the most urgent first."""
    now, uses = status.now, dict[str | Workload, list[tuple[Assessment, UseAssessment]]]()
    for assessment in status.certificates:
        for use in assessment.uses:
            uses.setdefault(use.target or use.workload, []).append((assessment, use))
    masters = {worker: each.target.name for each in status.targets for worker in each.target.workers}
    made = [
        _card(each, each.target.workload, uses.pop(each.target.name, []), now, status.release)
        for each in status.targets
    ]
    for pairs in uses.values():
        workload = pairs[0][1].workload
        target = masters.get(workload) if not pairs[0][1].target else None
        made.append(_worker_card(target, workload, pairs, now) if target else _card(None, workload, pairs, now))
    return sorted(made, key=lambda card: card.rank)


def _card(
    target: TargetAssessment | None,
    workload: Workload,
    pairs: Uses,
    now: datetime,
    release: Release | None = None,
) -> Card:
    run = open_run(target, now) if target is not None else None
    level, state = _level(target, run, pairs, now)
    due = _due(pairs, now)
    name = target.target.name if target is not None else workload.name
    place = f"{workload.namespace} · {workload.type}/{workload.name}"
    urgency = (list(Level).index(level), due.at.iso if due is not None else "~", name)
    return Card(
        id=".".join(("target", name) if target is not None else ("workload", *workload)),
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
        uses=tuple(_use(assessment, use, now) for assessment, use in pairs),
        needs_restart=any(use.needs_restart for _, use in pairs),
        rank=urgency,
    )


def _worker_card(target: str, workload: Workload, pairs: Uses, now: datetime) -> Card:
    """Make the card of a target's worker: a client, of which no more than its start is known, and no alarm is made."""
    card = _card(None, workload, pairs, now)
    if card.level is not Level.WARNING or any(use.evidence is not Evidence.START_TIME for _, use in pairs):
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


def _level(target: TargetAssessment | None, run: RunView | None, pairs: Uses, now: datetime) -> tuple[Level, str]:
    """Name the state of a card and how much of a problem that is: an open run first, then the worst of its uses."""
    if run is not None and run.state is RunState.LEFT_DRAINED:
        return Level.CRITICAL, run.title
    if run is not None:
        return (Level.BUSY, run.title) if run.alive else (Level.CRITICAL, f"{run.title}: {run.heartbeat}")
    if target is not None and not target.found:
        return Level.WARNING, "Not found"
    return min((_of_use(use, now) for _, use in pairs), key=_severity, default=(Level.WAITING, "No certificate seen"))


def _severity(of: tuple[Level, str]) -> int:
    return list(Level).index(of[0])


def _of_use(use: UseAssessment, now: datetime) -> tuple[Level, str]:
    verdicts = {pod.verdict for pod in use.pods}
    match use.state:
        case None:
            return Level.WAITING, "Not probed yet" if Verdict.PENDING in verdicts else "Not probed"
        case WindowState.EXPIRED:
            return Level.CRITICAL, STATES[WindowState.EXPIRED]
        case WindowState.NEEDS_RESTART if use.needs_restart is None:
            return Level.WARNING, "Restart probably needed"
        case WindowState.NEEDS_RESTART:
            urgent = use.issuer_changed or is_close(use.deadline, use.window, now)
            return Level.CRITICAL if urgent else Level.WARNING, STATES[WindowState.NEEDS_RESTART]
        case WindowState.RENEWAL_DUE:
            return Level.WARNING, STATES[WindowState.RENEWAL_DUE]
        case WindowState.SETTLED | WindowState.RENEWAL_DISABLED as state:
            return Level.GOOD, STATES[state]
    return Level.UNKNOWN, STATES[WindowState.UNKNOWN]


def _due(pairs: Uses, now: datetime) -> Due | None:
    """Say what is due next: a restart, else the end of what is not renewed, else the next renewal."""
    deadlines = [use.deadline for _, use in pairs if use.deadline is not None]
    if deadlines:
        return Due("Restart by", moment(min(deadlines), now))
    renewals = [each.renewal_at for each, _ in pairs if each.renewal_at is not None]
    ends = [each.issued.not_after for each, _ in pairs if each.issued]
    if renewals and min(renewals) > now:
        return Due("Renews", moment(min(renewals), now))
    if not ends:
        return None
    return Due("Expires" if min(ends) > now else "Expired", moment(min(ends), now))


# --- one use of a certificate ---------------------------------------------------------------------


def _use(assessment: Assessment, use: UseAssessment, now: datetime) -> UseView:
    issuer = assessment.certificate.issuer if assessment.certificate else None
    issued = assessment.issued
    return UseView(
        certificate=assessment.key.name,
        issuer=f"{issuer.kind} {issuer.name}" if issuer else "",
        issued=_validity(issued.not_before, issued.not_after, now) if issued else "",
        serial=issued.chain.leaf.serial_number if issued and issued.chain else "",
        timeline=timeline(use, assessment, now),
        pods=tuple(line for pod in use.pods for line in _pod(pod, now)),
        summary=_summary(use.pods),
    )


def _validity(begins: datetime, ends: datetime, now: datetime) -> str:
    return f"{moment(begins, now).day} to {moment(ends, now).day}"


def _summary(pods: Sequence[PodAssessment]) -> str:
    if not pods:
        return "no running pod"
    found = [pod.verdict for pod in pods]
    parts = (f"{found.count(verdict):,} {VERDICTS[verdict]}" for verdict in Verdict if verdict in found)
    return f"{counted(len(pods), 'pod')}: {', '.join(parts)}"


def _pod(pod: PodAssessment, now: datetime) -> Iterator[PodLine]:
    if not pod.endpoints:
        yield _line(pod, "", pod.verdict, pod.reason)
    for assessed in pod.endpoints:
        endpoint, loaded = assessed.observed.endpoint, assessed.observed.loaded
        port = f":{endpoint.port}" if endpoint.port else ""
        line = _line(pod, f"{endpoint.container}{port}", assessed.verdict, assessed.reason)
        presents = _validity(loaded.leaf.not_before, loaded.leaf.not_after, now) if loaded else ""
        serial = loaded.leaf.serial_number if loaded else ""
        yield replace(line, presents=presents, serial=serial, trouble=_trouble(assessed.observed, now))


def _line(pod: PodAssessment, where: str, verdict: Verdict, reason: Reason) -> PodLine:
    return PodLine(pod.pod.name, where, "", "", verdict, VERDICTS[verdict], REASONS[reason], "")


def _trouble(observed: ObservedEndpoint, now: datetime) -> str:
    """Say why the last handshake failed, and when one last succeeded."""
    last = observed.observation
    if last is None or last.failure is None:
        return ""
    since = f"; last seen {moment(last.last_success_at, now).words}" if last.last_success_at is not None else ""
    return f"last handshake: {FAILURES[last.failure]}{since}"
