"""What is done to the exporter and around it, one deed after the other; each that breaks something fixes it too."""

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from threading import Event

from certlag.store.certificates import MAX_PREVIOUS
from tests.api_proxy import Answer, ApiProxy, Delay, Drop, Pass, Reaction, Request, every_watch_expired_once
from tests.bench import waiting
from tests.benchmark.etcd import prepared
from tests.benchmark.ground import Ground
from tests.benchmark.population import Member
from tests.exporter_process import ExporterProcess
from tests.soak.servers import Servers
from tests.soak.truth import Truth

FULL = MAX_PREVIOUS + 1
"""Rounds after which there is nothing more to remember."""
MOST_TO_RECOVER = 180.0
"""Seconds within which all must be right once nothing is broken any more: two waits of a minute for Retry-After."""
HTML = Answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
GARBAGE = Answer(200, b'{"type": "ADDED\xff\n' * 50)
WEATHERS: dict[str, tuple[Reaction, ...]] = {
    "fine": (Pass(),),
    "cut": (Drop(),),
    "throttled": (Answer(429, {}, {"Retry-After": "1"}), Answer(429, {}), Pass()),
    "failing": (Answer(500, {}), Answer(503, {}), Drop(), Pass()),
    "expired": (Answer(410, {"code": 410, "reason": "Expired"}), Pass()),
    "refused": (Answer(401, {}), Answer(403, {}), Pass()),
    "lying": (HTML, GARBAGE, Answer(200, {}), Pass()),
    "slow": (Delay(1.0), Delay(0.2), Pass()),
}
"""What becomes of the exporter's requests: for each one of these, by chance."""


@dataclass
class Place:
    """All that deeds can reach."""

    ground: Ground
    proxy: ApiProxy
    exporter: ExporterProcess
    servers: Servers
    truth: Truth
    chance: Random
    pause: Event

    def let(self, weather: str) -> None:
        """Let requests pass through this weather from now on; the proxy's threads draw by chance too."""
        reactions, chance = WEATHERS[weather], Random(self.chance.random())  # noqa: S311 - faults, no secrets

        def react(_: Request) -> Reaction:
            return chance.choice(reactions)

        self.proxy.before = react

    def wait(self, least: float, most: float) -> None:
        """Let time pass."""
        self.pause.wait(self.chance.uniform(least, most))

    def wait_until_true(self) -> None:
        """Wait until what is shown is the truth.

        Raises:
            waiting.TooLateError: it is not, though there was time.
        """
        waiting.until(
            "the truth", lambda: self.truth.is_shown_by(self.exporter.metrics()), MOST_TO_RECOVER, interval=0.5
        )


def fill_memory(place: Place, reconciler: int) -> None:
    """Have the exporter need the most that it ever will, or in fewer `reconciler` than `FULL` somewhat less.

    Most certificates are renewed, and the pods that serve them restarted, until it remembers as many former ones of
    each and as many chains as it may; and each time everything is listed again beside what is known of it, while
    hundreds are connected. Python gives back little of that, so else the memory would rise whenever more came together
    than ever before, for hours. In the end most need a restart.
    """
    for _ in range(reconciler):
        restart(place, place.truth.stale)
        with silent_clients(place):
            renew_most(place)
            expire_watches(place)
        place.wait_until_true()


def expire_watches(place: Place) -> None:
    """Have what every watch goes on from be too old at once, as after an outage that was longer than etcd's memory."""
    before = _expired(place)
    place.proxy.before = every_watch_expired_once()
    place.proxy.cut()
    waiting.until(
        "all lists again",
        lambda: all(count > before.get(what, 0) for what, count in _expired(place).items()),
        MOST_TO_RECOVER,
    )
    place.let("fine")


def _expired(place: Place) -> Mapping[str, float]:
    """How often each resource was listed again because what its watch went on from was too old."""
    relists = place.exporter.metrics().all("certlag_watch_relists_total", reason="expired")
    return {each.labels["resource"]: each.value for each in relists}


def renew_most(place: Place) -> None:
    """Renew thousands at once. The others stay as they were issued for a while: none of them may be called stale."""
    most = [member for member in place.truth.members if member.number % 10]
    place.ground.store.send([prepared(place.truth.renew(member)) for member in most])


def renew_some(place: Place) -> None:
    """Renew certificates, a few or hundreds at once."""
    some = place.chance.sample(place.truth.members, place.chance.choice((1, 5, 20, 300)))
    place.ground.store.send([prepared(step) for step in map(place.truth.renew, some) if step])


def change_pods(place: Place) -> None:
    """Delete pods, and make those that are gone again."""
    served = [member for member in place.truth.members if member.port]
    some = place.chance.sample(served, place.chance.choice((1, 5, 20)))
    place.ground.store.send([prepared(place.truth.change_pod(member)) for member in some])


def restart_some(place: Place) -> None:
    """Restart pods that do not have what is issued now, a few or many at once."""
    stale = place.truth.stale
    restart(place, place.chance.sample(stale, min(len(stale), place.chance.choice((1, 5, 50)))))


def restart(place: Place, some: Sequence[Member]) -> None:
    """Replace pods by such as have loaded what is issued now."""
    truth = place.truth
    ports = place.servers.restart({member.number: truth.issued[member.number] for member in some}) if some else {}
    now = datetime.now(UTC)
    place.ground.store.send([prepared(truth.restart(member, ports[member.number], now)) for member in some])


def change_weather(place: Place) -> None:
    """Let what comes through be another for some seconds, and cut what is open, which would see none of it."""
    place.let(place.chance.choice([*WEATHERS]))
    place.proxy.cut()
    place.wait(2, 8)
    place.let("fine")


def kill_api_server(place: Place) -> None:
    """SIGKILL; every watch breaks off."""
    place.ground.cluster.kill("kube-apiserver")
    place.wait(0, 3)
    place.ground.cluster.start("kube-apiserver")


def kill_etcd(place: Place) -> None:
    """SIGKILL below the API server."""
    place.ground.cluster.kill("etcd")
    place.wait(0, 3)
    place.ground.cluster.start("etcd")


def suspend(place: Place) -> None:
    """Stop the process for seconds, as a machine does that swaps or is migrated."""
    os.kill(place.exporter.process.pid, signal.SIGSTOP)
    place.wait(1, 6)
    os.kill(place.exporter.process.pid, signal.SIGCONT)


def take_descriptors(place: Place) -> None:
    """Leave it no descriptor for a while."""
    pid = place.exporter.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, before[1]))
    place.wait(1, 4)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def silent_clients(place: Place) -> Iterator[None]:
    """Connect three hundred times and say nothing."""
    with ExitStack() as connections:
        for _ in range(300):
            with suppress(OSError):
                connections.enter_context(socket.create_connection((place.exporter.host, place.exporter.port), 5))
        yield


def crowd(place: Place) -> None:
    """Be scraped among clients that say nothing."""
    with silent_clients(place):
        waiting.until("a scrape among the silent", lambda: place.exporter.get("/metrics")[0] == 200, 10)


DEEDS: tuple[Callable[[Place], None], ...] = (
    *[renew_some, restart_some, change_pods, change_weather] * 3,
    expire_watches,
    kill_api_server,
    kill_etcd,
    suspend,
    take_descriptors,
    crowd,
)
ONCE = (renew_most,)
"""What is done one time."""
