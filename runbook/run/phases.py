"""The long parts of a run: draining, rolling out, verifying, restoring. Pure: yields requests, tells progress.

Each waits for a predicate (`drained`, `rolled_out`, `assess`), renews the lock while it waits, and knows its own
deadline on the clock that runs through suspend. An error of the API is told and waited out; it is never an answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from certlag.errors import ClusterError
from certlag.model import Workload
from certlag.run_record import Step
from runbook.check.status import Finding, TargetStatus
from runbook.effects import Emit, Get, Inspect, List, Steps
from runbook.events import Level, LostWork, Notice, Phase, PhaseBegun, PodLine, Progress
from runbook.guard import controllers, fence
from runbook.guard.fence import ContestedError
from runbook.guard.guarded_run import GuardedRun
from runbook.guard.observation import Observation, observe
from runbook.guard.record import Paused, WorkerRecord
from runbook.kube.drained import Drained, Draining, drain_progress
from runbook.kube.external_change import ExternalChange, external_change, replaced
from runbook.kube.obstacles import WarningEvent, obstacle, warning_event
from runbook.kube.ownership import Controllers
from runbook.kube.rolled_out import RolledOut, RollingOut, Wanted, rollout_progress
from runbook.kube.views import PodState, WorkloadView, reference, replica_failure
from runbook.kubectl import Show, Words

POLL = 5.0
"""Seconds between looks when no watch says that something changed."""
APART = 0.25
"""Seconds between the two looks that must both say drained."""
TRIES_WHEN_LATE = 12
"""Looks in a row that may fail, about 40 s, before a phase whose time is over is given up without an answer."""
OF_UNDRAINED = (Show.WORK, Show.POD)
"""What to look at where a worker's pod does not end."""
EVENTS_AFTER = 5.0
"""Seconds of a rollout after which events are asked why it is not over: until then it is on its way."""
KILLED = 137
FOLLOWS = timedelta(minutes=1)
"""How long a controller may take to do what an annotation tells it: KEDA watches them."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What a phase still waits for, and the kubectl commands that show more of it."""

    why: str
    shows: tuple[Words, ...] = ()


class TimedOutError(Exception):
    """A phase was not over in time, because of what it lacked."""

    def __init__(self, lack: Lack) -> None:
        super().__init__(lack.why)
        self.shows = lack.shows


@dataclass(frozen=True, slots=True)
class Verification:
    """What was seen of a restarted target. `still_valid`: clients accept the old certificate that was seen.

    `shows` are kubectl commands about the pods that do not present the issued one.
    """

    finding: Finding
    why: str
    still_valid: bool = False
    shows: tuple[Words, ...] = ()


SHOWN = 3
"""Pods about which commands are printed: the message names all of them."""
OF_UNVERIFIED: Mapping[Finding, tuple[Show, ...]] = {
    Finding.OLD: (Show.POD, Show.NODE),
    Finding.OTHER: (Show.POD,),
    Finding.UNSEEN: (Show.POD,),
    Finding.ISSUED: (),
}
"""What to look at where a pod does not present the issued certificate. An old one is what its kubelet has mounted."""


def drain(guarded: GuardedRun) -> Steps[None]:
    """Wait until nothing of the workers runs any more, seen twice.

    Raises:
        TimedOutError: they did not end in time.
        ContestedError: somebody scaled one of them, or replaced it.
    """
    workers = guarded.workers
    lost: set[tuple[str, str]] = set()

    def look() -> Steps[Lack | None]:
        seen = yield from observe(workers)
        progress = _drain_progress(guarded, seen)
        yield from _tell_lost_work(_mine(guarded, seen), lost)
        for each in progress:
            pods = each.pods if isinstance(each, Draining) else ()
            why = each.why if isinstance(each, Draining) else ""
            yield Emit(Progress(Phase.DRAINING, reference(each.workload), why, tuple(map(_ending, pods))))
        return next((_undrained(each) for each in progress if isinstance(each, Draining)), None)

    def seen_by_watch(pods: Iterable[PodState]) -> Steps[None]:
        initial = {uid for recorded in workers.values() for uid in recorded.pods}
        yield from _tell_lost_work((pod for pod in pods if pod.uid in initial), lost)

    yield from _until(guarded, Phase.DRAINING, guarded.approved.limits.drain, look, twice=True, on_pods=seen_by_watch)


