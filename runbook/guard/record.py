"""The record of a run as the runbook writes it: what is known of the run, and its JSON. Pure.

`certlag.run_record` has the form that both programs agree on (names, words, what the exporter reads); this module
has all of it, and every change of it as a function from one record to the next. Whatever a resumed run needs to go on
stands here: nothing of a run is only in a process's memory.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from certlag.model import ObjectKey
from certlag.run_record import (
    RECORD_KEY,
    RECORD_LABEL,
    SCHEMA,
    RecordError,
    Step,
    count_of,
    instant_of,
    parse,
    record_name,
    text_of,
)
from runbook.outcomes import EXIT_CODES, Outcome

KEPT = 10
"""Finished runs that stay in the record."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs it. `user` is what the API server says; `host` and `pid` tell where the process is.

    `job` is the Job that it is a pod of, empty elsewhere.
    """

    user: str
    host: str
    pid: int
    version: str
    reason: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What a worker was before the run: how many replicas, which object, which pods."""

    replicas: int
    uid: str
    pods: tuple[str, ...] = ()

    def down(self, name: str) -> str:
        """Say the write that scales it to 0, as it is noted."""
        return f"scale {name} from {self.replicas} to 0"

    def up(self, name: str) -> str:
        """Say the write that puts it back."""
        return f"scale {name} from 0 to {self.replicas}"


@dataclass(frozen=True, slots=True)
class Paused:
    """Annotations that keep a controller away (None: not there), with what stood there before."""

    path: str
    during: Mapping[str, str | None]
    before: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class WriteIntent:
    """One write to the cluster: noted before it is sent, and again when its answer came."""

    what: str
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """An open run. `put_back` is set once it only brings the workers back, to end with that outcome.

    `ended` says that no process works on it any more although workers may still be drained; `detail` says why either
    is so. `silence` is the address of the silence that was made for it. `accepted_until` is until when clients accept
    what was loaded when it was planned, None if that is not known.
    """

    id: str
    epoch: int
    step: Step
    begun: datetime
    deadline: datetime
    operator: Operator
    workload: str
    workload_uid: str
    workers: Mapping[str, WorkerRecord]
    paused: tuple[Paused, ...] = ()
    silence: str | None = None
    attempts: int = 0
    revision: int | None = None
    accepted_until: datetime | None = None
    put_back: Outcome | None = None
    ended: Outcome | None = None
    ended_at: datetime | None = None
    detail: str = ""
    writes: tuple[WriteIntent, ...] = ()
    steps: tuple[tuple[Step, datetime], ...] = ()

    @property
    def fence(self) -> str:
        """What stands on every object that this run, in this epoch, may change."""
        return f"{self.id}/{self.epoch}"

    @property
    def restart_id(self) -> str:
        """The id of its latest restart: unique also for two in one second (kubernetes PR #113040)."""
        return f"{self.id}-{self.attempts}"

    def reached(self, step: Step, now: datetime) -> "Run":
        """Return it one step further."""
        return replace(self, step=step, steps=(*self.steps, (step, now)))

    def intends(self, what: str, now: datetime) -> "Run":
        """Note a write before it is sent; one that is sent again is noted once. The one before it is done."""
        if self.writes and (self.writes[-1].what, self.writes[-1].state) == (what, "intended"):
            return self
        noted = self.settled(now)
        return replace(noted, writes=(*noted.writes, WriteIntent(what, "intended", now)))

    def settled(self, now: datetime) -> "Run":
        """Note that the write that was noted last is done, if one is still under way."""
        return self.wrote("done", now) if self.writes and self.writes[-1].state == "intended" else self

    def wrote_before(self, what: str) -> bool:
        """Tell whether this write was noted already: it may have been done."""
        return any(writing.what == what for writing in self.writes)

    def left_at_0(self) -> tuple[str, ...]:
        """Return the workers that it has scaled to 0, or may have, and has not put back for certain."""
        return tuple(name for name, worker in self.workers.items() if worker.replicas and self._is_left(name, worker))

    def _is_left(self, name: str, worker: WorkerRecord) -> bool:
        left = False
        for writing in self.writes:
            if writing.what == worker.down(name) and writing.state != "failed":
                left = True
            elif writing.what == worker.up(name) and writing.state == "done":
                left = False
        return left

    def wrote(self, state: str, now: datetime) -> "Run":
        """Note how the write that was noted last came out: `done` or `failed`."""
        *before, last = self.writes
        return replace(self, writes=(*before, replace(last, state=state, at=now)))


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run. `seconds` are how long each step took, in their order."""

    id: str
    begun: datetime
    finished: datetime
    outcome: Outcome
    operator: Operator
    seconds: tuple[tuple[str, float], ...] = ()
    detail: str = ""

    @property
    def exit_code(self) -> int:
        """What the process that finished it ended with."""
        return EXIT_CODES[self.outcome]


@dataclass(frozen=True, slots=True)
class Record:
    """The whole document, with the resourceVersion under which it was read (None: it does not exist yet)."""

    run: Run | None = None
    finished: tuple[FinishedRun, ...] = ()
    resource_version: str | None = field(default=None, compare=False)

    @property
    def last_finished(self) -> str:
        """The id of the run that finished last, empty if none has."""
        return self.finished[-1].id if self.finished else ""

    def closed(self, outcome: Outcome, now: datetime, detail: str = "") -> "Record":
        """Return it with the open run finished."""
        run = self.run
        if run is None:
            return self
        past = FinishedRun(run.id, run.begun, now, outcome, run.operator, _durations(run, now), detail)
        return replace(self, run=None, finished=(*self.finished, past)[-KEPT:])


def _durations(run: Run, now: datetime) -> tuple[tuple[str, float], ...]:
    """Return the seconds up to each step that was reached, and to the end."""
    instants = [("begun", run.begun), *((str(step), at) for step, at in run.steps), ("finished", now)]
    return tuple((name, round((at - before).total_seconds(), 3)) for (_, before), (name, at) in pairwise(instants))


# --- JSON ------------------------------------------------------------------------------------------


def config_map(target: str, record: Record) -> dict[str, Any]:
    """Return the ConfigMap's content: its name and label, and the document."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": record_name(target), "labels": {RECORD_LABEL: target}},
        "data": {RECORD_KEY: dumps(record)},
    }


