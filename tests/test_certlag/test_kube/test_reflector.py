"""A reflector against a real HTTP server that follows a script: what it hands over, and how often it asks.

Time is a fake clock, and the reflector's own waits between tries only move that clock: a storm of failures that would
take an hour takes milliseconds, with the real delays.
"""

import queue
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certlag.config.shard import WHOLE, Shard
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube import client as client_module
from certlag.kube.client import ClusterClient
from certlag.kube.decode import SkipReason
from certlag.kube.paging import PAGE
from certlag.kube.reflector import BACKOFF_MOST, RETRY_AFTER_MOST, Change, Changed, Listed, Reflector, Removed
from certlag.kube.resources import ALL_NAMESPACES, CERTIFICATE_REQUESTS, CERTIFICATES, PODS, Watch
from certlag.model import ObjectKey
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.figures import Figures
from tests.scripted_api import (
    CUT,
    Answer,
    ScriptedApi,
    after,
    answer,
    bookmark,
    error_event,
    event,
    hang_up,
    html,
    page,
    refusal,
    rst,
    scripted_api,
    watch,
)
from tests.test_certlag.test_kube.test_decode import KINDS, changed

WATCH = Watch(CERTIFICATES, ALL_NAMESPACES)


def certificate(name: str, resource_version: str = "1", *, secret: Any = "secret") -> dict[str, Any]:  # noqa: S107
    return {
        "metadata": {"namespace": "ns", "name": name, "uid": f"uid-{name}", "resourceVersion": resource_version},
        "spec": {"secretName": secret},
    }


class Waits(threading.Event):
    """The stop event of a reflector whose waits take no time: they only move the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.advance(timeout)
        return self.is_set()


class Running:
    """A reflector in its thread, and all that it said."""

    def __init__(self, api: ScriptedApi, directory: Path, watched: Watch, shard: Shard) -> None:
        self.api = api
        self.clock = FakeClock()
        self.stop = Waits(self.clock)
        self.changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[tuple[ClusterError, float]] = queue.SimpleQueue()
        self.reflector = Reflector(
            watched,
            ClusterClient.connect(kubeconfig=api.kubeconfig(directory)),
            self.changes.put,
            self.clock,
            self.stop,
            jitter=random.Random(1),  # noqa: S311 - spreads waits
            log=lambda _, error, delay: self.failures.put((error, delay)),
            shard=shard,
        )
        self.thread = threading.Thread(target=self.reflector.run, daemon=True)

    def next(self) -> Change:
        return self.changes.get(timeout=20)

    def next_names(self) -> list[str]:
        """The names of the next list that is handed over."""
        change = self.next()
        assert isinstance(change, Listed)
        return [found.key.name for found in change.objects]

    def next_changed(self) -> str:
        change = self.next()
        assert isinstance(change, Changed)
        name: str = change.object.key.name
        return name

    def next_failure(self) -> tuple[ClusterErrorReason, float]:
        error, delay = self.failures.get(timeout=20)
        return error.reason, delay

    def next_watch(self) -> dict[str, str]:
        """The query of the next request, which must be a watch."""
        query = dict(self.api.next_request().query)
        assert query.get("watch") == "1", query
        return query

    def next_list(self) -> dict[str, str]:
        """The query of the next request, which must be a list."""
        query = dict(self.api.next_request().query)
        assert "watch" not in query
        return query


@contextmanager
def running(directory: Path, *script: Answer, watched: Watch = WATCH, shard: Shard = WHOLE) -> Iterator[Running]:
    with scripted_api(*script) as api:
        run = Running(api, directory, watched, shard)
        run.thread.start()
        try:
            yield run
        finally:
            run.stop.set()
    run.thread.join(5)
    assert not run.thread.is_alive(), "the thread did not end"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for an answer by mistake fails in seconds."""
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 20.0)


HOLD = watch(hold=True)


# --- lists ----------------------------------------------------------------------------------------


