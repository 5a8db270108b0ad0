"""The exporter at work: threads, the main loop, and what is published.

Threads: one reflector for each watch, a fixed pool of probers, one for HTTP, and the main loop, which alone owns the
world, the schedule and the page. The others hand it messages over one queue; what it publishes is immutable and
is swapped in one assignment. A thread that dies of a bug hands that over too, and the process ends.

The loop: take what came → fold it in → judge what it concerns, and what time has changed → publish → probe who is
due. Nothing is judged before every watch has its complete first list.
"""

import heapq
import logging
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from exporter import exposition
from exporter.assess import assess_certificate
from exporter.clock import Clock
from exporter.cluster.client import ClusterClient
from exporter.cluster.resources import FOR_CERTIFICATES, Watch, watches
from exporter.cluster.watch import Change, Listed, Reflector
from exporter.configuration import Configuration
from exporter.errors import ClusterError
from exporter.judgement import Assessment, Subject
from exporter.model import Endpoint, Issued, ObjectKey, Presented, Probe, ProbeFailure, Unanswered
from exporter.probe import probe
from exporter.publication import Judged, Publication
from exporter.runs import TargetAssessment
from exporter.schedule import Schedule
from exporter.state import World
from exporter.targets import wanted
from exporter.text_format import Page

PROBERS = 16
JOIN_SECONDS = 1.5
"""How long threads may take to end: the process is to be gone two seconds after SIGTERM."""
STEP = 60.0
"""Seconds that the loop waits at most, so that a clock that was set is noticed."""

CLOCK_TOLERANCE = 1.0
"""Seconds by which wall time may drift between two rounds before everything is judged anew."""

log = logging.getLogger("certlag")


@dataclass(frozen=True, slots=True)
class Died:
    """A thread ended by an exception: a bug, and the end of the process."""

    thread: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Stop:
    """The process was asked to end."""


Message = Change | Probe | Died | Stop


