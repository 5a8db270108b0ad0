"""A program on a terminal that a test can read: a pseudo-terminal, and pyte as what shows it."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

from tests.bench.waiting import TooLateError, until

ROOT = Path(__file__).parents[1]


class PseudoTerminal:
    """Runs a program on a terminal of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 120,
        lines: int = 40,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=2000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        self.raw = b""
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
            pass_fds=pass_fds,
            cwd=ROOT,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, lines: int) -> None:
        """Change its size, as a person does with a window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        with self._lock:
            self._screen.resize(lines, columns)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without the empty lines at its end."""
        with self._lock:
            shown = [line.rstrip() for line in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def cells(self) -> list[list[pyte.screens.Char]]:
        """What stands on the screen, sign by sign, with its colours."""
        with self._lock:
            return [
                [self._screen.buffer[row][at] for at in range(self._screen.columns)]
                for row in range(self._screen.lines)
            ]

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.lines)

    @property
    def cursor_hidden(self) -> bool:
        """Whether the cursor can't be seen."""
        with self._lock:
            return bool(self._screen.cursor.hidden)

    def sees(self, what: str, condition: Callable[[str], bool], seconds: float = 60) -> str:
        """Wait until a screen fulfils a condition, and return it. A screen may be seen half drawn: so all at once."""
        screen = ""

        def look() -> bool:
            nonlocal screen
            screen = self.text
            return condition(screen)

        try:
            until(what, look, seconds)
        except TooLateError as error:
            raise TooLateError(f"{error}; the screen:\n{screen}") from error
        return screen

    def shows(self, *texts: str) -> str:
        """Wait until all of these stand on the screen, and return it."""
        return self.sees(f"{texts} on the screen", lambda screen: all(text in screen for text in texts))

    def hides(self, *texts: str) -> str:
        """Wait until none of these stands on the screen any more, and return it."""
        return self.sees(f"no {texts} on the screen", lambda screen: not any(text in screen for text in texts))

    def type(self, text: str) -> None:
        """Type, as a person does with a keyboard."""
        os.write(self._master, text.encode())

    def close(self) -> None:
        """End the program and the terminal."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)
