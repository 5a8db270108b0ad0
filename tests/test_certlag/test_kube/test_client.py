"""The client against a real HTTP server: what it sends, and what it makes of every kind of answer."""

import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.config import incluster_config

from certlag.errors import ClusterConfigError, ClusterError, ClusterErrorReason
from certlag.kube import client as client_module
from certlag.kube import kubeconfig as access
from certlag.kube.client import ClusterClient
from certlag.kube.kubeconfig import finder
from certlag.kube.paging import PAGES_AT_ONCE
from certlag.kube.transport import Connection
from tests import pki, scripted_api
from tests.fake_clock import FakeClock, HurriedClock, NotedClock
from tests.field.record import case
from tests.scripted_api import CHUNKED, ScriptedApi, answer, chunk, drip, html, page, refusal, watch
from tests.tls_servers import server_context


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for an answer by mistake fails in seconds."""
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 20.0)


def connect(api: ScriptedApi, directory: Path) -> ClusterClient:
    return ClusterClient.connect(kubeconfig=api.kubeconfig(directory))


def failing(client: ClusterClient) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        client.get("/api/v1/pods", {})
    return caught.value


def lines(client: ClusterClient) -> list[bytes]:
    with client.stream("/api/v1/pods", {"watch": "1"}) as stream:
        return list(stream)


# --- requests -------------------------------------------------------------------------------------


def test_a_request_carries_path_query_token_and_accept(tmp_path: Path) -> None:
    with scripted_api.scripted_api(answer(b'{"a": [1]}')) as api:
        found = connect(api, tmp_path).get("/api/v1/pods", {"limit": "5", "fieldSelector": "a=b"}, accept="x/y")
        request = api.next_request()
    assert found == {"a": [1]}
    assert (request.method, request.path) == ("GET", "/api/v1/pods")
    assert request.query == {"limit": "5", "fieldSelector": "a=b"}
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["accept"] == "x/y"


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    with scripted_api.scripted_api(page([], "1"), refusal(404), watch(b"a\n"), html(), page([], "2")) as api:
        client = connect(api, tmp_path)
        client.get("/a", {})
        failing(client)
        lines(client)
        failing(client)
        client.get("/a", {})
        assert {api.next_request().connection for _ in range(5)} == {0}


def test_a_watch_that_is_left_early_gives_its_connection_up(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(b"a\n", b"b\n", hold=True), page([], "1")) as api:
        client = connect(api, tmp_path)
        with client.stream("/a", {}) as stream:
            assert next(stream) == b"a"
        client.get("/a", {})
        assert [api.next_request().connection for _ in range(2)] == [0, 1]


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The token would go to wherever it points."""
    with scripted_api.scripted_api(answer(b"", status=302, Location="/elsewhere")) as api:
        assert failing(connect(api, tmp_path)).reason is ClusterErrorReason.SERVER_ERROR
        assert api.next_request().path == "/api/v1/pods"
        assert api.requests.empty()


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, ClusterErrorReason.SERVER_ERROR),
        (401, ClusterErrorReason.UNAUTHORIZED),
        (403, ClusterErrorReason.FORBIDDEN),
        (404, ClusterErrorReason.NOT_FOUND),
        (410, ClusterErrorReason.EXPIRED),
        (429, ClusterErrorReason.THROTTLED),
        (500, ClusterErrorReason.SERVER_ERROR),
        (503, ClusterErrorReason.SERVER_ERROR),
        (504, ClusterErrorReason.SERVER_ERROR),
    ],
)
def test_a_refusal_has_its_reason_and_says_what_the_server_said(
    tmp_path: Path, status: int, reason: ClusterErrorReason
) -> None:
    with scripted_api.scripted_api(refusal(status)) as api:
        error = failing(connect(api, tmp_path))
    assert error.reason is reason
    assert error.retry_after is None
    assert f"HTTP {status}" in str(error)
    assert "refused" in str(error)
    assert "{" not in str(error), "the message of a Status, not its JSON"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("9" * 400, float("inf")),
    ],
    ids=["7", "0", "empty", "-1", "1.5", "soon", "superscript", "date", "endless"],
)
def test_retry_after_is_read_in_seconds_and_asked_for_only_once(
    tmp_path: Path, status: int, value: str, seconds: float | None
) -> None:
    """The package's own retries would ask again within the call, behind the watch loop's back."""
    with scripted_api.scripted_api(refusal(status, Retry_After=value), page([], "1")) as api:
        assert failing(connect(api, tmp_path)).retry_after == seconds
        api.next_request()
        assert api.requests.empty()


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b'{"items": [', b"\xff\xfe", b"[" * 100_000, b"1" * 5000],
    ids=["empty", "HTML", "truncated", "no UTF-8", "very deep", "a number of 5,000 digits"],
)
def test_what_is_not_json_is_garbled(tmp_path: Path, body: bytes) -> None:
    with scripted_api.scripted_api(answer(body)) as api:
        assert failing(connect(api, tmp_path)).reason is ClusterErrorReason.GARBLED


