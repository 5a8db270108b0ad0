"""The connection against a real HTTP server: writes, what their failures mean, credentials, and the server's clock."""

import gzip
import json
import stat
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.kube.credential import CredentialKind
from certlag.kube.transport import ANSWER_TIMEOUT, Connection, instant
from runbook.kube.write import send
from tests import pki, scripted_api
from tests.fake_clock import FakeClock, NotedClock
from tests.field.record import case
from tests.scripted_api import ScriptedApi, answer, chunk, html, page, refusal, watch
from tests.tls_servers import server_context

MERGE_PATCH = "application/merge-patch+json"


def patch(connection: Connection, **changes: Any) -> Any:
    return send(connection, "PATCH", "/apis/x", **{"body": {"spec": {}}, "content_type": MERGE_PATCH, **changes})


def refused(connection: Connection) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        patch(connection)
    return caught.value


def find(api: ScriptedApi, directory: Path, **user: Any) -> Connection:
    return Connection.find(kubeconfig=api.kubeconfig(directory, **user))


# --- writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_write_sends_json_and_returns_the_answer(tmp_path: Path, status: int) -> None:
    with scripted_api.scripted_api(answer(b'{"kind": "Deployment"}', status=status)) as api:
        found = patch(find(api, tmp_path), body={"spec": {"replicas": 0}}, parameters={"fieldManager": "certlag"})
        request = api.next_request()
    assert found == {"kind": "Deployment"}
    assert (request.method, request.path, request.query) == ("PATCH", "/apis/x", {"fieldManager": "certlag"})
    assert json.loads(request.body) == {"spec": {"replicas": 0}}
    assert request.headers["content-type"] == MERGE_PATCH
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["user-agent"].startswith("certlag/")


@pytest.mark.parametrize("status", [302, 400, 403, 404, 409, 410, 422, 429])
def test_a_refused_write_was_not_done(tmp_path: Path, status: int) -> None:
    with scripted_api.scripted_api(refusal(status)) as api:
        error = refused(find(api, tmp_path))
        api.next_request()
        assert api.requests.empty(), "it was asked again"
    assert (error.status, error.refused) == (status, True)
    assert "refused" in str(error)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (refusal(500), 500),
        (refusal(503, Retry_After="1"), 503),
        (refusal(504), 504),
        (scripted_api.hang_up, None),
        (scripted_api.rst, None),
        (html(), 200),
        (watch(b'{"kind": ', scripted_api.CUT), 200),
    ],
    ids=["500", "503", "504", "EOF", "RST", "no JSON", "cut"],
)
def test_a_write_without_a_clear_answer_may_have_been_done_and_is_not_repeated(
    tmp_path: Path, script: scripted_api.Answer, status: int | None
) -> None:
    with scripted_api.scripted_api(script, page([], "1")) as api:
        error = refused(find(api, tmp_path))
        api.next_request()
        assert api.requests.empty(), "it was asked again"
    assert (error.status, error.refused) == (status, False)


def test_a_write_is_given_up_in_time(tmp_path: Path) -> None:
    with scripted_api.scripted_api() as api, pytest.raises(ClusterError) as caught:
        patch(find(api, tmp_path), timeout=0.1)
    assert (caught.value.reason, caught.value.status) == (ClusterErrorReason.TIMEOUT, None)


def test_a_read_may_have_less_patience_than_a_watch(tmp_path: Path) -> None:
    with scripted_api.scripted_api() as api, pytest.raises(ClusterError) as caught:
        ClusterClient(find(api, tmp_path)).get("/api", {}, timeout=0.1)
    assert caught.value.reason is ClusterErrorReason.TIMEOUT


@pytest.mark.fault("N9")
def test_an_answer_beyond_the_bound_is_too_large(tmp_path: Path) -> None:
    whole = b'"' + b"x" * 998 + b'"'
    with scripted_api.scripted_api(answer(whole), answer(whole + b" "), watch(*[b" " * 100] * 20)) as api:
        client = ClusterClient(find(api, tmp_path))
        assert len(client.get("/api", {}, most=1000)) == 998
        for _ in range(2):
            with pytest.raises(ClusterError, match="more than 1000 bytes") as caught:
                client.get("/api", {}, most=1000)
            assert caught.value.reason is ClusterErrorReason.TOO_LARGE


