"""The drained restart as a sequence of steps that survives anything. Pure: yields requests, tells events.

A run is a loop over the step that its record says was reached: `_ONWARD` has what brings it to the next. Each of
these may be done again, so `resume` is the same loop, begun from the record. A run that is to end without a
restart, or after it has failed, is given a `put_back`: then the loop only brings the workers back and ends with that
outcome. How each step ends when it is interrupted, late or contested is the table of `_on_timeout`, `_interrupted` and
`_contested`; nothing else ends a run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.run_record import RecordError, Step
from runbook.check.status import Finding
from runbook.effects import AfterInterrupt, Change, Confirm, Emit, EndSilence, Get, Interrupted, Silence, Steps
from runbook.events import Level, Notice, Phase, PhaseBegun
from runbook.guard import changes, fence
from runbook.guard.guarded_run import ApprovedRun, DeniedError, GuardedRun, RefusedError
from runbook.guard.lock import LockHeldError, LockLostError
from runbook.guard.record import Paused, Run
from runbook.kube.external_change import external_change
from runbook.kube.rolled_out import Wanted
from runbook.kube.views import REPLICAS_ANNOTATION, RUN_ANNOTATION, WorkloadView, reference
from runbook.kubectl import Words
from runbook.outcomes import Outcome
from runbook.retry_policy import CONFLICT, RetriesExhaustedError, with_retries
from runbook.run import phases

BEFORE_DRAIN = frozenset({Step.PLANNED, Step.LOCKED, Step.RECORDED, Step.PAUSED_AUTOSCALER})
"""Steps in which no worker was scaled yet."""
BEFORE_RESTART = BEFORE_DRAIN | {Step.SCALED_DOWN, Step.DRAINED}
PUTTING_BACK = frozenset({Step.VERIFIED, Step.SCALED_UP, Step.UNPAUSED})
MAX_RESTARTS = 2
"""A pod may have mounted the old Secret from the kubelet's cache: one more restart helps, a third would not."""


_LEAVE = (AfterInterrupt.LEAVE, "leave the run as it is, under its record")
WHILE_DRAINING = (
    (AfterInterrupt.WAIT, "go on waiting for the workers"),
    (AfterInterrupt.RESTORE, "scale the workers up, without a restart; pods that are ending go on to end"),
    _LEAVE,
)
"""What Ctrl-C offers while the workers finish."""
AFTER_REQUEST = (
    (AfterInterrupt.WAIT, "go on with the run"),
    (AfterInterrupt.RESTORE, "wait for the restart, which is not undone, then scale the workers up and end"),
    _LEAVE,
)
"""What Ctrl-C offers once the restart was requested."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended. `run` is what is left open in the record, if anything is.

    `shows` are kubectl commands that show more of why; with `options` the same command would not be refused.
    """

    outcome: Outcome
    message: str
    run: Run | None = None
    seconds: tuple[tuple[str, float], ...] = ()
    shows: tuple[Words, ...] = ()
    options: tuple[str, ...] = ()


class _Halt(Exception):  # noqa: N818 - not an error: a way to end
    """Stop here, with workers left as they are."""

    def __init__(self, outcome: Outcome, message: str, shows: tuple[Words, ...] = ()) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message
        self.shows = shows


