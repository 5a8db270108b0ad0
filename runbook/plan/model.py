"""What a command is about to do, before it does it: for the operator to read, and to say yes to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from runbook.events import Phase, PodLine


class CheckResult(StrEnum):
    """How a precondition came out."""

    PASSED = "passed"
    NOTED = "noted"
    WARNED = "warned"
    OVERRIDDEN = "overridden"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition. `remedy` says what would be right.

    `override` are the options with which the same command is not refused for it, empty if there are none.
    """

    name: str
    result: CheckResult
    text: str
    remedy: str = ""
    override: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One thing that will be another: `what` from `before` to `after`."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Busy:
    """A worker pod that will be asked to end: since when it runs, and how long it may take by its own grace period."""

    pod: str
    node: str
    started_at: datetime | None
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an operator should know before the question.

    `source` is where the target was found; `bookkeeping` names the objects that hold lock and record; `reason` is why,
    in one sentence; `presented` what each pod presents now; `limits` the name of each part of the run with how long it
    may take; `on_failure` what happens if one is not over in time. `nothing_to_do` is why a restart would change
    nothing, empty if it would. `phases` are those that it will go through as far as is known, empty for all that a
    whole restart has.
    """

    command: str
    target: str
    source: str
    context: str
    server: str
    user: str
    namespace: str
    bookkeeping: tuple[str, ...]
    reason: str
    presented: tuple[PodLine, ...]
    changes: tuple[PlannedChange, ...]
    checks: tuple[Check, ...]
    busy: tuple[Busy, ...]
    limits: tuple[tuple[str, timedelta], ...]
    on_failure: tuple[str, ...]
    nothing_to_do: str = ""
    phases: tuple[Phase, ...] = ()

    @property
    def refusals(self) -> tuple[Check, ...]:
        """The preconditions that stand in the way."""
        return of_result(self.checks, CheckResult.REFUSED)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The options with which it would not be refused, each once; none if some refusal has none."""
        found = self.refusals
        if not all(check.override for check in found):
            return ()
        return tuple(dict.fromkeys(word for check in found for word in check.override))

    @property
    def refused(self) -> tuple[str, ...]:
        """The names of the preconditions that stand in the way."""
        return tuple(check.name for check in self.refusals)


def of_result(checks: Iterable[Check], result: CheckResult) -> tuple[Check, ...]:
    """Return those that came out so."""
    return tuple(check for check in checks if check.result is result)
