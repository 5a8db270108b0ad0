"""The demo as a newcomer runs it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import waiting
from tests.demo_process import ROOT, Demo, running
from tests.figures import Figures

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo")) as ready:
        yield ready


def test_it_shows_one_of_each_verdict(demo: Demo) -> None:
    status = json.loads(demo.get("/api/v1/status"))
    states = {each["target"]: each["state"] for each in workloads(status) if each["target"]}
    assert states == {
        "build-service": "needs_restart",
        "registry": "settled",
        "vault": "renewal_due",
        "cache": "unknown",
    }


def workloads(status: Any) -> list[dict[str, str]]:
    """Every verdict in the status document, wherever it stands."""
    match status:
        case {"target": _, "state": _}:
            return [status]
        case dict():
            return [found for part in status.values() for found in workloads(part)]
        case list():
            return [found for part in status for found in workloads(part)]
    return []


def test_what_it_says_to_type_is_there(demo: Demo) -> None:
    found = re.search(r"export KUBECONFIG=(\S+) CERTLAG_CONFIG=(\S+)", demo.printed)
    assert found is not None
    assert all(Path(path).is_file() for path in found.groups())
    command = re.search(r"(\S+/runbook) check-build-service", demo.printed)
    assert command is not None
    assert os.access(command.group(1), os.X_OK)


def test_ctrl_c_ends_it_and_its_exporter_cleanly(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.get("/livez")
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(timeout=20) == 0
        assert "Traceback" not in (tmp_path / "output").read_text()
        with pytest.raises(OSError, match="refused"):
            demo.get("/livez")


def test_a_port_that_is_taken_is_said(demo: Demo, tmp_path: Path) -> None:
    port = demo.address.rpartition(":")[2]
    argv = (sys.executable, "-m", "rehearsal.demo", "--port", port, "--directory", str(tmp_path))
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot listen on" in ended.stderr


def test_the_runbook_brings_it_from_1_to_0(tmp_path: Path, figures: Figures) -> None:
    with running(tmp_path, "--change", "2") as demo:
        assert needs_restart(demo) == 1
        started = time.monotonic()
        run_runbook(demo, "restart-build-service", "--yes")
        waiting.until("the gauge to be 0", lambda: needs_restart(demo) == 0, 10)
        figures(f"from the command to needs_restart 0: {time.monotonic() - started:.1f} s")
        ready = re.search(r"Ready after ([0-9.]+) s", demo.printed)
        assert ready is not None
        figures(f"the demo was ready after {ready.group(1)} s")


def run_runbook(demo: Demo, *arguments: str) -> None:
    """Run the runbook as the demo says, with what it has written."""
    where = {"KUBECONFIG": str(demo.folder / "kubeconfig"), "CERTLAG_CONFIG": str(demo.folder / "certlag.yaml")}
    argv = (sys.executable, "-m", "runbook", *arguments)
    ended = subprocess.run(
        argv, cwd=ROOT, env=os.environ | where, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def needs_restart(demo: Demo) -> float | None:
    return demo.metrics().value("certlag_needs_restart", target="build-service")
