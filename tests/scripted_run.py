"""A drained restart as its events, for anyone who shows or tests how it looks: no cluster, and no engine."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from certlag.run_record import Step
from runbook.events import Ended, Event, Level, LostWork, Notice, Phase, PhaseBegun, PodLine, Progress, StepReached
from runbook.events import Written as Wrote
from runbook.outcomes import Outcome
from runbook.plan.model import Busy, Check, CheckResult, Plan, PlannedChange

BEGUN = datetime(2026, 6, 1, 2, 14, tzinfo=UTC)
HOSTILE = "node\x1b[2J\u202e[bold]x[/bold]\nnext"
"""What a terminal, a markup and a reader would fall for."""
WORKER, SERVICE = "deployment/opschain-api-worker", "deployment/opschain-build-service"
PODS = tuple(f"opschain-api-worker-7d9f6c5b44-{end}" for end in ("b8x2k", "kq9wz", "zt5np"))
OLD, NEW = "opschain-build-service-6d9c7b5f4-x2x2p", "opschain-build-service-58bd94c6d7-m4c7h"


def a_plan(**changes: object) -> Plan:
    """A plan in which each result of a check and a hostile name stand."""
    hour = timedelta(hours=1)
    plan = {
        "command": "restart-build-service",
        "target": "build-service",
        "source": "release monitoring/certlag, ConfigMap certlag-config-certlag in namespace monitoring",
        "context": "prod-eu",
        "server": "https://10.0.0.1:6443",
        "user": "jane@example.org",
        "namespace": "opschain",
        "bookkeeping": ("ConfigMap certlag-run-build-service", "Events"),
        "reason": "a newer certificate was issued than the one that is presented; after 2026-06-13 12:00Z builds fail",
        "presented": (PodLine(OLD, "node-2", "stale", presents="3fa2c4d5e6f7 until 2026-06-13 12:00Z"),),
        "changes": (
            PlannedChange(WORKER, "3 replicas", "0 until restarted, then 3 replicas"),
            PlannedChange(SERVICE, "1 pod as it runs", "1 pod, restarted"),
        ),
        "checks": (
            Check("rights", CheckResult.PASSED, "14 rights, all held"),
            Check("gitops", CheckResult.OVERRIDDEN, "Argo CD manages it", "accepted by --accept-gitops"),
            Check("pods", CheckResult.WARNED, f"a pod of nobody on {HOSTILE}"),
            Check("clock", CheckResult.NOTED, "0.2 s from the API server's"),
        ),
        "busy": (
            Busy(PODS[0], "node-1", BEGUN - timedelta(hours=5, minutes=3), hour),
            Busy(PODS[1], HOSTILE, None, hour),
        ),
        "limits": (("drain", hour), ("restart", timedelta(minutes=5)), ("verification", timedelta(minutes=2))),
        "on_failure": ("workers not finished in time: no restart, workers put back (exit code 5)",),
    }
    return Plan(**(plan | changes))  # type: ignore[arg-type] # a test varies what it is about


def ending(number: int, at: datetime) -> PodLine:
    """A worker that was asked to end when the drain began."""
    return PodLine(PODS[number], f"node-{number}", "ending", at, at + timedelta(hours=1))


def draining(at: datetime, *numbers: int) -> Progress:
    """The drain while these still run."""
    pods = tuple(ending(number, at) for number in numbers)
    noun = "pod" if len(pods) == 1 else "pods"
    return Progress(Phase.DRAINING, WORKER, f"{len(pods)} {noun} not ended" if pods else "", pods)


def restarting(new: str, why: str, stalled: str | None = None) -> Progress:
    """The rollout, with the new pod in some state."""
    pods = (PodLine(OLD, "node-2", "ending", BEGUN, BEGUN), PodLine(NEW, "node-1", new))
    return Progress(Phase.RESTARTING, SERVICE, why, pods if why else pods[1:], stalled)


def a_run() -> Iterator[tuple[float, Event]]:
    """Yield a run that goes well, as the seconds after its beginning at which each event is told."""

    def at(seconds: float) -> datetime:
        return BEGUN + timedelta(seconds=seconds)

    yield 0, PhaseBegun(Phase.LOCKING, at(0))
    yield 0.4, StepReached(Step.RECORDED, at(0.4), 0.0)
    yield 0.5, StepReached(Step.PAUSED_AUTOSCALER, at(0.5), 0.1)
    yield 0.5, PhaseBegun(Phase.SCALING_DOWN, at(0.5))
    yield 0.8, Wrote(f"scale {WORKER} from 3 to 0")
    yield 0.9, StepReached(Step.SCALED_DOWN, at(0.9), 0.4)
    yield 1, PhaseBegun(Phase.DRAINING, at(1), 3600)
    for seconds in range(1, 300, 5):
        yield seconds, draining(at(1), 0, 1, 2)
    yield 301, Notice(Level.WARNING, "503 Service Unavailable; going on to wait, nothing is concluded from it")
    for seconds in range(305, 600, 5):
        yield seconds, draining(at(1), 1, 2)
    yield 600, LostWork(PODS[2], "worker", 137)
    for seconds in range(605, 720, 5):
        yield seconds, draining(at(1), 1)
    yield 724, draining(at(1))
    yield 724.5, StepReached(Step.DRAINED, at(724.5), 723.6)
    yield 725, Wrote(f"restart {SERVICE} (restart-id 20260601-1)")
    yield 725.1, StepReached(Step.RESTARTING, at(725.1), 0.6)
    yield 725.2, PhaseBegun(Phase.RESTARTING, at(725.2), 300)
    for seconds in range(726, 740, 2):
        yield seconds, restarting("ContainerCreating", "of 1 pods 1 new, 0 ready, 0 available")
    yield 740, restarting("ContainerCreating", "0 of 1 pods are Ready", f"has timed out on {HOSTILE}")
    yield 750, restarting("ready", "")
    yield 750.1, StepReached(Step.RESTARTED, at(750.1), 25.0)
    yield 750.2, PhaseBegun(Phase.VERIFYING, at(750.2), 120)
    yield 750.4, Progress(Phase.VERIFYING, SERVICE, f"{NEW}: pending", (PodLine(NEW, "", "pending"),))
    presents = "9be1d2c3f4a5 until 2026-08-30 02:00Z"
    yield 752, Progress(Phase.VERIFYING, SERVICE, "", (PodLine(NEW, "", "current", presents=presents),))
    yield 752.1, StepReached(Step.VERIFIED, at(752.1), 2.0)
    yield 752.2, PhaseBegun(Phase.SCALING_UP, at(752.2))
    yield 752.4, Wrote(f"scale {WORKER} from 0 to 3")
    yield 752.5, StepReached(Step.SCALED_UP, at(752.5), 0.4)
    yield 752.6, PhaseBegun(Phase.RESTORING, at(752.6), 300)
    starting = tuple(PodLine(f"{name[:-5]}new{number}", "node-1", "Pending") for number, name in enumerate(PODS))
    yield 753, Progress(Phase.RESTORING, WORKER, "of 3 pods 0 ready, 0 available", starting)
    yield 758, Progress(Phase.RESTORING, WORKER, "", ())
    yield 758.1, StepReached(Step.UNPAUSED, at(758.1), 5.6)
    yield 758.2, PhaseBegun(Phase.CLOSING, at(758.2))
    yield 758.5, an_end()


def an_end(outcome: Outcome = Outcome.DONE, message: str = "", *commands: str) -> Ended:
    """How it ended, with what each step took."""
    steps = (Step.PAUSED_AUTOSCALER, Step.SCALED_DOWN, Step.DRAINED, Step.RESTARTING, Step.RESTARTED, Step.VERIFIED)
    seconds = zip((*steps, Step.SCALED_UP, Step.UNPAUSED), (0.1, 0.4, 723.6, 0.6, 25.0, 2.0, 0.4, 5.6), strict=True)
    replicas = ((WORKER, 3),) if commands else ()
    return Ended(outcome, message, "20260601-021400-x7k2", tuple(seconds), commands, replicas)
