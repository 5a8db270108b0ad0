"""What programs read: events, plans and answers as JSON documents. Pure.

A line is `{"event": "phase_begun", "at": …, …}`: its name in `LINES`, when it was printed, and the fields of its class.
Instants are RFC 3339 in UTC, lengths of time are seconds. `json_schema` describes all of them by the same classes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from certlag.config.release import Release
from runbook.check.advice import Used
from runbook.check.status import PodStatus
from runbook.events import Ended, LostWork, Notice, PhaseBegun, Progress, StepReached, Written
from runbook.guard.record import FinishedRun
from runbook.plan.model import Plan
from runbook.report.json.answers import AlertPage, Checked, CommandError, History, RehearsalFaults

LINES: Mapping[type, str] = {
    Plan: "plan",
    PhaseBegun: "phase_begun",
    StepReached: "step_reached",
    Written: "written",
    Progress: "progress",
    LostWork: "lost_work",
    Notice: "remark",
    Ended: "ended",
    Checked: "check",
    History: "history",
    Used: "use",
    AlertPage: "page",
    RehearsalFaults: "faults",
    CommandError: "error",
}
"""Everything that `--output json` writes as a line, with the name by which a program knows it."""
PAIRS: Mapping[str, tuple[str, str]] = {
    "seconds": ("step", "seconds"),
    "replicas": ("workload", "replicas"),
    "limits": ("part", "seconds"),
    "steps": ("step", "at"),
}
"""The keys of fields that hold pairs. Not objects: a step may be gone through twice."""
PROPERTIES: Mapping[type, tuple[str, ...]] = {
    Ended: ("exit_code",),
    FinishedRun: ("exit_code",),
    Plan: ("refused",),
    PodStatus: ("current",),
}
"""Properties that are written after the fields of their class."""


def line(document: object, now: datetime) -> dict[str, Any]:
    """Return the line of an event, a plan or an answer."""
    return {"event": LINES[type(document)], "at": plain(now), **plain(document)}


def keys(kind: type) -> Iterable[str]:
    """Return the keys of the object that a dataclass is written as."""
    return (*(field.name for field in fields(kind)), *PROPERTIES.get(kind, ()))


def plain(value: object, name: str = "") -> Any:
    """Return a value as JSON has it; `name` is the field that it stands in."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Release():
            return str(value)
        case tuple() if name in PAIRS and all(isinstance(each, tuple) for each in value):
            return [dict(zip(PAIRS[name], map(plain, pair), strict=True)) for pair in value]
        case tuple():
            return [plain(each) for each in value]
        case Mapping():
            return {key: plain(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return {key: plain(getattr(value, key), key) for key in keys(type(value))}
    return value
