"""A target's run as the page shows it: which of its four parts it is in, its workers, does it show life? Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from certlag.run_record import OpenRun, RunState, Step
from certlag.target_assessment import TargetAssessment, WorkerReplicas
from exporter.status_page.words import RUN_STATES, Moment, moment, span

NO_LIFE = timedelta(minutes=1)
"""A run whose Lease has not changed for so long may have lost its process: Leases are renewed every few seconds."""

_PARTS = (RunState.DRAINING, RunState.RESTARTING, RunState.VERIFYING, RunState.RESTORING)
_PART_NAMES = ("Drain", "Restart", "Verify", "Put back")
_PART_OF_STEP = {
    Step.RESTARTING: "Restart",
    Step.RESTARTED: "Restart",
    Step.VERIFIED: "Verify",
    Step.SCALED_UP: "Put back",
    Step.UNPAUSED: "Put back",
    Step.DONE: "Put back",
    "finished": "Put back",
}
"""In which part a step is reached; all others belong to the drain."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the four parts of a run; `progress` is done, now or next, `lasted` how long it took once it is done."""

    name: str
    progress: str
    lasted: str


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker's replicas: as recorded before the drain, and now."""

    workload: str
    expected: int
    current: str
    short: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """An open run. `alive` says whether somebody may still work on it: nothing was heard for less than `NO_LIFE`."""

    id: str
    state: RunState
    heading: str
    title: str
    step: str
    parts: tuple[Part, ...]
    begun: Moment
    lasts: str
    deadline: Moment
    overdue: bool
    heartbeat: str
    alive: bool
    workers: tuple[WorkerLine, ...]


def open_run(target: TargetAssessment, now: datetime) -> RunView | None:
    """Show the open run of a target, None if there is none."""
    run, state = target.run, target.state
    if run is None:
        return None
    waiting_since = target.heartbeat_at or target.heartbeat_awaited_at
    left = state is RunState.LEFT_DRAINED
    alive = not left and waiting_since is not None and now - waiting_since < NO_LIFE
    return RunView(
        id=run.id,
        state=state,
        heading="Run left unfinished" if left else "Run in progress" if alive else "Run open",
        title=RUN_STATES.get(state, "Run open"),
        step=run.step.replace("_", " "),
        parts=_parts(state, _lengths(run)),
        begun=moment(run.begun_at, now),
        lasts=span(max(now - run.begun_at, timedelta(0))),
        deadline=moment(run.deadline_at, now),
        overdue=run.deadline_at <= now,
        heartbeat=f"ended: {_outcome(run.outcome)}" if left else _heartbeat(target.heartbeat_at, now),
        alive=alive,
        workers=tuple(_worker(worker) for worker in target.workers),
    )


def last_run(target: TargetAssessment, now: datetime) -> str:
    """Say how the last finished run ended; empty if there was none."""
    last = target.last
    if last is None:
        return ""
    at = moment(last.finished_at, now)
    lengths = _by_part(last.seconds)
    parts = ", ".join(f"{name.lower()} {_short(lengths[name])}" for name in _PART_NAMES if name in lengths)
    took = f"took {span(last.finished_at - last.begun_at)}" + (f" ({parts})" if parts else "")
    return f"Last run: {_outcome(last.outcome)}, {at.date}, {took}"


def _parts(state: RunState, lengths: Mapping[str, float]) -> tuple[Part, ...]:
    if state not in _PARTS:
        return ()
    at = _PARTS.index(state)
    progress = ("done",) * at + ("now",) + ("next",) * (len(_PARTS) - at - 1)
    return tuple(
        Part(name, how, _short(lengths[name]) if how == "done" and name in lengths else "")
        for name, how in zip(_PART_NAMES, progress, strict=True)
    )


def _lengths(run: OpenRun) -> dict[str, float]:
    """Return how long each part of an open run took so far, in seconds, by the steps that were reached."""
    reached = [("begun", run.begun_at), *run.steps]
    return _by_part((step, (at - before).total_seconds()) for (_, before), (step, at) in pairwise(reached))


def _by_part(seconds: Iterable[tuple[str, float]]) -> dict[str, float]:
    lengths: dict[str, float] = {}
    for step, length in seconds:
        part = _PART_OF_STEP.get(step, "Drain")
        lengths[part] = lengths.get(part, 0.0) + length
    return lengths


def _short(seconds: float) -> str:
    if seconds < 0.1:
        return "under 0.1 s"
    return f"{seconds:.1f} s" if seconds < 10 else span(timedelta(seconds=seconds))


def _outcome(word: str | None) -> str:
    return (word or "unknown").replace("_", " ")


def _heartbeat(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "no sign of life seen yet"
    silent = now - at
    return "alive" if silent < NO_LIFE else f"no sign of life for {span(silent)}"


def _worker(replicas: WorkerReplicas) -> WorkerLine:
    current = replicas.current
    return WorkerLine(
        workload=f"{replicas.worker.type}/{replicas.worker.name}",
        expected=replicas.expected,
        current="gone" if current is None else f"{current:,}",
        short=current is None or current < replicas.expected,
    )
