"""Time that is lent: it passes while a command waits, as fast as it is told to, and at no other time."""

import queue
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rehearsal.drills.catalogue import BY_NAME
from rehearsal.drills.scene import WORKER, Scene
from rehearsal.drills.stage import Stage, staged
from rehearsal.node.programs import Program
from rehearsal.remote_clock import RemoteClock
from runbook.kube.change_waiter import Changes
from tests.bench import waiting

AT_ONCE = 1_000_000


@contextmanager
def borrowed(folder: Path, *, fault: str = "none", seed: int = 0, speed: float = AT_ONCE) -> Iterator["Borrowed"]:
    with staged(BY_NAME[fault], folder, seed=seed, speed=speed) as stage, closing(RemoteClock(stage.time)) as lent:
        yield Borrowed(stage, lent)


class Borrowed:
    """A stage, and what waits there as a command does."""

    def __init__(self, stage: Stage, lent: RemoteClock) -> None:
        self.stage = stage
        self.time = lent
        self.changes: Changes = queue.SimpleQueue()

    def waits(self, length: timedelta, *, early: bool = False) -> timedelta:
        """Wait, and return how much time has passed there."""
        began = self.time.now()
        with pytest.raises(queue.Empty):
            self.time.take(self.changes, length.total_seconds(), early=early)
        return self.time.now() - began


def scale_down(scene: Scene) -> None:
    scene.patch(WORKER, {"spec": {"replicas": 0}}, "kubectl-scale")


def test_a_wait_takes_its_time_there_and_next_to_none_here(tmp_path: Path) -> None:
    with borrowed(tmp_path) as at:
        assert at.waits(timedelta(hours=1)) == timedelta(hours=1)
        assert at.stage.now() == at.time.now()


@pytest.mark.thorough
def test_time_stands_still_while_nobody_waits(tmp_path: Path) -> None:
    with borrowed(tmp_path) as at:
        began = at.stage.now()
        at.stage.do(scale_down)
        assert at.stage.now() == began


@pytest.mark.thorough
def test_it_passes_no_faster_than_it_is_told_to(tmp_path: Path) -> None:
    with borrowed(tmp_path, speed=60) as at:
        began = time.monotonic()
        at.waits(timedelta(seconds=30))
        assert time.monotonic() - began >= 0.5


def test_who_wants_to_be_woken_early_waits_until_something_changes(tmp_path: Path) -> None:
    with borrowed(tmp_path) as at:
        at.stage.do(scale_down)
        at.waits(timedelta(seconds=1))
        assert timedelta(minutes=1) < at.waits(timedelta(hours=1), early=True) < timedelta(minutes=10)


def test_a_change_that_a_watch_tells_of_ends_the_wait(tmp_path: Path) -> None:
    with borrowed(tmp_path, speed=60) as at:
        began = at.time.now()

        def tell() -> None:
            waiting.until("time to pass", lambda: at.time.now() > began, 30)
            at.changes.put(None)

        teller = threading.Thread(target=tell)
        teller.start()
        assert at.time.take(at.changes, 360_000.0, early=True) is None
        teller.join()
        assert timedelta(0) < at.time.now() - began < timedelta(hours=100)


def test_who_lends_no_more_is_noticed(tmp_path: Path) -> None:
    gone: list[bool] = []
    with staged(BY_NAME["none"], tmp_path, seed=0, speed=AT_ONCE) as stage:
        lent = RemoteClock(stage.time, lambda: gone.append(True))
    waiting.until("to be told", lambda: gone, 30)
    lent.close()


def drained(folder: Path, seed: int) -> tuple[list[tuple[str, str]], timedelta]:
    """Return the workers with their changes, and when the last of their pods was gone, since it was asked to end."""
    folder.mkdir()
    with borrowed(folder, seed=seed) as at:
        changes, began = at.stage.changes(), at.stage.now()
        at.stage.do(scale_down)
        pods: list[int] = [len(changes)]

        def count(scene: Scene) -> None:
            pods.append(len(scene.pods(WORKER)))

        while pods[-1]:
            at.waits(timedelta(hours=1), early=True)
            at.stage.do(count)
        return changes, at.stage.now() - began


@pytest.mark.thorough
def test_a_seed_is_the_same_rehearsal_again_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (drained(tmp_path / str(n), seed) for n, seed in enumerate((1, 1, 2)))
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_no_variety_is_no_chance_and_some_stays_within_its_part() -> None:
    even, varied = Program(ends_after=timedelta(minutes=6)), Program(ends_after=timedelta(minutes=6), varied=0.5)
    assert even.in_container(random.Random(1)) is even  # noqa: S311 - lengths of time
    lengths = {varied.in_container(random.Random(seed)).ends_after for seed in range(50)}  # noqa: S311 - lengths
    assert len(lengths) == 50
    assert all(timedelta(minutes=3) <= length <= timedelta(minutes=9) for length in lengths if length)
