"""From facts to a plan: what will change, how it was checked, how long it may take. Pure."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from certlag.model import Target
from certlag.run_record import Step, lease_key, record_name
from runbook.events import Phase
from runbook.guard import controllers
from runbook.guard.controllers import Pause
from runbook.guard.fence import workload_path
from runbook.guard.guarded_run import Limits
from runbook.guard.record import Paused, Run
from runbook.kube.views import counted, reference
from runbook.plan.facts import Facts
from runbook.plan.model import Busy, Check, CheckResult, Plan, PlannedChange
from runbook.plan.pace import drain_span, in_words, turns_of
from runbook.run.engine import BEFORE_RESTART, PUTTING_BACK

END_MARGIN = timedelta(seconds=30)
"""What a kubelet may need beyond a grace period to report a pod's end."""

_PUT_BACK = (Phase.SCALING_UP, Phase.RESTORING, Phase.CLOSING)
_ALL = (Phase.SCALING_DOWN, Phase.DRAINING, Phase.RESTARTING, Phase.VERIFYING, *_PUT_BACK)
FIRST_LEFT = {
    Step.SCALED_DOWN: Phase.DRAINING,
    Step.DRAINED: Phase.RESTARTING,
    Step.RESTARTING: Phase.RESTARTING,
    Step.RESTARTED: Phase.VERIFYING,
    Step.VERIFIED: Phase.SCALING_UP,
    Step.SCALED_UP: Phase.RESTORING,
    Step.UNPAUSED: Phase.CLOSING,
}
"""What a run is busy with after a step; before the first of these with scaling the workers down."""


def limits(target: Target, facts: Facts, *, drain: timedelta | None, restart: timedelta | None) -> Limits:
    """Return how long each part may take: as asked, as configured, or what the workers' own grace period allows."""
    views = [facts.views[worker] for worker in target.workers if worker in facts.views]
    lengths = [drain_span(view, facts.pods_of(view.workload)).length for view in views]
    own = max((*lengths, *(view.grace_period for view in views)), default=timedelta(0)) + END_MARGIN
    return Limits(drain=drain or target.drain_timeout or own, restart=restart or target.restart_timeout)


def pauses(target: Target, facts: Facts) -> Iterator[Paused]:
    """Yield what is paused during the run: KEDA, where it is not paused already, and Flux."""
    for autoscaler in facts.autoscalers:
        view = facts.views.get(autoscaler.workload)
        if view is not None and controllers.pause(autoscaler, view.replicas) in (Pause.NONE, Pause.HELD):
            yield controllers.pause_of(autoscaler)
    for workload in (target.workload, *target.workers):
        view = facts.views.get(workload)
        if view is not None and controllers.pausable_flux(view):
            yield controllers.pause_of_flux(view, workload_path(workload))


_BEFORE_ALL = frozenset({"rights", "record", "workloads"})
"""Checks that are about more than how a restart would go."""


def nothing_to_do(checks: Iterable[Check]) -> str:
    """Say why a restart would change nothing, empty if it would: pods present what was issued, or there are none."""
    decide = ("rollout", "certificate")
    return next((each.text for each in checks if each.name in decide and each.result is CheckResult.NOTED), "")


