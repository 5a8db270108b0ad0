"""The record of a run, as it stands in a ConfigMap: its names, its form, its words. Pure.

Written by the runbook only, read by both. One JSON document under the key `record.json`:

    {"schema": 1,
     "run": {"id": "…", "epoch": 1, "step": "scaled_down", "begun": "…", "deadline": "…",
             "workers": {"deployment/opschain-api-worker": 3},
             "steps": [{"step": "recorded", "at": "…"}],                (each that was reached, in their order)
             "put_back": "aborted",                                     (once it only brings the workers back)
             "ended": {"at": "…", "outcome": "restart_failed"}},        (null while a process works on it)
     "finished": [{"id": "…", "begun": "…", "finished": "…", "outcome": "done",      (the last ten, oldest first)
                   "seconds": [{"step": "recorded", "seconds": 0.1}]}]}

`run` is null while none is open. One that stopped while workers are still drained stays open with `ended`. Readers
ignore keys that they do not know.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from certlag import limits
from certlag.model import ObjectKey, Target, Workload

SCHEMA = 1
RECORD_KEY = "record.json"
RECORD_LABEL = "certlag.dev/run-record"

MAX_REPLICAS = 2**31 - 1
"""An int32 to Kubernetes. More can't be put back; and of a number of 400 digits Prometheus refuses the whole scrape."""
MAX_COUNT = 2**63 - 1
"""Of anything else: what the API server itself counts is an int64."""
MAX_SECONDS = 10_000 * 366 * 86400
"""Between any two instants that can be written. A clock that is set back meanwhile makes a step's seconds negative."""
MAX_STEPS = 100
"""Of one run that are told, the last ones. There are twelve; a resumed run goes through some of them again."""


class Step(StrEnum):
    """How far a run has come; each is written before the next begins."""

    PLANNED = "planned"
    LOCKED = "locked"
    RECORDED = "recorded"
    PAUSED_AUTOSCALER = "paused_autoscaler"
    SCALED_DOWN = "scaled_down"
    DRAINED = "drained"
    RESTARTING = "restarting"
    RESTARTED = "restarted"
    VERIFIED = "verified"
    SCALED_UP = "scaled_up"
    UNPAUSED = "unpaused"
    DONE = "done"


class RunState(StrEnum):
    """What a run is doing, for people: the states of `certlag_runbook_state`."""

    IDLE = "idle"
    DRAINING = "draining"
    RESTARTING = "restarting"
    VERIFYING = "verifying"
    RESTORING = "restoring"
    LEFT_DRAINED = "left_drained"


_STATES = {
    Step.PLANNED: RunState.DRAINING,
    Step.LOCKED: RunState.DRAINING,
    Step.RECORDED: RunState.DRAINING,
    Step.PAUSED_AUTOSCALER: RunState.DRAINING,
    Step.SCALED_DOWN: RunState.DRAINING,
    Step.DRAINED: RunState.RESTARTING,
    Step.RESTARTING: RunState.RESTARTING,
    Step.RESTARTED: RunState.VERIFYING,
    Step.VERIFIED: RunState.RESTORING,
    Step.SCALED_UP: RunState.RESTORING,
    Step.UNPAUSED: RunState.RESTORING,
    Step.DONE: RunState.IDLE,
}


class RecordError(ValueError):
    """The document is not a run's record that this version can read."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is not finished. `workers` are the replicas recorded for each, by `type/name`."""

    id: str
    epoch: int
    step: Step
    begun_at: datetime
    deadline_at: datetime
    workers: tuple[tuple[str, int], ...]
    outcome: str | None
    putting_back: bool = False
    steps: tuple[tuple[Step, datetime], ...] = ()

    @property
    def state(self) -> RunState:
        """What it is doing; once it has ended without putting the workers back, that they are left drained."""
        if self.outcome is not None:
            return RunState.LEFT_DRAINED
        return RunState.RESTORING if self.putting_back else _STATES[self.step]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run of the past. `seconds` are how long it took up to each step, in their order."""

    id: str
    begun_at: datetime
    finished_at: datetime
    outcome: str
    seconds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The record of one target; `run` is None while none is open."""

    key: ObjectKey
    run: OpenRun | None
    finished: tuple[FinishedRun, ...]