@pytest.mark.parametrize("script", [scripted_api.hang_up, scripted_api.rst], ids=["EOF", "RST"])
def test_a_connection_that_ends_without_an_answer_is_unreachable(tmp_path: Path, script: scripted_api.Answer) -> None:
    with scripted_api.scripted_api(script) as api:
        error = failing(connect(api, tmp_path))
    assert error.reason is ClusterErrorReason.UNREACHABLE
    assert error.detail in (
        "/api/v1/pods: Remote end closed connection without response",
        "/api/v1/pods: Connection reset by peer",
    )


def test_a_server_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with scripted_api.scripted_api() as api:
        client = connect(api, tmp_path)
    error = failing(client)
    assert (error.reason, error.detail) == (ClusterErrorReason.UNREACHABLE, "/api/v1/pods: Connection refused")


def test_an_answer_that_breaks_off_is_unreachable(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(b'{"items": ', scripted_api.CUT)) as api:
        assert failing(connect(api, tmp_path)).reason is ClusterErrorReason.UNREACHABLE


def test_a_silent_server_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.05)
    with scripted_api.scripted_api() as api:
        assert failing(connect(api, tmp_path)).reason is ClusterErrorReason.TIMEOUT


def test_a_long_error_page_is_cut(tmp_path: Path) -> None:
    with scripted_api.scripted_api(answer(b"x" * 1_000_000, status=500), page([], "1")) as api:
        client = connect(api, tmp_path)
        assert len(str(failing(client))) < 2200
        assert client.get("/", {})


# --- watches --------------------------------------------------------------------------------------


def test_a_stream_is_split_into_lines(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(b"one\ntwo\n", b"thr", b"ee\n\nfo", b"ur\n")) as api:
        assert lines(connect(api, tmp_path)) == [b"one", b"two", b"three", b"", b"four"]


@pytest.mark.fault("F10")
def test_a_stream_that_is_cut_at_every_byte_gives_the_same_lines(tmp_path: Path) -> None:
    text = "".join(f'{{"number": {number}, "text": "ä"}}\n' for number in range(20)).encode()
    with scripted_api.scripted_api(watch(*(bytes([byte]) for byte in text))) as api:
        assert lines(connect(api, tmp_path)) == text.splitlines()


def test_a_line_longer_than_many_reads_is_whole(tmp_path: Path) -> None:
    line = b"x" * 1_000_000
    with scripted_api.scripted_api(watch(line + b"\nend\n")) as api:
        assert lines(connect(api, tmp_path)) == [line, b"end"]


def test_a_line_beyond_the_bound_is_garbled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE", 1000)
    with scripted_api.scripted_api(watch(b"short\n", *([b"x" * 100] * 20), hold=True)) as api:
        client = connect(api, tmp_path)
        with client.stream("/", {}) as stream:
            assert next(stream) == b"short"
            with pytest.raises(ClusterError, match="more than 1000 bytes") as caught:
                next(stream)
    assert caught.value.reason is ClusterErrorReason.GARBLED


@pytest.mark.fault("F8")
def test_a_stream_that_ends_within_a_line_is_garbled(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(b"one\n", b'{"type": "ADD')) as api:
        client = connect(api, tmp_path)
        with client.stream("/", {}) as stream:
            assert next(stream) == b"one"
            with pytest.raises(ClusterError) as caught:
                next(stream)
    assert caught.value.reason is ClusterErrorReason.GARBLED


