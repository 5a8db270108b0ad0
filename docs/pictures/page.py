"""Pictures of the status page: of the demo, as its story goes, and of situations that a demo does not get into."""

import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from certlag.run_record import FinishedRun
from exporter.status import Status
from tests.bench import waiting
from tests.browser import Browser, browsing
from tests.demo_cluster import LONG_CHANGE, end_draining_workers
from tests.demo_process import ROOT, Demo, running
from tests.page_scenes import NOW, Scene, many, seeing, staged, status

FOLDER = Path(__file__).parent
DESK, PHONE = (1040, 780), (360, 1120)
SECONDS = (("drained", 2855.0), ("restarted", 61.0), ("verified", 1.2), ("done", 22.8))
FINISHED = FinishedRun("run-0", NOW - timedelta(minutes=52), NOW - timedelta(minutes=3), "done", SECONDS)
SCENES: dict[str, Status] = {
    "page-monitoring-down": status(
        Scene(), Scene("registry", ("second",)), watches=seeing(silent=timedelta(minutes=23), failure=True)
    ),
    "page-nothing-to-do": status(
        Scene(presents=("second",), finished=(FINISHED,)),
        Scene("registry", ("second", "second")),
        Scene("vault", ("second",)),
    ),
    "page-1000-targets": status(*many(1000)),
}


def make() -> None:
    """Make all of them."""
    with browsing() as browser:
        for name, shown in SCENES.items():
            with staged(shown) as stage:
                browser.open(stage.url)
                _take(browser, name)
        with (
            tempfile.TemporaryDirectory(prefix="certlag-pictures-") as folder,
            running(Path(folder), *LONG_CHANGE) as demo,
        ):
            _tell(browser, demo)


def _tell(browser: Browser, demo: Demo) -> None:
    """Go through the demo's story: a restart is needed, and under way."""
    browser.open(f"http://{demo.address}/")
    _take(browser, "page-restart-needed")
    _take(browser, "page-restart-needed-dark", dark=True)
    _take(browser, "page-narrow", size=PHONE)
    browser.shape(DESK)
    run = _restart(demo)
    waiting.until("the run to be shown", lambda: browser.all(".run"), 60)
    _take(browser, "page-run-in-progress")
    end_draining_workers(demo.folder / "kubeconfig")
    run.wait(timeout=60)


def _restart(demo: Demo) -> "subprocess.Popen[bytes]":
    runbook = (str(Path(sys.executable).parent / "runbook"), "restart-build-service", "--yes", "--quiet")
    where = ("--kubeconfig", str(demo.folder / "kubeconfig"), "--config", str(demo.folder / "certlag.yaml"))
    argv = (*runbook, *where)
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours


def _take(browser: Browser, name: str, size: tuple[int, int] = DESK, *, dark: bool = False) -> None:
    browser.shape(size, dark=dark)
    browser.picture(FOLDER / f"{name}.png")