def test_the_list_is_handed_over_and_then_watched_from(tmp_path: Path) -> None:
    with running(tmp_path, page([certificate("a"), certificate("b")], "7"), HOLD) as run:
        assert run.next_names() == ["a", "b"]
        listing = run.api.next_request()
        assert listing.path == "/apis/cert-manager.io/v1/certificates"
        assert listing.query == {"limit": str(PAGE)}
        watching = run.next_watch()
    assert watching["resourceVersion"] == "7"
    assert watching["allowWatchBookmarks"] == "true"
    assert 290 <= int(watching["timeoutSeconds"]) <= 570
    assert run.reflector.health.synced
    assert run.reflector.health.relists == {"start": 1}
    assert run.reflector.health.last_contact_at is not None


def test_one_object_by_name_in_a_namespace_is_asked_for_as_its_role_allows(tmp_path: Path) -> None:
    watched = Watch(CERTIFICATES, "ns", "a")
    with running(tmp_path, page([certificate("a")], "7"), HOLD, watched=watched) as run:
        run.next()
        for _ in range(2):
            request = run.api.next_request()
            assert request.path == "/apis/cert-manager.io/v1/namespaces/ns/certificates"
            assert request.query["fieldSelector"] == "metadata.name=a"


def test_pages_are_followed_and_handed_over_as_one_list(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([certificate("a")], "7", following="second"),
        page([certificate("b")], "7", following="third"),
        page([certificate("c")], "8"),
        HOLD,
    ) as run:
        assert run.next_names() == ["a", "b", "c"]
        assert [run.next_list().get("continue") for _ in range(3)] == [None, "second", "third"]
        assert run.next_watch()["resourceVersion"] == "8"


@pytest.mark.fault("F1", "F9")
@pytest.mark.parametrize(
    "second",
    [refusal(500), refusal(429), refusal(403), html(), hang_up, rst, watch(b'{"items": [', CUT)],
    ids=["500", "429", "403", "HTML", "EOF", "RST", "truncated"],
)
def test_half_a_list_is_never_handed_over(tmp_path: Path, second: Answer) -> None:
    with running(
        tmp_path,
        page([certificate("a")], "7", following="second"),
        second,
        page([certificate("b")], "9"),
        HOLD,
    ) as run:
        assert run.next_names() == ["b"]
        assert run.changes.empty()
        assert run.reflector.health.relists == {"start": 2}


@pytest.mark.fault("F6")
def test_a_list_that_expires_between_its_pages_is_begun_again(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([certificate("a")], "7", following="second"),
        refusal(410, "Expired"),
        page([certificate("b")], "9"),
        HOLD,
    ) as run:
        assert run.next_names() == ["b"]
        reason, delay = run.next_failure()
        assert reason is ClusterErrorReason.EXPIRED
        assert delay > 0
        assert [run.next_list().get("continue") for _ in range(3)] == [None, "second", None]


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b'"words"',
        b'{"metadata": {}}',
        b'{"metadata": {"resourceVersion": 5}}',
        b'{"metadata": {"resourceVersion": "5"}, "items": 3}',
        b'{"metadata": {"resourceVersion": "5"}, "items": [3]}',
    ],
)
def test_json_that_is_no_list_is_garbled_and_asked_for_again(tmp_path: Path, body: bytes) -> None:
    with running(tmp_path, answer(body), page([], "9"), HOLD) as run:
        assert run.next_names() == []
        assert run.next_failure()[0] is ClusterErrorReason.GARBLED


def test_a_list_of_null_items_is_empty(tmp_path: Path) -> None:
    with running(tmp_path, answer(b'{"metadata": {"resourceVersion": "5"}, "items": null}'), HOLD) as run:
        assert run.next_names() == []


@pytest.mark.fault("F18")
def test_poison_objects_are_counted_and_kept_apart_and_the_rest_is_handed_over(tmp_path: Path) -> None:
    nameless = {"metadata": {"namespace": "ns"}, "spec": {}}
    with running(tmp_path, page([certificate("a"), certificate("poison", secret=5), nameless, {}], "7"), HOLD) as run:
        change = run.next()
    assert isinstance(change, Listed)
    assert [found.key.name for found in change.objects] == ["a"]
    assert change.unreadable == {ObjectKey("ns", "poison")}
    assert run.reflector.health.skipped == {SkipReason.WRONG_TYPE: 1, SkipReason.MISSING_FIELD: 2}


