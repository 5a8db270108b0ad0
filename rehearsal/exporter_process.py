"""The exporter beside an embedded cluster, as its users run it. Touches a process and its port."""

import asyncio
import http.client
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 5.0
INTERVAL_SECONDS = 0.05


class ExporterFailedError(Exception):
    """The exporter ended, or was not ready in time; the message is its own."""


class ExporterProcess:
    """A running exporter. `address` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.address = ""

    @classmethod
    async def start(cls, kubeconfig: Path, configuration: Path, log: Path, port: int) -> "ExporterProcess":
        """Start it on a port of 127.0.0.1 (0: any) and return it once it has assessed everything.

        Args:
            kubeconfig: the way to the cluster.
            configuration: its targets.
            log: where its log goes.
            port: where it is to listen.

        Raises:
            ExporterFailedError: it did not come so far.
        """
        options = ("--kubeconfig", str(kubeconfig), "--config", str(configuration), "--probe-interval", "15")
        listen = ("--web.listen-address", f"127.0.0.1:{port}", "--log-format", "json")
        exporter = cls(await _spawn((sys.executable, "-m", "exporter", *options, *listen), log), log)
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = await exporter._becomes_ready()
        except TimeoutError:
            ready = False
        if not ready:
            await exporter.end()
            raise ExporterFailedError(f"{_last_line(log)} (its log is {log})")
        return exporter

    async def wait(self) -> None:
        """Wait until it ends."""
        await self._process.wait()

    async def end(self) -> None:
        """Have it end, and kill it if it does not."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _becomes_ready(self) -> bool:
        while self._process.returncode is None:
            if await asyncio.to_thread(self._is_ready):
                return True
            await asyncio.sleep(INTERVAL_SECONDS)
        return False

    def _is_ready(self) -> bool:
        self.address = self.address or _listening(self._log)
        if not self.address:
            return False
        connection = http.client.HTTPConnection(self.address, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


async def _spawn(argv: tuple[str, ...], log: Path) -> asyncio.subprocess.Process:
    """Start a process in a session of its own: Ctrl-C in the terminal reaches only its parent, which then ends it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        return await asyncio.create_subprocess_exec(*argv, stderr=descriptor, start_new_session=True)
    finally:
        os.close(descriptor)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    return lines[-1] if lines else "it said nothing"


def _listening(log: Path) -> str:
    """Return the address that its log says it listens on; empty while it does not say so."""
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n") and (entry := json.loads(line)).get("msg") == "listening":
            return str(entry["address"])
    return ""
