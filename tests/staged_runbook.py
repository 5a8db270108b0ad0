"""The runbook as a process on a drill's cluster, whose time passes only while the command waits.

    with staged_cluster() as stage:
        ran = typed(stage, "restart-build-service", "--yes")

What takes an hour of the cluster's is over at once.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.drills.catalogue import BY_NAME
from rehearsal.drills.stage import Stage, staged
from tests.runbook_process import ROOT, Ran

AT_ONCE = 1_000_000
PATIENT = 300.0
"""Seconds after which something hangs."""


@contextmanager
def staged_cluster() -> Iterator[Stage]:
    """A cluster in which a restart is due, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="staged-", dir="/tmp") as folder,  # a socket's path is a short one
        staged(BY_NAME["none"], Path(folder), seed=0, speed=AT_ONCE) as stage,
    ):
        yield stage


def typed(stage: Stage, *words: str) -> Ran:
    """Run a command to its end."""
    began = time.monotonic()
    argv = (sys.executable, "-m", "rehearsal.remote_clock", str(stage.time), "runbook", *words)
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**os.environ, **stage.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        stage.begin(process.pid)
        try:
            stdout, stderr = process.communicate(timeout=PATIENT)
        finally:
            process.kill()
            stage.end()
    return Ran(process.returncode, stdout, stderr, time.monotonic() - began)