@pytest.mark.field_case("W4")
@pytest.mark.fault("F18", "H8")
@pytest.mark.parametrize("kind", ["Certificate", "CertificateRequest", "Pod"])
def test_what_stands_in_annotations_and_owners_hides_no_object_nor_its_end(tmp_path: Path, kind: str) -> None:
    """The API takes 256 KiB of them from anyone who may make the object. Of the wrong type it lets none pass."""
    resource = {"Certificate": CERTIFICATES, "CertificateRequest": CERTIFICATE_REQUESTS, "Pod": PODS}[kind]
    known = changed(KINDS[kind][1], ("metadata", "resourceVersion"), "8")
    long = changed(known, ("metadata", "annotations"), {"cert-manager.io/certificate-revision": "x" * 1025})
    wrong = changed(known, ("metadata", "annotations"), {"cert-manager.io/certificate-revision": 5})
    owned = changed(known, ("metadata", "ownerReferences"), [{"kind": 5}])
    with running(
        tmp_path,
        page([wrong], "7"),
        watch(event("MODIFIED", owned), event("DELETED", wrong)),
        watch(event("DELETED", long), hold=True),
        watched=Watch(resource, ALL_NAMESPACES),
    ) as run:
        listed = run.next()
        assert isinstance(listed, Listed)
        assert listed.unreadable == {ObjectKey("ns", "it")}
        assert run.next() == run.next() == Removed(run.reflector.watch, ObjectKey("ns", "it"))
        assert run.reflector.health.skipped == {SkipReason.WRONG_TYPE: 2}
        run.next_list()
        run.next_watch()
        assert run.next_watch()["resourceVersion"] == "8"


# --- pages that are too large ----------------------------------------------------------------------


def fat(*names: str) -> list[dict[str, Any]]:
    """So many objects of 1,000 bytes and more."""
    return [certificate(name) | {"data": "x" * 1000} for name in names]


@pytest.mark.field_case("W39")
@pytest.mark.fault("N9")
def test_a_page_that_is_too_large_is_asked_for_again_with_half_as_many_until_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGE", 3000)
    looked = threading.Event()
    with running(
        tmp_path,
        page([certificate("a")], "7", following="second"),
        page(fat("b", "c", "d", "e"), "7"),
        page(fat("b", "c", "d"), "7"),
        page(fat("b", "c"), "7", following="third"),
        page(fat("d", "e"), "7"),
        after(looked, watch(error_event(410))),
        page([certificate("a")], "9"),
        HOLD,
    ) as run:
        assert run.next_names() == ["a", "b", "c", "d", "e"]
        asked = [run.next_list() for _ in range(5)]
        assert run.reflector.health.relists == {"start": 1}
        assert run.reflector.health.errors == {}, "it is no failure"
        looked.set()
        assert run.next_names() == ["a"]
        run.next_watch()
        assert run.next_list()["limit"] == str(PAGE), "the next list begins again"
    assert [query["limit"] for query in asked] == ["500", "500", "250", "125", "125"]
    assert [query.get("continue") for query in asked] == [None, "second", "second", "second", "third"]


@pytest.mark.fault("N9", "F4")
def test_one_object_that_is_too_large_alone_is_told_and_is_not_asked_for_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGE", 500)
    tries = 9 + 20
    with running(tmp_path, *[page(fat("a"), "7")] * (tries - 1), page([certificate("a")], "8"), HOLD) as run:
        delays = storm(run, 20)
        assert run.next_names() == ["a"]
        limits = [run.next_list()["limit"] for _ in range(tries)]
    assert run.reflector.health.errors == {ClusterErrorReason.TOO_LARGE: 20}
    assert limits == ["500", "250", "125", "62", "31", "15", "7", "3"] + ["1"] * 21
    assert sum(delays) / 20 > 5


# --- changes --------------------------------------------------------------------------------------


