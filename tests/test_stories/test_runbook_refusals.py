"""Workers that may not be put back: the command ends with 7, and says which are at 0, why, and what to type.

On the embedded cluster, whose time passes only while the command waits: an hour of tries is over at once.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from rehearsal.drills.catalogue import BY_NAME
from rehearsal.drills.scene import WORKER, Scene
from rehearsal.drills.stage import Stage, staged
from tests.runbook_process import ROOT

AT_ONCE = 1_000_000
PATIENT = 300.0
HOSTILE = "only by \x1b[2Jmaria\u202e"
"""What the API server says: admission writes whatever it likes."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A cluster in which a restart is due; the path of its folder is short enough for a socket."""
    with (
        tempfile.TemporaryDirectory(prefix="refused-", dir="/tmp") as folder,
        staged(BY_NAME["none"], Path(folder), seed=0, speed=AT_ONCE) as made,
    ):
        yield made


def refuse(code: int) -> Any:
    """Return what has the API server refuse that the workers are scaled up."""

    def fault(request: Request) -> Refusal | None:
        patched = request.method == "PATCH" and request.path.endswith(f"/deployments/{WORKER}")
        scaled = patched and (request.body.get("spec") or {}).get("replicas", 0) > 0
        return Refusal(code, "Refused", HOSTILE) if scaled else None

    def deed(scene: Scene) -> None:
        scene.live.cluster.api.fault = fault

    return deed


def allow(scene: Scene) -> None:
    scene.live.cluster.api.fault = lambda _: None


def typed(stage: Stage, *words: str) -> "subprocess.CompletedProcess[str]":
    """Type a command whose time is the cluster's."""
    argv = (sys.executable, "-P", "-m", "runbook.borrowed_time", str(stage.time), "runbook", *words, "--yes")
    with _at_work(stage, argv) as process:
        stdout, stderr = process.communicate(timeout=PATIENT)
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


@contextmanager
def _at_work(stage: Stage, argv: tuple[str, ...]) -> Iterator["subprocess.Popen[str]"]:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **stage.environment}, text=True, **pipes)
    stage.begin(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        stage.end()


@pytest.mark.fault("F42")
@pytest.mark.parametrize("code", [403, 422])
def test_workers_that_may_not_be_put_back_end_with_7_and_say_so(code: int, stage: Stage) -> None:
    stage.do(refuse(code))
    ran = typed(stage, "restart-build-service")
    text = ran.stdout + ran.stderr
    assert ran.returncode == 7, text
    assert "Workers not fully put back (exit code 7)" in text
    assert f"left at 0, as far as is known: deployment/{WORKER}" in text
    assert f"HTTP {code}" in text
    assert "only by" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "did not answer" not in text
    assert "runbook resume-build-service" in text
    assert "runbook abort-build-service" in text
    stage.do(allow)
    assert typed(stage, "resume-build-service").returncode == 0
    assert stage.ready_workers() == 3


@pytest.mark.fault("F42")
def test_programs_are_told_the_same(stage: Stage) -> None:
    stage.do(refuse(422))
    ran = typed(stage, "restart-build-service", "--output", "json")
    ended = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.returncode, ended["exit_code"], ended["outcome"]) == (7, 7, "restore_incomplete")
    assert ended["replicas"] == [{"workload": f"deployment/{WORKER}", "replicas": 3}]
    assert [command.split()[1] for command in ended["next_commands"]] == [
        "resume-build-service",
        "abort-build-service",
    ]