class Engine:
    """One command on one target."""

    def __init__(
        self,
        approved: ApprovedRun,
        clock: Clock,
        *,
        may_take_over: Callable[[str], bool],
        is_dead: Callable[[str], bool],
    ) -> None:
        self._approved = approved
        self._clock = clock
        self._guarded = GuardedRun(approved, clock)
        self._may_take_over = may_take_over
        self._is_dead = is_dead
        self._after_contest = False
        self._aborting = False
        self._shows: tuple[Words, ...] = ()
        """What shows more of why the run is to end otherwise than it was meant to."""
        self._wanted = Wanted.RESTART
        self._seen_old = False
        """Whether the old certificate was seen after the latest restart: only then there is a further one."""
        self._most_restarts = MAX_RESTARTS
        self._stable_by: float | None = None
        """Until when, on the clock's monotonic time, the target has to stay rolled out; None while it does."""

    # --- the commands ----------------------------------------------------------------------------------

    def restart(self) -> Steps[Ending]:
        """Do the whole of it."""
        return (yield from self._locked(self._begin))

    def resume(self) -> Steps[Ending]:
        """Go on with an open run, from the step that its record says."""
        return (yield from self._locked(self._go_on))

    def abort(self) -> Steps[Ending]:
        """Bring the workers of an open run back, without a restart if it was not asked for yet."""
        return (yield from self._locked(self._undo))

    def _begin(self) -> Steps[None]:
        guarded = self._guarded
        record = yield from guarded.record_store.read()
        if record.run is not None:
            raise RefusedError(f"run {record.run.id} is not finished: resume or abort it")
        if self._approved.planned_after not in (None, record.last_finished):
            raise RefusedError(f"run {record.last_finished} has ended since this was planned: look again")
        views = yield from guarded.fence_new()
        seen = yield from guarded.observe(self._approved.workers)
        others, ignored = {view.uid for view in views.values()}, self._approved.ignored_pods
        pods = {worker: seen.pods_of(worker, others=others, ignored=ignored) for worker in self._approved.workers}
        yield from guarded.open(views, {worker: [pod.uid for pod in its] for worker, its in pods.items()})
        restart = f"restart of {reference(self._approved.target.workload)} by {self._approved.operator.user}"
        yield from guarded.announce("RunStarted", f"{restart} (run {guarded.run.id}): workers are drained first")
        if self._approved.silence:
            yield from guarded.note(silence=(yield Silence(guarded.run.deadline)))

    def _go_on(self) -> Steps[None]:
        ended = (yield from self._open_run()).ended
        self._after_contest = ended is Outcome.CONTESTED
        if ended in (Outcome.CONTESTED, Outcome.RESTART_FAILED):
            # Somebody may have repaired the template, or deployed another: what counts is whether it serves.
            self._wanted = Wanted.PRESENT
        yield from self._guarded.take_over()
        run = self._guarded.run
        if run.put_back is not None:
            return
        if ended is Outcome.RESTART_FAILED:
            self._most_restarts = run.attempts + 1  # somebody wants it tried once more, if it helps
        if self._after_contest and run.step in (Step.DRAINED, Step.RESTARTING, Step.RESTARTED):
            # Workers were scaled up, or the restart was undone, and somebody has said to go on: drain first.
            yield from self._guarded.note(step=Step.SCALED_DOWN)
        elif self._after_contest and run.step is Step.SCALED_UP:
            yield from self._guarded.note(step=Step.VERIFIED)

    def _undo(self) -> Steps[None]:
        ended = (yield from self._open_run()).ended
        self._after_contest = self._aborting = True
        found = yield from self._guarded.take_over(lenient=True)
        step = self._guarded.run.step
        if step is Step.RESTARTING and self._approved.target.workload not in found:
            step = Step.RESTARTED  # what is gone has no restart that could be waited for
        if step not in PUTTING_BACK:
            yield from self._guarded.note(put_back=Outcome.ABORTED, step=step)
        elif step is Step.SCALED_UP and ended is Outcome.CONTESTED:
            yield from self._guarded.note(step=Step.VERIFIED)

    def _open_run(self) -> Steps[Run]:
        record = yield from self._guarded.record_store.read()
        if record.run is None:
            raise RefusedError("no run is open")
        named = reference(self._approved.target.workload)
        if record.run.workload != named:
            raise RefusedError(f"the record is of {record.run.workload}, the configuration names {named}")
        return record.run

    # --- from the lock to the end -------------------------------------------------------------------------

    def _locked(self, start: Callable[[], Steps[None]]) -> Steps[Ending]:
        """Take the lock, start, and go on to the end."""
        yield Emit(PhaseBegun(Phase.LOCKING, self._clock.now()))
        ending = yield from self._take_lock()
        if ending is None:
            ending = yield from self._without_marks((yield from self._ended(start)))
        yield from self._release()
        return ending

    def _take_lock(self) -> Steps[Ending | None]:
        """Take the lock; return how it ended if it was not taken."""
        try:
            yield from self._guarded.leases.take(may_take_over=self._may_take_over, is_dead=self._is_dead)
        except (LockHeldError, LockLostError) as held:
            return Ending(Outcome.LOCKED, str(held))
        except ClusterError as error:
            if error.denied:
                return Ending(Outcome.REFUSED, f"the API server refuses the lock: {error.message}")
            return Ending(Outcome.UNEXPECTED, f"the lock cannot be taken, nothing was changed: {error}")
        except RetriesExhaustedError as error:
            return Ending(Outcome.UNEXPECTED, f"the lock cannot be taken, nothing was changed: {error}")
        except Interrupted:
            return Ending(Outcome.INTERRUPTED, "interrupted, nothing was changed")
        return None

    def _ended(self, start: Callable[[], Steps[None]]) -> Steps[Ending]:
        """Start, and go on to the end."""
        guarded = self._guarded
        try:
            yield from start()
            return (yield from self._loop())
        except (RefusedError, RecordError) as refused:
            return Ending(Outcome.REFUSED, str(refused), guarded.record_store.record.run)
        except LockLostError as lost:
            return Ending(Outcome.LOCKED, f"{lost}; nothing more was changed", guarded.record_store.record.run)
        except Interrupted:
            return (yield from self._halted(_Halt(Outcome.INTERRUPTED, "interrupted")))
        except fence.ContestedError as contested:
            return (
                yield from self._halted(_Halt(Outcome.CONTESTED, contested.external_change.seen(self._clock.now())))
            )
        except _Halt as halt:
            return (yield from self._halted(halt))
        except (ClusterError, RetriesExhaustedError, DeniedError) as error:
            return (yield from self._halted(self._failed(error)))

    def _without_marks(self, ending: Ending) -> Steps[Ending]:
        """Take the marks off that a run has left which was never opened, or say where they may still stand."""
        guarded = self._guarded
        if not (marked := guarded.half_fenced):
            return ending
        try:
            yield from guarded.withdraw()
        except (ClusterError, RetriesExhaustedError, LockLostError, Interrupted) as error:
            left = f"annotations {RUN_ANNOTATION} and {REPLICAS_ANNOTATION} may be left on {', '.join(marked)}: {error}"
            return replace(ending, message=f"{ending.message}; {left}")
        return ending

    def _release(self) -> Steps[None]:
        """Give the lock back; anyone who wants to stop meanwhile need not wait long."""
        while True:
            try:
                yield from self._guarded.leases.release()
            except Interrupted:
                continue
            return

    def _loop(self) -> Steps[Ending]:
        """Bring the run from step to step, and close it."""
        while True:
            try:
                if (onward := self._next_step()) is None:
                    return (yield from self._close())
                yield from onward()
            except phases.TimedOutError as late:
                yield from self._on_timeout(str(late), late.shows)
            except DeniedError as denied:
                yield from self._denied(denied)
            except Interrupted:
                yield from self._interrupted()

    def _next_step(self) -> Callable[[], Steps[None]] | None:
        """Return what brings the run to its next step, None at its end."""
        run = self._guarded.run
        onward: dict[Step, Callable[[], Steps[None]] | None] = {
            Step.RECORDED: self._pause,
            Step.PAUSED_AUTOSCALER: self._scale_down,
            Step.SCALED_DOWN: self._drain,
            Step.DRAINED: self._restart,
            Step.RESTARTING: self._roll_out,
            Step.RESTARTED: self._verify,
            Step.VERIFIED: self._scale_up,
            Step.SCALED_UP: self._restore,
            Step.UNPAUSED: None,
        }
        if run.put_back is not None and run.step not in PUTTING_BACK | {Step.RESTARTING}:
            return self._roll_out if _restart_pending(run) else self._scale_up
        return onward[run.step]

    def _close(self) -> Steps[Ending]:
        """Take all marks away and finish the record."""
        guarded = self._guarded
        run = guarded.run
        outcome = run.put_back or Outcome.DONE
        yield Emit(PhaseBegun(Phase.CLOSING, self._clock.now()))
        yield from self._unsilence()
        yield from guarded.announce("RunFinished", f"run {run.id}: {outcome}", warning=run.put_back is not None)
        yield from guarded.unfence()
        yield from guarded.close(outcome, run.detail)
        past = guarded.record_store.record.finished[-1]
        return Ending(outcome, run.detail, None, past.seconds, self._shows)

    # --- how steps end otherwise ---------------------------------------------------------------------------

    def _on_timeout(self, why: str, shows: tuple[Words, ...]) -> Steps[None]:
        """Decide what follows when a step was not over in time."""
        step = self._guarded.run.step
        if step is Step.SCALED_DOWN:
            yield from self._begin_rollback(Outcome.DRAIN_TIMED_OUT, f"not drained in time: {why}", shows)
        elif step in (Step.DRAINED, Step.RESTARTING):
            raise _Halt(Outcome.RESTART_FAILED, f"not rolled out in time: {why}", shows)
        else:
            yield from self._unpause_all(self._guarded.run)
            raise _Halt(Outcome.RESTORE_INCOMPLETE, f"workers are not ready in time: {why}", shows)

    def _interrupted(self) -> Steps[None]:
        """Decide what follows when the operator asked to stop: what was begun is finished, or left, or undone."""
        run = self._guarded.run
        if run.step in BEFORE_DRAIN and not _may_have_scaled(run):
            raise _Halt(Outcome.INTERRUPTED, "interrupted before the drain")
        if run.step in PUTTING_BACK or run.put_back is not None:
            text = "the workers are being put back, that goes on; Ctrl-C once more leaves it as it is"
            yield Emit(Notice(Level.WARNING, text))
            return
        is_requested = run.step not in BEFORE_RESTART or _restart_pending(run)
        match (yield Confirm(AFTER_REQUEST if is_requested else WHILE_DRAINING)):
            case AfterInterrupt.WAIT:
                yield Emit(Notice(Level.INFO, "the run goes on"))
            case AfterInterrupt.RESTORE:
                yield from self._begin_rollback(Outcome.INTERRUPTED, "interrupted, workers put back")
            case _:
                raise _Halt(Outcome.INTERRUPTED, "interrupted: the run is left as it is, under its record")

    def _denied(self, denied: DeniedError) -> Steps[None]:
        """Decide what follows when the API server refuses a write: workers that were scaled down are restored."""
        run = self._guarded.run
        if run.put_back is None and run.step in BEFORE_RESTART and _may_have_scaled(run):
            yield from self._begin_rollback(Outcome.DENIED, str(denied))
        else:
            raise denied

    def _failed(self, error: ClusterError | RetriesExhaustedError | DeniedError) -> _Halt:
        """Decide how it ends when the API server has refused something for good, or an hour of tries was in vain."""
        run, why = self._guarded.record_store.record.run, str(error)
        if isinstance(error, ClusterError) and error.refused:
            why = f"the API server refuses it: {error.message or error.detail}"
        denied = isinstance(error, DeniedError) or (isinstance(error, ClusterError) and error.denied)
        if denied and not self._aborting and (run is None or not _may_have_scaled(run)):
            return _Halt(Outcome.REFUSED, why)
        if run is None or not (self._aborting or run.put_back is not None or run.step in PUTTING_BACK):
            return _Halt(Outcome.UNEXPECTED, why)
        if run.step is Step.UNPAUSED or not _may_have_scaled(run):
            return _Halt(Outcome.UNEXPECTED, why)  # workers are back, or were never away
        if left := run.left_at_0():
            why = f"left at 0, as far as is known: {', '.join(left)}; {why}"
        if run.put_back is not None:
            why = f"{why} (with the workers back it would have ended as {run.put_back})"
        return _Halt(Outcome.RESTORE_INCOMPLETE, why)

    def _begin_rollback(self, outcome: Outcome, detail: str, shows: tuple[Words, ...] = ()) -> Steps[None]:
        self._shows = shows
        yield Emit(Notice(Level.WARNING, detail))
        yield from self._guarded.note(put_back=outcome, detail=detail)

    def _halted(self, halt: _Halt) -> Steps[Ending]:
        """End where it is: with nothing changed the run is closed, else it is left open for the next person."""
        guarded = self._guarded
        try:
            run = guarded.record_store.record.run
            if run is None or not guarded.owned:
                return Ending(halt.outcome, halt.message, run, shows=halt.shows)
            if run.step in BEFORE_DRAIN and not _may_have_scaled(run):
                yield from self._unpause_all(run)
                yield from self._unsilence()
                yield from guarded.unfence()
                yield from guarded.close(halt.outcome, halt.message)
                return Ending(halt.outcome, f"{halt.message}; nothing was changed")
            yield from self._unsilence()
            yield from guarded.note(ended=halt.outcome, ended_at=self._clock.now(), detail=halt.message)
            yield from guarded.announce("RunStopped", f"run {run.id}: {halt.outcome}: {halt.message}", warning=True)
        except LockLostError as lost:
            # What looked like a contest was the work of the run that has taken over.
            return Ending(Outcome.LOCKED, f"{lost}; nothing more was changed", guarded.record_store.record.run)
        except (ClusterError, RetriesExhaustedError, Interrupted, RecordError, fence.ContestedError) as error:
            yield Emit(Notice(Level.WARNING, f"that could not be noted in the record: {error}"))
        return Ending(halt.outcome, halt.message, guarded.record_store.record.run, shows=halt.shows)

    # --- the steps ------------------------------------------------------------------------------------------

    def _pause(self) -> Steps[None]:
        """Keep away the controllers that would fight, where that was asked for."""
        for paused in self._guarded.run.paused:
            yield from self._annotate(paused, paused.during, changes.pause_of(paused))
            if not (yield from phases.is_in_effect(self._guarded, paused, paused.during)):
                name = fence.name_of(paused.path)
                raise _Halt(Outcome.REFUSED, f"{name} was to be paused, and does not say that it is: is KEDA running?")
        yield from self._guarded.reach(Step.PAUSED_AUTOSCALER)

    def _scale_down(self) -> Steps[None]:
        guarded = self._guarded
        yield Emit(PhaseBegun(Phase.SCALING_DOWN, self._clock.now()))
        for worker, recorded in guarded.workers.items():
            what = recorded.down(reference(worker))

            def make(view: WorkloadView, replicas: int = recorded.replicas, what: str = what) -> Change | None:
                if view.replicas == 0:
                    return None
                if view.replicas != replicas and not self._after_contest:
                    found = f"was scaled from {replicas} to {view.replicas}"
                    raise fence.ContestedError(external_change(view, found, "spec", "replicas"))
                if view.volumes.deleted_when_scaled and not self._approved.may_delete_volumes:
                    found = "would lose its volume claims at 0 replicas"
                    raise fence.ContestedError(
                        external_change(view, found, "spec", "persistentVolumeClaimRetentionPolicy")
                    )
                return changes.scaled(view, what, 0)

            yield from guarded.change(worker, recorded.uid, what, make)
        yield from guarded.reach(Step.SCALED_DOWN)
        yield from guarded.announce(
            "WorkersScaledDown", f"run {guarded.run.id}: workers are at 0 and finish their changes"
        )

    def _drain(self) -> Steps[None]:
        if self._after_contest:
            # Anyone who resumes after a contest has been told of it, and wants the workers down anyway.
            yield from self._scale_down()
            self._after_contest = False
        yield from phases.drain(self._guarded)
        yield from self._guarded.reach(Step.DRAINED)

    def _restart(self) -> Steps[None]:
        """Ask for the restart, under an id that the record knows before the cluster does."""
        guarded = self._guarded
        revision = yield from phases.wait_for_certificate_age(guarded)
        if not (yield from phases.still_drained(guarded)):
            yield from guarded.note(step=Step.SCALED_DOWN)
            return
        run = guarded.run
        if not self._seen_old and (yield from self._stands(run)):
            yield from guarded.reach(Step.RESTARTING)
            return
        if not _restart_pending(run):
            run = replace(run, attempts=run.attempts + 1, revision=revision)
        what = changes.restart_of(run)

        def make(view: WorkloadView) -> Change | None:
            if view.restart_id == run.restart_id:
                return None
            if view.paused:
                raise fence.ContestedError(external_change(view, "its rollout was paused", "spec", "paused"))
            return changes.restarted(view, run, self._clock.now())

        noting = {"attempts": run.attempts, "revision": run.revision}
        yield from guarded.change(self._approved.target.workload, run.workload_uid, what, make, noting)
        self._wanted, self._seen_old, self._stable_by = Wanted.RESTART, False, None
        yield from guarded.reach(Step.RESTARTING)
        yield from guarded.announce("RestartAsked", f"run {run.id}: {what}")

    def _stands(self, run: Run) -> Steps[bool]:
        """Tell whether the target needs no other restart: the latest is in its template, or another template serves."""
        if run.attempts == 0 or _restart_pending(run):
            return False
        target = yield from self._guarded.read(self._approved.target.workload)
        if target.restart_id == run.restart_id:
            return True
        if self._wanted is not Wanted.PRESENT or not self._approved.verify:
            return False
        if serves := (yield from phases.serves_issued(self._guarded)):
            text = "every pod of the present template serves the issued certificate: it is not restarted again"
            yield Emit(Notice(Level.INFO, text))
        return serves

    def _roll_out(self) -> Steps[None]:
        undoing = self._guarded.run.put_back is not None
        yield from phases.roll_out(self._guarded, Wanted.READY if undoing else self._wanted)
        yield from self._guarded.reach(Step.RESTARTED)

    def _verify(self) -> Steps[None]:
        """Believe it when every pod has presented the issued certificate; else restart once more, while drained."""
        guarded = self._guarded
        if not self._approved.verify:
            yield Emit(
                Notice(Level.WARNING, "not verified, as asked: whether the new certificate is loaded is not known")
            )
            yield from guarded.reach(Step.VERIFIED)
            return
        seen = yield from phases.verify(guarded, self._wanted)
        again = guarded.run.attempts < self._most_restarts
        match seen:
            case None:
                self._expect_to_stay_rolled_out()
                yield from guarded.note(step=Step.RESTARTING)
            case phases.Verification(Finding.ISSUED, proof):
                yield from guarded.reach(Step.VERIFIED)
                yield from guarded.announce("CertificateVerified", f"run {guarded.run.id}: {proof}")
            case phases.Verification(Finding.OLD, why) if again:
                self._seen_old = True
                text = f"not the issued certificate ({why}): one more restart, while the workers are still drained"
                yield Emit(Notice(Level.WARNING, text))
                yield from guarded.note(step=Step.DRAINED)
            case phases.Verification(Finding.OLD, why, still_valid=True, shows=shows):
                text = f"after {guarded.run.attempts} restarts, as if the kubelet still mounted the old Secret: {why}"
                yield from self._begin_rollback(Outcome.OLD_CERTIFICATE, text, shows)
            case phases.Verification(Finding.UNSEEN, why, shows=shows):
                yield from self._not_verified(why, shows)
            case phases.Verification(_, why, shows=shows):
                raise _Halt(Outcome.RESTART_FAILED, f"what is presented is not valid: {why}", shows)

    def _expect_to_stay_rolled_out(self) -> None:
        """Give a target that is not rolled out any more as long as a restart and a verification may take, once."""
        limits, now = self._approved.limits, self._clock.monotonic()
        if self._stable_by is None:
            self._stable_by = now + (limits.restart + limits.verify).total_seconds()
        if now > self._stable_by:
            raise _Halt(Outcome.RESTART_FAILED, "the target does not stay rolled out")

    def _not_verified(self, why: str, shows: tuple[Words, ...]) -> Steps[None]:
        """Decide what follows when what is presented could not be seen: at worst it is what was loaded before."""
        until = self._guarded.run.accepted_until
        text = f"restarted, but what is presented could not be seen ({why})"
        if until is None:
            raise _Halt(
                Outcome.RESTART_FAILED, f"{text}; until when the old certificate is accepted is not known", shows
            )
        instant = f"{until:%Y-%m-%d %H:%M}Z"
        if until <= self._clock.now():
            raise _Halt(Outcome.RESTART_FAILED, f"{text}; the old certificate was accepted until {instant}", shows)
        text = f"{text}; the old certificate is accepted until {instant}"
        yield from self._begin_rollback(Outcome.NOT_VERIFIED, text, shows)

    def _scale_up(self) -> Steps[None]:
        guarded = self._guarded
        yield from phases.wait_for_endpoints(guarded)
        yield Emit(PhaseBegun(Phase.SCALING_UP, self._clock.now()))
        for worker, recorded in guarded.workers.items():
            what = recorded.up(reference(worker))
            # Before the drain they are what they were; after it, only a write of ours can have put them back.
            expected = self._after_contest or guarded.run.wrote_before(what) or guarded.run.step in BEFORE_DRAIN
            sent: list[Change] = []

            def make(
                view: WorkloadView,
                replicas: int = recorded.replicas,
                what: str = what,
                sent: list[Change] = sent,
                *,
                expected: bool = expected,
            ) -> Change | None:
                if view.replicas == 0 and replicas > 0:
                    sent.append(changes.scaled(view, what, replicas))
                    return sent[-1]
                ours = bool(sent) and view.replicas == replicas  # its answer was lost
                if view.replicas != 0 and not (expected or ours):
                    found = f"was scaled to {view.replicas} while it was drained"
                    raise fence.ContestedError(external_change(view, found, "spec", "replicas"))
                return None

            yield from guarded.change(worker, recorded.uid, what, make)
        yield from guarded.reach(Step.SCALED_UP)
        yield from guarded.announce("WorkersScaledUp", f"run {guarded.run.id}: workers are back at their replicas")

    def _restore(self) -> Steps[None]:
        yield from phases.restore(self._guarded)
        yield from self._unpause_all(self._guarded.run)
        yield from self._guarded.reach(Step.UNPAUSED)

    def _unpause_all(self, run: Run) -> Steps[None]:
        """Give other controllers back what they had: last of all, so that none acts on a worker at 0."""
        for paused in run.paused:
            yield from self._annotate(paused, paused.before, changes.unpause_of(paused))
            if not (yield from phases.is_in_effect(self._guarded, paused, paused.before)):
                text = f"{fence.name_of(paused.path)} still says that it is paused: see that KEDA scales it again"
                yield Emit(Notice(Level.WARNING, text))

    # --- parts ----------------------------------------------------------------------------------------------

    def _annotate(self, paused: Paused, annotations: Mapping[str, str | None], what: str) -> Steps[None]:
        """Set annotations of an object that is not ours; what somebody else has changed meanwhile stays."""
        guarded = self._guarded
        yield from guarded.record_store.update(lambda run: run.intends(what, self._clock.now()))

        def attempt() -> Steps[None]:
            document = yield Get(paused.path)
            if document is None:
                yield Emit(Notice(Level.WARNING, f"{fence.name_of(paused.path)} is gone: nothing to do there"))
                return
            metadata = document["metadata"]
            mark = (metadata.get("annotations") or {}).get(RUN_ANNOTATION)
            if mark != guarded.run.fence:
                yield from guarded.confirm()
                raise LockLostError(
                    f"{fence.name_of(paused.path)} now belongs to {f'run {mark}' if mark else 'no run'}"
                )
            try:
                yield changes.annotated(what, paused.path, metadata["resourceVersion"], annotations)
            except ClusterError as error:
                if error.status == CONFLICT:
                    yield from guarded.confirm()
                raise

        yield from with_retries(what, attempt, guarded.leases)

    def _unsilence(self) -> Steps[None]:
        silence = self._guarded.run.silence
        if silence is not None:
            yield EndSilence(silence)
            yield from self._guarded.note(silence=None)


def _restart_pending(run: Run) -> bool:
    """Tell whether the latest restart was noted and may or may not have been done: then it is the one to do."""
    return bool(run.writes) and run.writes[-1].state == "intended" and run.writes[-1].what.startswith("restart ")


def _may_have_scaled(run: Run) -> bool:
    """Tell whether a worker may have been scaled already: the write was intended, and did not fail for sure."""
    return any(writing.what.startswith("scale ") and writing.state != "failed" for writing in run.writes)
