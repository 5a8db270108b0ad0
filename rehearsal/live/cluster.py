"""An embedded cluster in real time: its API on a port, its pods on loopback addresses, its controllers as they are due.

All of it runs in one event loop, so there is no lock. `LiveCluster` is that; `background` runs one in a thread, for
programs that have something else to do.
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from certlag.clock import Clock, SystemClock
from rehearsal import pki
from rehearsal.cluster import EmbeddedCluster
from rehearsal.live.http import HttpServer
from rehearsal.live.kubeconfig import kubeconfig
from rehearsal.live.loopback import LoopbackNetwork
from rehearsal.live.tls import server_context
from rehearsal.node.network import KeyPair

HOST = "127.0.0.1"
OPERATOR = "rehearsal-operator"
CERTIFICATE_LIFETIME = timedelta(days=365)

Given = TypeVar("Given")
Prepare = Callable[[EmbeddedCluster], None]


class LiveCluster:
    """One cluster that runs. Everything here belongs to the thread of its event loop, except `call` and `run`."""

    def __init__(self, clock: Clock | None = None, *, time_passes: bool = True, **options: Any) -> None:
        """Make one within a running event loop.

        Args:
            clock: what time it is in it.
            time_passes: False for a clock that others move (`clock_server`): then only changes make it work.
            options: those of `EmbeddedCluster`.
        """
        self._time_passes = time_passes
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._network = LoopbackNetwork(self._loop)
        clock = clock or SystemClock()
        self.cluster = EmbeddedCluster(clock, network=self._network, **options)
        self.http = HttpServer(self.cluster.api, clock)
        self.token = secrets.token_urlsafe(24)
        self.cluster.api.access.users[self.token] = OPERATOR
        self.authority = b""
        self.port = 0
        self._working: asyncio.Task[None] | None = None

    async def start(self, port: int = 0) -> None:
        """Serve the API, and have the controllers work.

        Raises:
            OSError: the port cannot be had.
        """
        now = SystemClock().now() - timedelta(minutes=5)
        authority = pki.self_signed("rehearsal", (), now=now, lifetime=CERTIFICATE_LIFETIME)
        key = pki.new_key()
        requested = pki.request({"ipAddresses": [HOST], "dnsNames": ["localhost"]}, key)
        signed = pki.sign(requested, signer=authority, key=key, now=now, lifetime=CERTIFICATE_LIFETIME)
        self.authority = authority.chain
        tls = server_context(KeyPair(signed.certificate, key, b""))
        self.port = await self.http.start(HOST, port, tls)
        self._working = self._loop.create_task(self._work())

    async def close(self) -> None:
        """End everything; raise what a controller raised."""
        await self.http.close()
        await self._network.end()
        if self._working is not None:
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working

    def write_kubeconfig(self, path: Path, namespace: str) -> None:
        """Write a kubeconfig for the operator of this cluster; nobody else may read it."""
        server = f"https://{HOST}:{self.port}"
        document = kubeconfig(server, self.authority, user=OPERATOR, token=self.token, namespace=namespace)
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller is in the thread of its event loop."""
        return threading.get_ident() == self._thread

    def call(self, work: Callable[[EmbeddedCluster], Given]) -> Given:
        """Do something with the cluster from another thread: set a fault, look at what is stored."""

        async def within() -> Given:
            done = work(self.cluster)
            self.cluster.nudge()
            return done

        return self.run(within())

    def run(self, work: Coroutine[Any, Any, Given]) -> Given:
        """Have a coroutine run in the cluster's event loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _work(self) -> None:
        """Let the controllers do what is due, whenever something has changed or time has come."""
        changed = asyncio.Event()
        self.cluster.api.storage.on_change(changed.set)
        while True:
            changed.clear()
            self.cluster.step()
            due = self.cluster.due_at
            wait = None
            if due is not None and self._time_passes:
                wait = max(0.0, (due - self.cluster.clock.now()).total_seconds())
            try:
                async with asyncio.timeout(wait):
                    await changed.wait()
            except TimeoutError:
                continue


@contextmanager
def background(prepare: Prepare = lambda _cluster: None, **options: Any) -> Iterator[LiveCluster]:
    """Run a cluster in a thread of its own until the block ends; `prepare` fills it before it starts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="rehearsal", daemon=True)
    thread.start()

    async def start() -> LiveCluster:
        live = LiveCluster(**options)
        prepare(live.cluster)
        await live.start()
        return live

    try:
        live = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield live
        finally:
            asyncio.run_coroutine_threadsafe(live.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
