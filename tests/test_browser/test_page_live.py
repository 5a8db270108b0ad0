"""The page is followed without a reload: what changes changes, and what a person has in hand stays."""

import time
from collections.abc import Iterator

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.keys import Keys

from tests.bench import waiting
from tests.browser import Browser, tells_of_no_contact
from tests.figures import Figures
from tests.page_scenes import Scene, Stage, many, running, staged, status

pytestmark = pytest.mark.browser

STALE, SETTLED = Scene(), Scene(presents=("second",))
VAULT = Scene("vault", revision=1)


@pytest.fixture
def stage(browser: Browser) -> Iterator[Stage]:
    """A page with two problems, open in the browser."""
    with staged(status(STALE, VAULT)) as opened:
        browser.open(opened.url)
        browser.run("window.sameDocument = true")
        yield opened
        assert browser.run("return window.sameDocument") is True, "it was loaded again"


def headline(browser: Browser) -> str:
    return browser.text("h1")


def comes(browser: Browser, text: str) -> None:
    waiting.until(f"the headline {text!r}", lambda: text in headline(browser), 15)


def test_a_change_shows_by_itself(browser: Browser, stage: Stage) -> None:
    assert headline(browser) == "Restart build-service by Sat 30 May 2026"
    stage.shown = status(SETTLED, VAULT)
    comes(browser, "No restart needed")
    assert browser.texts(".card h3") == ["vault", "build-service"]
    assert "No restart needed" in browser.driver.title


def test_focus_selection_search_and_what_was_opened_stay_on_a_card_that_changes_and_goes_to_the_end(
    browser: Browser, stage: Stage
) -> None:
    search = browser.one("#query")
    search.send_keys("opschain")
    summary = browser.one("#target\\.build-service summary")
    summary.send_keys(Keys.ENTER)  # closes what was open
    browser.run("getSelection().selectAllChildren(arguments[0])", browser.one("#target\\.build-service .place"))
    browser.run("arguments[0].focus()", summary)
    stage.shown = status(SETTLED, VAULT)
    comes(browser, "No restart needed")
    waiting.until("the new order", lambda: browser.texts(".card h3") == ["vault", "build-service"], 15)
    assert browser.run("return document.activeElement === arguments[0]", summary), "focus was lost"
    assert browser.run("return getSelection().toString()") == "opschain · deployment/build-service"
    assert search.get_property("value") == "opschain"
    assert browser.one("#target\\.build-service details").get_property("open") is False


def test_what_appears_and_what_goes_is_put_in_its_place(browser: Browser, stage: Stage) -> None:
    stage.shown = status(STALE, VAULT, Scene("api", (None,)), Scene("alpha"))
    waiting.until("four cards", lambda: len(browser.all(".card")) == 4, 15)
    assert browser.texts(".card h3") == ["alpha", "build-service", "vault", "api"]
    stage.shown = status(VAULT)
    waiting.until("one card", lambda: len(browser.all(".card")) == 1, 15)


def test_a_run_is_followed_and_goes(browser: Browser, stage: Stage) -> None:
    stage.shown = status(Scene(run=running()), VAULT)
    waiting.until("the run", lambda: browser.all(".run"), 15)
    assert browser.text(".parts [aria-current=step]").startswith("Drain")
    assert "0 of 3 replicas" in browser.text(".run")
    stage.shown = status(SETTLED, VAULT)
    waiting.until("no run", lambda: not browser.all(".run"), 15)


def test_lost_contact_is_said_and_found_again(browser: Browser, stage: Stage) -> None:
    stage.close()
    waiting.until("the loss", lambda: "Lost contact with the exporter since" in browser.text("#live-state"), 20)
    assert headline(browser) == "Restart build-service by Sat 30 May 2026", "what was known stays"
    stage.open()
    waiting.until("contact", lambda: browser.text("#live-state") == "Live", 40)
    complaints = browser.complaints()
    assert all(map(tells_of_no_contact, complaints)), complaints


def test_search_order_and_filter_work_by_keyboard_and_are_kept_in_the_address(browser: Browser, stage: Stage) -> None:
    stage.shown = status(SETTLED, VAULT)
    comes(browser, "No restart needed")
    browser.one("body").send_keys("/")
    browser.driver.switch_to.active_element.send_keys("build")
    assert visible(browser) == ["build-service"]
    assert browser.text("#found") == "1 of 2 shown"
    assert browser.driver.current_url.endswith("?q=build")
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.one("#sort").send_keys("by name")
    assert visible(browser) == ["build-service", "vault"]
    browser.one("#only").send_keys(Keys.SPACE)
    assert visible(browser) == ["vault"]
    assert browser.driver.current_url.endswith("?sort=name&only=problems")


def test_another_version_of_the_exporter_is_loaded_whole(browser: Browser) -> None:
    with staged(status(STALE)) as stage:
        browser.open(stage.url)
        browser.run("window.older = true; document.querySelector('script').setAttribute('src', 'assets/older.js')")
        stage.shown = status(SETTLED)

        def loaded_again() -> bool:
            try:
                return bool(browser.run("return window.older !== true"))
            except WebDriverException:  # asked while one page went and the next came
                return False

        waiting.until("the page to be loaded again", loaded_again, 15)
        comes(browser, "Nothing to do")


def visible(browser: Browser) -> list[str]:
    seen = "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility())"
    names: list[str] = browser.run(f"return {seen}.map((card) => card.dataset.name)")
    return names


def test_the_command_is_copied(browser: Browser, stage: Stage) -> None:
    granted = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": stage.url.rstrip("/")}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", granted)
    browser.one("#target\\.build-service .copy").click()
    waiting.until("the sign", lambda: browser.all(".copy[data-copied]"), 5)
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == "runbook restart-build-service -n opschain"


def test_a_thousand_targets_are_usable(browser: Browser, figures: Figures) -> None:
    with staged(status(*many(1000))) as stage:
        browser.open(stage.url)
        navigation = "const [seen] = performance.getEntriesByType('navigation'); return "
        first, interactive = browser.run(navigation + "[seen.responseStart, seen.domContentLoadedEventEnd]")
        figures(f"1,000 targets: first byte after {first:.0f} ms, interactive after {interactive:.0f} ms")
        assert browser.text("h1") == "20 restarts needed"
        first_cards = "[...document.querySelectorAll('.card')].slice(0, 40)"
        assert browser.run(f"return {first_cards}.every((card) => 'problem' in card.dataset)")
        began = time.monotonic()
        browser.one("#query").send_keys("service-0913")
        assert browser.text("#found") == "1 of 1000 shown"
        figures(f"1,000 targets: twelve letters searched in {time.monotonic() - began:.2f} s")
        browser.run("window.sameDocument = true")
        stage.shown = status(*many(1000), Scene("another"))
        waiting.until("the change", lambda: "21 restarts" in headline(browser), 30)
        assert browser.one("#query").get_property("value") == "service-0913"
        assert browser.run("return window.sameDocument") is True
        assert browser.text("#found") == "1 of 1001 shown"
        assert interactive < 10_000, "nobody waits for that"
