"""What a cluster says is text, whatever it holds; and the page's policy stands behind that."""

from dataclasses import replace

import pytest

from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import PODS, Watch
from exporter.status import Status
from tests.bench import waiting
from tests.browser import Browser
from tests.builders import NAMESPACE
from tests.page_scenes import Scene, renamed, staged, status

pytestmark = pytest.mark.browser

MARKUP = '<img src=x onerror="window.pwned=1"></script><script>window.pwned=2</script>\'"&amp;{{ 7*7 }}'


FIELDS = ("name", "namespace", "secret", "kind", "group", "target", "container")


def hostile() -> Status:
    """A target of whose objects every name is markup, and a watch that has not read its list."""
    shown = replace(status(Scene()), watches={Watch(PODS, NAMESPACE, NAMESPACE): WatchHealth()})
    changed: Status = renamed(shown, FIELDS, MARKUP)
    return changed


@pytest.mark.fault("H2")
def test_a_name_full_of_markup_is_shown_as_text_at_once_and_after_a_change(browser: Browser) -> None:
    with staged(status(Scene("registry", ("second",)))) as stage:
        browser.open(stage.url)
        stage.shown = hostile()
        waiting.until("the change", lambda: browser.text(".card h3") != "registry", 15)
        for _ in ("after a change", "at once"):
            assert browser.text(".card h3") == MARKUP
            assert browser.text("td b") == MARKUP
            assert MARKUP in browser.text("#lost-watches")
            assert browser.run("return window.pwned ?? null") is None
            assert browser.all("img, main script, body script") == []
            assert browser.findings() == []
            browser.driver.refresh()


@pytest.mark.fault("H2")
def test_what_is_put_into_the_page_from_elsewhere_is_not_run(browser: Browser) -> None:
    with staged(status(Scene())) as stage:
        browser.open(stage.url)
        browser.run(
            "document.body.insertAdjacentHTML('beforeend', '<i style=\"color: red\">x</i><img src=https://example.invalid/x>')"
        )
        browser.run(
            "const evil = document.createElement('script'); evil.textContent = 'window.pwned = 1';"
            "document.body.append(evil)"
        )
        assert browser.run("return window.pwned ?? null") is None
        complaints = waiting.until("the complaints", browser.complaints, 5)
        assert all("Content Security Policy" in complaint for complaint in complaints), complaints