def still_drained(guarded: GuardedRun) -> Steps[bool]:
    """Look once more, right before the restart.

    Raises:
        ContestedError: somebody scaled a worker up again.
    """
    seen = yield from guarded.observe(guarded.workers)
    return all(isinstance(each, Drained) for each in _drain_progress(guarded, seen))


def roll_out(guarded: GuardedRun, wanted: Wanted) -> Steps[tuple[PodState, ...]]:
    """Wait until the target is rolled out; return its pods.

    Raises:
        TimedOutError: it was not in time.
        ContestedError: the restart was reverted, or the target replaced.
    """
    return (yield from _rolled_out(guarded, Phase.RESTARTING, _target(guarded), wanted))


def restore(guarded: GuardedRun) -> Steps[None]:
    """Wait until the workers run again.

    Raises:
        TimedOutError: they did not in time.
        ContestedError: one of them was replaced, or scaled to 0 again.
    """
    uids = {worker: recorded.uid for worker, recorded in guarded.workers.items()}
    if uids:
        yield from _rolled_out(guarded, Phase.RESTORING, uids, Wanted.READY)


def verify(guarded: GuardedRun, wanted: Wanted) -> Steps[Verification | None]:
    """Look until every pod of the target was seen to present the issued certificate, or one to present another.

    A daemon that has read the old one will not read again, so there waiting cannot help; one that reloads by itself, or
    that could not be seen yet, gets time. None if the target is not rolled out any more: then that comes first again.

    Raises:
        ContestedError: the restart was reverted meanwhile, the workers were scaled up, or one of them was replaced.
    """
    found: Verification | None = None

    def look() -> Steps[Lack | None]:
        nonlocal found
        status = yield from _look()
        yield Emit(Progress(Phase.VERIFYING, reference(guarded.approved.target.workload), status.why, status.lines()))
        nodes = yield from _nodes_if_rolled_out(guarded, wanted)
        if nodes is None:
            found = None
            return None
        why = status.proof if status.verified else status.why_on(nodes)
        shows = _shows_of_unverified(status, guarded.approved.target.workload.namespace, nodes)
        found = Verification(status.finding, why, still_valid=status.valid, shows=shows)
        sure = status.finding in (Finding.OLD, Finding.OTHER) and not guarded.approved.target.reloads
        return None if sure or status.finding is Finding.ISSUED else Lack(why)

    try:
        yield from _until(guarded, Phase.VERIFYING, guarded.approved.limits.verify, look, first=0.25)
    except TimedOutError as late:
        return found or Verification(Finding.UNSEEN, str(late))
    return found


def serves_issued(guarded: GuardedRun) -> Steps[bool]:
    """Tell whether the target is rolled out, whatever template it has, and every pod serves the issued certificate."""
    status: TargetStatus = yield from guarded.reading("looking at what is presented", _look)
    if not status.verified:
        return False
    nodes = yield from guarded.reading("looking at the rollout", lambda: _nodes_if_rolled_out(guarded, Wanted.PRESENT))
    return nodes is not None


def is_in_effect(guarded: GuardedRun, paused: Paused, annotations: Mapping[str, str | None]) -> Steps[bool]:
    """Wait until a controller does what the annotations of a pause tell it; return whether it does.

    What is gone cannot act any more.
    """
    deadline, pause = guarded.clock.monotonic() + FOLLOWS.total_seconds(), APART

    def look() -> Steps[bool]:
        document = yield Get(paused.path)
        return document is None or controllers.is_in_effect(paused, annotations, document)

    while not (yield from guarded.reading(f"looking at {fence.name_of(paused.path)}", look)):
        if guarded.clock.monotonic() >= deadline:
            return False
        yield from guarded.leases.wait(pause)
        pause = min(2 * pause, POLL)
    return True


