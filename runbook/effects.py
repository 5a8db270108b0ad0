"""What the engine asks of the world, as values. Pure: the engine yields one, and is sent the answer.

So the engine does no I/O: the driver performs effects against a cluster, and a test or a simulation against
whatever it likes, in any order, with a crash between any two. A request that fails is raised at its `yield` as
`ClusterError`; `Interrupted` is raised there when the operator has pressed Ctrl-C.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from runbook.events import Event

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - it is no error: the operator has asked to stop
    """The operator asked to stop."""


@dataclass(frozen=True, slots=True)
class Get:
    """Read one object: the answer is its document, None if there is none (404)."""

    path: str


@dataclass(frozen=True, slots=True)
class List:
    """Read a collection, whole and consistent (no resourceVersion): the answer is a list of what `read` makes of each.

    `read` is a module's function, so that two of the same are equal. No document is kept: each may be as fat as etcd
    takes, and somebody else's. `fields` is a field selector, empty for all of it.
    """

    path: str
    read: Callable[[Mapping[str, Any]], Any]
    fields: str = ""


class Verb(StrEnum):
    """How a change is written."""

    CREATE = "create"
    PATCH = "patch"


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the answer is the document after it. A patch is a JSON merge patch (RFC 7386).

    `what` says it to people and names it in the record. Every patch carries `metadata.resourceVersion` of the read
    that it was decided on, so it fails (409) if anything has changed since.
    """

    what: str
    verb: Verb
    path: str
    body: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many seconds, or until something changed: the answer is the pods that a watch has shown meanwhile.

    `early` is False where the time itself is wanted.
    """

    seconds: float
    early: bool = True


@dataclass(frozen=True, slots=True)
class Inspect:
    """Assess the target again: the answer is a `TargetStatus`. Without `probe`, only what is issued."""

    probe: bool = True


class AfterInterrupt(StrEnum):
    """What an operator wants who has pressed Ctrl-C."""

    WAIT = "wait"
    RESTORE = "restore"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask the operator after Ctrl-C: the answer is an `AfterInterrupt`, LEAVE where nobody can be asked.

    `choices` says of each what it does here.
    """

    choices: tuple[tuple[AfterInterrupt, str], ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """Silence what a drain causes, until then at the latest: the answer is the silence's address, None if it failed."""

    until: datetime


@dataclass(frozen=True, slots=True)
class EndSilence:
    """End the silence of this address; there is no answer."""

    address: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Report an event; there is no answer."""

    event: Event


Effect: TypeAlias = Get | List | Change | Wait | Inspect | Confirm | Silence | EndSilence | Emit

Steps: TypeAlias = Generator[Effect, Any, T]
"""Part of the engine: yields effects, returns a T."""

Document: TypeAlias = Mapping[str, Any]
