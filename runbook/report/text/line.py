"""A run as plain lines: what an event changed of what was known before, and what is said while nothing does. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias

from runbook.events import Event, Level, PhaseBegun, PodLine, Progress, StepReached
from runbook.report.run_progress import RunProgress
from runbook.report.text.event import lasting_line
from runbook.report.wording import BRIEF, PHASES, STEPS, length, ticking, time_of_day

Line: TypeAlias = tuple[Level, str]
"""How much it matters, and its words; it may hold foreign text."""

NAMED = 5
"""Pods that are named by a heartbeat."""


def changed_lines(before: RunProgress, event: Event, now: datetime) -> Iterator[Line]:
    """Yield what is new: an event that tells what was known already yields nothing."""
    match event:
        case PhaseBegun(phase, _, limit):
            yield Level.INFO, PHASES[phase] + ("" if limit is None else f": at most {length(limit)}")
        case StepReached(step, _, seconds):
            yield Level.INFO, f"reached: {STEPS[step]}" + (f", after {length(seconds)}" if seconds >= BRIEF else "")
        case Progress():
            yield from _progress_lines(before.of(event.workload), event, now)
        case _:
            if (line := lasting_line(event)) is not None:
                yield line


def heartbeat_line(run_progress: RunProgress, now: datetime) -> Line | None:
    """Say what is being waited for, how long already and how long at most; None if nothing goes on."""
    stage = run_progress.present
    if stage is None:
        return None
    text = f"{PHASES[stage.phase]}: for {ticking(stage.lasted(now))} so far"
    if (left := stage.left(now)) is not None:
        text += f", {ticking(left)} left" if left >= 0 else f", {ticking(-left)} over its limit"
    waits = [_waits_for(progress, now) for progress in run_progress.progress if progress.why]
    return Level.INFO, "; ".join([text, *waits])


def _progress_lines(before: Progress | None, progress: Progress, now: datetime) -> Iterator[Line]:
    known = {pod.name: pod for pod in before.pods} if before else {}
    for pod in progress.pods:
        if pod.name not in known or _told(known[pod.name]) != _told(pod):
            yield Level.INFO, f"{progress.workload}: {_pod(pod, now)}"
    present = {pod.name for pod in progress.pods}
    for name, pod in known.items():
        if name not in present:
            lasted = "" if pod.since is None else f", {ticking(now - pod.since)} after it was asked to end"
            yield Level.INFO, f"{progress.workload}: {name} is gone{lasted}"
    if before is None or before.why != progress.why:
        waits = f"waiting: {progress.why}" if progress.why else "nothing left to wait for"
        yield Level.INFO, f"{progress.workload}: {waits}"
    if progress.stalled and (before is None or before.stalled != progress.stalled):
        yield Level.WARNING, f"{progress.workload}: stalled: {progress.stalled}"


def _told(pod: PodLine) -> tuple[object, ...]:
    """Return what of a pod is worth a line when it changes."""
    return pod.state, pod.node, pod.presents, pod.latest_end


def _pod(pod: PodLine, now: datetime) -> str:
    parts = [f"{pod.name} is {pod.state}"]
    if pod.node:
        parts.append(f"on {pod.node}")
    if pod.since is not None:
        parts.append(f"for {ticking(now - pod.since)}")
    if pod.latest_end is not None:
        parts.append(f"until {time_of_day(pod.latest_end)} at the latest")
    if pod.presents:
        parts.append(f"presents {pod.presents}")
    return ", ".join(parts)


def _waits_for(progress: Progress, now: datetime) -> str:
    latest = max((pod.latest_end for pod in progress.pods if pod.latest_end is not None), default=None)
    names = _names(progress.pods)
    until = "" if latest is None else f", until {time_of_day(latest)} at the latest" if latest > now else ", overdue"
    return f"{progress.workload}: {progress.why}{names}{until}"


def _names(pods: Iterable[PodLine]) -> str:
    names = [pod.name for pod in pods]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" ({', '.join(names[:NAMED])}{more})" if names else ""
