"""What a cluster says is text, whatever it holds; and the page's policy stands behind that."""

import pytest

from tests.bench import waiting
from tests.browser import Browser
from tests.page_scenes import Scene, document, staged

pytestmark = pytest.mark.browser

MARKUP = '<img src=x onerror="window.pwned=1"></script><script>window.pwned=2</script>\'"&amp;{{ 7*7 }}'


def hostile() -> dict[str, object]:
    shown = document(Scene())
    shown["targets"][0]["name"] = MARKUP
    certificate = shown["certificates"][0]
    certificate |= {
        "name": MARKUP,
        "namespace": MARKUP,
        "secret": MARKUP,
        "issuer": dict.fromkeys(("kind", "name", "group"), MARKUP),
    }
    certificate["uses"][0]["target"] = MARKUP
    certificate["uses"][0]["pods"][0]["name"] = MARKUP
    certificate["uses"][0]["pods"][0]["endpoints"][0]["container"] = MARKUP
    shown["watches"][0] |= {"synced": False, "name": MARKUP, "failure": MARKUP}
    return shown


@pytest.mark.fault("H2")
def test_a_name_full_of_markup_is_shown_as_text_at_once_and_after_a_change(browser: Browser) -> None:
    with staged(document(Scene("registry", ("second",)))) as stage:
        browser.open(stage.url)
        stage.shown = hostile()
        waiting.until("the change", lambda: browser.text(".card h3") != "registry", 15)
        for _ in ("after a change", "at once"):
            assert browser.text(".card h3") == MARKUP
            assert browser.text("td b") == MARKUP
            assert MARKUP in browser.text("#blind-watches")
            assert browser.run("return window.pwned ?? null") is None
            assert browser.all("img, main script, body script") == []
            assert browser.findings() == []
            browser.driver.refresh()


@pytest.mark.fault("H2")
def test_what_is_put_into_the_page_from_elsewhere_is_not_run(browser: Browser) -> None:
    with staged(document(Scene())) as stage:
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
