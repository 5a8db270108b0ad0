"""axe-core finds nothing in any state of the page, in either colour scheme, wide or narrow; and nothing stands out."""

from datetime import timedelta

import pytest

from certlag.run_record import FinishedRun, Step
from tests.browser import NARROW, WIDE, Browser
from tests.page_scenes import NOW, Document, Scene, document, many, running, seeing, staged

pytestmark = pytest.mark.browser

FINISHED = FinishedRun("run-0", NOW - timedelta(hours=2), NOW - timedelta(hours=1), "done")
STATES = {
    "settled": document(Scene(presents=("second",), finished=(FINISHED,))),
    "restart needed": document(Scene(presents=("first", "second"))),
    "close to the deadline": document(Scene(), now=NOW + timedelta(days=18)),
    "expired": document(Scene(), now=NOW + timedelta(days=40)),
    "renewal overdue": document(Scene(revision=1)),
    "unknown": document(Scene(presents=(None,)), Scene("none", presents=())),
    "running": document(Scene(run=running())),
    "run without life": document(Scene(run=running(step=Step.RESTARTED), heartbeat=timedelta(minutes=9))),
    "left drained": document(Scene(run=running(outcome="restart_failed"))),
    "not found": document(Scene(found=False)),
    "blind": document(Scene(), watches=seeing(silent=timedelta(minutes=20), failure=True)),
    "starting": document(Scene()) | {"ready": False, "certificates": []},
    "nothing": document(),
    "many": document(*many(30)),
}


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_and_nothing_stands_out_at_the_side(browser: Browser, state: str) -> None:
    shown: Document = STATES[state]
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
    with staged(document(Scene(), Scene("registry", ("second",)))) as stage:
        browser.open(stage.url)
        for landmark in ("header", "main", "footer", "nav"):
            assert len(browser.all(f"body > {landmark}, footer > {landmark}")) == 1, landmark
        assert browser.texts("h1") == ["Restart build-service by Sat 30 May 2026"]
        assert browser.texts("h3") == ["build-service", "registry"]
        assert len(browser.all("table caption")) == len(browser.all("table")) > 0


def test_lost_contact_is_accessible_too(browser: Browser) -> None:
    with staged(document(Scene())) as stage:
        browser.open(stage.url)
        browser.run(
            "document.body.dataset.contact = 'lost'; document.getElementById('live-state').textContent = 'Lost'"
        )
        for dark in (False, True):
            browser.shape(dark=dark)
            assert browser.findings() == []
