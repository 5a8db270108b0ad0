"""What programs read: events, plans and answers as JSON documents. Pure.

An event is `{"event": "phase_begun", "at": …, …}`: the name of its class in snake_case, its fields, and when it was
printed. Instants are RFC 3339 in UTC, lengths of time are seconds. The answers of `check`, `history` and `use`, and
what stops a command before it begins, are lines of the same form.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from exporter.judgement import Assessment, UseAssessment
from runbook.events import Ended, Event
from runbook.outcomes import EXIT_CODES
from runbook.plan import Plan
from runbook.record import Past, Record, Run
from runbook.reporters.answer import Answer, Used, advise, exit_code
from runbook.workloads import reference

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


def check_document(answers: Sequence[Answer], now: datetime) -> dict[str, Any]:
    """Return the answer of `check`: each target with its certificates, its pods, and what to do."""
    codes = [exit_code(answer) for answer in answers]
    return {
        "event": "check",
        "at": plain(now),
        "targets": [_checked(answer) for answer in answers],
        "exit_code": max(codes, default=0),
    }


def error_document(message: str, code: int, now: datetime) -> dict[str, Any]:
    """Return what stopped a command before it began."""
    return {"event": "error", "at": plain(now), "message": message, "exit_code": code}


def page_document(alert: str, text: str, now: datetime) -> dict[str, Any]:
    """Return the answer of `page`: the page of an alert as Markdown."""
    return {"event": "page", "at": plain(now), "alert": alert, "text": text}


def use_document(used: Used, now: datetime) -> dict[str, Any]:
    """Return the answer of `use`."""
    release = None if used.release is None else str(used.release)
    return {"event": "use", "at": plain(now), **plain(used), "release": release}


def history_document(records: Mapping[str, Record], now: datetime) -> dict[str, Any]:
    """Return all runs of some targets: the open one, and the finished ones with the latest first."""
    return {
        "event": "history",
        "at": plain(now),
        "targets": [
            {
                "name": target,
                "open": record.run and _open(record.run),
                "finished": [_past(past) for past in reversed(record.finished)],
            }
            for target, record in records.items()
        ],
    }


def _checked(answer: Answer) -> dict[str, Any]:
    sight, target, advice = answer.sight, answer.assessment.target, advise(answer)
    return {
        "name": target.name,
        "namespace": target.workload.namespace,
        "workload": reference(target.workload),
        "found": answer.assessment.found,
        "missing": answer.assessment.missing,
        "state": sight.state,
        "needs_restart": sight.needs_restart,
        "deadline": plain(sight.deadline),
        "certificates": [_certificate(assessment, use) for assessment, use in sight.uses],
        "pods": [plain(pod) | {"current": pod.current} for pod in sight.pods],
        "run_state": answer.assessment.state,
        "run": answer.run and _open(answer.run),
        "advice": advice.text,
        "next_commands": list(advice.commands),
        "exit_code": exit_code(answer),
    }


def _certificate(assessment: Assessment, use: UseAssessment) -> dict[str, Any]:
    certificate, issued = assessment.certificate, assessment.issued
    leaf = issued.chain.leaf if issued and issued.chain else None
    return {
        "name": assessment.key.name,
        "exists": certificate is not None,
        "renewal_at": plain(certificate and certificate.renewal_at),
        "issuer_changed": use.issuer_changed,
        "issued": issued
        and {
            "evidence": issued.evidence,
            "not_before": plain(issued.not_before),
            "not_after": plain(issued.not_after),
            "fingerprint": leaf and leaf.fingerprint_sha256,
            "serial_number": leaf and leaf.serial_number,
        },
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