def record_name(target: str) -> str:
    """Return the name of the ConfigMap that holds a target's record."""
    return f"certlag-run-{target}"


def lease_name(workload: Workload) -> str:
    """Return the name of the Lease that guards a workload."""
    return f"certlag-{workload.type}-{workload.name}"


def record_key(target: Target) -> ObjectKey:
    """Return where a target's record is."""
    return ObjectKey(target.workload.namespace, record_name(target.name))


def lease_key(workload: Workload) -> ObjectKey:
    """Return where a workload's Lease is."""
    return ObjectKey(workload.namespace, lease_name(workload))


def parse(key: ObjectKey, text: str) -> RunRecord:
    """Read a record.

    Raises:
        RecordError: it is no JSON, of another schema, or lacks what a reader needs.
    """
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise RecordError(f"schema {document['schema']!r}, this version reads {SCHEMA}")
        run, finished = document.get("run"), document.get("finished", [])
        return RunRecord(key, _open(run) if run is not None else None, tuple(_finished(past) for past in finished))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from error


def _open(document: Mapping[str, Any]) -> OpenRun:
    ended = document.get("ended")
    return OpenRun(
        id=_word(document["id"]),
        epoch=count_of(document["epoch"]),
        step=Step(document["step"]),
        begun_at=instant_of(document["begun"]),
        deadline_at=instant_of(document["deadline"]),
        workers=tuple(sorted((_word(worker), _replicas(count)) for worker, count in document["workers"].items())),
        outcome=_word(ended["outcome"]) if ended is not None else None,
        putting_back=document.get("put_back") is not None,
        steps=tuple((Step(each["step"]), instant_of(each["at"])) for each in document.get("steps", ()))[-MAX_STEPS:],
    )


def _finished(document: Mapping[str, Any]) -> FinishedRun:
    given = document.get("seconds", ())
    return FinishedRun(
        id=_word(document["id"]),
        begun_at=instant_of(document["begun"]),
        finished_at=instant_of(document["finished"]),
        outcome=_word(document["outcome"]),
        seconds=tuple((_word(each["step"]), _seconds(each["seconds"])) for each in given)[-MAX_STEPS:],
    )


def _word(value: object) -> str:
    """Return a text that is shown: one that is longer than any that a run writes is forged."""
    text = text_of(value)
    if len(text) > limits.MAX_TEXT:
        raise RecordError(f"a text of {len(text)} characters, at most {limits.MAX_TEXT} are read")
    return text


def _replicas(value: object) -> int:
    count = count_of(value)
    if count > MAX_REPLICAS:
        raise RecordError(f"{_shown(value)} replicas, at most {MAX_REPLICAS} can be")
    return count


def _seconds(value: object) -> float:
    """Return how long something took; no NaN is within bounds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not -MAX_SECONDS <= value <= MAX_SECONDS:
        raise RecordError(f"{_shown(value)} are no seconds")
    return float(value)


def _shown(value: object) -> str:
    """Return what is said of a wrong value."""
    return limits.truncate(repr(value), 64)


def text_of(value: object) -> str:
    """Return a value of a record that must be a text.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(value, str):
        raise RecordError(f"{_shown(value)} is no text")
    return value


def count_of(value: object) -> int:
    """Return a value of a record that must be a count.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise RecordError(f"{_shown(value)} is no count")
    return value


def instant_of(value: object) -> datetime:
    """Return a value of a record that must be an instant with an offset, in UTC.

    Raises:
        RecordError: it has no offset, or is no text.
        ValueError: it is no instant.
    """
    at = datetime.fromisoformat(text_of(value))
    if at.tzinfo is None:
        raise RecordError(f"{_shown(value)} has no offset")
    return at.astimezone(UTC)