def test_changes_are_handed_over_in_their_order(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([], "1"),
        watch(
            event("ADDED", certificate("a", "2")),
            event("MODIFIED", certificate("b", "3")),
            event("DELETED", certificate("a", "4")),
            hold=True,
        ),
    ) as run:
        run.next()
        assert run.next_changed() == "a"
        assert run.next_changed() == "b"
        assert run.next() == Removed(WATCH, ObjectKey("ns", "a"))


@pytest.mark.fault("F10")
def test_a_stream_that_a_proxy_cut_at_every_byte_gives_the_same_changes(tmp_path: Path) -> None:
    text = event("ADDED", certificate("ä", "2")) + b"\n\r\n" + event("ADDED", certificate("b", "3"))
    pieces = (bytes([byte]) for byte in text)
    with running(tmp_path, page([], "1"), watch(*pieces, hold=True)) as run:
        run.next()
        assert [run.next_changed(), run.next_changed()] == ["ä", "b"]


@pytest.mark.fault("F11")
def test_blank_lines_and_unknown_kinds_of_event_are_passed_over(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([], "1"),
        watch(
            b"\n", event("RENAMED", certificate("x", "2")), b"  \n", event("ADDED", certificate("a", "3")), hold=True
        ),
    ) as run:
        run.next()
        assert run.next_changed() == "a"
        assert run.failures.empty()


@pytest.mark.fault("F18")
def test_a_poison_event_is_counted_and_the_watch_goes_on(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([], "1"),
        watch(
            event("MODIFIED", certificate("poison", "2", secret=None)),
            event("DELETED", {"metadata": {"namespace": 5}}),
            event("ADDED", certificate("a", "3")),
            hold=True,
        ),
    ) as run:
        run.next()
        assert run.next_changed() == "a"
        assert run.reflector.health.skipped == {SkipReason.MISSING_FIELD: 1, SkipReason.WRONG_TYPE: 1}
        assert run.failures.empty()


def test_every_event_is_a_contact(tmp_path: Path) -> None:
    later = threading.Event()
    with running(tmp_path, page([], "1"), watch(bookmark("2"), later, event("ADDED", certificate("a", "3")))) as run:
        run.next()
        run.clock.advance(60)
        later.set()
        run.next()
        assert run.reflector.health.last_contact_at == run.clock.now()


@case(
    "W6",
    kind="Found by tests: wrong answers of the exporter",
    situation="A proxy answers a watch with blank lines, a login page or half an event.",
    says="That is no contact with the API server. Before: it was, and the alert on silent watches stayed silent.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("F9", "F7")
@pytest.mark.parametrize(
    "says_nothing",
    [
        html(),
        watch(b"\n", b"  \n", b"\r\n", CUT),
        watch(CUT),
        watch(b"<html>\n"),
        watch(b'{"type": "ADDED", "object"', CUT),
        refusal(500),
    ],
    ids=["HTML", "blank lines", "nothing", "a line of HTML", "half an event", "500"],
)
def test_what_is_no_event_is_no_contact(tmp_path: Path, says_nothing: Answer) -> None:
    go_on = threading.Event()
    with running(tmp_path, page([], "1"), after(go_on, says_nothing), HOLD) as run:
        run.next()
        contact = run.clock.now()
        run.next_list()
        run.next_watch()
        run.clock.advance(60)
        go_on.set()
        run.next_failure()
        run.next_watch()
        assert run.reflector.health.last_contact_at == contact


@pytest.mark.fault("F9")
def test_a_proxys_page_instead_of_a_list_is_no_contact(tmp_path: Path) -> None:
    with running(tmp_path, html(), html()) as run:
        assert run.next_failure()[0] is ClusterErrorReason.GARBLED
        assert run.reflector.health.last_contact_at is None


# --- where a watch goes on ------------------------------------------------------------------------


def test_a_watch_goes_on_where_the_last_event_or_bookmark_was(tmp_path: Path) -> None:
    with running(
        tmp_path,
        page([], "1"),
        watch(event("ADDED", certificate("a", "5"))),
        watch(bookmark("9")),
        watch(event("DELETED", certificate("a", "12"))),
        HOLD,
    ) as run:
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(4)] == ["1", "5", "9", "12"]
        assert run.failures.empty()


