"""The process that owns a cluster: starts it, ends it, and lets tests kill and start its components.

`python -m tests.bench.supervisor --owner-pid PID --directory DIR --kind small|whole` returns at once and goes on
in the background. When the cluster is ready, DIR/state.json says where; when it can't be, DIR/failed says why.
However the owner ends, the cluster ends with it, and so it does on SIGTERM. What an earlier supervisor left
when it was killed is removed first.
"""

import argparse
import json
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.bench import clusters, leftovers
from tests.bench.enclosure import PREFIX
from tests.bench.needs import Kind

# The kernel's limit for a Unix socket's path is 108; containerd and the kubelet make theirs below DIR.
LONGEST_DIRECTORY = 70

LOG = logging.getLogger(__name__)


class EndingError(Exception):
    """The owner has ended, or somebody asked this process to."""


class Supervisor:
    """One cluster's life."""

    def __init__(self, owner: int, directory: Path, kind: Kind) -> None:
        """Take the owner's pidfd, which becomes readable when the owner ends, however that comes about."""
        self._owner = owner
        self._directory = directory
        self._kind = kind
        self._record = leftovers.Record(f"{PREFIX}{os.getpid()}", directory)
        self._cluster = clusters.Starting(self._record.name, directory, kind, self._pause)
        self._woken, waking = socket.socketpair()
        waking.settimeout(0)
        self._waking = waking
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)

    def run(self) -> int:
        """Start the cluster, serve until the end, and remove everything."""
        held = self._record.hold()
        try:
            LOG.info("reaped %s", leftovers.reap())
            with socket.socket(socket.AF_UNIX) as control:
                began = time.monotonic()
                state = self._cluster.start()
                control.bind(str(self._directory / "control.sock"))
                control.listen()
                seconds = round(time.monotonic() - began, 1)
                _write(self._directory / "state.json", json.dumps(state | {"seconds": seconds}, indent=1))
                while True:
                    self._serve(control)
        except EndingError as reason:
            LOG.info("ending: %s", reason)
            self._end()
            self._record.remove_directory()
            self._record.path.unlink(missing_ok=True)
        except Exception:
            # Whatever it was, the tests must be told.
            LOG.exception("no cluster")
            report = f"{traceback.format_exc()}\n{self._cluster.tails()}"
            self._end()
            # The folder with the logs stays until the next supervisor reaps it.
            _write(self._directory / "failed", report)
            return 1
        finally:
            os.close(held)
        return 0

    def _end(self) -> None:
        self._cluster.end()
        self._record.remove_kernel_objects()

    def _pause(self, seconds: float) -> None:
        """Pass the time between two looks; ends the supervisor when the owner has ended or a signal came."""
        self._wait([], seconds)

    def _wait(self, others: list[socket.socket], seconds: float | None) -> None:
        watched: list[Any] = [self._owner, self._woken, *others]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._owner in readable:
            raise EndingError("the owner has ended")
        if self._woken in readable:
            raise EndingError(f"signal {self._woken.recv(1)[0]}")

    def _serve(self, control: socket.socket) -> None:
        """Answer one request: a JSON line `{"do": …, "component": …}` on a connection of its own."""
        self._wait([control], None)
        connection, _ = control.accept()
        # A test that is stopped in the midst of asking must not keep this process from seeing its owner's end.
        connection.settimeout(10)
        with connection, connection.makefile("rw") as stream:
            answer: dict[str, Any]
            try:
                answer = {"answer": self._perform(json.loads(stream.readline()))}
            except (OSError, ValueError, AssertionError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            try:
                stream.write(json.dumps(answer) + "\n")
                stream.flush()
            except OSError:
                LOG.info("the test that asked has ended")

    def _perform(self, request: dict[str, str]) -> Any:
        components = self._cluster.components
        name = request.get("component")
        if name and name not in components.known:
            raise ValueError(f"no component {name}: there are {', '.join(components.known)}")
        match request:
            case {"do": "pids"}:
                return components.pids()
            case {"do": "restore"}:
                return components.restore()
            case {"do": "kill", "component": name}:
                components.kill(name)
                return name
            case {"do": "start", "component": name}:
                components.start(components.known[name])
                components.wait_ready(name)
                return components.running[name].pid
        raise ValueError(f"unknown request {request}: ask to do kill, start, restore or pids")


def _write(path: Path, text: str) -> None:
    """Write a file that is either not there or complete."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.rename(path)


def main() -> int:
    """Check the arguments in the foreground, then go on in the background."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.supervisor", description=__doc__)
    parser.add_argument("--owner-pid", type=int, required=True, help="the process whose end ends the cluster")
    parser.add_argument("--directory", type=Path, required=True, help="a new folder for all its files")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), required=True)
    options = parser.parse_args()
    directory = options.directory.absolute()
    if len(str(directory)) > LONGEST_DIRECTORY:
        parser.error(f"{directory} is too long for sockets below it: at most {LONGEST_DIRECTORY} characters")
    try:
        owner = os.pidfd_open(options.owner_pid)
    except ProcessLookupError:
        parser.error(f"no process {options.owner_pid}: give the number of the process that owns the cluster")
    directory.mkdir(parents=True)
    # Twice, with a session of its own between: nobody's child, so nobody need wait for it, and no terminal.
    if os.fork():
        return 0
    os.setsid()
    if os.fork():
        os._exit(0)
    log = os.open(directory / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return Supervisor(owner, directory, options.kind).run()


if __name__ == "__main__":
    sys.exit(main())
