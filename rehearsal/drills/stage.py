"""A drill's cluster, running: the story behind it, its time lent to the commands, its strikes as they fall due.

Touches sockets, a thread and the folder that it is given; when the block ends, all of it is gone.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from rehearsal import story
from rehearsal.clock import ago
from rehearsal.cluster import EmbeddedCluster
from rehearsal.drills.drill import Deed, Drill, Moment, Strike
from rehearsal.drills.scene import WORKER, Scene
from rehearsal.live.clock_server import ClockServer
from rehearsal.live.cluster import LiveCluster, background
from rehearsal.node.programs import Program, Programs
from rehearsal.objects import Document, name_of

SPEED = 60
"""How many seconds of the cluster pass in one, if nothing else is asked for: an hour is a minute."""

FINISHING = timedelta(minutes=6)
"""How long a worker goes on with its change once it was told to end, more or less."""
VARIED = 0.3
"""By which fraction of itself that varies."""

SETTLED = timedelta(minutes=30)
"""How long what a drill found out of order has been so already."""

CHANGES = (
    "deploy billing to staging",
    "rotate the mail relay's credentials",
    "provision a database for reports",
    "scale the checkout to ten",
    "apply the firewall rules",
    "build the nightly image",
    "move the archive to cold storage",
    "roll out web 4.2",
)


class Stage:
    """What a rehearsal needs of the cluster; used from any thread but its own.

    Attributes:
        environment: what leads a command to the cluster.
        time: the socket where its time is lent.
    """

    def __init__(self, live: LiveCluster, scene: Scene, folder: Path, seed: int) -> None:
        self._live = live
        self._scene = scene
        self._chance = random.Random(seed)  # noqa: S311 - what workers are said to work on
        self.environment = {
            "KUBECONFIG": str(scene.kubeconfig),
            "CERTLAG_CONFIG": str(folder / "certlag.yaml"),
            "TMPDIR": str(folder),  # a command that is killed cannot remove what it wrote
        }
        self.time = folder / "time"

    def begin(self, process: int) -> None:
        """Say that a command works, as this process: it is the one that signals strike."""
        self._scene.command = process

    def end(self) -> None:
        """Say that it has ended."""
        self._scene.command = None

    def do(self, deed: Deed) -> None:
        """Have something done."""
        self._live.call(lambda _: deed(self._scene))

    def now(self) -> datetime:
        """Return what time it is there."""
        return self._live.cluster.clock.now()

    def record(self) -> Document | None:
        """Return the ConfigMap of the target's runs, None before the first."""
        return self._live.call(lambda _: self._scene.record)

    def ready_workers(self) -> int:
        """Return how many workers are ready."""
        return self._live.call(lambda _: self._scene.ready_workers)

    def changes(self) -> list[tuple[str, str]]:
        """Return the workers' pods, and what each is working on."""
        pods = self._live.call(lambda _: [name_of(pod) for pod in self._scene.pods(WORKER)])
        return list(zip(pods, self._chance.sample(CHANGES, len(pods)), strict=True))


@contextmanager
def staged(drill: Drill, folder: Path, *, seed: int, speed: float) -> Iterator[Stage]:
    """Run a drill's cluster until the block ends.

    Args:
        drill: what goes wrong.
        folder: an empty one, for kubeconfig, configuration and socket; anyone who made it removes it.
        seed: of the pods' names, of what they work on, and of how long that takes.
        speed: how many of its seconds pass in one while a command waits.

    Raises:
        OSError: there is no port or address to be had.
    """
    clock = ago(story.PAST + SETTLED)
    cluster_options = {"programs": _programs(), "seed": seed, "time_passes": False, "clock": clock, "keda": True}
    with background(lambda cluster: story.tell(cluster, clock), **cluster_options) as live:
        scene = Scene(live, folder / "kubeconfig")
        lent = ClockServer(live.cluster, clock, speed=speed)
        lent.on_step = _Strikes(drill.strikes, scene, live.cluster)
        live.write_kubeconfig(scene.kubeconfig, story.NAMESPACE)
        (folder / "certlag.yaml").write_text(story.configuration(), encoding="utf-8")
        stage = Stage(live, scene, folder, seed)
        if drill.before is not None:
            stage.do(drill.before)
        live.call(lambda cluster: cluster.advance(clock, SETTLED))
        live.run(lent.start(stage.time))
        try:
            yield stage
        finally:
            live.run(lent.close())


def _programs() -> Programs:
    worker = Program(ends_after=FINISHING, varied=VARIED)
    return {**story.programs(), story.IMAGES["worker"]: worker}


class _Strikes:
    """What is still to happen by itself; called whenever time is about to pass."""

    def __init__(self, strikes: tuple[Strike, ...], scene: Scene, cluster: EmbeddedCluster) -> None:
        self._pending = list(strikes)
        self._scene = scene
        self._cluster = cluster
        self._came: dict[Moment, datetime] = {}

    def __call__(self) -> timedelta | None:
        """Do what is due; return how long it is until the next, None if that cannot be told."""
        now = self._cluster.clock.now()
        moments = {Moment.DRAINING: self._scene.is_draining, Moment.RESTARTED: self._scene.is_restarted}
        for moment, has_come in moments.items():
            if has_come:
                self._came.setdefault(moment, now)
        times = [(self._came[each.moment] + each.after, each) for each in self._pending if each.moment in self._came]
        for at, strike in times:
            if at <= now:
                self._pending.remove(strike)
                strike.does(self._scene)
                self._cluster.nudge()
        return min((at - now for at, _ in times if at > now), default=None)
