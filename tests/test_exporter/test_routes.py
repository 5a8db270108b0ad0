"""What the exporter's paths answer, with which headers, and what it costs."""

import gzip
from http import HTTPStatus
from typing import Any

from exporter.http.routes import POLICY, for_people, pages
from exporter.http.server import PageFunction, Request, Response
from exporter.snapshot import Snapshot
from exporter.status import Status
from exporter.status_page.assets import ASSETS
from exporter.status_page.served import SECONDS, ServedPage
from tests import alert_pages
from tests.fake_clock import FakeClock
from tests.page_scenes import Scene, status


class Made:
    """Counts how often the page's status is made; making one takes as long as a test says."""

    def __init__(self, clock: FakeClock, *, takes: float = 0.0) -> None:
        self.times = 0
        self.shown = status(Scene())
        self._clock = clock
        self._takes = takes

    def __call__(self) -> Status:
        self.times += 1
        self._clock.advance(self._takes)
        return self.shown


def index(made: Made, clock: FakeClock) -> PageFunction:
    return for_people(ServedPage(made, clock.monotonic))["/"]


def body(response: Response) -> bytes:
    """Return an answer's whole body, whatever the parts it is handed over in."""
    whole: Any = response.body
    return whole if isinstance(whole, bytes) else b"".join(whole)


def get(page: PageFunction, **headers: str) -> Response:
    return page(Request("/", {name.replace("_", "-"): value for name, value in headers.items()}))


def test_the_page_comes_plain_or_compressed_with_its_policy() -> None:
    clock = FakeClock()
    page = index(Made(clock), clock)
    plain, packed = get(page), get(page, accept_encoding="gzip")
    assert gzip.decompress(body(packed)) == body(plain)
    assert b"Restart build-service by" in body(plain)
    assert dict(plain.headers)["Content-Security-Policy"] == POLICY
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    assert dict(plain.headers)["ETag"] == dict(packed.headers)["ETag"]


def test_who_has_the_page_already_gets_304_and_no_body_until_it_changes() -> None:
    clock = FakeClock()
    made = Made(clock)
    page = index(made, clock)
    etag = dict(get(page).headers)["ETag"]
    again = get(page, if_none_match=etag)
    assert (again.status, body(again)) == (HTTPStatus.NOT_MODIFIED, b"")
    made.shown = status(Scene(presents=("second",)))
    clock.advance(SECONDS)
    assert get(page, if_none_match=etag).status == HTTPStatus.OK


def test_the_page_is_made_twice_a_second_at_most_and_not_at_all_unless_somebody_asks() -> None:
    clock = FakeClock()
    made = Made(clock)
    page = index(made, clock)
    assert made.times == 0
    for _ in range(100):
        get(page)
        clock.advance(0.05)
    assert 8 <= made.times <= 11


def test_a_page_that_takes_long_is_made_a_tenth_of_the_time_only() -> None:
    clock = FakeClock()
    made = Made(clock, takes=1.0)
    page = index(made, clock)
    started = clock.monotonic()
    while clock.monotonic() - started < 100:
        get(page)
        clock.advance(0.1)
    assert 9 <= made.times <= 11


def test_assets_are_kept_for_ever_and_named_by_the_page() -> None:
    clock = FakeClock()
    served: Any = for_people(ServedPage(Made(clock), clock.monotonic))
    html = body(get(served["/"])).decode()
    for asset in ASSETS:
        assert f'"{asset.path}"' in html
        answer = get(served[f"/{asset.path}"])
        assert (body(answer), answer.content_type) == (asset.body, asset.content_type)
        assert dict(answer.headers)["Cache-Control"] == "public, max-age=31536000, immutable"


def test_every_path_answers_before_anything_was_judged() -> None:
    snapshot = Snapshot(FakeClock(), version="1", revision="x")
    answers = {path: get(page).status for path, page in pages(snapshot).items()}
    assert answers.pop("/readyz") == HTTPStatus.SERVICE_UNAVAILABLE
    assert set(answers.values()) == {HTTPStatus.OK}
    assert b"Looking for the first time" in body(get(pages(snapshot)["/"]))


def test_the_page_of_each_alert_is_served_as_text() -> None:
    served = pages(Snapshot(FakeClock(), version="1", revision="r"))
    for name in alert_pages.NAMES:
        answer = get(served[f"/alerts/{name}"])
        assert (answer.status, answer.content_type) == (HTTPStatus.OK, "text/plain; charset=utf-8")
        assert body(answer).decode() == alert_pages.page(name)
