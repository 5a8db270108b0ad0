"""Operators: each command is a process that performs one effect of the real engine at a time, and may die of anything.

What a command does before its engine begins (facts, preconditions, the question) happens in one instant; then the
operator reads the plan for a while. Between two effects time passes, so whatever else happens falls in between.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from certlag.errors import ClusterError
from certlag.kube.client import ClusterClient
from certlag.model import Endpoint, Probe, ProbeError, ProbeFailure, Target
from certlag.run_record import RecordError
from rehearsal.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS
from runbook.alertmanager import Silences
from runbook.check.inspector import CertificateInspector
from runbook.check.status import TargetStatus
from runbook.effects import AfterInterrupt, Change, Effect, Emit, Inspect, Interrupted, Steps, Wait
from runbook.events import Event
from runbook.guard.guarded_run import ApprovedRun
from runbook.guard.process_identity import ProcessIdentity
from runbook.guard.record import Operator as RecordedOperator
from runbook.guard.record import Record
from runbook.kube.change_waiter import ChangeWaiter
from runbook.kube.views import PodState, pod_state
from runbook.outcomes import Outcome
from runbook.plan import dry_run, planning, preconditions
from runbook.plan.dry_run import DryRunResults
from runbook.plan.facts import Facts, Gatherer
from runbook.plan.model import CheckResult
from runbook.plan.preconditions import OVERRIDES, Precondition, RunRequest
from runbook.run.driver import Driver
from runbook.run.engine import Ending, Engine
from runbook.run.retry import RetryingClient
from tests.simulation.line import Line
from tests.simulation.place import Place
from tests.simulation.truth import Acquaintance

WAKING = (PODS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS)
"""What a real command watches while it waits."""
WORKLOADS = "/apis/apps/v1/"
GATHER = 0.05
"""Seconds after a change in which more are taken along, as `runbook.kube.change_waiter` does."""
LATENCY = (0.005, 0.4)
"""Seconds that one request takes."""
READING = (1.0, 40.0)
"""Seconds that a plan is read before it is confirmed."""

WAYS: dict[str, tuple[Callable[[Engine], Steps[Ending]], tuple[Precondition, ...]]] = {
    "restart": (Engine.restart, preconditions.FOR_RESTART),
    "resume": (Engine.resume, preconditions.FOR_RESUME),
    "abort": (Engine.abort, preconditions.FOR_ABORT),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody types."""

    verb: str
    target: Target
    user: str = "ann"
    host: str = "laptop"
    force: bool = False
    take_over: bool = False
    accept: bool = True
    """Whether every precondition that can be accepted is."""


class Witness(Protocol):
    """Who watches what operators do."""

    def writes(self, command: "Command", change: Change, send: Callable[[], Any]) -> Any:
        """Be there while one write is sent."""
        ...

    def looked(self, command: "Command", status: TargetStatus) -> None:
        """Hear what a command saw."""
        ...