def dumps(record: Record) -> str:
    """Write the document. People read it with kubectl: it is indented."""
    run = record.run
    document = {
        "schema": SCHEMA,
        "run": None if run is None else _run_document(run),
        "finished": [_past_document(past) for past in record.finished],
    }
    return json.dumps(document, indent=1, default=_plain)


def from_config_map(document: Mapping[str, Any]) -> Record:
    """Read a ConfigMap.

    Raises:
        RecordError: it holds no record that this version can read.
    """
    text = (document.get("data") or {}).get(RECORD_KEY)
    version = str(document["metadata"]["resourceVersion"])
    if not text:
        return Record(resource_version=version)
    return replace(loads(text), resource_version=version)


def loads(text: str) -> Record:
    """Read a document.

    Raises:
        RecordError: it is not one that this version can read.
    """
    parse(ObjectKey("", ""), text)  # what the exporter can't read is no record to us either
    try:
        document = json.loads(text)
        run = document.get("run")
        return Record(
            run=None if run is None else _run(run),
            finished=tuple(_past(past) for past in document.get("finished", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from error


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "epoch": run.epoch,
        "step": run.step,
        "begun": run.begun,
        "deadline": run.deadline,
        "workers": {name: worker.replicas for name, worker in run.workers.items()},
        "ended": None if run.ended is None else {"at": run.ended_at, "outcome": run.ended},
        "put_back": run.put_back,
        "detail": run.detail,
        "operator": asdict(run.operator),
        "workload": run.workload,
        "workload_uid": run.workload_uid,
        "worker_uids": {name: worker.uid for name, worker in run.workers.items()},
        "worker_pods": {name: list(worker.pods) for name, worker in run.workers.items()},
        "paused": [
            {"path": each.path, "during": dict(each.during), "before": dict(each.before)} for each in run.paused
        ],
        "silence": run.silence,
        "attempts": run.attempts,
        "revision": run.revision,
        "accepted_until": run.accepted_until,
        "writes": [asdict(each) for each in run.writes],
        "steps": [{"step": step, "at": at} for step, at in run.steps],
    }


def _run(document: Mapping[str, Any]) -> Run:
    ended = document["ended"]
    workers = {
        str(name): WorkerRecord(
            count_of(replicas), str(document["worker_uids"][name]), tuple(document["worker_pods"][name])
        )
        for name, replicas in document["workers"].items()
    }
    return Run(
        id=str(document["id"]),
        epoch=count_of(document["epoch"]),
        step=Step(document["step"]),
        begun=instant_of(document["begun"]),
        deadline=instant_of(document["deadline"]),
        operator=_operator(document["operator"]),
        workload=str(document["workload"]),
        workload_uid=str(document["workload_uid"]),
        workers=workers,
        paused=tuple(
            Paused(str(each["path"]), dict(each["during"]), dict(each["before"])) for each in document["paused"]
        ),
        silence=None if document["silence"] is None else text_of(document["silence"]),
        attempts=count_of(document["attempts"]),
        revision=None if document["revision"] is None else count_of(document["revision"]),
        accepted_until=None if document["accepted_until"] is None else instant_of(document["accepted_until"]),
        put_back=None if document["put_back"] is None else Outcome(document["put_back"]),
        ended=None if ended is None else Outcome(ended["outcome"]),
        ended_at=None if ended is None else instant_of(ended["at"]),
        detail=str(document["detail"]),
        writes=tuple(WriteIntent(each["what"], each["state"], instant_of(each["at"])) for each in document["writes"]),
        steps=tuple((Step(each["step"]), instant_of(each["at"])) for each in document["steps"]),
    )


def _past_document(past: FinishedRun) -> dict[str, Any]:
    seconds = [{"step": name, "seconds": value} for name, value in past.seconds]  # one may be gone through twice
    return asdict(past) | {"seconds": seconds}


def _past(document: Mapping[str, Any]) -> FinishedRun:
    return FinishedRun(
        id=str(document["id"]),
        begun=instant_of(document["begun"]),
        finished=instant_of(document["finished"]),
        outcome=Outcome(document["outcome"]),
        operator=_operator(document["operator"]),
        seconds=tuple((str(each["step"]), float(each["seconds"])) for each in document["seconds"]),
        detail=str(document.get("detail", "")),
    )


def _operator(document: Mapping[str, Any]) -> Operator:
    words = {name: text_of(value) for name, value in document.items() if name != "pid"}
    return Operator(**words, pid=count_of(document["pid"]))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not part of a record")
