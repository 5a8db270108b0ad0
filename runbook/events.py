"""What happens in a run, as values for people and programs. Pure: said by the engine, shown by a reporter.

Each has the name under which `--output json` writes it; its fields are the line's keys. Instants are UTC, lengths of
time are seconds.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from certlag.run_record import Step
from runbook.outcomes import EXIT_CODES, Outcome


class Phase(StrEnum):
    """What a run is busy with, for people; each has a limit of its own."""

    LOCKING = "locking"
    SCALING_DOWN = "scaling_down"
    DRAINING = "draining"
    SETTLING = "settling"
    RESTARTING = "restarting"
    VERIFYING = "verifying"
    SCALING_UP = "scaling_up"
    RESTORING = "restoring"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class PhaseBegun:
    """A phase has begun; it is given up after `limit` seconds (None: it has no limit of its own)."""

    phase: Phase
    at: datetime
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class StepReached:
    """The record says that this step is reached."""

    step: Step
    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Written:
    """A write was done."""

    what: str


@dataclass(frozen=True, slots=True)
class PodLine:
    """One pod as a person wants to see it. `since` and `latest_end` are about its ending, None while it is not."""

    name: str
    node: str
    state: str
    since: datetime | None = None
    latest_end: datetime | None = None
    presents: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a workload is: sent when it changes. `pods` are those that the phase is waiting for."""

    phase: Phase
    workload: str
    why: str
    pods: tuple[PodLine, ...]
    stalled: str | None = None


@dataclass(frozen=True, slots=True)
class LostWork:
    """A worker's own container did not end by itself: 137 is SIGKILL, so a change may have been cut off."""

    pod: str
    container: str
    exit_code: int


class Level(StrEnum):
    """How much a remark matters."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth a line."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The command has ended.

    `next_commands` are to be typed next; `seconds` how long each step took, by the record's names, in their order;
    `replicas` how many the record says of each worker, where they are not back yet.
    """

    outcome: Outcome
    message: str
    run: str | None
    seconds: tuple[tuple[str, float], ...]
    next_commands: tuple[str, ...]
    replicas: tuple[tuple[str, int], ...] = ()

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES[self.outcome]


Event: TypeAlias = PhaseBegun | StepReached | Written | Progress | LostWork | Notice | Ended