@dataclass
class Command:
    """One command at work. `wake_at` is when it goes on, by the monotonic clock; `ending` is set once it is over."""

    order: Order
    pid: int
    place: Place
    witness: Witness
    alive: Callable[[int], bool]
    before_effects: dict[int, Callable[["Command"], None]] = field(default_factory=dict)
    """What happens right before the effect of this number."""
    before_writes: dict[int, Callable[["Command"], None]] = field(default_factory=dict)
    """What happens right before the write of this number, of those to workloads."""
    ending: Ending | None = None
    killed: bool = False
    wake_at: float = 0.0
    effects: int = 0
    writes: int = 0
    told: list[Event] = field(default_factory=list)
    dies_after: bool = False
    """Whether the process dies with the answer to its next request."""
    saw_current: bool = False
    """Whether every pod truly served the issued certificate when it last looked; kept by the witness."""

    def __post_init__(self) -> None:
        self.began: datetime = self.place.clock.now()
        self.line = Line(self.place.cluster.api, "certlag", self.place.clock)
        self._answer: Any = None
        self._error: Exception | None = None
        self._waits_since: int | None = None
        self._waiting_since = 0
        self._pressed = False
        self._effect: Effect | None = None
        self.run_id = f"run{self.pid}"
        client, clock = ClusterClient(self.line), self.place.clock
        self.known = Acquaintance(self.place)
        self.inspector = CertificateInspector(self.order.target, client, clock, self._shake_hands)
        self._driver = Driver(
            self.line,
            self.inspector,
            ChangeWaiter((), client, clock),
            tell=self.told.append,
            ask=lambda _question: self._chance.choice(tuple(AfterInterrupt)),
            silences=Silences(None, clock, namespace="", alerts=(), by=self.order.user, warn=lambda _text: None),
        )
        self._steps = self._begin()

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.killed or self.ending is not None

    @property
    def what(self) -> str:
        """Say which command it is."""
        return f"{self.order.verb}-{self.order.target.name} ({self.order.user}@{self.order.host}, {self.run_id})"

    @property
    def _chance(self) -> random.Random:
        return self.place.chance

    @property
    def goes_on_at(self) -> float:
        """When it goes on, by the monotonic clock: a wait that ends with a change ends a moment after it."""
        if self._waits_since is not None:
            storage = self.place.cluster.api.storage
            if any(storage.changed(resource) > self._waits_since for resource in WAKING):
                return min(self.wake_at, self.place.clock.monotonic() + GATHER)
        return self.wake_at

    def go_on(self) -> None:
        """Perform the next effect."""
        if isinstance(self._effect, Wait):
            self._answer, self._effect = self._seen_meanwhile(), None
        while not self.over:
            effect = self._effect = self._effect or self._next()
            if isinstance(effect, Emit):
                self._driver.drive(one(effect))
                self._effect = None
            elif effect is not None:
                self._meet(effect)
                return

    def kill(self) -> None:
        """Have the process end at once, without a word."""
        self.killed = True
        self._steps.close()

    def suspend(self, seconds: float) -> None:
        """Have nothing of it run for so long."""
        self.wake_at = max(self.wake_at, self.place.clock.monotonic() + seconds)
        self._waits_since = None

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._pressed = True

    # --- effects ------------------------------------------------------------------------------------------

    def _meet(self, effect: Effect) -> None:
        """Perform an effect, unless something happens before; then perhaps later."""
        self.effects += 1
        incident = self.before_effects.pop(self.effects, None)
        if isinstance(effect, Change) and effect.path.startswith(WORKLOADS):
            self.writes += 1
            incident = self.before_writes.pop(self.writes, incident)
        if incident is not None:
            incident(self)
        if not self.over and self.wake_at <= self.place.clock.monotonic():
            self._perform(effect)

    def _next(self) -> Effect | None:
        answer, error = self._answer, self._error
        self._answer = self._error = None
        try:
            return self._steps.send(answer) if error is None else self._steps.throw(error)
        except StopIteration as ended:
            self.ending = ended.value
            return None

    def _perform(self, effect: Effect) -> None:
        now = self.place.clock.monotonic()
        self.wake_at, self._waits_since = now + self._chance.uniform(*LATENCY), None
        if self._pressed:
            self._pressed, self._effect, self._error = False, None, Interrupted()
            return
        if isinstance(effect, Wait):
            self.wake_at = now + effect.seconds
            self._waiting_since = self.place.cluster.api.storage.version
            self._waits_since = self._waiting_since if effect.early else None
            return
        self._effect = None
        try:
            self._answer = self._send(effect)
        except (ClusterError, Interrupted) as failed:
            self._error = failed
        if self.dies_after:
            self.kill()

    def _send(self, effect: Effect) -> Any:
        if isinstance(effect, Change):
            return self.witness.writes(self, effect, lambda: self._driver.drive(one(effect)))
        answer = self._driver.drive(one(effect))
        if isinstance(effect, Inspect) and effect.probe:
            self.witness.looked(self, answer)
        return answer

    def _seen_meanwhile(self) -> tuple[PodState, ...]:
        """Return the pods that a watch would have shown during a wait."""
        events = self.place.cluster.api.storage.since(self._waiting_since, PODS) or ()
        return tuple(pod_state(event.document) for event in events if event.type != "DELETED")

    # --- from the command line to the engine --------------------------------------------------------------

    def _shake_hands(self, endpoint: Endpoint) -> Probe:
        if not self.place.forwards:
            broken = ProbeError(ProbeFailure.UNREACHABLE, "the port-forward broke")
            return Probe(endpoint, broken, self.place.clock.now(), timedelta(0))
        self.known.meet(endpoint.container_id, endpoint.address)
        return self.place.network.shake_hands(endpoint, self.place.clock)

    def _begin(self) -> Steps[Ending]:
        """Gather, check, ask, run: what `runbook.cli.commands` does, as steps. `check` only looks."""
        order = self.order
        if order.verb == "check":
            return self._check()
        steps, conditions = WAYS[order.verb]
        try:
            facts = self._facts()
        except ClusterError as error:
            return Ending(Outcome.UNEXPECTED, f"nothing was changed: {error}")
        limits = planning.limits(order.target, facts, drain=None, restart=None)
        accepted = frozenset(OVERRIDES) if order.accept else frozenset[str]()
        asked = RunRequest(order.target, limits, accepted, force=order.force, pause=True)
        checks = planning.that_matter(preconditions.check(conditions, facts, asked))
        run = None if isinstance(facts.record, RecordError) else facts.record.run
        if refused := [check for check in checks if check.result is CheckResult.REFUSED]:
            return Ending(Outcome.REFUSED, "; ".join(check.text for check in refused), run)
        if order.verb == "restart" and (why := planning.nothing_to_do(checks)):
            return Ending(Outcome.NOTHING_TO_DO, why)
        process = ProcessIdentity(order.user, order.host, order.host, self.pid)
        told = ApprovedRun(
            target=order.target,
            operator=RecordedOperator(order.user, order.host, self.pid, "simulation"),
            holder=process.holder(self.run_id),
            run_id=self.run_id,
            limits=limits,
            pause=tuple(planning.pauses(order.target, facts)),
            may_delete_volumes="data" in accepted,
            accepted_until=facts.status.accepted_until if facts.status else None,
            planned_after="" if isinstance(facts.record, RecordError) else facts.record.last_finished,
        )
        if order.verb != "abort":
            try:
                tried = self._tried(told, facts, opens=order.verb == "restart")
            except ClusterError as error:
                return Ending(Outcome.UNEXPECTED, f"nothing was changed: {error}")
            if tried.denied:
                return Ending(Outcome.REFUSED, "; ".join(why for _, why in tried.denied), run)
        try:
            yield Wait(self._chance.uniform(*READING), early=False)
        except Interrupted:
            return Ending(Outcome.INTERRUPTED, "nothing was changed")
        engine = Engine(
            told,
            self.place.clock,
            may_take_over=lambda holder: (
                order.take_over or (order.verb != "restart" and process.is_same_operator(holder))
            ),
            is_dead=self._is_dead,
        )
        return (yield from steps(engine))

    def _tried(self, told: ApprovedRun, facts: Facts, *, opens: bool) -> DryRunResults:
        """Send the run's writes as dry runs."""
        gatherer = self._gatherer(told.target)
        record = Record() if isinstance(facts.record, RecordError) else facts.record
        revision = facts.status.revision if facts.status else None
        now = self.place.clock.now()
        return gatherer.try_writes(
            dry_run.intended(told, facts.views, gatherer.leases(), record, now, opens=opens, revision=revision)
        )

    def _check(self) -> Ending:
        """Look, as `runbook.cli.answers` does."""
        try:
            self.witness.looked(self, self.inspector.inspect())
        except ClusterError as error:
            return Ending(Outcome.UNEXPECTED, f"the API server could not be asked: {error}")
        return Ending(Outcome.NOTHING_TO_DO, "looked")

    def _is_dead(self, holder: str) -> bool:
        """Tell whether a holder was a process of this laptop that runs no more."""
        where, machine, pid, _ = holder.rsplit("/", 3)
        same = where.endswith(f"@{self.order.host}") and machine == self.order.host
        return same and not self.alive(int(pid))

    def _gatherer(self, target: Target) -> Gatherer:
        """Return what reads, one request after the other: threads would meet the weather in any order."""
        return Gatherer(target, RetryingClient(self.line, _not_waiting, _not_told), threads=1)

    def _facts(self) -> Facts:
        gatherer = self._gatherer(self.order.target)
        status = self.inspector.inspect()
        self.witness.looked(self, status)
        return Facts(
            at=self.place.clock.now(),
            user=self.order.user,
            clock_skew=self.line.clock_skew,
            credential=self.line.credential,
            denied=(),
            record=gatherer.record(),
            views=gatherer.views(),
            replica_sets=gatherer.replica_sets(),
            pods=gatherer.pods(),
            status=status,
            ready_certificates=gatherer.ready_certificates(),
            unchained=gatherer.unchained(),
            autoscalers=gatherer.autoscalers(keda=True),
            claims={},
            budgets=gatherer.disruption_budgets(),
            quotas=gatherer.quotas(),
            firing=(),
            firing_unknown=None,
        )


def _not_waiting(_seconds: float) -> None:
    """Try again at once: only the walk moves the clock."""


def _not_told(_text: str) -> None:
    """Tell nobody."""


def one(effect: Effect) -> Steps[Any]:
    """Ask for one effect and return its answer."""
    return (yield effect)
