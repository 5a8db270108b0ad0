"""The demo as a newcomer starts it: a process, its folder, what it printed."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import waiting
from tests.metrics import Metrics

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Demo:
    """A demo that is ready: what it printed, its folder, its process."""

    printed: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        found = re.search(r"http://([0-9.:]+)/metrics", self.printed)
        assert found is not None, self.printed
        return found.group(1)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def metrics(self) -> Metrics:
        return Metrics.parse(self.get("/metrics").decode())


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Demo]:
    """Run a demo on a free port, and end it as Ctrl-C does."""
    output = folder / "output"
    with output.open("wb") as stream:
        argv = (sys.executable, "-m", "rehearsal.demo", "--port", "0", "--directory", str(folder), *options)
        process = subprocess.Popen(argv, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        waiting.until(
            "the demo to be ready", lambda: process.poll() is not None or "kubectl get" in output.read_text(), 60
        )
        assert process.poll() is None, output.read_text()
        yield Demo(output.read_text(), folder, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)
