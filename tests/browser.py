"""A real browser: the distribution's Chromium, headless, by its own driver. Touches processes.

One is started for a whole module; size and colour scheme are changed on the way. Nothing is downloaded: browser and
driver are those of the machine.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.bench.needs import tool

WIDE, NARROW = (1100, 900), (360, 740)
AXE = "axe_playwright_python"
"""Of this package only the script is used."""

Driver = WebDriver


class Browser:
    """A browser window with one page at a time."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def shape(self, size: tuple[int, int] = WIDE, *, dark: bool = False) -> None:
        """Have this size and colour scheme; motion is asked to be reduced, so that pictures stand still."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})

    def open(self, url: str) -> None:
        """Go there."""
        self.driver.get(url)

    def one(self, selector: str) -> WebElement:
        """The first element that fits a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All elements that fit a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What the first element that fits shows; empty if there is none. In one go: a page may change meanwhile."""
        return next(iter(self.texts(selector)), "")

    def texts(self, selector: str) -> list[str]:
        """What each element that fits holds, also out of view, where the browser lays nothing out."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        found: list[str] = self.run(script, selector)
        return [" ".join(text.split()) for text in found]

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript as a developer's console does, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """What the browser has complained of since it was last asked: violated policies, errors, failed loads."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def findings(self) -> list[str]:
        """What axe-core finds wrong with the page as it stands, each as one line."""
        if not self.run("return 'axe' in window"):
            self.run((resources.files(AXE) / "axe.min.js").read_text(encoding="utf-8"))
        script = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done, done)"
        found = self.driver.execute_async_script(script)
        return [
            f"{violation['id']}: {violation['help']}: {json.dumps(node['target'])} {node.get('failureSummary', '')}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def picture(self, file: Path, *, whole: bool = False, most: int = 2400) -> None:
        """Write what is seen to a PNG; `whole`: as much of the page as there is, up to so many pixels."""
        if whole:
            width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
            metrics = {"width": width, "height": min(height, most), "deviceScaleFactor": 1, "mobile": False}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.save_screenshot(str(file))


def tells_of_no_contact(complaint: str) -> bool:
    """Whether it is only that nobody answered, as when the exporter has ended."""
    return "net::ERR_CONNECTION" in complaint or "net::ERR_EMPTY_RESPONSE" in complaint


@contextmanager
def browsing(*, scripts: bool = True) -> Iterator[Browser]:
    """Have a browser until the block ends, if wanted one that runs no scripts of pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(tool("chromium"))
    for argument in (
        "--headless=new",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--disable-lcd-text",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it refuses to start as root with one
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(tool("chromedriver"))))
    try:
        browser = Browser(driver)
        browser.shape()
        yield browser
    finally:
        driver.quit()
