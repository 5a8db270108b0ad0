"""The night itself: the demo's page shows what is stale, its command is run, and the page follows it to the end."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import waiting
from tests.browser import Browser
from tests.demo_cluster import LONG_CHANGE, end_draining_workers
from tests.demo_process import ROOT, Demo, running
from tests.figures import Figures

pytestmark = pytest.mark.browser

CARD = "#target\\.build-service"
ORDER = ["Draining the workers", "Restarting", "Verifying", "Putting the workers back"]
PARTS = ("drain", "restart", "verify", "put back")


def state(browser: Browser) -> str:
    return browser.text(f"{CARD} .state")


def type_it(command: str, demo: Demo) -> "subprocess.Popen[bytes]":
    """Do as an operator does who has copied the command, and says yes."""
    program, *arguments = shlex.split(command)
    where = {"KUBECONFIG": str(demo.folder / "kubeconfig"), "CERTLAG_CONFIG": str(demo.folder / "certlag.yaml")}
    argv = (str(Path(sys.executable).parent / program), *arguments, "--yes")
    with printed(demo).open("wb") as output:
        return subprocess.Popen(argv, cwd=ROOT, env=os.environ | where, stdout=output, stderr=subprocess.STDOUT)


def printed(demo: Demo) -> Path:
    return demo.folder / "runbook.out"


def test_from_the_stale_build_service_to_nothing_to_do(
    browser: Browser, plain_browser: Browser, tmp_path: Path, figures: Figures
) -> None:
    with running(tmp_path, *LONG_CHANGE) as demo:
        url = f"http://{demo.address}/"
        for each in (browser, plain_browser):
            each.open(url)
            assert each.text("h1").startswith("Restart build-service by ")
            assert "stale" in each.text(CARD)
            assert each.text(f"{CARD} time").endswith("UTC")
        assert not plain_browser.one("#tools").is_displayed(), "what needs scripts is not offered without"
        browser.run("window.sameDocument = true")
        command = browser.text(f"{CARD} .command code")
        assert command == plain_browser.text(f"{CARD} .command code")

        seen = ["Needs restart"]

        def sees(wanted: str) -> bool:
            if (now := state(browser)) != seen[-1]:
                seen.append(now)
            return now == wanted

        process = type_it(command, demo)
        waiting.until("the drain", lambda: sees("Draining the workers") or process.poll() is not None, 60)
        assert process.poll() is None, printed(demo).read_text()
        waiting.until("the workers to be scaled", lambda: "0 of 3 replicas" in browser.text(".run"), 30)
        plain_browser.driver.refresh()
        assert state(plain_browser) == "Draining the workers", "without scripts a reload shows the run"
        assert "0 of 3 replicas" in plain_browser.text(".run")
        end_draining_workers(demo.folder / "kubeconfig")
        let_go = time.monotonic()
        waiting.until("the page to be settled", lambda: sees("Nothing to do"), 60)
        figures(f"page settled {time.monotonic() - let_go:.1f} s after the last worker ended: {' → '.join(seen)}")
        assert process.wait(timeout=60) == 0
        steps = [each for each in seen if each in ORDER]
        assert steps == sorted(set(steps), key=ORDER.index), "each once, in its order"
        assert browser.run("return window.sameDocument") is True, "it was loaded again"
        last = browser.text(f"{CARD} .last")
        assert last.startswith("Last run: done, ")
        assert all(f"{part} " in last for part in PARTS), last
        plain_browser.driver.refresh()
        assert state(plain_browser) == "Nothing to do"