def wait_for_endpoints(guarded: GuardedRun) -> Steps[None]:
    """Wait until Services have had time to lead to the pods of the rollout, if there was one."""
    rolled_out_at = next((at for step, at in reversed(guarded.run.steps) if step is Step.RESTARTED), None)
    if rolled_out_at is not None:
        routing = guarded.approved.limits.routing
        left = min(routing - (guarded.clock.now() - rolled_out_at), routing)
        yield from guarded.leases.wait(left.total_seconds())


def wait_for_certificate_age(guarded: GuardedRun) -> Steps[int | None]:
    """Wait until the issuance is old enough that no kubelet has the old Secret in its cache; return its revision.

    One that seems to be of the future, by a clock that was set, was seen for that long at the least.
    """
    told, seen, since = False, None, guarded.clock.monotonic()
    while True:
        status = yield from guarded.reading("looking at what was issued", _look_at_issued)
        if status.issued_at != seen:
            seen, since = status.issued_at, guarded.clock.monotonic()
        known = timedelta(seconds=guarded.clock.monotonic() - since)
        age = None if status.issued_at is None else max(guarded.clock.now() - status.issued_at, known)
        left = timedelta(0) if age is None else guarded.approved.limits.settle - age
        if left <= timedelta(0):
            return status.revision
        if not told:
            yield Emit(PhaseBegun(Phase.SETTLING, guarded.clock.now(), left.total_seconds()))
            told = True
        yield from guarded.leases.wait(min(POLL, left.total_seconds()))


# --- parts -----------------------------------------------------------------------------------------


def _drain_progress(guarded: GuardedRun, seen: Observation) -> list[Drained | Draining]:
    found: list[Drained | Draining] = []
    for worker, recorded in guarded.workers.items():
        progress = drain_progress(
            seen.views[worker],
            seen.replica_sets,
            seen.pods,
            uid=recorded.uid,
            initial=recorded.pods,
            others=_others(guarded, seen),
            ignored=guarded.approved.ignored_pods,
        )
        if isinstance(progress, ExternalChange):
            raise ContestedError(progress)
        found.append(progress)
    return found


def _target(guarded: GuardedRun) -> dict[Workload, str]:
    return {guarded.approved.target.workload: guarded.run.workload_uid}


def _rolled_out(
    guarded: GuardedRun, phase: Phase, uids: dict[Workload, str], wanted: Wanted
) -> Steps[tuple[PodState, ...]]:
    found: dict[Workload, tuple[PodState, ...]] = {}

    started, events = guarded.clock.monotonic(), False

    def look() -> Steps[Lack | None]:
        nonlocal events
        waiting: RollingOut | None = None
        warnings = (yield from _warnings(guarded)) if events else ()
        restoring = phase is Phase.RESTORING
        for progress in (yield from _rollout_progress(guarded, uids, wanted, warnings, restoring=restoring)):
            why, stalled = (progress.why, progress.stalled) if isinstance(progress, RollingOut) else ("", None)
            name, pods = reference(progress.workload), tuple(map(_starting, progress.pods))
            yield Emit(Progress(phase, name, why, pods, stalled))
            if isinstance(progress, RolledOut):
                found[progress.workload] = progress.pods
            else:
                waiting = waiting or progress
        if waiting is None:
            return None
        events = guarded.clock.monotonic() - started >= EVENTS_AFTER
        why = "; ".join(filter(None, (waiting.why, waiting.stalled)))
        return Lack(f"{reference(waiting.workload)}: {why}", (waiting.shows,) if waiting.shows else ())

    yield from _until(guarded, phase, guarded.approved.limits.restart, look)
    return tuple(pod for pods in found.values() for pod in pods)


def _nodes_if_rolled_out(guarded: GuardedRun, wanted: Wanted) -> Steps[Mapping[str, str] | None]:
    """Look once more at what was restarted, while its workers are at 0; return the node of each pod, by its name.

    None if it is not rolled out any more.
    """
    (found,) = yield from _rollout_progress(guarded, _target(guarded), wanted)
    return {pod.name: pod.node for pod in found.pods} if isinstance(found, RolledOut) else None


