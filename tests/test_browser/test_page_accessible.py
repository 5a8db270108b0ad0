"""axe-core finds nothing in any state of the page, in either colour scheme, wide or narrow; and nothing stands out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certlag.run_record import FinishedRun, Step
from exporter.status import Status
from tests.browser import NARROW, WIDE, Browser
from tests.page_scenes import NOW, Scene, many, running, seeing, staged, status

pytestmark = pytest.mark.browser

FINISHED = FinishedRun("run-0", NOW - timedelta(hours=2), NOW - timedelta(hours=1), "done")
STATES = {
    "settled": status(Scene(presents=("second",), finished=(FINISHED,))),
    "restart needed": status(Scene(presents=("first", "second"))),
    "close to the deadline": status(Scene(), now=NOW + timedelta(days=18)),
    "expired": status(Scene(), now=NOW + timedelta(days=40)),
    "renewal overdue": status(Scene(revision=1)),
    "unknown": status(Scene(presents=(None,)), Scene("none", presents=())),
    "running": status(Scene(run=running())),
    "run without life": status(Scene(run=running(step=Step.RESTARTED), heartbeat=timedelta(minutes=9))),
    "left drained": status(Scene(run=running(outcome="restart_failed"))),
    "not found": status(Scene(found=False)),
    "blind": status(Scene(), watches=seeing(silent=timedelta(minutes=20), failure=True)),
    "starting": replace(status(Scene()), ready=False, certificates=()),
    "nothing": status(),
    "many": status(*many(30)),
}


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_and_nothing_stands_out_at_the_side(browser: Browser, state: str) -> None:
    shown: Status = STATES[state]
    with staged(shown) as stage:
        browser.open(stage.url)
        found = []
        for size, dark in ((WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)):
            browser.shape(size, dark=dark)
            found += [f"{size} {'dark' if dark else 'light'}: {finding}" for finding in browser.findings()]
            out = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert out == 0, f"{size}: {out} pixels stand out"
        assert found == []


def test_the_page_has_landmarks_headings_and_captions(browser: Browser) -> None:
    with staged(status(Scene(), Scene("registry", ("second",)))) as stage:
        browser.open(stage.url)
        for landmark in ("header", "main", "footer", "nav"):
            assert len(browser.all(f"body > {landmark}, footer > {landmark}")) == 1, landmark
        assert browser.texts("h1") == ["Restart build-service by Sat 30 May 2026"]
        assert browser.texts("h3") == ["build-service", "registry"]
        assert len(browser.all("table caption")) == len(browser.all("table")) > 0


def test_lost_contact_is_accessible_too(browser: Browser) -> None:
    with staged(status(Scene())) as stage:
        browser.open(stage.url)
        browser.run(
            "document.body.dataset.contact = 'lost'; document.getElementById('live-state').textContent = 'Lost'"
        )
        for dark in (False, True):
            browser.shape(dark=dark)
            assert browser.findings() == []