OK, CHUNKED, GZIP = b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Encoding: gzip\r\n"
DRIPS = {
    "status line": (b"HTTP/1.1 200 ", b"x", None),
    "header": (OK + b"X: ", b"x", None),
    "body": (OK + CHUNKED, chunk(b" "), 200),
    "size of a chunk": (OK + CHUNKED + b"1;", b"x", 200),
    "empty blocks of gzip": (OK + GZIP + CHUNKED + chunk(gzip.compress(b"")[:10]), chunk(b"\0\0\0\xff\xff"), 200),
    "refusal": (b"HTTP/1.1 503 No\r\n" + CHUNKED, chunk(b"x"), 503),
}
"""A beginning, what comes of it again and again, and the status that was told."""


@case(
    "W41",
    kind="Found by tests: a peer that used up time or memory",
    situation="An answer of the API server comes one byte at a time.",
    says="Timed out after two minutes. Before: read without end, also by a run with drained workers.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("N10")
@pytest.mark.parametrize(("beginning", "drop", "status"), DRIPS.values(), ids=DRIPS.keys())
def test_an_answer_that_drips_is_given_up_although_no_byte_of_it_is_late(
    tmp_path: Path, beginning: bytes, drop: bytes, status: int | None
) -> None:
    clock = NotedClock()
    dripping = scripted_api.drip(beginning, drop, lambda: clock.advance_after_a_look(ANSWER_TIMEOUT / 3))
    with scripted_api.scripted_api(dripping, watch(b"{", b"}")) as api:
        client = ClusterClient(Connection.find(kubeconfig=api.kubeconfig(tmp_path), clock=clock))
        with pytest.raises(ClusterError, match="not whole after 120 s") as caught:
            client.get("/api", {}, timeout=5)
        assert client.get("/api", {}) == {}
    assert (caught.value.reason, caught.value.status) == (ClusterErrorReason.TIMEOUT, status)


@pytest.mark.fault("N10")
def test_an_answer_over_tls_that_drips_is_given_up_too(tmp_path: Path) -> None:
    clock = NotedClock()
    dripping = scripted_api.drip(*DRIPS["header"][:2], lambda: clock.advance_after_a_look(ANSWER_TIMEOUT / 3))
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    authority = pki.authority("api", not_before=start, not_after=end)
    tls = server_context(authority.leaf("127.0.0.1", not_before=start, not_after=end))
    with scripted_api.scripted_api(dripping, tls=tls) as api:
        file = Path(api.kubeconfig(tmp_path))
        document = json.loads(file.read_text())
        document["clusters"][0]["cluster"]["certificate-authority-data"] = b64encode(authority.pem).decode()
        file.write_text(json.dumps(document))
        client = ClusterClient(Connection.find(kubeconfig=str(file), clock=clock))
        with pytest.raises(ClusterError, match="not whole after 120 s"):
            client.get("/api", {}, timeout=5)


@pytest.mark.fault("N10")
def test_a_proxys_answer_that_drips_is_given_up_too(tmp_path: Path) -> None:
    clock = NotedClock()
    dripping = scripted_api.drip(*DRIPS["header"][:2], lambda: clock.advance_after_a_look(ANSWER_TIMEOUT / 3))
    with scripted_api.scripted_api(dripping) as api:
        file = Path(api.kubeconfig(tmp_path))
        document = json.loads(file.read_text())
        document["clusters"][0]["cluster"] = {"server": "https://api.invalid:6443", "proxy-url": api.url}
        file.write_text(json.dumps(document))
        client = ClusterClient(Connection.find(kubeconfig=str(file), clock=clock))
        with pytest.raises(ClusterError, match="not whole after 120 s"):
            client.get("/api", {})
        assert api.next_request().method == "CONNECT"


# --- credentials ----------------------------------------------------------------------------------


def test_a_write_whose_token_was_refused_is_sent_once_more_with_a_fresh_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    with scripted_api.scripted_api(refusal(401), answer(b"{}")) as api:
        connection = find(api, tmp_path, tokenFile=str(token))
        token.write_text("second")
        assert patch(connection) == {}
        sent = [api.next_request() for _ in range(2)]
    assert [request.headers["authorization"] for request in sent] == ["Bearer first", "Bearer second"]
    assert sent[0].body == sent[1].body


def test_a_write_that_is_unauthorized_twice_is_refused(tmp_path: Path) -> None:
    with scripted_api.scripted_api(refusal(401), refusal(401), answer(b"{}")) as api:
        error = refused(find(api, tmp_path))
        assert [api.next_request().method for _ in range(2)] == ["PATCH", "PATCH"]
        assert api.requests.empty()
    assert (error.reason, error.status, error.refused) == (ClusterErrorReason.UNAUTHORIZED, 401, True)


@dataclass(frozen=True)
class Plugin:
    """An exec plugin: each run gives the next token, as long as the file says so."""

    program: Path
    status: Path

    @property
    def settings(self) -> dict[str, Any]:
        version = "client.authentication.k8s.io/v1"
        return {"command": str(self.program), "apiVersion": version, "interactiveMode": "Never"}

    def gives(self, **status: Any) -> None:
        document = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        self.status.write_text(json.dumps(document))


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    made = Plugin(tmp_path / "plugin", tmp_path / "status.json")
    made.program.write_text(f"#!/bin/sh\ncat {made.status}\n")
    made.program.chmod(made.program.stat().st_mode | stat.S_IXUSR)
    return made


def test_an_exec_plugin_runs_again_once_its_token_is_refused(tmp_path: Path, plugin: Plugin) -> None:
    """Also one that says nothing of an end: the package itself would never run it again."""
    plugin.gives(token="first")
    with scripted_api.scripted_api(refusal(401), answer(b"{}")) as api:
        connection = find(api, tmp_path, exec=plugin.settings)
        assert connection.credential.kind is CredentialKind.EXEC
        assert connection.credential.expires_at is None
        plugin.gives(token="second")
        patch(connection)
        sent = [api.next_request().headers["authorization"] for _ in range(2)]
    assert sent == ["Bearer first", "Bearer second"]


def test_an_exec_plugin_says_until_when_its_token_lasts(tmp_path: Path, plugin: Plugin) -> None:
    end = datetime(2099, 5, 4, 3, 2, 1, tzinfo=UTC)
    plugin.gives(token="opaque", expirationTimestamp="2099-05-04T03:02:01Z")
    credential = find(ScriptedApi(1), tmp_path, exec=plugin.settings).credential
    assert (credential.kind, credential.expires_at, credential.refreshable) == (CredentialKind.EXEC, end, True)


def test_a_kubeconfig_names_its_context_and_user(tmp_path: Path) -> None:
    connection = Connection.find(kubeconfig=ScriptedApi(1).kubeconfig(tmp_path, namespace="mine"))
    assert (connection.context, connection.user, connection.namespace) == ("here", "tester", "mine")
    assert not connection.in_cluster
    assert connection.credential.kind is CredentialKind.TOKEN


def test_a_context_without_a_user_has_none(tmp_path: Path) -> None:
    path = Path(ScriptedApi(1).kubeconfig(tmp_path))
    document = json.loads(path.read_text())
    del document["contexts"][0]["context"]["user"]
    path.write_text(json.dumps(document))
    connection = Connection.find(kubeconfig=str(path))
    assert (connection.user, connection.credential.kind) == (None, CredentialKind.NONE)


# --- the server's clock ---------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_the_servers_clock_is_compared_with_ours(tmp_path: Path, hours: int) -> None:
    clock = FakeClock()
    date = format_datetime(clock.now() + timedelta(hours=hours), usegmt=True)
    with scripted_api.scripted_api(answer(b"{}", Date=date), refusal(404, Date=date), answer(b"{}")) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path), clock=clock)
        assert connection.clock_skew is None
        patch(connection)
        assert connection.clock_skew == timedelta(hours=hours)
        clock.advance(60)
        refused(connection)
        assert connection.clock_skew == timedelta(hours=hours, seconds=-60), "a refusal has a date too"
        patch(connection)
        assert connection.clock_skew == timedelta(hours=hours, seconds=-60), "an answer without one says nothing"