def test_a_stream_that_is_cut_is_unreachable_after_its_whole_lines(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(b"one\n", scripted_api.CUT)) as api:
        client = connect(api, tmp_path)
        seen: list[bytes] = []
        with pytest.raises(ClusterError) as caught, client.stream("/", {}) as stream:
            seen.extend(stream)
    # What came before the cut in the same read may or may not be given out; half a line never is.
    assert set(seen) <= {b"one"}
    assert caught.value.reason is ClusterErrorReason.UNREACHABLE


@pytest.mark.fault("F7")
def test_a_stream_that_falls_silent_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.05)
    with scripted_api.scripted_api(watch(b"one\n", hold=True)) as api:
        client = connect(api, tmp_path)
        with pytest.raises(ClusterError) as caught:
            lines(client)
    assert caught.value.reason is ClusterErrorReason.TIMEOUT


DROPS = 12


@pytest.mark.fault("F7")
@pytest.mark.parametrize("piece", [b"\n", b"  \n", b"x"], ids=["blank", "spaces", "no end"])
def test_a_stream_without_an_event_is_a_timeout_although_something_comes(tmp_path: Path, piece: bytes) -> None:
    clock = NotedClock()
    passing = partial(clock.advance_after_a_look, client_module.READ_TIMEOUT * 0.4)
    script = drip(CHUNKED + chunk(b"one\n"), chunk(piece), passing, drops=DROPS)
    with scripted_api.scripted_api(script) as api:
        client = ClusterClient(Connection.find(kubeconfig=api.kubeconfig(tmp_path), clock=clock))
        with pytest.raises(ClusterError, match="without an event") as caught:
            lines(client)
        for _ in range(DROPS):
            clock.monotonic()  # so that the server waits for no other look
    assert caught.value.reason is ClusterErrorReason.TIMEOUT


@pytest.mark.fault("F7")
def test_a_stream_whose_events_come_in_time_is_read_to_its_end_however_long_it_is(tmp_path: Path) -> None:
    with scripted_api.scripted_api(watch(*[b"one\n", b"\n"] * 20)) as api:
        clock = HurriedClock(seconds=client_module.READ_TIMEOUT * 0.2)
        client = ClusterClient(Connection.find(kubeconfig=api.kubeconfig(tmp_path), clock=clock))
        assert len(lines(client)) == 40


@pytest.mark.fault("N9")
def test_a_page_beyond_the_bound_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGE", 1000)
    endless = watch(*[b"x" * 500] * 3, hold=True)
    with scripted_api.scripted_api(answer(b"x" * 1000), answer(b"x" * 1001), endless, answer(b"y")) as api:
        client = connect(api, tmp_path)
        assert len(text(client)) == 1000
        for _ in range(2):
            with pytest.raises(ClusterError, match="more than 1000 bytes") as caught:
                text(client)
            assert caught.value.reason is ClusterErrorReason.TOO_LARGE
        assert text(client) == b"y"


def text(client: ClusterClient) -> bytes:
    with client.page("/a", {}) as page_of_it:
        return page_of_it


class Reader(threading.Thread):
    """Reads a page, and keeps it for as long as it is to."""

    def __init__(self, client: ClusterClient, path: str, *, keep: bool) -> None:
        super().__init__(daemon=True)
        self.has_it, self.kept = threading.Event(), threading.Event()
        self.failed: ClusterError | None = None
        self._client, self._path = client, path
        if not keep:
            self.kept.set()
        self.start()

    def run(self) -> None:
        try:
            with self._client.page(self._path, {}):
                self.has_it.set()
                assert self.kept.wait(20)
        except ClusterError as error:
            self.failed = error


@pytest.mark.fault("N9")
def test_no_more_than_a_few_pages_are_there_at_once_and_a_silent_server_holds_up_none(tmp_path: Path) -> None:
    with scripted_api.scripted_api(
        *[scripted_api.silence] * PAGES_AT_ONCE, *[answer(b"page")] * PAGES_AT_ONCE, answer(b"last"), answer(b"y")
    ) as api:
        client = connect(api, tmp_path)
        silent = [Reader(client, "/silent", keep=False) for _ in range(PAGES_AT_ONCE)]
        for _ in silent:
            api.next_request()
        held = [Reader(client, "/held", keep=True) for _ in range(PAGES_AT_ONCE)]
        assert all(reader.has_it.wait(20) for reader in held), "they waited for those that say nothing"
        last = Reader(client, "/last", keep=False)
        assert not last.has_it.wait(0.2)
        held[0].kept.set()
        assert last.has_it.wait(20)
        client.close()
        for reader in held:
            reader.kept.set()