def test_a_poison_event_moves_the_watch_on_too(tmp_path: Path) -> None:
    """Else it would be met again with every new watch."""
    with running(tmp_path, page([], "1"), watch(event("ADDED", certificate("x", "5", secret=1))), HOLD) as run:
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(2)] == ["1", "5"]


@pytest.mark.fault("F2", "F8")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (watch(bookmark("4"), b'{"type": "ADDED", "obj', CUT), ClusterErrorReason.UNREACHABLE),
        (watch(bookmark("4"), b'{"type": "ADDED", "obj'), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b'{"type": "ADDED", "obj\n'), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b"<html>502</html>\n"), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b'{"type": "ADDED"}\n'), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b"[]\n"), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b"[" * 100_000 + b"\n"), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), b"\xff\xfe\n"), ClusterErrorReason.GARBLED),
        (watch(bookmark("4"), error_event(429)), ClusterErrorReason.THROTTLED),
        (watch(bookmark("4"), error_event(500, "InternalError")), ClusterErrorReason.SERVER_ERROR),
    ],
    ids=["cut", "half a line", "no JSON", "HTML", "no object", "a list", "very deep", "no UTF-8", "429", "500"],
)
def test_a_watch_that_breaks_goes_on_where_it_was_and_does_not_list(
    tmp_path: Path, broken: Answer, reason: ClusterErrorReason
) -> None:
    with running(tmp_path, page([certificate("a")], "1"), broken, HOLD) as run:
        assert run.next_names() == ["a"]
        found, delay = run.next_failure()
        assert found is reason
        assert delay > 0
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(2)] == ["1", "4"]
        assert run.changes.empty()
        assert run.reflector.health.errors == {reason: 1}
        assert run.reflector.health.synced


@pytest.mark.fault("F3", "F15")
@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (refusal(401), ClusterErrorReason.UNAUTHORIZED),
        (refusal(403), ClusterErrorReason.FORBIDDEN),
        (refusal(404), ClusterErrorReason.NOT_FOUND),
        (refusal(429), ClusterErrorReason.THROTTLED),
        (refusal(500), ClusterErrorReason.SERVER_ERROR),
        (html(), ClusterErrorReason.GARBLED),
        (hang_up, ClusterErrorReason.UNREACHABLE),
        (rst, ClusterErrorReason.UNREACHABLE),
    ],
    ids=["401", "403", "404", "429", "500", "HTML", "EOF", "RST"],
)
def test_a_watch_that_is_refused_is_asked_for_again_from_where_it_was(
    tmp_path: Path, refused: Answer, reason: ClusterErrorReason
) -> None:
    with running(
        tmp_path, page([], "3"), refused, refused, watch(event("ADDED", certificate("a", "5")), hold=True)
    ) as run:
        run.next()
        assert run.next_changed() == "a"
        assert run.reflector.health.failure is None, "it is over"
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(3)] == ["3", "3", "3"]
        assert run.reflector.health.errors == {reason: 2}


@pytest.mark.fault("F7")
@pytest.mark.thorough
def test_a_silent_watch_is_cut_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 1.0)
    with running(tmp_path, page([], "3"), watch(bookmark("4"), hold=True)) as run:
        assert run.next_failure()[0] is ClusterErrorReason.TIMEOUT
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(2)] == ["3", "4"]


@pytest.mark.fault("H8")
def test_an_event_beyond_the_bound_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE", 1000)
    with running(tmp_path, page([], "3"), watch(*[b"x" * 500] * 10, hold=True), HOLD) as run:
        assert run.next_failure()[0] is ClusterErrorReason.GARBLED


