"""Starting a supervisor, and waiting for its cluster."""

import subprocess
import sys
from pathlib import Path

from tests.bench import waiting
from tests.bench.cluster import Cluster
from tests.bench.needs import Kind

ROOT = Path(__file__).parents[2]


def start(directory: Path, *, owner: int, kind: Kind) -> None:
    """Start a supervisor in the background; it ends with the process that owns it."""
    argv = ["--owner-pid", str(owner), "--directory", str(directory), "--kind", kind]
    subprocess.run([sys.executable, "-m", "tests.bench.supervisor", *argv], check=True, cwd=ROOT)


def ready(directory: Path) -> Cluster:
    """Wait for the cluster of a supervisor, no matter who started it.

    Raises:
        RuntimeError: it did not start; the message has the ends of its logs.
    """
    state, failed = directory / "state.json", directory / "failed"
    waiting.until(f"the cluster in {directory}", lambda: state.exists() or failed.exists(), 180)
    if failed.exists():
        raise RuntimeError(f"the cluster did not start; its logs are in {directory}\n{failed.read_text()}")
    return Cluster.load(directory)
