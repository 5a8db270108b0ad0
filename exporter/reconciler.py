"""One round of the main loop: what came in, what is assessed again, what is published, who is to be probed.

Touches nothing but the snapshot that it is given, and has no thread and no queue: `supervisor` feeds it from its
threads, and a simulation from whatever clock and network it has. No certificate is assessed before every watch that
certificates are assessed by has handed over its complete first list, and no target before its own objects are listed.
"""

import heapq
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from certlag.assess import assess_certificate
from certlag.assessment import Assessment, AssessmentInput
from certlag.clock import Clock
from certlag.config.schema import Configuration
from certlag.endpoints import wanted
from certlag.kube.reflector import Change, Listed, WatchHealth
from certlag.kube.resources import FOR_CERTIFICATES, Watch, of_target
from certlag.model import Chain, Endpoint, Issued, ObjectKey, Presented, Probe, ProbeError, ProbeFailure
from certlag.store.world import World
from certlag.target_assessment import TargetAssessment
from exporter.metrics import samples
from exporter.metrics.text import Page
from exporter.probe_schedule import Schedule
from exporter.snapshot import Published, Snapshot

PROBERS = 16
"""Handshakes that may be under way at once."""
STEP = 60.0
"""Seconds that the loop waits at most, so that a clock that was set is noticed."""
CLOCK_TOLERANCE = 1.0
"""Seconds by which wall time may drift between two rounds before everything is assessed again."""

OUTDATED = 100
"""Changes that are kept although their assessment is another one since: as many more as there are assessments."""

log = logging.getLogger("certlag")


