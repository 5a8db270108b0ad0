"""What programs read: events, plans and answers as JSON documents. Pure.

An event is `{"event": "phase_begun", "at": …, …}`: the name of its class in snake_case, its fields, and when it was
told. Instants are RFC 3339 in UTC, lengths of time are seconds. `check-…` answers with the document of
`/api/v1/status` (docs/status.md) for its one target, and what to do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from exporter import status
from runbook.events import Ended, Event
from runbook.outcomes import EXIT_CODES
from runbook.plan import Plan
from runbook.record import Past, Record, Run
from runbook.reporters.answer import Answer, advise, exit_code

PAIRS = {
    "seconds": ("step", "seconds"),
    "replicas": ("workload", "replicas"),
    "limits": ("part", "seconds"),
    "steps": ("step", "at"),
}
"""The keys of fields that hold pairs. Not objects: a step may be gone through twice."""


def event_document(event: Event, now: datetime) -> dict[str, Any]:
    """Return the line of an event."""
    document = {"event": _snake_case(type(event).__name__), "at": plain(now), **plain(event)}
    return document | {"exit_code": EXIT_CODES[event.outcome]} if isinstance(event, Ended) else document


def plan_document(plan: Plan, now: datetime) -> dict[str, Any]:
    """Return the line of a plan."""
    return {"event": "plan", "at": plain(now), **plain(plan), "refused": [check.name for check in plan.refused]}


def check_document(answer: Answer) -> dict[str, Any]:
    """Return the answer of `check-…`: the exporter's status of this target, with what to do."""
    sight = answer.sight
    assessments = {assessment.key: assessment for assessment, _ in sight.uses}
    document = status.document(assessments.values(), [answer.assessment], {}, ready=True, now=sight.at)
    advice = advise(answer)
    return document | {
        "state": sight.state,
        "needsRestart": sight.needs_restart,
        "deadline": plain(sight.deadline),
        "advice": advice.text,
        "nextCommands": list(advice.commands),
        "exitCode": exit_code(answer),
    }


def history_document(records: Mapping[str, Record]) -> dict[str, Any]:
    """Return all runs of some targets: the open one, and the finished ones with the latest first."""
    return {
        "targets": [
            {
                "name": target,
                "open": record.run and _open(record.run),
                "finished": [_past(past) for past in reversed(record.finished)],
            }
            for target, record in records.items()
        ]
    }


def _open(run: Run) -> dict[str, Any]:
    names = ("id", "epoch", "step", "begun", "deadline", "operator", "ended", "detail", "steps")
    workers = {worker: recorded.replicas for worker, recorded in run.workers.items()}
    return {name: plain(getattr(run, name), name) for name in names} | {"workers": workers}


def _past(past: Past) -> dict[str, Any]:
    document: dict[str, Any] = plain(past)
    return document | {"exit_code": EXIT_CODES[past.outcome]}


def plain(value: object, name: str = "") -> Any:
    """Return a value as JSON has it; `name` is the field that it stands in."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case tuple() if name in PAIRS:
            return [dict(zip(PAIRS[name], map(plain, pair), strict=True)) for pair in value]
        case tuple() | list() | frozenset():
            return [plain(each) for each in _ordered(value)]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name), field.name) for field in fields(value)}
    return value


def _ordered(values: Iterable[Any]) -> Iterable[Any]:
    return sorted(values) if isinstance(values, frozenset) else values


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
