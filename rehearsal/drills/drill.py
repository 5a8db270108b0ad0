"""What a drill consists of, as types: what goes wrong and when, what is typed, how it ends, what it teaches. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from rehearsal.drills.scene import Scene

Deed: TypeAlias = Callable[[Scene], None]
"""Something that is done to a scene: a fault set or healed."""


class Moment(StrEnum):
    """From when on a strike counts its time."""

    DRAINING = "draining"
    RESTARTED = "restarted"


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens by itself while a command works: so long `after` a moment came for the first time."""

    moment: Moment
    after: timedelta
    does: Deed


@dataclass(frozen=True, slots=True)
class Typed:
    """A command of the runbook that the operator types.

    Attributes:
        words: what is typed.
        exit_code: what it ends with, as a shell shows it (137 for one that was killed).
        why: what it is typed for, one sentence.
        if_open: it is only needed while a run is open: who was at a terminal may have answered that away already.
    """

    words: str
    exit_code: int
    why: str
    if_open: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the operator does with something else than the runbook; the rehearsal does it for him."""

    words: str
    why: str
    does: Deed


Act: TypeAlias = Typed | Elsewhere


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault, from the first command to the lesson.

    Attributes:
        name: as in `--fault`.
        teaches: what it teaches, one line.
        happens: what goes wrong, told before.
        acts: what the operator does, in order. At their end the workers run and no run is open.
        look_at: what to look at on the real night.
        before: what is so before the first command.
        strikes: what happens meanwhile.
    """

    name: str
    teaches: str
    happens: str
    acts: tuple[Act, ...]
    look_at: tuple[str, ...]
    before: Deed | None = None
    strikes: tuple[Strike, ...] = ()
