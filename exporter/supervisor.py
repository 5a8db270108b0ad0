"""The exporter at work: its threads, and the queue between them.

Threads: one reflector for each watch, a fixed pool of probers, one for HTTP, and the main loop, which alone owns what
is known and assessed (`reconciler`). The others hand it messages over one queue; what it publishes is immutable and
is swapped in one assignment. A thread that dies of a bug hands that over too, and the process ends.

The loop: take what came → fold it in → assess what it concerns, and what time has changed → publish → probe who is
due.
"""

import logging
import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from certlag.clock import Clock
from certlag.config.schema import Configuration
from certlag.config.shard import WHOLE, Shard
from certlag.kube.client import ClusterClient
from certlag.kube.reflector import Change, Reflector
from certlag.kube.resources import watches
from certlag.kube.watch_log import WatchLog
from certlag.model import Chain, Endpoint, Probe
from certlag.tls.handshake import probe
from exporter import memory
from exporter.reconciler import PROBERS, Reconciler
from exporter.snapshot import Snapshot

JOIN_SECONDS = 1.0
"""How long threads may take to end: the process is to be gone two seconds after SIGTERM.

One that hangs in the look-up of a name can't be woken, and takes all of it.
"""

log = logging.getLogger("certlag")


@dataclass(frozen=True, slots=True)
class ThreadFailed:
    """A thread ended by an exception: a bug, and the end of the process."""

    thread: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Stop:
    """The process was asked to end."""


Message = Change | Probe | ThreadFailed | Stop


class Supervisor:
    """One exporter process. `run` returns when `stop` was called."""

    def __init__(
        self,
        configuration: Configuration,
        client: ClusterClient,
        snapshot: Snapshot,
        clock: Clock,
        *,
        interval: float,
        jitter: random.Random,
        shard: Shard = WHOLE,
    ) -> None:
        configuration = shard.part_of(configuration)
        self._client = client
        self._clock = clock
        self._snapshot = snapshot
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._to_probe: queue.SimpleQueue[tuple[Endpoint, Chain | None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        watch_log = WatchLog(clock)
        self._reflectors = [
            Reflector(
                watch,
                client,
                self._messages.put,
                clock,
                self._stopping,
                jitter=jitter,
                log=watch_log.failed,
                shard=shard,
            )
            for watch in watches(configuration)
        ]
        health = {reflector.watch: reflector.health for reflector in self._reflectors}
        self._reconciler = Reconciler(configuration, snapshot, clock, health, interval=interval, jitter=jitter)

    def stop(self) -> None:
        """Ask the loop to end; may be called from any thread and from a signal handler."""
        self._stopping.set()
        self._messages.put(Stop())

    def run(self) -> None:
        """Watch, assess and publish until stopped.

        Raises:
            BaseException: whatever ended one of the threads.
        """
        for reflector in self._reflectors:
            self._spawn(f"watch {reflector.watch.path}", reflector.run)
        for number in range(PROBERS):
            self._spawn(f"probe {number}", self._probe_until_stopped)
        was_ready = False
        while not self._stopping.is_set():
            for endpoint in self._reconciler.round(_sound(self._take())):
                self._to_probe.put((endpoint, self._reconciler.loaded(endpoint)))
            if self._snapshot.ready and not was_ready:
                was_ready = True
                memory.freeze_heap()
        self._join()

    def _take(self) -> list[Message]:
        """Wait for a message or until something is due; return all that is there."""
        messages: list[Message] = []
        try:
            messages.append(self._messages.get(timeout=self._reconciler.poll_timeout))
            while True:
                messages.append(self._messages.get_nowait())
        except queue.Empty:
            return messages

    def _probe_until_stopped(self) -> None:
        while (asked := self._to_probe.get()) is not None:
            endpoint, known = asked
            self._messages.put(probe(endpoint, self._clock, known=known))

    # --- threads ----------------------------------------------------------------------------------

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        def live() -> None:
            try:
                run()
            except MemoryError:
                memory.abort_out_of_memory()
            except BaseException as error:  # noqa: BLE001 - handed to the main loop, which ends the process
                self._messages.put(ThreadFailed(name, error))

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


def _sound(messages: list[Message]) -> list[Change | Probe]:
    """Return what is for the assessment: nothing once the process is to stop, nor if a thread has died."""
    sound: list[Change | Probe] = []
    for message in messages:
        match message:
            case Stop():
                return []
            case ThreadFailed(thread, error):
                raise RuntimeError(f"thread {thread} died") from error
            case known:
                sound.append(known)
    return sound