class Reconciler:
    """Everything that the main loop owns: the world, the schedule, the page."""

    def __init__(
        self,
        configuration: Configuration,
        snapshot: Snapshot,
        clock: Clock,
        health: Mapping[Watch, WatchHealth],
        *,
        interval: float,
        jitter: random.Random,
    ) -> None:
        """Begin with nothing known.

        Args:
            configuration: targets and discovery.
            snapshot: where what was assessed is published.
            clock: what time it is.
            health: of every watch whose changes will come.
            interval: seconds between two probes of an endpoint that answers.
            jitter: spreads probes.
        """
        self._configuration = configuration
        self._snapshot = snapshot
        self._clock = clock
        self._in_flight = 0
        self._probe_failures: Counter[ProbeFailure] = Counter()
        self._world = World(configuration)
        self._schedule: Schedule[ObjectKey] = Schedule(interval=interval, jitter=jitter)
        self._page = Page(samples.ASSESSED)
        self._assessments: dict[ObjectKey, Assessment] = {}
        self._target_assessments: dict[str, TargetAssessment] = {}
        self._changes: list[tuple[datetime, ObjectKey]] = []
        self._clock_offset = clock.now().timestamp() - clock.monotonic()
        self._listed: set[Watch] = set()
        self._assessing = False
        self._for_target = {target.name: frozenset(of_target(target)) for target in configuration.targets}
        self._for_certificates = {watch for watch in health if watch.resource in FOR_CERTIFICATES}
        snapshot.watch(health, self._probe_failures)

    @property
    def due_in(self) -> float:
        """Seconds until something falls due: an assessment that time changes, or a probe; infinite if never."""
        waits = [float("inf")]
        if self._changes:
            waits.append((self._changes[0][0] - self._clock.now()) / timedelta(seconds=1))
        if self._in_flight < PROBERS and (due := self._schedule.next_due) is not None:
            waits.append(due - self._clock.monotonic())
        return max(0.0, min(waits))

    @property
    def poll_timeout(self) -> float:
        """Seconds until the next round must come if no message does before."""
        return min(STEP, self.due_in)

    def round(self, messages: Iterable[Change | Probe]) -> list[Endpoint]:
        """Take what came, assess what it concerns, publish, and return who is to be probed now."""
        dirty = self._fold(messages)
        self._snapshot.heartbeat()
        if not self._can_assess():
            return []
        if not self._assessing or self._clock_was_set():
            self._assessing = True
            self._changes.clear()
            self._assessments = {}
            dirty = self._world.keys()
            log.info("assessing again", extra={"certificates": len(dirty)})
            self._assess(dirty)
            self._assess_targets()
            changed = True
        else:
            changed = self._assess(dirty | self._fallen_due())
            changed |= self._assess_targets()
        due = self._schedule.take(self._clock.monotonic(), PROBERS - self._in_flight)
        self._in_flight += len(due)
        if changed:
            self._snapshot.publish(self._published())
        if not self._snapshot.ready and self._schedule.first_round_ended:
            self._snapshot.ready = True
            log.info("ready")
        return due

    def loaded(self, endpoint: Endpoint) -> Chain | None:
        """Return what was last seen presented there, None if nothing was."""
        return self._world.loaded(endpoint)

    def _published(self) -> Published:
        return Published(self._page.rows(), self._assessments, tuple(self._target_assessments.values()))

    # --- folding ----------------------------------------------------------------------------------

    def _fold(self, messages: Iterable[Change | Probe]) -> set[ObjectKey]:
        dirty: set[ObjectKey] = set()
        for message in messages:
            match message:
                case Probe():
                    dirty |= self._probed(message)
                case change:
                    if isinstance(change, Listed):
                        self._listed.add(change.watch)
                    dirty |= self._world.apply(change, self._clock.now())
        return dirty

    def _probed(self, finished: Probe) -> set[ObjectKey]:
        self._in_flight -= 1
        if isinstance(finished.outcome, ProbeError):
            self._probe_failures[finished.outcome.failure] += 1
            _log_failed_handshake(finished.endpoint, finished.outcome)
        dirty = self._world.observe(finished)
        self._schedule.done(
            finished.endpoint,
            self._clock.monotonic(),
            success=isinstance(finished.outcome, Presented),
            unconfirmed=self._world.unconfirmed(finished.endpoint),
        )
        return dirty

    # --- assessing ----------------------------------------------------------------------------------

    def _fallen_due(self) -> set[ObjectKey]:
        """Return what time alone has changed."""
        due: set[ObjectKey] = set()
        while self._changes and self._changes[0][0] <= self._clock.now():
            due.add(heapq.heappop(self._changes)[1])
        return due

    def _can_assess(self) -> bool:
        """Tell whether every watch that certificates are assessed by has handed over its first complete list."""
        return self._listed.issuperset(self._for_certificates)

    def _clock_was_set(self) -> bool:
        """Tell whether wall time has moved against the monotonic clock since it was last asked."""
        offset = self._clock.now().timestamp() - self._clock.monotonic()
        moved = abs(offset - self._clock_offset) > CLOCK_TOLERANCE
        self._clock_offset = offset
        return moved

    def _assess(self, keys: Iterable[ObjectKey]) -> bool:
        changed = False
        for key in keys:
            subject = self._world.subject(key)
            if subject is None:
                self._assessments.pop(key, None)
                self._schedule.set_endpoints(key, {}, self._clock.monotonic())
                changed |= self._page.put(key, ())
                continue
            assessment = assess_certificate(subject, self._clock.now())
            before = self._assessments.get(key)
            self._assessments[key] = assessment
            self._plan_probes(subject, assessment, before)
            if assessment.changes_at is not None and (not before or before.changes_at != assessment.changes_at):
                self._expect(key, assessment.changes_at)
            if assessment == before:
                changed |= self._page.put_some(key, samples.of_probes(assessment))
            else:
                changed |= self._page.put(key, samples.of_certificate(assessment))
        return changed

    def _expect(self, key: ObjectKey, at: datetime) -> None:
        """Note when time alone will change an assessment; what was noted of former ones is thrown away now and then."""
        heapq.heappush(self._changes, (at, key))
        if len(self._changes) > 2 * len(self._assessments) + OUTDATED:
            expected = ((each.changes_at, each.key) for each in self._assessments.values())
            self._changes = [(at, key) for at, key in expected if at is not None]
            heapq.heapify(self._changes)

    def _assess_targets(self) -> bool:
        """Assess each target once its own objects were listed: those of another may come later, or be forbidden."""
        changed = False
        for target in self._configuration.targets:
            if not self._listed.issuperset(self._for_target[target.name]):
                continue
            published = self._world.target(target)
            if published != self._target_assessments.get(target.name):
                self._target_assessments[target.name] = published
                changed |= self._page.put(f"target {target.name}", samples.of_target(published))
        return changed

    def _plan_probes(self, subject: AssessmentInput, assessment: Assessment, before: Assessment | None) -> None:
        self._schedule.set_endpoints(subject.key, wanted(subject), self._clock.monotonic())
        if before is not None and _identity(assessment.issued) != _identity(before.issued):
            self._schedule.expedite(subject.key, self._clock.monotonic())


def _identity(issued: Issued | None) -> object:
    """Return what makes one issued certificate another one."""
    if issued is None:
        return None
    return issued.chain.leaf.fingerprint_sha256 if issued.chain else (issued.not_before, issued.not_after)


def _log_failed_handshake(endpoint: Endpoint, outcome: ProbeError) -> None:
    """Log at debug level: what fails is asked again and again."""
    place = {"namespace": endpoint.pod.namespace, "pod": endpoint.pod.name, "port": endpoint.port}
    why = {"server_name": endpoint.server_name, "reason": outcome.failure, "error": outcome.detail}
    log.debug("handshake failed", extra=place | why)