WORDS_OF_DATES = (*"0123456789 ,:+-()\n", "Mon", "Jan", "GMT", " -0000", "9" * 20, "99991231")
NO_DATES = (
    "",
    "yesterday",
    "Wed, 99 Foo 2026 07:28:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    "Fri, 31 Dec 9999 23:59:59 GMT",
)


@case(
    "W33",
    kind="Found by tests: an input that stopped a program",
    situation="The `Date` of an answer has a UTC offset of 20 digits.",
    says="No date. Before: the exporter ended.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("F44")
@settings(max_examples=500)
@given(st.one_of(st.sampled_from(NO_DATES), st.text(), st.lists(st.sampled_from(WORDS_OF_DATES)).map("".join)))
@example(NO_DATES[-1])
@example(NO_DATES[-2])
@pytest.mark.thorough
def test_any_date_is_an_instant_or_none(date: str) -> None:
    said = instant(date)
    assert said is None or said + timedelta(days=365) > said


@pytest.mark.parametrize("date", NO_DATES)
def test_a_date_that_is_none_says_nothing(tmp_path: Path, date: str) -> None:
    with scripted_api.scripted_api(answer(b"{}", Date=date)) as api:
        connection = find(api, tmp_path)
        patch(connection)
    assert connection.clock_skew is None
