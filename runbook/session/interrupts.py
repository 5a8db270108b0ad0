"""Signals that ask a command to stop: the first is told to it, the second ends it. Touches this process."""

import os
import signal
from collections.abc import Callable
from types import FrameType

from runbook.outcomes import EXIT_CODES, Outcome

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Ctrl-C, SIGTERM, a closed terminal: the first during a run is told to the driver, the second leaves at once.

    What our parent process ignores (nohup) stays ignored.
    """

    def __init__(self, first: Callable[[], None], leaving: str) -> None:
        self._first = first
        self._leaving = leaving
        self._seen = False

    def __enter__(self) -> None:
        heeded = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {each: signal.signal(each, self._came) for each in heeded}

    def rearm(self) -> None:
        """Take the next one for a first one again."""
        self._seen = False

    def __exit__(self, *_: object) -> None:
        for each, before in self._before.items():
            signal.signal(each, before)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        if self._seen:
            os.write(2, self._leaving.encode())
            os._exit(EXIT_CODES[Outcome.INTERRUPTED])
        self._seen = True
        self._first()