class Service:
    """One exporter process. `run` returns when `stop` was called."""

    def __init__(
        self,
        configuration: Configuration,
        client: ClusterClient,
        publication: Publication,
        clock: Clock,
        *,
        interval: float,
        jitter: random.Random,
    ) -> None:
        self._configuration = configuration
        self._client = client
        self._publication = publication
        self._clock = clock
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._to_probe: queue.SimpleQueue[Endpoint | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._in_flight = 0
        self._probe_failures: Counter[ProbeFailure] = Counter()
        self._world = World(configuration)
        self._schedule: Schedule[ObjectKey] = Schedule(interval=interval, jitter=jitter)
        self._page = Page(exposition.JUDGED)
        self._assessments: dict[ObjectKey, Assessment] = {}
        self._target_assessments: dict[str, TargetAssessment] = {}
        self._changes: list[tuple[datetime, ObjectKey]] = []
        self._clock_offset = clock.now().timestamp() - clock.monotonic()
        self._listed: set[Watch] = set()
        self._judging = False
        self._reflectors = [
            Reflector(
                watch,
                client,
                self._messages.put,
                clock,
                self._stopping,
                jitter=jitter,
                log=_log_watch_failure,
            )
            for watch in watches(configuration)
        ]
        self._health = {reflector.watch: reflector.health for reflector in self._reflectors}
        self._for_certificates = {watch for watch in self._health if watch.resource in FOR_CERTIFICATES}
        publication.watch(self._health, self._probe_failures)

    def stop(self) -> None:
        """Ask the loop to end; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._messages.put(Stop())

    def run(self) -> None:
        """Watch, judge and publish until stopped.

        Raises:
            BaseException: whatever ended one of the threads.
        """
        for reflector in self._reflectors:
            self._spawn(f"watch {reflector.watch.path}", reflector.run)
        for number in range(PROBERS):
            self._spawn(f"probe {number}", self._probe_until_stopped)
        while not self._stopping.is_set():
            self._round()
        self._join()

    def _round(self) -> None:
        """Take what came, judge what it concerns, publish, and send out who is due to be probed."""
        dirty = self._fold(self._take())
        self._publication.looped()
        if not self._can_judge():
            return
        if not self._judging or self._clock_was_set():
            self._judging = True
            self._changes.clear()
            self._assessments.clear()
            dirty = self._world.keys()
            log.info("judging anew", extra={"certificates": len(dirty)})
        changed = self._judge(dirty | self._fallen_due())
        changed |= self._judge_targets()
        self._dispatch()
        if changed:
            self._publication.publish(self._judged())
        if not self._publication.ready and self._schedule.first_round_ended:
            self._publication.ready = True
            log.info("ready")

    def _judged(self) -> Judged:
        assessments = tuple(self._assessments.values())
        return Judged(self._page.text(), assessments, tuple(self._target_assessments.values()))

    # --- taking and folding -----------------------------------------------------------------------

    def _take(self) -> list[Message]:
        """Wait for a message or until something is due; return all that is there."""
        messages: list[Message] = []
        try:
            messages.append(self._messages.get(timeout=self._patience()))
            while True:
                messages.append(self._messages.get_nowait())
        except queue.Empty:
            return messages

    def _patience(self) -> float:
        waits = [STEP]
        if self._changes:
            waits.append((self._changes[0][0] - self._clock.now()) / timedelta(seconds=1))
        if self._in_flight < PROBERS and (due := self._schedule.next_due) is not None:
            waits.append(due - self._clock.monotonic())
        return max(0.0, min(waits))

    def _fold(self, messages: Iterable[Message]) -> set[ObjectKey]:
        dirty: set[ObjectKey] = set()
        for message in messages:
            match message:
                case Stop():
                    return set()
                case Died(thread, error):
                    raise RuntimeError(f"thread {thread} died") from error
                case Probe():
                    dirty |= self._probed(message)
                case change:
                    if isinstance(change, Listed):
                        self._listed.add(change.watch)
                    dirty |= self._world.apply(change, self._clock.now())
        return dirty

    def _probed(self, finished: Probe) -> set[ObjectKey]:
        self._in_flight -= 1
        if isinstance(finished.outcome, Unanswered):
            self._probe_failures[finished.outcome.failure] += 1
        success = isinstance(finished.outcome, Presented)
        self._schedule.done(finished.endpoint, self._clock.monotonic(), success=success)
        return self._world.observe(finished)

    # --- judging ----------------------------------------------------------------------------------

    def _fallen_due(self) -> set[ObjectKey]:
        """Return what time alone has changed."""
        due: set[ObjectKey] = set()
        while self._changes and self._changes[0][0] <= self._clock.now():
            due.add(heapq.heappop(self._changes)[1])
        return due

    def _can_judge(self) -> bool:
        """Tell whether every watch that certificates are judged by has handed over its first complete list."""
        return self._listed.issuperset(self._for_certificates)

    def _clock_was_set(self) -> bool:
        """Tell whether wall time has moved against the monotonic clock since it was last asked."""
        offset = self._clock.now().timestamp() - self._clock.monotonic()
        moved = abs(offset - self._clock_offset) > CLOCK_TOLERANCE
        self._clock_offset = offset
        return moved

    def _judge(self, keys: Iterable[ObjectKey]) -> bool:
        changed = False
        for key in keys:
            subject = self._world.subject(key)
            if subject is None:
                self._assessments.pop(key, None)
                self._schedule.want(key, {}, self._clock.monotonic())
                changed |= self._page.put(key, ())
                continue
            assessment = assess_certificate(subject, self._clock.now())
            before = self._assessments.get(key)
            self._assessments[key] = assessment
            self._plan_probes(subject, assessment, before)
            if assessment.changes_at is not None and (not before or before.changes_at != assessment.changes_at):
                heapq.heappush(self._changes, (assessment.changes_at, key))
            changed |= self._page.put(key, exposition.of_certificate(assessment))
        return changed

    def _judge_targets(self) -> bool:
        """Judge the targets; what single objects tell of them may come later, or be forbidden."""
        if not self._listed.issuperset(self._health):
            return False
        changed = False
        for target in self._configuration.targets:
            judged = self._world.target(target)
            if judged != self._target_assessments.get(target.name):
                self._target_assessments[target.name] = judged
                changed |= self._page.put(f"target {target.name}", exposition.of_target(judged))
        return changed

    # --- probing ----------------------------------------------------------------------------------

    def _plan_probes(self, subject: Subject, assessment: Assessment, before: Assessment | None) -> None:
        self._schedule.want(subject.key, wanted(subject), self._clock.monotonic())
        if before is not None and _identity(assessment.issued) != _identity(before.issued):
            self._schedule.hurry(subject.key, self._clock.monotonic())

    def _dispatch(self) -> None:
        for endpoint in self._schedule.take(self._clock.monotonic(), PROBERS - self._in_flight):
            self._in_flight += 1
            self._to_probe.put(endpoint)

    def _probe_until_stopped(self) -> None:
        while (endpoint := self._to_probe.get()) is not None:
            self._messages.put(probe(endpoint, self._clock))

    # --- threads ----------------------------------------------------------------------------------

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        def live() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001 - handed to the main loop, which ends the process
                self._messages.put(Died(name, error))

        thread = threading.Thread(target=live, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self) -> None:
        """Wake every thread that waits for something, and let it end.

        One that still runs while the interpreter is taken down may abort the process.
        """
        self._client.close()
        for _ in range(PROBERS):
            self._to_probe.put(None)
        deadline = self._clock.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))


def _identity(issued: Issued | None) -> object:
    """Return what makes one issued certificate another one."""
    if issued is None:
        return None
    return issued.chain.leaf.fingerprint_sha256 if issued.chain else (issued.not_before, issued.not_after)


def _log_watch_failure(watch: Watch, error: ClusterError, delay: float) -> None:
    log.warning("watch failed", extra={"path": watch.path, "error": str(error), "retry_in_seconds": round(delay, 1)})