# --- 410 ------------------------------------------------------------------------------------------


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    "expired",
    [
        refusal(410, "Gone"),
        watch(error_event(410, "Expired")),
        watch(error_event(410)),
        watch(error_event(0, "Expired")),
        watch(error_event(0, "Gone")),
        watch(bookmark("4"), error_event(410)),
    ],
    ids=["HTTP", "event", "event of a code only", "of Expired only", "of Gone only", "after a bookmark"],
)
def test_an_expired_watch_lists_again_after_a_wait(tmp_path: Path, expired: Answer) -> None:
    with running(tmp_path, page([certificate("a")], "3"), expired, page([certificate("b")], "90"), HOLD) as run:
        assert run.next_names() == ["a"]
        assert run.next_names() == ["b"]
        reason, delay = run.next_failure()
        assert reason is ClusterErrorReason.EXPIRED
        assert delay > 0
        run.next_list()
        run.next_watch()
        assert "continue" not in run.next_list()
        assert run.next_watch()["resourceVersion"] == "90"
        assert run.reflector.health.relists == {"start": 1, "expired": 1}


@pytest.mark.fault("F5")
def test_a_reflector_whose_list_has_expired_is_not_synced_until_it_has_the_next(tmp_path: Path) -> None:
    listed = threading.Event()
    with running(tmp_path, page([], "3"), refusal(410), after(listed, page([], "9")), HOLD) as run:
        run.next_list()
        run.next_watch()
        run.next_list()
        assert not run.reflector.health.synced
        listed.set()
        run.next_watch()
        assert run.reflector.health.synced


@pytest.mark.fault("F13")
def test_a_safety_list_is_due_after_half_an_hour_to_an_hour(tmp_path: Path) -> None:
    first, second = threading.Event(), threading.Event()
    with running(
        tmp_path,
        page([certificate("a")], "3"),
        watch(bookmark("4"), first, bookmark("5")),
        watch(bookmark("6"), second, bookmark("7")),
        page([certificate("b")], "9"),
        HOLD,
    ) as run:
        assert run.next_names() == ["a"]
        run.next_list()
        run.next_watch()
        run.clock.advance(1790)
        first.set()
        run.next_watch()
        run.clock.advance(1820)
        second.set()
        assert run.next_names() == ["b"]
        run.next_list()
        assert run.next_watch()["resourceVersion"] == "9"
        assert run.reflector.health.relists == {"start": 1, "safety": 1}
        assert run.reflector.health.synced


@case(
    "E7",
    kind="What must not make a healthy view worse",
    situation="The list that is taken again once in 45 minutes, to be safe, is refused with 429, again and again.",
    says="The watch goes on from where it was and stays in step; the list is tried again later.",
    found_by="reader",
)
def test_a_safety_list_that_fails_leaves_a_healthy_watch_alone(tmp_path: Path) -> None:
    first = threading.Event()
    with running(
        tmp_path,
        page([certificate("a")], "3"),
        watch(bookmark("4"), first, bookmark("5")),
        refusal(429, retry_after="1"),
        watch(event("ADDED", certificate("b", "6"))),
        HOLD,
    ) as run:
        assert run.next_names() == ["a"]
        run.next_list()
        run.next_watch()
        run.clock.advance(3700)
        first.set()
        assert run.next_failure()[0] is ClusterErrorReason.THROTTLED
        run.next_list()
        assert run.next_watch()["resourceVersion"] == "5"
        assert run.next_changed() == "b"
        assert run.reflector.health.synced
        assert run.reflector.health.relists == {"start": 1, "safety": 1}


@case(
    "W34",
    kind="Found by tests: an input that stopped a program",
    situation="A line of a watch holds bytes that are not UTF-8.",
    says="Asked for again. Before: the exporter ended.",
    found_by="fuzzing",
    since="2026-11-24",
)
@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    "line", [b'{"type": "ADDED\xff", "object": {}}\n', b"\xff\n", b'{"type": "\\ud800"}\n', b"[" * 10**5 + b"\n"]
)
def test_a_line_that_is_no_event_is_garbled_and_the_watch_goes_on(tmp_path: Path, line: bytes) -> None:
    good = watch(event("ADDED", certificate("a", "5")), hold=True)
    with running(tmp_path, page([], "3"), watch(line), good) as run:
        run.next()
        assert run.next_failure()[0] is ClusterErrorReason.GARBLED
        assert run.next_changed() == "a"


