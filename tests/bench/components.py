"""Programs that the supervisor runs: started, killed and started again by name, never left behind.

Each is tied to the supervisor by the kernel: even where the supervisor is killed, its components go with it.
"""

import signal
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

from tests.bench import enclosure, network, waiting

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Spawn = Callable[[Sequence[str], IO[bytes] | int, Mapping[str, str]], enclosure.Process]


@dataclass(frozen=True)
class Component:
    """A program, its arguments, and the URL that answers 200 (or the Unix socket that answers) once it is ready."""

    name: str
    argv: tuple[str, ...]
    ready: str = ""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass
class Components:
    """The running components, and how they are started where they run."""

    logs: Path
    pause: Callable[[float], object]
    known: dict[str, Component] = field(default_factory=dict)
    netns: Path | None = None
    spawn: Spawn = enclosure.spawn
    running: dict[str, enclosure.Process] = field(default_factory=dict)

    def start(self, component: Component) -> None:
        """Start a component, without waiting for it to be ready."""
        process = self.running.get(component.name)
        if process is not None and process.poll() is None:
            raise ValueError(f"{component.name} runs already as process {process.pid}: kill it first")
        self.known[component.name] = component
        environment = {"PATH": SYSTEM_PATH, "HOME": str(self.logs.parent)} | dict(component.environment)
        with self.log(component.name).open("ab") as log:
            self.running[component.name] = self.spawn(component.argv, log, environment)

    def wait_ready(self, name: str, seconds: float = 60) -> None:
        """Wait until a component answers; fails at once when it has ended instead."""
        component = self.known[name]
        if not component.ready:
            return

        def answers() -> bool:
            ended = self.running[name].poll()
            if ended is not None:
                raise AssertionError(f"{name} ended with {ended} before it was ready: see {self.log(name)}")
            return _answers(component.ready, self.netns)

        waiting.until(f"{name} at {component.ready}", answers, seconds, pause=self.pause)

    def kill(self, name: str) -> None:
        """End a component with SIGKILL, and return once its process is gone."""
        process = self.running[name]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def restore(self) -> list[str]:
        """Start every component that does not run, in the order in which they were first started."""
        ended = [name for name in self.known if name not in self.pids()]
        for name in ended:
            self.start(self.known[name])
            self.wait_ready(name)
        return ended

    def pids(self) -> dict[str, int]:
        """The process number of every component that runs."""
        return {name: process.pid for name, process in self.running.items() if process.poll() is None}

    def kill_all(self) -> None:
        """End every component, the last started first: no API server is left waiting for its etcd."""
        for name in reversed(self.running):
            self.kill(name)

    def log(self, name: str) -> Path:
        """The file with a component's output."""
        return self.logs / f"{name}.log"

    def tails(self, lines: int = 8) -> str:
        """The last lines of every component's log, and how those that ended did."""
        text = []
        for name, process in self.running.items():
            ended = process.poll()
            state = "running" if ended is None else f"ended with {ended}"
            last = self.log(name).read_text(errors="replace").splitlines()[-lines:]
            text.append(f"--- {name}, {state}, {self.log(name)}\n" + "\n".join(line[:400] for line in last))
        return "\n".join(text)


def _answers(url: str, netns: Path | None) -> bool:
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.connect(parsed.path)
        return True
    assert parsed.hostname is not None
    assert parsed.port is not None
    plain = network.connect(netns, parsed.hostname, parsed.port, timeout=2)
    connection = HTTPConnection(parsed.hostname, parsed.port)
    # Whether the server is up is all that is asked, so its certificate is not looked at.
    connection.sock = _unverified().wrap_socket(plain) if parsed.scheme == "https" else plain
    try:
        connection.request("GET", parsed.path)
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
