"""Somebody on call: copies a command from a page or an alert into a shell that has kubectl, runbook and cmctl.

The shell knows the cluster by its kubeconfig, and nothing else. Nobody sits at it, so `--yes` is added, as the pages
say; and that the runbook need not wait until the issuance is two minutes old. cmctl is a stand-in for cert-manager's
own, which this machine lacks (`tests.bench.cmctl`).
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import parts
from tests.bench.cluster import Cluster
from tests.runbook_process import ROOT, Ran, RunbookProcess

ADDED = {
    "runbook restart": "--yes --no-settle",
    "runbook resume": "--yes --no-settle",
    "runbook abort": "--yes",
}
"""What is added to a command that begins like this, and to no other."""


@dataclass
class OnCall:
    """A shell in a cluster's network; `runbook` is in the folder of programs."""

    cluster: Cluster
    folder: Path
    programs: Path
    variables: Mapping[str, str]
    processes: list[RunbookProcess] = field(default_factory=list)

    def start(self, command: str) -> RunbookProcess:
        """Run a command as it stands there."""
        added = next((words for beginning, words in ADDED.items() if command.startswith(beginning)), "")
        base = self.folder / f"command-{len(self.processes)}"
        stdout_file, stderr_file = base.with_suffix(".stdout"), base.with_suffix(".stderr")
        programs = (self.folder, self.programs, parts.binary("kubectl").parent)
        environment = {
            "PATH": os.pathsep.join((*map(str, programs), os.environ["PATH"])),
            "HOME": str(self.folder),
            "KUBECONFIG": self.cluster.environment["KUBECONFIG"],
        }
        with stdout_file.open("wb") as stdout, stderr_file.open("wb") as stderr:
            process = subprocess.Popen(
                # The command in place of the shell, so that a signal reaches it.
                self.cluster.inside(["sh", "-c", f"exec {command} {added}"]),
                cwd=self.folder,
                env={**environment, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        started = RunbookProcess(process, time.monotonic(), stdout_file, stderr_file)
        self.processes.append(started)
        return started

    def run(self, command: str) -> Ran:
        """Run a command to its end."""
        return self.start(command).wait()


@contextmanager
def on_call(
    cluster: Cluster, folder: Path, programs: Path = Path(sys.executable).parent, **variables: str
) -> Iterator[OnCall]:
    """Be on call until the block ends, with further environment variables; commands that still run then are killed."""
    folder.mkdir(exist_ok=True)
    cmctl = folder / "cmctl"
    cmctl.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.bench.cmctl {cluster.directory} "$@"\n')
    cmctl.chmod(0o755)
    made = OnCall(cluster, folder, programs, variables)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.is_running:
                process.kill()