def _shows_of_unverified(status: TargetStatus, namespace: str, nodes: Mapping[str, str]) -> tuple[Words, ...]:
    """Return what shows more of the pods because of which a target is not verified, each command once."""
    names = dict.fromkeys(pod.name for pod in status.unverified)
    found = (
        show.words(pod=name, namespace=namespace, node=nodes.get(name, ""))
        for name in [*names][:SHOWN]
        for show in OF_UNVERIFIED[status.finding]
        if show is not Show.NODE or nodes.get(name)
    )
    return tuple(dict.fromkeys(found))


def _undrained(draining: Draining) -> Lack:
    """Say what a drain waits for, and what shows the first pod that has not ended: its work, and its state."""
    namespace = draining.workload.namespace
    shows = (show.words(pod=pod.name, namespace=namespace) for pod in draining.pods[:1] for show in OF_UNDRAINED)
    return Lack(f"{reference(draining.workload)}: {draining.why}", tuple(shows))


def _rollout_progress(
    guarded: GuardedRun,
    uids: dict[Workload, str],
    wanted: Wanted,
    warnings: Sequence[WarningEvent] = (),
    *,
    restoring: bool = False,
) -> Steps[list[RolledOut | RollingOut]]:
    """Look at some rollouts: at the target's, while the workers must be at 0, or at the workers' own."""
    drained = {} if wanted is Wanted.READY else guarded.workers
    seen = yield from observe({**uids, **drained})
    for worker, recorded in guarded.workers.items():
        if (found := _meddled_with(seen.views.get(worker), recorded, drained=worker in drained)) is not None:
            raise ContestedError(found)
    # Workers are back when new pods are Ready: one of before on a dead node may be ending for ever.
    pods = [pod for pod in seen.pods if not (restoring and pod.terminating)]
    progress: list[RolledOut | RollingOut] = []
    for workload, uid in uids.items():
        judged = rollout_progress(
            seen.views[workload],
            seen.replica_sets,
            pods,
            uid=uid,
            restart_id=guarded.run.restart_id,
            wanted=wanted,
            others=_others(guarded, seen),
            ignored=guarded.approved.ignored_pods,
        )
        if isinstance(judged, ExternalChange):
            raise ContestedError(judged)
        progress.append(judged if isinstance(judged, RolledOut) else _explained(judged, seen, warnings))
    return progress


def _explained(judged: RollingOut, seen: Observation, warnings: Sequence[WarningEvent]) -> RollingOut:
    """Say of a rollout that is not over why, in its controller's or the kubelet's words."""
    view = seen.views[judged.workload]
    owned = [each for each in seen.replica_sets if each.owner_uid == view.uid]
    alive = [pod for pod in judged.pods if not pod.terminating]
    found = obstacle(
        [view.uid, *(each.uid for each in owned)],
        [*filter(None, (replica_failure(view.conditions), *(each.failure for each in owned if each.replicas)))],
        [(pod.uid, pod.obstacle) for pod in alive if pod.obstacle is not None],
        warnings,
        namespace=view.workload.namespace,
        pods_missing=len(alive) < view.replicas,
    )
    text, shows = (found.text, found.shows) if found else (None, ())
    return replace(judged, stalled="; ".join(filter(None, (text, judged.stalled))) or None, shows=shows)


def _warnings(guarded: GuardedRun) -> Steps[Sequence[WarningEvent]]:
    """Read the warnings of the namespace; none if they may not be read, which no run needs."""
    path = f"/api/v1/namespaces/{guarded.approved.target.workload.namespace}/events"
    try:
        found: Sequence[WarningEvent] = yield List(path, warning_event, "type=Warning")
    except ClusterError:
        return ()
    return found


def _meddled_with(view: WorkloadView | None, recorded: WorkerRecord, *, drained: bool) -> ExternalChange | None:
    """Say what somebody did to a worker that is to be at 0, or to be put back."""
    if view is None:
        return None
    if view.uid != recorded.uid:
        return replaced(view)
    if drained and view.replicas != 0:
        return external_change(view, f"was scaled to {view.replicas} while it was drained", "spec", "replicas")
    if not drained and view.replicas == 0 and recorded.replicas > 0:
        return external_change(view, "was scaled to 0 again", "spec", "replicas")
    return None


