"""The exporter without its threads: its own reflectors and rounds, taken one step further whenever it is told to.

What a step does is what the real one would have done by the time that nothing is left to do at this instant: every
watch has handed over what there is, all of it is assessed and published, and every endpoint that is due was probed.
"""

import random
import threading
from dataclasses import dataclass
from datetime import timedelta

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.kube.reflector import Change, Reflector
from certlag.kube.resources import Watch, watches
from certlag.model import Probe
from exporter.reconciler import Reconciler
from exporter.snapshot import Published, Snapshot
from rehearsal.api.resources import ALWAYS
from tests.metrics import Metrics
from tests.simulation.place import Place

INTERVAL = timedelta(days=2)
"""Between two probes of a pod that answers: nothing can be learnt from more, and each is an event."""
MOST_ROUNDS = 50
RETRY = timedelta(seconds=20)
"""When a watch that failed is tried again."""
STORED = {resource.plural: resource for resource in ALWAYS}
"""What the embedded cluster stores, by the names that paths have."""


class Steady(random.Random):
    """Jitter that is none: instants are the same in every walk of the same seed."""

    def uniform(self, a: float, b: float) -> float:
        """Return the middle."""
        return (a + b) / 2


class Pause(threading.Event):
    """The stop signal of reflectors that never wait: where they would, they stop."""

    def wait(self, timeout: float | None = None) -> bool:
        """Stop instead of waiting."""
        self.set()
        return True


class ReadableSnapshot(Snapshot):
    """A snapshot that can be read."""

    text = ""
    """What was assessed."""
    metrics = Metrics.parse("")
    """A scrape of when that was published."""

    def publish(self, published: Published) -> None:
        """Keep what a scrape would get."""
        super().publish(published)
        self.text = b"".join(piece for row in published.rows for piece in row.pieces).decode()
        self.metrics = Metrics.parse(b"".join(self.scrape(gzip=False)).decode())


@dataclass(frozen=True, slots=True)
class Watched:
    """One watch of the exporter, and what went wrong with it in the present step."""

    reflector: Reflector
    errors: list[ClusterErrorReason]


class SteppedExporter:
    """One exporter process; a restart is a new one.

    Attributes:
        published: what it serves.
        sees: whether it reached the API server with every watch at its last step.
    """

    def __init__(self, place: Place, client: ClusterClient) -> None:
        self._place = place
        self._messages: list[Change | Probe] = []
        self._pause = Pause()
        self._watched = [self._watch(watch, client) for watch in watches(place.configuration)]
        health = {each.reflector.watch: each.reflector.health for each in self._watched}
        self.published = ReadableSnapshot(place.clock, version="0", revision="simulation")
        interval = INTERVAL.total_seconds()
        self._reconciler = Reconciler(
            place.configuration, self.published, place.clock, health, interval=interval, jitter=Steady()
        )
        self._version = -1
        self.sees = False

    @property
    def due_in(self) -> float:
        """Seconds until it would do something by itself."""
        return self._reconciler.due_in if self.sees else min(RETRY.total_seconds(), self._reconciler.due_in)

    @property
    def lists(self) -> int:
        """How often anything was listed."""
        return sum(each.reflector.health.relists.total() for each in self._watched)

    def step(self, *, woken: bool = False) -> None:
        """Do all that is to be done now; `woken`: come round though nothing is, as the real one does once a minute."""
        version = self._place.cluster.api.storage.version
        if self.sees and version == self._version and self._reconciler.due_in > 0 and not woken:
            return
        if version != self._version or not self.sees:
            seen = [self._reflect(each) for each in self._watched if not self.sees or self._has_news(each)]
            self.sees = all(seen)
            self._version = version
        for _ in range(MOST_ROUNDS):
            taken, self._messages = self._messages, []
            due = self._reconciler.round(taken)
            if not due:
                return
            self._messages += [self._place.network.shake_hands(endpoint, self._place.clock) for endpoint in due]
        raise AssertionError("the exporter does not come to rest")

    def _has_news(self, watched: Watched) -> bool:
        """Tell whether a watch that is open would have something to say."""
        return self._place.cluster.api.storage.changed(STORED[watched.reflector.watch.resource.name]) > self._version

    def _reflect(self, watched: Watched) -> bool:
        """Let one watch hand over all that there is; tell whether it could."""
        for _ in range(2):
            watched.errors.clear()
            self._pause.clear()
            watched.reflector.run()
            if ClusterErrorReason.EXPIRED not in watched.errors:
                break
        return set(watched.errors) <= {ClusterErrorReason.SHORT_WATCH}

    def _watch(self, watch: Watch, client: ClusterClient) -> Watched:
        errors: list[ClusterErrorReason] = []

        def failed(_watch: Watch, error: ClusterError, _delay: float) -> None:
            errors.append(error.reason)

        clock = self._place.clock
        return Watched(Reflector(watch, client, self._take, clock, self._pause, jitter=Steady(), log=failed), errors)

    def _take(self, change: Change) -> None:
        self._messages.append(change)
