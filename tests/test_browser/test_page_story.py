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
from tests.figures import Figures
from tests.test_rehearsal.test_demo import ROOT, Demo, running

pytestmark = pytest.mark.browser

CARD = "#target\\.build-service"
ORDER = [
    "Restart needed",
    "Draining the workers",
    "Restarting",
    "Verifying",
    "Putting the workers back",
    "Nothing to do",
]


def state(browser: Browser) -> str:
    return str(browser.run(f"return document.querySelector('{CARD.replace(chr(92), chr(92) * 2)} .state').textContent"))


def type_it(command: str, demo: Demo) -> "subprocess.Popen[bytes]":
    """Do as an operator does who has copied the command, and says yes."""
    program, *arguments = shlex.split(command)
    where = {"KUBECONFIG": str(demo.folder / "kubeconfig"), "CERTLAG_CONFIG": str(demo.folder / "certlag.yaml")}
    argv = (str(Path(sys.executable).parent / program), *arguments, "--yes")
    return subprocess.Popen(
        argv, cwd=ROOT, env=os.environ | where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_from_the_stale_build_service_to_nothing_to_do(
    browser: Browser, plain_browser: Browser, tmp_path: Path, figures: Figures
) -> None:
    with running(tmp_path, "--change", "3") as demo:
        url = f"http://{demo.address}/"
        for each in (browser, plain_browser):
            each.open(url)
            assert each.one("h1").text.startswith("Restart build-service by ")
            assert "stale" in each.one(CARD).text
            assert each.one(f"{CARD} time").text.endswith("UTC")
        assert not plain_browser.one("#tools").is_displayed(), "what needs scripts is not offered without"
        browser.run("window.sameDocument = true")
        command = browser.one(f"{CARD} .command code").text
        assert command == plain_browser.one(f"{CARD} .command code").text

        seen = ["Restart needed"]
        began = time.monotonic()
        process = type_it(command, demo)
        plain_looked = False

        def settled() -> bool:
            nonlocal plain_looked
            if (now := state(browser)) != seen[-1]:
                seen.append(now)
            if now == "Draining the workers" and not plain_looked:
                plain_browser.driver.refresh()
                plain_looked = state(plain_browser) == now and "of 3 replicas" in plain_browser.one(".run").text
            return now == "Nothing to do" and process.poll() is not None

        waiting.until("the page to be settled", settled, 60)
        figures(f"from the command to a settled page: {time.monotonic() - began:.1f} s, by {' → '.join(seen)}")
        assert process.returncode == 0
        assert plain_looked, "without scripts a reload shows the run"
        assert [each for each in ORDER if each in seen] == seen, "each step once, in its order"
        assert {"Draining the workers", "Nothing to do"} <= set(seen)
        assert browser.run("return window.sameDocument") is True, "it was loaded again"
        assert "done" in browser.one(f"{CARD} .last").text
        plain_browser.driver.refresh()
        assert state(plain_browser) == "Nothing to do"
