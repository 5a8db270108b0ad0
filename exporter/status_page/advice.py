"""What to do about a workload, in words and as commands to type. Pure; in the order of the runbook's `check-…`."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from certlag.assess import is_close
from certlag.assessment import WindowState
from certlag.model import RESTARTABLE
from certlag.run_record import RunState
from exporter.status_page.runs import RunView
from exporter.status_page.words import instant

Uses = Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
"""Certificates of the status document, each with one of its uses."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, in words and as commands."""

    text: str
    commands: tuple[str, ...] = ()


def for_target(
    target: Mapping[str, Any], release: str | None, run: RunView | None, uses: Uses, now: datetime
) -> Advice:
    """Say what to do about a configured target, of a release of the chart; an unfinished run comes before all else."""
    pairs = tuple(uses)
    restart, resume, abort = (_command(verb, target, release) for verb in ("restart", "resume", "abort"))
    if run is not None and run.state is RunState.LEFT_DRAINED:
        return Advice("A run was left unfinished: go on with it, or undo it.", (resume, abort))
    if run is not None and not run.alive:
        return Advice("A run is open, and nobody seems to work on it: go on with it.", (resume,))
    if run is not None:
        return Advice("A run is open: wait for it.")
    if target["missing"] is not None:
        return Advice(f"Create what is missing, or correct the target in the configuration: {target['missing']}.")
    if any(use["needsRestart"] for _, use in pairs):
        return Advice(_why_restart(target, pairs, now), (restart,))
    return _without_restart(pairs)


def for_discovered(workload: Mapping[str, str], uses: Uses) -> Advice:
    """Say what to do about a workload that discovery has found, which no target names."""
    pairs = tuple(uses)
    if any(use["needsRestart"] for _, use in pairs):
        if workload["type"] not in RESTARTABLE:
            return Advice("Restart it when its work may be interrupted.")
        text = "Restart it when its work may be interrupted; add --worker KIND/NAME for what must be drained first."
        name = f"{workload['type']}/{workload['name']}"
        return Advice(text, (shlex.join(("runbook", "restart", "--workload", name, "-n", workload["namespace"])),))
    return _without_restart(pairs)


def _command(verb: str, target: Mapping[str, Any], release: str | None) -> str:
    place = ("-n", target["workload"]["namespace"]) if release is None else ("--release", release)
    return shlex.join(("runbook", f"{verb}-{target['name']}", *place))


def _why_restart(target: Mapping[str, Any], uses: Uses, now: datetime) -> str:
    deadlines = [at for _, use in uses if (at := instant(use["deadline"])) is not None]
    if target["clientAuth"] and any(use["issuerChanged"] for _, use in uses):
        return "Restart it now: its issuer has changed, so it refuses clients that hold new certificates already."
    if deadlines and min(deadlines) <= now:
        return "Restart it now: what it presents has expired."
    if target["reloads"]:
        return "It should have read the new certificate by itself: restart it."
    if any(is_urgent(use, now) for _, use in uses):
        return "Restart it now: what it presents expires soon."
    return "Restart it before the deadline, when its workers can be drained."


def is_urgent(use: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether the deadline of a use is close."""
    window = use["windowSeconds"]
    return is_close(instant(use["deadline"]), None if window is None else timedelta(seconds=window), now)


def _without_restart(uses: Uses) -> Advice:
    states = {use["state"] for _, use in uses}
    overdue = [pair for pair in uses if pair[1]["state"] in (WindowState.RENEWAL_DUE, WindowState.EXPIRED)]
    if overdue:
        text = "See why cert-manager has not renewed it: a restart would load the same one again."
        return Advice(text, tuple(dict.fromkeys(_status_command(certificate) for certificate, _ in overdue)))
    if WindowState.NEEDS_RESTART in states:
        return Advice("By when its containers started it is stale. That is a guess: look, then restart it.")
    if WindowState.UNKNOWN in states and not all(use["pods"] for _, use in uses):
        return Advice("See why there is no running pod that could be judged.")
    if WindowState.UNKNOWN in states:
        return Advice("See below why it cannot be told what each pod presents.")
    return Advice("")


def _status_command(certificate: Mapping[str, Any]) -> str:
    return shlex.join(("cmctl", "status", "certificate", certificate["name"], "-n", certificate["namespace"]))