@pytest.mark.fault("F13")
def test_resource_versions_that_go_back_are_followed_as_they_come(tmp_path: Path) -> None:
    """After etcd was restored they are smaller than before; nobody may compare them."""
    restored = [event("MODIFIED", certificate("a", "5")), bookmark("6")]
    script = (page([certificate("a", "900")], "901"), watch(*restored), HOLD)
    with running(tmp_path, *script) as run:
        assert run.next_names() == ["a"]
        assert run.next_changed() == "a"
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(2)] == ["901", "6"]


@pytest.mark.fault("F20")
@pytest.mark.parametrize("jump", [timedelta(hours=3), timedelta(hours=-3)])
def test_a_clock_that_jumps_begins_no_list_and_ends_no_watch(tmp_path: Path, jump: timedelta) -> None:
    jumped = threading.Event()
    first = watch(event("ADDED", certificate("a", "4")), jumped, event("ADDED", certificate("b", "5")))
    with running(tmp_path, page([], "3"), first, HOLD) as run:
        run.next()
        assert run.next_changed() == "a"
        run.clock.set(run.clock.now() + jump)
        jumped.set()
        assert run.next_changed() == "b"
        run.next_list()
        assert [run.next_watch()["resourceVersion"] for _ in range(2)] == ["3", "5"]
        assert run.reflector.health.relists == {"start": 1}


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        pytest.param(refusal(403), ClusterErrorReason.FORBIDDEN, marks=pytest.mark.fault("F15"), id="no right yet"),
        pytest.param(refusal(404), ClusterErrorReason.NOT_FOUND, marks=pytest.mark.fault("F16"), id="not installed"),
    ],
)
def test_what_may_not_be_listed_yet_is_asked_for_until_it_may(
    tmp_path: Path, failing: Answer, reason: ClusterErrorReason
) -> None:
    with running(tmp_path, *[failing] * 5, page([certificate("a")], "7"), HOLD) as run:
        assert [run.next_failure()[0] for _ in range(5)] == [reason] * 5
        assert run.next_names() == ["a"]
        assert run.reflector.health.errors == {reason: 5}
        for _ in range(6):
            run.next_list()
        run.next_watch()
        assert run.reflector.health.failure is None


# --- how often ------------------------------------------------------------------------------------


def storm(run: Running, tries: int) -> list[float]:
    return [run.next_failure()[1] for _ in range(tries)]


@pytest.mark.fault("F4")
@pytest.mark.parametrize(
    "failing",
    [refusal(500), refusal(429), refusal(401), refusal(410), hang_up, html(), watch(), watch(error_event(410))],
    ids=["500", "429", "401", "410", "EOF", "HTML", "watches that end at once", "410 in the watch"],
)
@pytest.mark.parametrize("listed", [True, False], ids=["after a list", "from the start"])
def test_in_a_storm_it_asks_less_than_once_a_second(
    tmp_path: Path, figures: Figures, failing: Answer, *, listed: bool
) -> None:
    tries = 20
    script = [page([], "3")] * listed + [failing] * tries
    with running(tmp_path, *script) as run:
        delays = storm(run, tries)
    figures(f"{tries / sum(delays):.2f} requests a second from each watch")
    assert sum(delays) > tries
    assert all(0.4 <= delay <= BACKOFF_MOST for delay in delays)
    assert sum(delays[10:]) / 10 > BACKOFF_MOST / 4, "the waits do not grow"


@pytest.mark.fault("F5", "F4")
def test_lists_and_watches_that_expire_in_turn_are_slowed_down_too(tmp_path: Path, figures: Figures) -> None:
    """A list counts for nothing: client-go's informer lists and watches without a pause here."""
    with running(tmp_path, *[page([], "3"), refusal(410)] * 20) as run:
        delays = storm(run, 20)
    figures(f"{20 / sum(delays):.2f} requests a second")
    assert sum(delays[8:]) / 12 > BACKOFF_MOST / 4


def test_waits_of_several_reflectors_are_not_the_same(tmp_path: Path) -> None:
    with running(tmp_path, *[refusal(500)] * 20) as run:
        delays = storm(run, 20)
    assert len(set(delays)) > 15


