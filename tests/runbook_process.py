"""The runbook as its users run it: processes of their own, from a laptop or within the cluster's network.

    with api_proxy(cluster) as proxy, operator(proxy.kubeconfig(tmp_path, token, namespace), tmp_path) as runbook:
        ran = runbook.run("restart-build-service", "--yes", "--no-settle")
        assert ran.code == 0, ran

`start` instead of `run` gives a process to look at, to signal and to wait for. Whatever still runs when the block ends
is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests import output_lines
from tests.bench import waiting
from tests.bench.cluster import Cluster

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
"""Seconds within which a run is over, if nothing else is said."""

Event = dict[str, Any]
"""One line of `--output json`; `event` says which."""


@dataclass(frozen=True)
class Ran:
    """A process that has ended: its exit code, negative if a signal ended it, and all that it wrote."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def events(self) -> list[Event]:
        """What it told, if it was to tell it as JSON."""
        return output_lines.read(self.stdout)

    @property
    def ended(self) -> Event:
        """How it says that it ended."""
        return of(self.events, "ended")[-1]

    @property
    def goes_on(self) -> list[str]:
        """The commands of the runbook that it prints to go on with; those of kubectl only look."""
        return [command.split()[1] for command in self.ended["next_commands"] if not command.startswith("kubectl ")]

    def __str__(self) -> str:
        """All of it, for a failed assertion."""
        return f"exit code {self.code} after {self.seconds:.1f} s\n{self.stdout}\n{self.stderr}"


@dataclass(eq=False)
class RunbookProcess:
    """A process that runs, or has ended."""

    process: subprocess.Popen[bytes]
    began: float
    stdout_file: Path
    stderr_file: Path

    @property
    def events(self) -> list[Event]:
        """What it has told so far."""
        return output_lines.read(self.stdout_file.read_text())

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return self.stdout_file.read_text() + self.stderr_file.read_text()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> Ran:
        """Wait until it has ended."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds:g} s:\n{self.output}") from None
        took = time.monotonic() - self.began
        return Ran(code, self.stdout_file.read_text(), self.stderr_file.read_text(), took)

    def wait_for(self, event: str, seconds: float = PATIENCE, **fields: Any) -> Event:
        """Wait until it has told of something, and return that: `wait_for("phase_begun", phase="draining")`."""

        def told() -> Event | None:
            found = [each for each in self.events if each["event"] == event and fields.items() <= each.items()]
            if not found and not self.is_running:
                raise AssertionError(f"it ended without telling {event} {fields}:\n{self.output}")
            return found[0] if found else None

        return waiting.until(f"the runbook to tell {event} {fields}", told, seconds)

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone; may be called from any thread."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Have it stand still, as the lid of a laptop does, and wait until it does."""
        self.process.send_signal(signal.SIGSTOP)
        waiting.until("it to stand still", lambda: _state(self.process.pid) == "T")

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """End it as a shutdown does."""
        self.process.send_signal(signal.SIGTERM)


@dataclass
class Runbook:
    """The runbook with one operator's kubeconfig. `inside` puts it into a cluster's network."""

    kubeconfig: Path
    folder: Path
    inside: Cluster | None = None
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[RunbookProcess] = field(default_factory=list)

    def argv(self, *words: str) -> list[str]:
        """The command line for these words, this operator's kubeconfig among them."""
        argv = [sys.executable, "-m", "runbook", *words, "--kubeconfig", str(self.kubeconfig)]
        return self.inside.inside(argv) if self.inside else argv

    @property
    def surroundings(self) -> dict[str, str]:
        """Its environment: no cluster and no configuration of anyone who runs the tests."""
        kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "CERTLAG_CONFIG")}
        return kept | self.environment

    def start(self, *words: str, output: str = "json") -> RunbookProcess:
        """Start a command; nobody is there to answer its questions."""
        base = self.folder / f"runbook-{len(self.processes)}"
        stdout_file, stderr_file = base.with_suffix(".stdout"), base.with_suffix(".stderr")
        with stdout_file.open("wb") as stdout, stderr_file.open("wb") as stderr:
            process = subprocess.Popen(
                self.argv(*words, "--output", output),
                cwd=ROOT,
                env=self.surroundings,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        started = RunbookProcess(process, time.monotonic(), stdout_file, stderr_file)
        self.processes.append(started)
        return started

    def run(self, *words: str, output: str = "json", seconds: float = PATIENCE) -> Ran:
        """Run a command to its end."""
        return self.start(*words, output=output).wait(seconds)


@contextmanager
def operator(
    kubeconfig: Path, folder: Path, *, inside: Cluster | None = None, environment: dict[str, str] | None = None
) -> Iterator[Runbook]:
    """Be an operator until the block ends; commands of theirs that still run then are killed."""
    folder.mkdir(exist_ok=True)
    runbook = Runbook(kubeconfig, folder, inside, environment or {})
    try:
        yield runbook
    finally:
        for process in runbook.processes:
            if process.is_running:
                process.kill()


def of(events: list[Event], event: str, **fields: Any) -> list[Event]:
    """Those of one kind, with these fields."""
    return [each for each in events if each["event"] == event and fields.items() <= each.items()]


def instant(event: Event) -> datetime:
    """When it was told."""
    return datetime.fromisoformat(event["at"])


def _state(pid: int) -> str:
    """The state of a process, as /proc has it: a letter after the name in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