def that_matter(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Leave out what stands in the way of a restart where there is nothing to restart."""
    checks = tuple(checks)
    if not nothing_to_do(checks):
        return checks
    return tuple(each for each in checks if each.result is not CheckResult.REFUSED or each.name in _BEFORE_ALL)


def restart_changes(
    target: Target, facts: Facts, pause: Iterable[Paused], *, silence: bool = False
) -> Iterator[PlannedChange]:
    """Yield what a restart will change, in its order."""
    if silence:
        where = f"alerts in {target.workload.namespace}"
        yield PlannedChange(where, "as they are", "what a drain causes silenced until its end, critical ones never")
    for paused in pause:
        name = "/".join(paused.path.split("/")[-2:])
        yield PlannedChange(name, "as it is", "kept away meanwhile, then as it is")
    for worker in target.workers:
        if worker in facts.views:
            view = facts.views[worker]
            turn = " (one after another)" if view.pace.in_order and view.replicas > 1 else ""
            after = f"0 until restarted, then {counted(view.replicas, 'replica')}{turn}"
            yield PlannedChange(reference(worker), counted(view.replicas, "replica"), after)
    if target.workload in facts.views:
        view = facts.views[target.workload]
        pods, turns = counted(view.replicas, "pod"), in_words(turns_of(view), view.replicas)
        after = " ".join(filter(None, (f"{pods}, restarted", turns)))
        yield PlannedChange(reference(target.workload), f"{pods} running", after)


def remaining_changes(target: Target, facts: Facts, run: Run, *, abort: bool) -> Iterator[PlannedChange]:
    """Yield what is left to be changed of an open run."""
    if run.silence is not None:
        yield PlannedChange("silence", run.silence, "ended with the run")
    views = {reference(workload): view for workload, view in facts.views.items()}
    onward = not abort and run.put_back is None and run.step not in PUTTING_BACK
    for name, worker in run.workers.items():
        now = counted(views[name].replicas, "replica") if name in views else "gone"
        then = counted(worker.replicas, "replica")
        yield PlannedChange(name, now, f"0 until restarted, then {then}" if onward else then)
    if onward and run.step in BEFORE_RESTART:
        yield PlannedChange(reference(target.workload), "as it runs", "restarted")


def make_plan(
    command: str,
    target: Target,
    facts: Facts,
    checks: tuple[Check, ...],
    *,
    source: str,
    context: str,
    server: str,
    reason: str,
    changes: Iterable[PlannedChange],
    limits: Limits,
    phases: tuple[Phase, ...],
) -> Plan:
    """Put together what the operator should know."""
    return Plan(
        command=command,
        target=target.name,
        source=source,
        context=context,
        server=server,
        user=facts.user,
        namespace=target.workload.namespace,
        bookkeeping=_bookkeeping(target),
        reason=reason,
        presented=facts.status.lines() if facts.status else (),
        changes=tuple(changes),
        checks=checks,
        busy=tuple(
            Busy(pod.name, pod.node, pod.created_at, pod.grace)
            for worker in target.workers
            for pod in facts.pods_of(worker)
        ),
        limits=(("drain", limits.drain), ("restart", limits.restart), ("verification", limits.verify)),
        on_failure=(
            "workers not finished in time: no restart, workers restored (exit code 5)",
            "not rolled out in time: workers stay at 0, the record says so (6)",
            "the old certificate again: one more restart, then workers restored (8)",
            "somebody else changes what this works on: it stops there (9)",
            "the certificate cannot be probed: workers restored if the old one is still accepted (10), else at 0 (6)",
        ),
        nothing_to_do=nothing_to_do(checks),
        phases=phases,
    )


def _bookkeeping(target: Target) -> tuple[str, ...]:
    """Name the objects in which a run keeps its lock and its record."""
    leases = (f"Lease {lease_key(workload).name}" for workload in (target.workload, *target.workers))
    return (f"ConfigMap {record_name(target.name)}", *leases, "Events")


def phases_left(run: Run | None, *, abort: bool) -> tuple[Phase, ...]:
    """Return what a command will be busy with: all of it for a new run, what is left of an open one."""
    if run is None:
        return _ALL
    if abort or run.put_back is not None:
        return _PUT_BACK
    return _ALL[_ALL.index(FIRST_LEFT.get(run.step, Phase.SCALING_DOWN)) :]


def why_restart(facts: Facts) -> str:
    """Say in one sentence why a restart is needed, or that it is not known to be."""
    status = facts.status
    if status is None or not status.needs_restart:
        return "restart as asked"
    until = f"; after {status.deadline:%Y-%m-%d %H:%M}Z clients refuse it" if status.deadline else ""
    return f"a newer certificate was issued than the one that is presented{until}"
