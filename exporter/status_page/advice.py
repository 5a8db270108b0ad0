"""What to do about a workload, in words and as commands to type. Pure; in the order of the runbook's `check-…`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from certlag.assess import is_close
from certlag.assessment import Assessment, UseAssessment, WindowState
from certlag.config.release import Release
from certlag.model import RESTARTABLE, ObjectKey, Workload
from certlag.run_record import RunState
from certlag.target_assessment import TargetAssessment
from exporter.status_page.runs import RunView

Uses = Sequence[tuple[Assessment, UseAssessment]]
"""Certificates, each with one of its uses."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, in words and as commands."""

    text: str
    commands: tuple[str, ...] = ()


def for_target(
    target: TargetAssessment, release: Release | None, run: RunView | None, uses: Uses, now: datetime
) -> Advice:
    """Say what to do about a configured target, of a release of the chart; an unfinished run comes before all else."""
    restart, resume, abort = (_command(verb, target, release) for verb in ("restart", "resume", "abort"))
    if run is not None and run.state is RunState.LEFT_DRAINED:
        return Advice("A run was left unfinished: go on with it, or undo it.", (resume, abort))
    if run is not None and not run.alive:
        return Advice("A run is open, and nobody seems to work on it: go on with it.", (resume,))
    if run is not None:
        return Advice("A run is open: wait for it.")
    if target.missing is not None:
        return Advice(f"Create what is missing, or correct the target in the configuration: {target.missing_text}.")
    if any(use.needs_restart for _, use in uses):
        return Advice(_why_restart(target, uses, now), (restart,))
    return _without_restart(uses)


def for_discovered(workload: Workload, uses: Uses) -> Advice:
    """Say what to do about a workload that discovery has found, which no target names."""
    if any(use.needs_restart for _, use in uses):
        if workload.type not in RESTARTABLE:
            return Advice("Restart it when its work may be interrupted.")
        text = "Restart it when its work may be interrupted; add --worker KIND/NAME for what must be drained first."
        name = f"{workload.type}/{workload.name}"
        return Advice(text, (shlex.join(("runbook", "restart", "--workload", name, "-n", workload.namespace)),))
    return _without_restart(uses)


def _command(verb: str, assessment: TargetAssessment, release: Release | None) -> str:
    target = assessment.target
    place = ("-n", target.workload.namespace) if release is None else ("--release", str(release))
    return shlex.join(("runbook", f"{verb}-{target.name}", *place))


def _why_restart(assessment: TargetAssessment, uses: Uses, now: datetime) -> str:
    target, deadlines = assessment.target, [use.deadline for _, use in uses if use.deadline is not None]
    if target.client_auth and any(use.issuer_changed for _, use in uses):
        return "Restart it now: its issuer has changed, so it refuses clients that hold new certificates already."
    if deadlines and min(deadlines) <= now:
        return "Restart it now: what it presents has expired."
    if target.reloads:
        return "It should have read the new certificate by itself: restart it."
    if any(is_close(use.deadline, use.window, now) for _, use in uses):
        return "Restart it now: what it presents expires soon."
    return "Restart it before the deadline, when its workers can be drained."


def _without_restart(uses: Uses) -> Advice:
    states = {use.state for _, use in uses}
    overdue = [each.key for each, use in uses if use.state in (WindowState.RENEWAL_DUE, WindowState.EXPIRED)]
    if overdue:
        text = "See why cert-manager has not renewed it: a restart would load the same one again."
        return Advice(text, tuple(map(_status_command, dict.fromkeys(overdue))))
    if WindowState.NEEDS_RESTART in states:
        return Advice("By when its containers started it is stale. That is a guess: look, then restart it.")
    if WindowState.UNKNOWN in states and not all(use.pods for _, use in uses):
        return Advice("See why there is no running pod that could be assessed.")
    if WindowState.UNKNOWN in states:
        return Advice("See below why it cannot be told what each pod presents.")
    return Advice("")


def _status_command(certificate: ObjectKey) -> str:
    return shlex.join(("cmctl", "status", "certificate", certificate.name, "-n", certificate.namespace))
