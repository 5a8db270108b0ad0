"""What is so far known of a run that is under way: a fold over its events. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from runbook.events import Ended, Event, Phase, PhaseBegun, Progress

USUAL = tuple(phase for phase in Phase if phase is not Phase.SETTLING)
"""The phases of a run that goes well. Most need not let the issuance settle, and those that do say so."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase as it went. A run may go through one again: a second restart, a drain after a contest."""

    phase: Phase
    begun: datetime
    limit: float | None = None
    ended: datetime | None = None

    def lasted(self, now: datetime) -> float:
        """Return for how many seconds it went on, or goes on."""
        return ((self.ended or now) - self.begun).total_seconds()

    def left(self, now: datetime) -> float | None:
        """Return how many seconds are left of its limit, None if it has none."""
        return None if self.limit is None else self.limit - self.lasted(now)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run as a person sees it: the stages so far, and how far each workload of the present one is.

    `seen` are the pods that the present stage has waited for at some time, as (workload, name).
    """

    planned: tuple[Phase, ...] = USUAL
    stages: tuple[Stage, ...] = ()
    progress: tuple[Progress, ...] = ()
    seen: frozenset[tuple[str, str]] = frozenset()

    @property
    def present(self) -> Stage | None:
        """The stage that goes on, if one does."""
        return self.stages[-1] if self.stages and self.stages[-1].ended is None else None

    @property
    def begun(self) -> datetime | None:
        """When the first stage began."""
        return self.stages[0].begun if self.stages else None

    @property
    def to_come(self) -> tuple[Phase, ...]:
        """The phases that are planned after the latest."""
        order = list(Phase)
        latest = order.index(self.stages[-1].phase) if self.stages else -1
        return tuple(phase for phase in self.planned if order.index(phase) > latest)

    def of(self, workload: str) -> Progress | None:
        """Return how far a workload is in the present stage."""
        return next((each for each in self.progress if each.workload == workload), None)

    def counts(self, workload: str) -> tuple[int, int]:
        """Return how many pods of a workload are waited for, of how many that ever were in this stage."""
        progress = self.of(workload)
        seen = sum(1 for owner, _ in self.seen if owner == workload)
        return len(progress.pods) if progress else 0, seen


def after(run_progress: RunProgress, event: Event, now: datetime) -> RunProgress:
    """Return the picture with an event in it."""
    match event:
        case PhaseBegun(phase, at, limit):
            stages = (*_ended(run_progress.stages, at), Stage(phase, at, limit))
            return replace(run_progress, stages=stages, progress=(), seen=frozenset())
        case Progress():
            return replace(
                run_progress,
                progress=tuple(_replaced(run_progress.progress, event)),
                seen=run_progress.seen | {(event.workload, pod.name) for pod in event.pods},
            )
        case Ended():
            return replace(run_progress, stages=_ended(run_progress.stages, now), progress=())
    return run_progress


def _ended(stages: tuple[Stage, ...], at: datetime) -> tuple[Stage, ...]:
    if not stages or stages[-1].ended is not None:
        return stages
    return (*stages[:-1], replace(stages[-1], ended=at))


def _replaced(before: Iterable[Progress], progress: Progress) -> Iterable[Progress]:
    """Yield all, in the order in which their workloads were first told of."""
    told = False
    for each in before:
        told = told or each.workload == progress.workload
        yield progress if each.workload == progress.workload else each
    if not told:
        yield progress