def _until(
    guarded: GuardedRun,
    phase: Phase,
    limit: timedelta,
    look: Callable[[], Steps[Lack | None]],
    *,
    twice: bool = False,
    first: float = POLL,
    on_pods: Callable[[Iterable[PodState]], Steps[None]] | None = None,
) -> Steps[None]:
    """Look until there is nothing left to wait for.

    Args:
        guarded: renews the lock while it waits.
        phase: what it is called.
        limit: how long, from now.
        look: returns what it still waits for, None if nothing.
        twice: whether nothing must be left in two looks, a moment apart.
        first: seconds between the first two looks when no watch says that something changed; then twice as many, up to
            `POLL`. What is not in the API, as a daemon that begins to listen, is looked for often at first.
        on_pods: gets what the watch has shown of pods between two looks.

    Raises:
        TimedOutError: the limit is over.
    """
    yield Emit(PhaseBegun(phase, guarded.clock.now(), limit.total_seconds()))
    deadline = guarded.clock.monotonic() + limit.total_seconds()
    last, over_once, failures, every = Lack(""), False, 0, first / 2
    while True:
        late = guarded.clock.monotonic() >= deadline
        try:
            waiting_for = yield from look()
        except ClusterError as error:
            over_once, failures, waiting_for = False, failures + 1, Lack(f"not known: {error}", last.shows)
            if failures in (3, 10, 100):
                yield Emit(Notice(Level.WARNING, f"{error}; going on to wait, nothing is concluded from it"))
        else:
            failures = 0
            if waiting_for is None and (over_once or not twice):
                return
        last = waiting_for or last
        # A laptop that slept is late as it wakes up, without a network: it looks once more, with time to connect.
        if waiting_for is not None and late and not 0 < failures < TRIES_WHEN_LATE:
            raise TimedOutError(last)
        left = deadline - guarded.clock.monotonic()
        over_once = waiting_for is None
        every = min(POLL, 2 * every)
        again = 0.2 * 2 ** min(failures, 10) if failures else every
        pause = APART if over_once else min(every, again, max(left, APART))
        pods = yield from guarded.leases.wait(pause, early=not over_once and not failures)
        if on_pods is not None:
            yield from on_pods(pods)


def _look() -> Steps[TargetStatus]:
    status: TargetStatus = yield Inspect()
    return status


def _look_at_issued() -> Steps[TargetStatus]:
    status: TargetStatus = yield Inspect(probe=False)
    return status


def _mine(guarded: GuardedRun, seen: Observation) -> Iterable[PodState]:
    others, ignored = _others(guarded, seen), guarded.approved.ignored_pods
    return (pod for worker in guarded.workers for pod in seen.pods_of(worker, others=others, ignored=ignored))


def _others(guarded: GuardedRun, seen: Observation) -> Controllers:
    """Return the UIDs of workloads that live: a drain does not look at the target, which was there when it began."""
    return {guarded.run.workload_uid, *(view.uid for view in seen.views.values())}


def _tell_lost_work(pods: Iterable[PodState], told: set[tuple[str, str]]) -> Steps[None]:
    """Tell once of each container that worked and was killed."""
    for pod in pods:
        for end in pod.ends:
            if end.works and end.exit_code == KILLED and (pod.uid, end.container) not in told:
                told.add((pod.uid, end.container))
                yield Emit(LostWork(pod.name, end.container, KILLED))


def _ending(pod: PodState) -> PodLine:
    state = "ending" if pod.terminating else pod.phase.lower()
    return PodLine(pod.name, pod.node, state, pod.ending_since, pod.deleted_by)


def _starting(pod: PodState) -> PodLine:
    ready = "ready" if pod.ready else (pod.waiting_reason or pod.phase.lower())
    return PodLine(pod.name, pod.node, "ending" if pod.terminating else ready, pod.ending_since, pod.deleted_by)
