"""Browsers for a whole module: one that runs scripts, one that does not."""

from collections.abc import Iterator

import pytest

from tests.browser import Browser, browsing, tells_of_no_contact


@pytest.fixture(scope="session")
def _with_scripts() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture(scope="session")
def _without_scripts() -> Iterator[Browser]:
    with browsing(scripts=False) as started:
        yield started


@pytest.fixture
def browser(_with_scripts: Browser) -> Iterator[Browser]:
    """A browser, wide and light, which after the test must have had nothing to complain of."""
    _with_scripts.shape()
    _with_scripts.complaints()
    yield _with_scripts
    _with_scripts.open("about:blank")
    # Until then the page may have asked an exporter that the test has ended already.
    assert [each for each in _with_scripts.complaints() if not tells_of_no_contact(each)] == []


@pytest.fixture
def plain_browser(_without_scripts: Browser) -> Browser:
    """A browser that runs no script of a page."""
    _without_scripts.shape()
    return _without_scripts