@pytest.mark.fault("N9")
def test_whoever_waits_to_read_a_page_ends_with_the_client(tmp_path: Path) -> None:
    begun = watch(b"{", hold=True)
    with scripted_api.scripted_api(*[begun] * (PAGES_AT_ONCE + 2)) as api:
        client = connect(api, tmp_path)
        readers = [Reader(client, "/a", keep=False) for _ in range(PAGES_AT_ONCE + 2)]
        for _ in readers:
            api.next_request()
        while any(reader.is_alive() for reader in readers):
            client.close()  # an answer of which we don't know yet is not ended
            for reader in readers:
                reader.join(0.01)
    assert all(reader.failed is not None for reader in readers)


@pytest.mark.fault("F10")
@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=10), st.integers(1, 30))
def test_any_lines_in_any_pieces_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, sent: list[bytes], size: int
) -> None:
    text = b"".join(line + b"\n" for line in sent)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    with scripted_api.scripted_api(watch(*pieces)) as api:
        assert lines(connect(api, tmp_path_factory.mktemp("kubeconfig"))) == sent


# --- credentials ----------------------------------------------------------------------------------


def test_the_newline_of_a_token_file_is_not_sent(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-a-file\n")
    with scripted_api.scripted_api(page([], "1")) as api:
        ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path, tokenFile=str(token))).get("/", {})
        assert api.next_request().headers["authorization"] == "Bearer from-a-file"


@case(
    "W10",
    kind="Found by tests: wrong answers of the exporter",
    situation="The token file of a kubeconfig is rotated, and the old token is refused.",
    says="The next request has the new token. Before: the file was read once, and every request was refused.",
    found_by="test",
    since="2026-11-24",
)
def test_the_token_file_of_a_kubeconfig_is_read_again_once_its_token_is_refused(tmp_path: Path) -> None:
    """The package itself reads it once and never again."""
    token = tmp_path / "token"
    token.write_text("first")
    with scripted_api.scripted_api(page([], "1"), refusal(401), page([], "1")) as api:
        client = ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path, tokenFile=str(token)))
        client.get("/", {})
        token.write_text("second")
        assert failing(client).reason is ClusterErrorReason.UNAUTHORIZED
        client.get("/", {})
        sent = [api.next_request().headers["authorization"] for _ in range(3)]
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_kubeconfig_that_is_gone_when_it_is_needed_again_changes_nothing(tmp_path: Path) -> None:
    with scripted_api.scripted_api(refusal(401), page([], "1")) as api:
        file = api.kubeconfig(tmp_path)
        client = ClusterClient.connect(kubeconfig=file)
        Path(file).unlink()
        assert failing(client).reason is ClusterErrorReason.UNAUTHORIZED
        client.get("/", {})
        sent = {api.next_request().headers["authorization"] for _ in range(2)}
    assert len(sent) == 1


@pytest.fixture
def in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that a pod has: token, ca.crt, namespace. Returns their directory."""
    for name in ("token", "namespace", "ca.crt"):
        (tmp_path / name).write_text(f"{name}\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(access, "_NAMESPACE_FILE", tmp_path / "namespace")
    return tmp_path


def serving(directory: Path) -> ssl.SSLContext:
    """Make an API server's TLS, and the file of its authority."""
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    authority = pki.authority("api", not_before=start, not_after=end)
    (directory / "ca.crt").write_bytes(authority.pem)
    return server_context(authority.leaf("127.0.0.1", not_before=start, not_after=end))


def from_a_pod(api: ScriptedApi, monkeypatch: pytest.MonkeyPatch) -> ClusterClient:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
    return ClusterClient.connect()


