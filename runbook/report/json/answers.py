"""The answers of `check`, `history`, `use`, `page` and `rehearse --list`, and errors, as a program reads them. Pure.

Each class is one document: its fields are the keys of the line or of the object, in this order. `json_forms` writes
them, and `json_schema` describes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from certlag.assessment import Assessment, UseAssessment, WindowState
from certlag.model import Issued, IssuedEvidence
from certlag.run_record import RunState, Step
from runbook.check.advice import CheckReport, advise, exit_code
from runbook.check.status import PodStatus
from runbook.guard.record import FinishedRun, Operator, Record, Run
from runbook.kube.views import reference
from runbook.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class CommandError:
    """What stopped a command before it began."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class AlertPage:
    """The page of an alert, as Markdown."""

    alert: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is not finished. `ended` is set while no process works on it; `workers` are replicas before it."""

    id: str
    epoch: int
    step: Step
    begun: datetime
    deadline: datetime
    operator: Operator
    ended: Outcome | None
    detail: str
    steps: tuple[tuple[Step, datetime], ...]
    workers: Mapping[str, int]

    @classmethod
    def of(cls, run: Run) -> Self:
        """Take it from the record."""
        return cls(
            id=run.id,
            epoch=run.epoch,
            step=run.step,
            begun=run.begun,
            deadline=run.deadline,
            operator=run.operator,
            ended=run.ended,
            detail=run.detail,
            steps=run.steps,
            workers={worker: recorded.replicas for worker, recorded in run.workers.items()},
        )


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """What was issued. The last two are None where the certificate itself is not known."""

    evidence: IssuedEvidence
    not_before: datetime | None
    not_after: datetime | None
    fingerprint: str | None
    serial_number: str | None

    @classmethod
    def of(cls, issued: Issued) -> Self:
        """Take it from what is known of the issuance."""
        leaf = issued.chain.leaf if issued.chain else None
        return cls(
            evidence=issued.evidence,
            not_before=issued.not_before,
            not_after=issued.not_after,
            fingerprint=leaf.fingerprint_sha256 if leaf else None,
            serial_number=leaf.serial_number if leaf else None,
        )


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """A Certificate of cert-manager that a target uses. `issuer_changed` is None where that is not known."""

    name: str
    exists: bool
    renewal_at: datetime | None
    issuer_changed: bool | None
    issued: IssuedCertificate | None

    @classmethod
    def of(cls, assessment: Assessment, use: UseAssessment) -> Self:
        """Take it from the exporter's assessment."""
        certificate = assessment.certificate
        return cls(
            name=assessment.key.name,
            exists=certificate is not None,
            renewal_at=certificate.renewal_at if certificate else None,
            issuer_changed=use.issuer_changed,
            issued=None if assessment.issued is None else IssuedCertificate.of(assessment.issued),
        )


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A target with its certificates and pods, and what to do. After `deadline` clients refuse what is loaded.

    `missing` says what of it does not exist, None if all does. `state` is None where there is nothing to assess,
    `needs_restart` where that is not known.
    """

    name: str
    namespace: str
    workload: str
    found: bool
    missing: str | None
    state: WindowState | None
    needs_restart: bool | None
    deadline: datetime | None
    certificates: tuple[CheckedCertificate, ...]
    pods: tuple[PodStatus, ...]
    run_state: RunState
    run: OpenRun | None
    advice: str
    next_commands: tuple[str, ...]
    exit_code: int

    @classmethod
    def of(cls, answer: CheckReport) -> Self:
        """Take it from what was found out."""
        status, target, advice = answer.status, answer.assessment.target, advise(answer)
        return cls(
            name=target.name,
            namespace=target.workload.namespace,
            workload=reference(target.workload),
            found=answer.assessment.found,
            missing=answer.assessment.missing_text,
            state=status.state,
            needs_restart=status.needs_restart,
            deadline=status.deadline,
            certificates=tuple(CheckedCertificate.of(*use) for use in status.uses),
            pods=status.pods,
            run_state=answer.assessment.state,
            run=None if answer.run is None else OpenRun.of(answer.run),
            advice=advice.text,
            next_commands=advice.commands,
            exit_code=exit_code(answer),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer of `check`. Its exit code is the highest of its targets'."""

    targets: tuple[CheckedTarget, ...]
    exit_code: int

    @classmethod
    def of(cls, answers: Sequence[CheckReport]) -> Self:
        """Take it from what was found out of each target."""
        return cls(tuple(map(CheckedTarget.of, answers)), max(map(exit_code, answers), default=0))


@dataclass(frozen=True, slots=True)
class TargetHistory:
    """The runs of one target: the open one, and the finished ones with the latest first."""

    name: str
    open: OpenRun | None
    finished: tuple[FinishedRun, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The answer of `history`."""

    targets: tuple[TargetHistory, ...]

    @classmethod
    def of(cls, records: Mapping[str, Record]) -> Self:
        """Take it from the record of each target."""
        return cls(
            tuple(
                TargetHistory(name, None if record.run is None else OpenRun.of(record.run), record.finished[::-1])
                for name, record in records.items()
            )
        )


@dataclass(frozen=True, slots=True)
class RehearsalStep:
    """What is done next in a rehearsal: a command of the runbook, or something `elsewhere`, which has no exit code.

    `if_open`: only while a run is open.
    """

    type: str
    words: str
    why: str
    exit_code: int | None
    if_open: bool | None


@dataclass(frozen=True, slots=True)
class RehearsalFault:
    """A fault that can be rehearsed."""

    name: str
    teaches: str
    happens: str
    steps: tuple[RehearsalStep, ...]
    look_at: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RehearsalFaults:
    """The answer of `rehearse --list`."""

    faults: tuple[RehearsalFault, ...]
