"""The answer of `check-…`: what is so with a target, what to do about it, and the exit code that says it. Pure."""

from dataclasses import dataclass

from certlag.assess import is_close
from certlag.assessment import WindowState
from certlag.config.release import Release
from certlag.target_assessment import TargetAssessment
from runbook.check.status import TargetStatus
from runbook.guard.record import Run


@dataclass(frozen=True, slots=True)
class Commands:
    """What can be typed next for a target, with the options that this command was given."""

    restart: str
    resume: str
    abort: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found out. `run` is the open run of the target's record, if there is one."""

    status: TargetStatus
    assessment: TargetAssessment
    run: Run | None
    commands: Commands


@dataclass(frozen=True, slots=True)
class Used:
    """A kubeconfig context with its API server, and the release that is stored for it.

    `targets` are the names of the release's targets, None if they were not read.
    """

    context: str
    server: str
    release: Release | None
    targets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, in words and as commands."""

    text: str
    commands: tuple[str, ...] = ()


CHECK_EXIT_CODES = {
    WindowState.SETTLED: 0,
    WindowState.NEEDS_RESTART: 1,
    WindowState.RENEWAL_DUE: 1,
    WindowState.EXPIRED: 2,
    WindowState.UNKNOWN: 3,
}


def exit_code(answer: CheckReport) -> int:
    """Return 0 settled, 1 restart or renewal due, 2 expired, 3 anything else."""
    state = answer.status.state
    return 3 if state is None or not answer.assessment.found else CHECK_EXIT_CODES[state]


def advise(answer: CheckReport) -> Advice:
    """Say what to do; an unfinished run comes before all else."""
    status, target, run = answer.status, answer.assessment.target, answer.run
    commands = answer.commands
    if run is not None and run.ended is not None:
        return Advice("A run was left unfinished: go on with it, or undo it", (commands.resume, commands.abort))
    if run is not None:
        return Advice("A run is open: wait for it; if nobody works on it any more, go on with it", (commands.resume,))
    if not answer.assessment.found:
        return Advice("Create what is missing, or correct its name")
    if status.needs_restart:
        return Advice(_why_restart(answer), (commands.restart,))
    if status.state in (WindowState.RENEWAL_DUE, WindowState.EXPIRED):
        namespace = target.workload.namespace
        names = tuple(f"cmctl status certificate {each.key.name} -n {namespace}" for each in status.certificates)
        return Advice("See why cert-manager has not renewed it: a restart would load the same one again", names)
    if status.state is WindowState.SETTLED:
        return Advice("Nothing to do")
    if not status.pods:
        return Advice("See why there is no running pod that could be assessed")
    return Advice("See above why it cannot be told what each pod presents")


def _why_restart(answer: CheckReport) -> str:
    status, target = answer.status, answer.assessment.target
    if target.client_auth and any(use.issuer_changed for _, use in status.uses):
        return "Restart it now: its issuer has changed, so it refuses clients that hold new certificates already"
    if status.deadline is not None and status.deadline <= status.at:
        return "Restart it now: what it presents has expired"
    if target.reloads:
        return "It should have read the new certificate by itself: restart it"
    if any(is_close(use.deadline, use.window, status.at) for _, use in status.uses):
        return "Restart it now: what it presents expires soon"
    return "Restart it before the deadline, when its workers can be drained"