def test_in_a_pod_its_own_account_and_namespace_are_used(in_cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_api.scripted_api(page([], "1"), tls=serving(in_cluster)) as api:
        client = from_a_pod(api, monkeypatch)
        client.get("/", {})
        assert api.next_request().headers["authorization"] == "bearer token"
    assert client.namespace == "namespace"
    assert client.server == api.url


@pytest.fixture
def time_of_package(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which the package decides to read the token again: its own, so it has to be put into its place."""
    clock = FakeClock()
    own = SimpleNamespace(timedelta=timedelta, datetime=SimpleNamespace(now=clock.now))
    monkeypatch.setattr(incluster_config, "datetime", own)
    return clock


@pytest.mark.fault("F14")
def test_in_a_pod_a_rotated_token_is_used_once_the_old_one_was_read_a_minute_ago(
    in_cluster: Path, monkeypatch: pytest.MonkeyPatch, time_of_package: FakeClock
) -> None:
    """So does release 37 of the package; within that minute it sends the old one, as long as it is not refused."""
    with scripted_api.scripted_api(*[page([], "1")] * 3, tls=serving(in_cluster)) as api:
        client = from_a_pod(api, monkeypatch)
        client.get("/", {})
        (in_cluster / "token").write_text("rotated\n")
        time_of_package.advance(59)
        client.get("/", {})
        time_of_package.advance(1)
        client.get("/", {})
        sent = [api.next_request().headers["authorization"] for _ in range(3)]
    assert sent == ["bearer token", "bearer token", "bearer rotated"]


@pytest.mark.fault("F14")
def test_in_a_pod_a_rotated_token_is_used_at_once_if_the_old_one_is_refused(
    in_cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_api.scripted_api(refusal(401), page([], "1"), tls=serving(in_cluster)) as api:
        client = from_a_pod(api, monkeypatch)
        (in_cluster / "token").write_text("rotated\n")
        assert failing(client).reason is ClusterErrorReason.UNAUTHORIZED
        client.get("/", {})
        sent = [api.next_request().headers["authorization"] for _ in range(2)]
    assert sent == ["bearer token", "bearer rotated"]


@pytest.mark.fault("F14")
@pytest.mark.parametrize("content", [None, b"", b"\xff"], ids=["missing", "empty", "no text"])
def test_a_token_file_that_is_gone_when_it_is_needed_is_unauthorized(
    in_cluster: Path, monkeypatch: pytest.MonkeyPatch, time_of_package: FakeClock, content: bytes | None
) -> None:
    with scripted_api.scripted_api(tls=serving(in_cluster)) as api:
        client = from_a_pod(api, monkeypatch)
        (in_cluster / "token").unlink()
        if content is not None:
            (in_cluster / "token").write_bytes(content)
        time_of_package.advance(60)
        assert failing(client).reason is ClusterErrorReason.UNAUTHORIZED
        assert api.requests.empty()


@pytest.mark.fault("F17")
def test_an_api_server_of_another_authority_is_unreachable(in_cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_api.scripted_api(page([], "1"), tls=serving(in_cluster)) as api:
        serving(in_cluster)
        assert failing(from_a_pod(api, monkeypatch)).reason is ClusterErrorReason.UNREACHABLE


@pytest.mark.fault("F17")
def test_a_replaced_authority_is_trusted_once_it_is_in_the_file(
    in_cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = serving(in_cluster)
    new = (in_cluster / "ca.crt").read_bytes()
    serving(in_cluster)
    with scripted_api.scripted_api(page([], "1"), tls=tls) as api:
        client = from_a_pod(api, monkeypatch)
        assert failing(client).reason is ClusterErrorReason.UNREACHABLE
        (in_cluster / "ca.crt").write_bytes(new)
        assert client.get("/", {})["metadata"]["resourceVersion"] == "1"


@pytest.mark.fault("N1")
def test_a_server_whose_name_is_unknown_is_unreachable(tmp_path: Path) -> None:
    nowhere = ScriptedApi(1)
    file = Path(nowhere.kubeconfig(tmp_path))
    file.write_text(file.read_text().replace(nowhere.url, "http://api.invalid:6443"))
    assert failing(ClusterClient.connect(kubeconfig=str(file))).reason is ClusterErrorReason.UNREACHABLE


@pytest.mark.parametrize("token", ["one\ntwo", "tökén", "a\x00b"], ids=["two lines", "no ASCII", "NUL"])
def test_a_token_that_cannot_be_sent_is_unauthorized(tmp_path: Path, token: str) -> None:
    with scripted_api.scripted_api() as api:
        client = ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path, token=token))
        assert failing(client).reason is ClusterErrorReason.UNAUTHORIZED
        assert token not in str(failing(client)), "a token does not belong into a log"
        assert api.requests.empty()


@pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace"])
def test_a_pod_without_its_files_has_no_way_to_the_cluster(
    in_cluster: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (in_cluster / missing).unlink()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(ClusterConfigError):
        ClusterClient.connect()


# --- kubeconfig -----------------------------------------------------------------------------------


def test_a_kubeconfig_gives_the_server_and_the_namespace(tmp_path: Path) -> None:
    api = ScriptedApi(1234)
    client = ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path, namespace="mine"))
    assert (client.server, client.namespace) == ("http://127.0.0.1:1234", "mine")
    assert ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path)).namespace == "default"


def with_server(directory: Path, server: str) -> str:
    path = Path(ScriptedApi(1).kubeconfig(directory))
    document = json.loads(path.read_text())
    document["clusters"][0]["cluster"]["server"] = server
    path.write_text(json.dumps(document))
    return str(path)


@case(
    "W11",
    kind="Found by tests: wrong answers of the exporter",
    situation="The server of a kubeconfig has no scheme: `localhost:8001`.",
    says="It is asked over HTTP, as kubectl does. Before: at a wrong address.",
    found_by="test",
    since="2026-11-26",
)
def test_a_server_without_a_scheme_is_asked_over_http_as_kubectl_does(tmp_path: Path) -> None:
    with scripted_api.scripted_api(page([], "1")) as api:
        client = ClusterClient.connect(kubeconfig=with_server(tmp_path, f"localhost:{api.port}"))
        assert client.server == f"http://localhost:{api.port}"
        client.get("/api", {})
        assert api.next_request().path == "/api"


@case(
    "W47",
    kind="Found by tests: a credential or page without protection",
    situation="The API server has an `http://` address on another machine.",
    says="No token is sent. Before: it was sent in clear text.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.parametrize("server", ["http://api:6443", "api:6443", "http://10.0.0.1", "http://localhost.example"])
def test_without_tls_no_token_leaves_this_machine_as_kubectls_does_not(tmp_path: Path, server: str) -> None:
    access = finder(with_server(tmp_path, server), None)()
    assert access.authorization() == {}


@pytest.mark.parametrize("server", ["https://api:6443", "http://127.0.0.1:1", "http://[::1]:1", "localhost:1"])
def test_a_token_is_sent_by_tls_and_within_this_machine(tmp_path: Path, server: str) -> None:
    access = finder(with_server(tmp_path, server), None)()
    assert access.authorization() == {"authorization": "Bearer secret-token"}


@pytest.mark.fault("P4")
@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("https://ann:correct-horse@api:6443/k8s/c-1", "https://api:6443/k8s/c-1"),
        ("ann:correct-horse@api:6443", "http://api:6443"),
        ("https://ann:12/correct-horse@api:6443", None),
        ("https://api:correct-horse", None),
        ("https://[correct-horse", None),
        ("https://ann:correct-horse\u2100@api", None),
        ("ftp://ann:correct-horse@api", None),
        ("https:///correct-horse", None),
        ("https://api?password=correct-horse", None),
    ],
)
def test_a_password_in_the_url_of_the_server_is_not_repeated(tmp_path: Path, server: str, shown: str | None) -> None:
    path = with_server(tmp_path, server)
    if shown is not None:
        assert ClusterClient.connect(kubeconfig=path).server == shown
        return
    with pytest.raises(ClusterConfigError, match="server must be") as caught:
        ClusterClient.connect(kubeconfig=path)
    assert "correct-horse" not in str(caught.value)


def test_another_context_can_be_chosen(tmp_path: Path) -> None:
    path = Path(ScriptedApi(1234).kubeconfig(tmp_path, namespace="mine"))
    document = json.loads(path.read_text())
    document["contexts"].append(
        {"name": "there", "context": {"cluster": "scripted", "user": "tester", "namespace": "theirs"}}
    )
    path.write_text(json.dumps(document))
    assert ClusterClient.connect(kubeconfig=str(path), context="there").namespace == "theirs"
    with pytest.raises(ClusterConfigError, match="nowhere"):
        ClusterClient.connect(kubeconfig=str(path), context="nowhere")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "words", "a: [", "{}", "contexts: 5", '{"current-context": "a"}', "\x00"],
)
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ClusterConfigError, match="no way to a cluster"):
        ClusterClient.connect(kubeconfig=str(path))


def test_a_kubeconfig_that_is_missing_or_a_directory_or_binary_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(ClusterConfigError):
            ClusterClient.connect(kubeconfig=str(path))
