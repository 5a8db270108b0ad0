"""Alertmanager, against a real HTTP server: silences that are narrow and short, a gate that fails closed."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from runbook.alertmanager import ANSWER_TIMEOUT, MAX_ANSWER, Alertmanager, AlertmanagerError, Silences
from tests.fake_clock import FakeClock, NotedClock
from tests.field.record import case
from tests.scripted_api import Answer, ScriptedApi, answer, drip, hang_up, html, scripted_api

UNTIL = FakeClock().now() + timedelta(seconds=3900)
MADE = answer(b'{"silenceID": "s-1"}')
FIRING = answer(json.dumps([{"labels": {"alertname": name}} for name in ("B", "A", "Else")]).encode())


def silences(api: ScriptedApi | None, warnings: list[str]) -> Silences:
    return Silences(
        None if api is None else Alertmanager(f"{api.url}/", FakeClock()),
        FakeClock(),
        namespace="opschain",
        alerts=("CertlagNeedsRestart", "Certlag.X"),
        by="ann",
        warn=warnings.append,
    )


def test_a_silence_names_its_alerts_and_its_namespace_ends_by_itself_and_never_covers_a_critical_one() -> None:
    warnings: list[str] = []
    with scripted_api(MADE) as api:
        assert silences(api, warnings).begin(UNTIL) == f"{api.url}/api/v2/silence/s-1"
        request = api.next_request()
    body = json.loads(request.body)
    assert (request.method, request.path) == ("POST", "/api/v2/silences")
    assert [(each["name"], each["value"], each["isRegex"], each["isEqual"]) for each in body["matchers"]] == [
        ("alertname", r"CertlagNeedsRestart|Certlag\.X", True, True),
        ("namespace", "opschain", False, True),
        ("severity", "critical", False, False),
    ]
    assert body["startsAt"] == "2026-06-01T12:00:00+00:00"
    assert body["endsAt"] == UNTIL.isoformat()
    assert body["createdBy"] == "ann"
    assert warnings == []


@case(
    "W16",
    kind="Found by tests: wrong endings and answers of a run",
    situation="A run with a silence is resumed without `--alertmanager`.",
    says="The silence is ended where it was made. Before: it was left.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_a_silence_is_ended_at_the_alertmanager_that_is_named_else_where_it_was_made(named: bool) -> None:  # noqa: FBT001
    with scripted_api(answer(b"")) as api, scripted_api() as gone:
        made_at = gone if named else api
        warnings: list[str] = []
        silences(api if named else None, warnings).end(f"{made_at.url}/api/v2/silence/s-1")
        request = api.next_request()
    assert (request.method, request.path) == ("DELETE", "/api/v2/silence/s-1")
    assert warnings == []


BROKEN = [answer(b"no", status=500), html(), hang_up, answer(b"{}"), answer(b"[]")]


@pytest.mark.parametrize("broken", BROKEN, ids=["500", "html", "hang up", "no id", "a list"])
def test_failing_to_silence_is_a_warning_and_not_an_end(broken: Answer) -> None:
    warnings: list[str] = []
    with scripted_api(broken) as api:
        assert silences(api, warnings).begin(UNTIL) is None
    assert len(warnings) == 1
    assert warnings[0].startswith("no silence: ")


def test_failing_to_end_a_silence_is_a_warning_too() -> None:
    warnings: list[str] = []
    with scripted_api(answer(b"gone", status=404)) as api:
        silences(api, warnings).end(f"{api.url}/api/v2/silence/s-1")
    assert "ends by itself" in warnings[0]


@pytest.mark.parametrize("address", ["s-1", "", "file:///etc/passwd", "http://", "http://[/api/v2/silence/s-1"])
def test_what_is_no_address_of_a_silence_is_a_warning_too(address: str) -> None:
    """It stands in a ConfigMap, which others can write."""
    warnings: list[str] = []
    silences(None, warnings).end(address)
    assert "ends by itself" in warnings[0]


def test_the_gate_names_those_of_its_alerts_that_fire_silenced_or_not() -> None:
    with scripted_api(FIRING) as api:
        assert Alertmanager(api.url, FakeClock()).firing(("A", "B", "C")) == ("A", "B")
        request = api.next_request()
    assert request.path == "/api/v2/alerts"
    assert request.query == {"active": "true", "silenced": "true", "inhibited": "true"}


@case(
    "W15",
    kind="Found by tests: wrong endings and answers of a run",
    situation="A run is to be refused while an alert fires, and Alertmanager answers with something else than a list.",
    says="Refused. Before: `{}` counted as no alert.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize("broken", [*BROKEN[:4], answer(b"[1]")], ids=["500", "html", "hang up", "no list", "no alert"])
def test_a_gate_that_cannot_be_asked_is_an_error_and_never_nothing_fires(broken: Answer) -> None:
    with scripted_api(broken) as api, pytest.raises(AlertmanagerError):
        Alertmanager(api.url, FakeClock()).firing(("A",))


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with scripted_api() as api:
        gone = api.url
    with pytest.raises(AlertmanagerError):
        Alertmanager(gone, FakeClock()).firing(("A",))


@pytest.mark.fault("N10")
@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"])
def test_an_answer_that_drips_is_given_up_although_no_byte_of_it_is_late(beginning: bytes) -> None:
    clock = NotedClock()
    dripping = drip(beginning, b"x", lambda: clock.advance_after_a_look(ANSWER_TIMEOUT / 3))
    with scripted_api(dripping) as api, pytest.raises(AlertmanagerError, match="not whole after 30 s"):
        Alertmanager(api.url, clock).firing(("A",))


def test_an_answer_without_end_is_refused_and_not_cut_off() -> None:
    """What is cut off would be told as broken JSON."""
    endless = answer(b"[" + b" " * MAX_ANSWER + b"]")
    with scripted_api(endless) as api, pytest.raises(AlertmanagerError, match=f"more than {MAX_ANSWER} bytes"):
        Alertmanager(api.url, FakeClock()).firing(("A",))