def test_an_event_starts_the_waits_anew(tmp_path: Path) -> None:
    recovered = watch(event("ADDED", certificate("a", "5")), b"garbage\n")
    with running(tmp_path, page([], "3"), *[refusal(500)] * 10, recovered, HOLD) as run:
        delays = storm(run, 11)
    assert max(delays[5:10]) > 2
    assert delays[10] <= 0.8


def test_a_watch_that_lived_for_two_minutes_starts_the_waits_anew(tmp_path: Path) -> None:
    end = threading.Event()
    with running(tmp_path, page([], "3"), *[refusal(500)] * 10, watch(end), refusal(500), HOLD) as run:
        storm(run, 10)
        run.next_list()
        for _ in range(11):
            run.next_watch()
        run.clock.advance(120)
        end.set()
        assert storm(run, 1)[0] <= 0.8


def test_a_watch_that_ends_quietly_after_a_while_is_no_failure(tmp_path: Path) -> None:
    end = threading.Event()
    with running(tmp_path, page([], "3"), watch(end), HOLD) as run:
        run.next_list()
        run.next_watch()
        run.clock.advance(1)
        end.set()
        run.next_watch()
        assert run.failures.empty()


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7.0, 7.0),
        ("45", 45.0, 45.0),
        ("86400", RETRY_AFTER_MOST, RETRY_AFTER_MOST),
        ("0", 0.1, 0.8),
        ("x", 0.1, 0.8),
    ],
)
def test_retry_after_is_waited_for_but_no_longer_than_a_minute(
    tmp_path: Path, asked: str, least: float, most: float
) -> None:
    with running(tmp_path, refusal(429, Retry_After=asked), page([], "3"), HOLD) as run:
        (delay,) = storm(run, 1)
        run.next()
    assert least <= delay <= most


def test_requests_use_one_connection(tmp_path: Path) -> None:
    with running(tmp_path, page([], "1"), watch(bookmark("2")), refusal(500), watch(bookmark("3")), HOLD) as run:
        assert {run.api.next_request().connection for _ in range(5)} == {0}


# --- the end --------------------------------------------------------------------------------------


def test_the_thread_ends_when_stopped_between_two_events(tmp_path: Path) -> None:
    more = threading.Event()
    with running(
        tmp_path,
        page([], "1"),
        watch(more, event("ADDED", certificate("a", "2")), event("ADDED", certificate("b", "3")), hold=True),
    ) as run:
        run.next()
        run.stop.set()
        more.set()
        run.thread.join(5)
        assert not run.thread.is_alive()
        assert run.next_changed() == "a"
        assert run.changes.empty()


@pytest.mark.field_case("E7")
def test_the_thread_ends_when_stopped_while_it_lists_to_be_safe(tmp_path: Path) -> None:
    first, stopped = threading.Event(), threading.Event()
    with running(
        tmp_path,
        page([], "3"),
        watch(bookmark("4"), first, bookmark("5")),
        after(stopped, refusal(429)),
        HOLD,
    ) as run:
        run.next()
        run.next_list()
        run.next_watch()
        run.clock.advance(3700)
        first.set()
        run.next_list()
        run.stop.set()
        stopped.set()
        run.thread.join(5)
        assert not run.thread.is_alive()


def test_the_thread_ends_when_stopped_during_a_wait(tmp_path: Path) -> None:
    with running(tmp_path, refusal(500), refusal(500)) as run:
        run.next_failure()
        run.stop.set()
    assert not run.thread.is_alive()


# --- shards ---------------------------------------------------------------------------------------


def test_what_belongs_to_another_shard_is_neither_listed_nor_followed(tmp_path: Path) -> None:
    mine, foreign = Shard(0, 5), "default"
    assert mine.owns("opschain")
    assert not mine.owns(foreign)

    def of(namespace: str, name: str, version: str) -> dict[str, Any]:
        document = certificate(name, version)
        document["metadata"]["namespace"] = namespace
        return document

    listed = page([of("opschain", "a", "1"), of(foreign, "b", "2")], "7")
    events = watch(event("ADDED", of(foreign, "c", "8")), event("ADDED", of("opschain", "d", "9")), hold=True)
    with running(tmp_path, listed, events, shard=mine) as run:
        assert run.next_names() == ["a"]
        assert run.next_changed() == "d"
