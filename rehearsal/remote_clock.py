"""A command whose time is a rehearsal's. Touches one local socket.

Time stands still while the command works or asks, and passes while it waits: it says how long it wants to wait, and
is told what time it is until that is over. So a drain of an hour takes as long as the rehearsal wants it to, and no
lock is ever lost because this machine was busy. `python -m rehearsal.remote_clock SOCKET runbook …` runs a command so.

Each line either way is JSON: `{"wait": seconds, "early": bool, "number": n}` from here; from there `now`, `monotonic`,
`over` (the number of the wait that is over, 0 if none is) and `changed` (it is over before its time).
"""

import json
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from certlag.kube.reflector import Change
from runbook.cli.main import main
from runbook.kube.change_waiter import GATHER, Changes
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.session.session import Time


class RemoteClock:
    """The clock and the patience of a command, by the rehearsal that listens on a socket."""

    def __init__(self, address: Path, when_gone: Callable[[], object] = lambda: None) -> None:
        """Ask what time it is.

        Args:
            address: the socket.
            when_gone: called, from a thread, when nobody listens there any more.

        Raises:
            OSError: nobody listens there.
        """
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(address))
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._when_gone = when_gone
        self._number = 0
        self._waiting = threading.Lock()
        self._woken: Changes | None = None
        self._learn(json.loads(self._lines.readline()))
        self._thread = threading.Thread(target=self._listen, name="remote clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Borrow no more."""
        self._when_gone = lambda: None
        with suppress(OSError):  # the rehearsal was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def now(self) -> datetime:
        """Return the rehearsal's instant."""
        return self._now

    def monotonic(self) -> float:
        """Return the rehearsal's seconds since some fixed point."""
        return self._monotonic

    def take(self, changes: Changes, seconds: float, *, early: bool) -> Change | None:
        """Have time pass until something comes, or the rehearsal says that it has; one thread after the other.

        Raises:
            queue.Empty: so much time has passed, or something has changed that no watch told of yet.
        """
        with self._waiting:
            return self._take(changes, seconds, early=early)

    def _take(self, changes: Changes, seconds: float, *, early: bool) -> Change | None:
        with suppress(queue.Empty):
            return changes.get_nowait()
        self._number, self._over, self._woken = self._number + 1, 0, changes
        self._say(wait=seconds, early=early, number=self._number)
        change = changes.get()
        if self._over == self._number and change is None:
            return self._soon(changes)
        self._say(wait=0.0, early=False, number=0)
        return change

    def _soon(self, changes: Changes) -> Change | None:
        """Return what a watch is about to tell of, if something has changed."""
        if not self._changed:
            raise queue.Empty
        return changes.get(timeout=GATHER)

    def _say(self, **message: Any) -> None:
        with suppress(OSError):  # the rehearsal has ended, and so will this process
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        """Hear what time it is, from the first wait on."""
        with suppress(OSError, ValueError), self._socket, self._lines:
            for line in self._lines:
                self._learn(json.loads(line))
        self._when_gone()

    def _learn(self, said: dict[str, Any]) -> None:
        self._now, self._monotonic = datetime.fromisoformat(said["now"]), float(said["monotonic"])
        self._over, self._changed = int(said["over"]), bool(said["changed"])
        if self._over and self._woken is not None:
            self._woken.put(None)


def _end() -> NoReturn:
    """End at once: without the rehearsal there is no cluster, and time would stand still for ever."""
    os._exit(EXIT_CODES[Outcome.UNEXPECTED])


if __name__ == "__main__":
    time = RemoteClock(Path(sys.argv[1]), _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back until there is somebody to hear it
    main(args=sys.argv[3:], prog_name=sys.argv[2], obj=Time(time, time))
