"""Time that passes only while somebody waits for it: a cluster's clock, lent to commands. Touches a local socket.

A command says how long it wants to wait (the lines are described in `rehearsal.remote_clock`). Then the cluster is
taken from one due instant to the next, as fast as `speed` says, and the command is told what time it is; if it wants to
be woken early, only until something has changed. While nobody waits, time stands still: a machine that is busy can make
a rehearsal slow, and nothing else.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from rehearsal.clock import SteppedClock
from rehearsal.cluster import EmbeddedCluster

PICTURE = 0.1
"""Seconds, of real time, between two tellings of what time it is."""


class ClockServer:
    """The passing of one cluster's time. Used from the thread of its event loop only."""

    def __init__(self, cluster: EmbeddedCluster, clock: SteppedClock, *, speed: float) -> None:
        """Lend the time of a cluster.

        Args:
            cluster: what is taken along.
            clock: its own, which stands still.
            speed: how many of its seconds pass in one while somebody waits.
        """
        self._cluster = cluster
        self._clock = clock
        self._speed = speed
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.on_step: Callable[[], timedelta | None] = lambda: None

    async def start(self, address: Path) -> None:
        """Listen.

        Raises:
            OSError: that cannot be an address.
        """
        self._server = await asyncio.start_unix_server(self._serve, address)

    async def close(self) -> None:
        """Lend no more."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with one command: a new wait ends the one before."""
        self._writers.add(writer)
        waiting: asyncio.Task[None] | None = None
        try:
            self._tell(writer)
            while line := await reader.readline():
                if waiting is not None:
                    waiting.cancel()
                waiting = asyncio.create_task(self._wait(writer, **json.loads(line)))
        except OSError:
            pass  # the command is gone
        finally:
            if waiting is not None:
                waiting.cancel()
            self._writers.discard(writer)
            writer.transport.abort()

    async def _wait(self, writer: asyncio.StreamWriter, *, wait: float, early: bool, number: int) -> None:
        """Let time pass, for one command; who ends a wait before its time waits for nothing, and has no number."""
        changed: list[bool] = []
        unsubscribe = self._cluster.api.storage.on_change(lambda: changed.append(True))
        until = self._clock.now() + timedelta(seconds=wait)
        try:
            while (left := until - self._clock.now()) > timedelta(0):
                await self._pass(writer, min(left, self._until_due(left)))
                if early and changed:
                    break
            self._tell(writer, over=number, changed=until > self._clock.now())
        finally:
            unsubscribe()

    def _until_due(self, longest: timedelta) -> timedelta:
        """Return how long nothing happens."""
        due = self._cluster.due_at
        mine = self.on_step()
        found = longest if due is None else due - self._clock.now()
        return max(timedelta(0), found if mine is None else min(found, mine))

    async def _pass(self, writer: asyncio.StreamWriter, length: timedelta) -> None:
        """Let a stretch of time pass in which nothing happens, then do what is due."""
        seconds = length.total_seconds()
        while seconds > 0:
            step = min(seconds, PICTURE * self._speed)
            await asyncio.sleep(step / self._speed)
            self._clock.advance(step)
            self._tell(writer)
            seconds -= step
        self._cluster.step()
        await asyncio.sleep(0)

    def _tell(self, writer: asyncio.StreamWriter, *, over: int = 0, changed: bool = False) -> None:
        said: dict[str, Any] = {
            "now": self._clock.now().isoformat(),
            "monotonic": self._clock.monotonic(),
            "over": over,
            "changed": changed,
        }
        with suppress(OSError):
            writer.write(json.dumps(said).encode() + b"\n")
