"""What is known of a target apart from its certificates: does it exist, how long may a run take, is one open? Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from certlag.model import Target, Workload, WorkloadStatus
from certlag.run_record import FinishedRun, OpenRun, RunRecord, RunState


@dataclass(frozen=True, slots=True)
class WorkerReplicas:
    """The replicas of a worker: recorded by the open run, and now (None if it does not exist)."""

    worker: Workload
    expected: int
    current: int | None


class Missing(StrEnum):
    """What of a target does not exist: the first that is so."""

    WORKLOAD = "workload"
    CERTIFICATE = "certificate"
    """The one that the configuration names."""
    USED_CERTIFICATE = "used_certificate"
    """One of a Secret that the workload uses."""


@dataclass(frozen=True, slots=True)
class TargetAssessment:
    """What is said of one configured target.

    `missing` is what of it does not exist, None if all does. `budget` is None if nothing bounds a drain of its workers.
    Of an open run, either `heartbeat_at` or `heartbeat_awaited_at` is known: when its Lease was last seen to change, or
    since when we have known the run without seeing that.
    """

    target: Target
    missing: Missing | None
    budget: timedelta | None
    state: RunState
    run: OpenRun | None
    heartbeat_at: datetime | None
    heartbeat_awaited_at: datetime | None
    last: FinishedRun | None
    workers: tuple[WorkerReplicas, ...]

    @property
    def found(self) -> bool:
        """Whether its workload exists, and a Certificate of it."""
        return self.missing is None

    @property
    def missing_text(self) -> str | None:
        """What does not exist, in words; None if all does."""
        workload = f"{self.target.workload.type}/{self.target.workload.name}"
        namespace = self.target.workload.namespace
        match self.missing:
            case Missing.WORKLOAD:
                return f"workload {workload} does not exist in {namespace}"
            case Missing.CERTIFICATE:
                return f"Certificate {self.target.certificate} does not exist in {namespace}"
            case Missing.USED_CERTIFICATE:
                return f"no Certificate in {namespace} has a Secret that {workload} uses"
            case None:
                return None


def assess_target(
    target: Target,
    *,
    certificate_found: bool,
    workloads: Mapping[Workload, WorkloadStatus],
    record: RunRecord | None,
    heartbeat_at: datetime | None,
    run_seen_at: datetime | None = None,
) -> TargetAssessment:
    """Assess one target.

    Args:
        target: the target.
        certificate_found: whether the certificate that it names exists, or one of a Secret that its workload uses.
        workloads: the status of those of its workload and workers that exist.
        record: its run record, if there is one.
        heartbeat_at: when the Lease of its workload was last seen to change; None if it never was.
        run_seen_at: since when the record has been known to be about the run that it is about.
    """
    run = record.run if record else None
    return TargetAssessment(
        target=target,
        missing=_missing(target, workloads, certificate_found=certificate_found),
        budget=_budget(target, workloads),
        state=run.state if run else RunState.IDLE,
        run=run,
        heartbeat_at=heartbeat_at if run else None,
        heartbeat_awaited_at=run_seen_at if run and heartbeat_at is None else None,
        last=max(record.finished, key=lambda past: past.finished_at) if record and record.finished else None,
        workers=tuple(_workers(target, run, workloads)) if run else (),
    )


def _missing(
    target: Target, workloads: Mapping[Workload, WorkloadStatus], *, certificate_found: bool
) -> Missing | None:
    if target.workload not in workloads:
        return Missing.WORKLOAD
    if certificate_found:
        return None
    return Missing.CERTIFICATE if target.certificate else Missing.USED_CERTIFICATE


def _budget(target: Target, workloads: Mapping[Workload, WorkloadStatus]) -> timedelta | None:
    """Return drain timeout and restart timeout; by default a drain may take as long as the workers' grace period."""
    drain = target.drain_timeout
    if drain is None:
        graces = [workloads[worker].grace_period for worker in target.workers if worker in workloads]
        if len(graces) < len(target.workers):
            return None
        drain = max(graces, default=timedelta(0))
    return drain + target.restart_timeout


def _workers(target: Target, run: OpenRun, workloads: Mapping[Workload, WorkloadStatus]) -> list[WorkerReplicas]:
    recorded = dict(run.workers)
    return [
        WorkerReplicas(worker, recorded[reference], workloads[worker].replicas if worker in workloads else None)
        for worker in target.workers
        if (reference := f"{worker.type}/{worker.name}") in recorded
    ]
