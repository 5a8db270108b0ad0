"""The HTTP server on real sockets: it answers those who ask, and is held up by nobody."""

import gc
import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cache
from http import HTTPStatus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.http import routes
from exporter.http import server as server_module
from exporter.http.server import CHUNK, MAX_HEADERS, Request, Response, Server
from exporter.http.web_config import WebConfigFile
from exporter.metrics.text import CONTENT_TYPE, Family, Page, Sample
from exporter.snapshot import Published, Snapshot
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.tls_servers import HOST

BIG = b"x" * 20_000_000


PARTS = tuple(bytes([number]) * size for number, size in enumerate((5, 0, 3 * CHUNK + 1, 7, 70_000, 70_000, 9)))

FAMILY = Family("certlag_certificate_info", ("namespace", "certificate"), "1 for each certificate.")


@cache
def snapshot() -> Snapshot:
    """What an exporter serves that has assessed 50,000 samples; its clock stands still, and so does all that it
    says."""
    page = Page([FAMILY])
    for thing in range(1000):
        page.put(thing, [Sample(FAMILY, (f"ns-{thing}", f"{thing}-{number**5}"), 1) for number in range(50)])
    made = Snapshot(FakeClock(), version="1", revision="r")
    made.publish(Published(page.rows()))
    made.scrape(gzip=False)  # of the process it tells what is so now
    return made


def pages(release: threading.Event, asked: threading.Semaphore) -> dict[str, server_module.PageFunction]:
    def slow(_: Request) -> Response:
        asked.release()
        release.wait(5)
        return Response(HTTPStatus.OK, b"at last")

    return {
        "/": lambda _: Response(HTTPStatus.OK, b"hello", headers=(("X-Own", "yes"),)),
        "/gzip": lambda request: Response(HTTPStatus.OK, str(request.accepts_gzip).encode()),
        "/parts": lambda _: Response(HTTPStatus.OK, b"first", more=PARTS),
        "/metrics": routes.pages(snapshot())["/metrics"],
        "/big": lambda _: Response(HTTPStatus.OK, BIG),
        "/slow": slow,
        "/unchanged": lambda _: Response(HTTPStatus.NOT_MODIFIED, b"", headers=(("ETag", '"x"'),)),
        "/unwell": lambda _: Response(HTTPStatus.SERVICE_UNAVAILABLE, b"not now"),
    }


class Client:
    """A connection to the server, byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=20)

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, path: str = "/", method: str = "GET", *headers: str) -> None:
        lines = (f"{method} {path} HTTP/1.1", "Host: here", *headers, "", "")
        self.send("\r\n".join(lines).encode("latin-1"))

    def rest(self) -> bytes:
        """All bytes until the server closes."""
        found = b""
        try:
            while data := self.socket.recv(65536):
                found += data
        except ConnectionResetError:
            pass
        return found

    def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.socket.recv(1)
            assert data, f"the server closed after {received!r}"
            received += data
        first, *lines = received.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = b""
        while not head and len(body) < int(headers["content-length"]):
            data = self.socket.recv(int(headers["content-length"]) - len(body))
            assert data, "the server closed within a body"
            body += data
        return int(first.split(" ")[1]), headers, body


class Running:
    """A server, and clients that end with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.release, self._slow_asked = threading.Event(), threading.Semaphore(0)
        self.server = Server(pages(self.release, self._slow_asked), WebConfigFile(None))
        self.host, self.port = self.server.start(HOST, 0)
        self.closed = False

    def client(self) -> Client:
        return self._stack.enter_context(closing(Client(self.port)))

    def wait_slow(self, times: int) -> None:
        """Wait until the slow page was asked for so often."""
        assert all(self._slow_asked.acquire(timeout=20) for _ in range(times))

    def close(self) -> None:
        self.release.set()
        if not self.closed:
            self.closed = True
            self.server.close()


@pytest.fixture
def running() -> Iterator[Running]:
    with ExitStack() as stack:
        run = Running(stack)
        stack.callback(run.close)
        yield run


# --- answers --------------------------------------------------------------------------------------


def test_parts_of_any_size_are_sent_in_their_order(running: Running) -> None:
    client = running.client()
    client.ask("/parts")
    _, headers, body = client.answer()
    assert body == b"first" + b"".join(PARTS)
    assert headers["content-length"] == str(len(body))


def test_a_page_is_served(running: Running) -> None:
    client = running.client()
    client.ask()
    status, headers, body = client.answer()
    assert (status, body) == (200, b"hello")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-own"] == "yes"
    assert headers["x-content-type-options"] == "nosniff"


def test_head_has_the_headers_of_get_and_no_body(running: Running) -> None:
    client = running.client()
    client.ask(method="HEAD")
    status, headers, _ = client.answer(head=True)
    assert (status, headers["content-length"]) == (200, "5")
    client.ask()
    assert client.answer()[2] == b"hello", "something came between"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "//", "/..", "/%2e", "*"])
def test_a_path_that_is_no_page_is_404(running: Running, path: str) -> None:
    client = running.client()
    client.ask(path)
    assert client.answer()[0] == 404


def test_a_query_does_not_change_the_page(running: Running) -> None:
    client = running.client()
    client.ask("/?name[]=x&%00")
    assert client.answer()[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"])
def test_other_methods_are_405_and_what_is_allowed_is_said(running: Running, method: str) -> None:
    client = running.client()
    client.ask("/", method)
    status, headers, _ = client.answer()
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_an_answer_that_nothing_has_changed_has_no_length_type_or_body(running: Running) -> None:
    client = running.client()
    client.ask("/unchanged")
    client.ask()
    received = client.socket.recv(65536)
    while not received.endswith(b"hello"):
        received += client.socket.recv(65536)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 304 ")
    assert b"\r\nContent-Length:" not in head
    assert b"\r\nContent-Type:" not in head
    assert rest.startswith(b"HTTP/1.1 200 "), "what follows is the next answer"


def test_a_pages_own_status_is_kept(running: Running) -> None:
    client = running.client()
    client.ask("/unwell")
    assert client.answer()[0] == 503


@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("identity, *;q=0", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;Q=0, *", False),
        ("gzip;q=0, *", False),
        ("deflate", False),
        ("", False),
        (";;,=,q", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_negotiated(running: Running, header: str, accepts: bool) -> None:  # noqa: FBT001
    client = running.client()
    client.ask("/gzip", "GET", f"Accept-Encoding: {header}")
    assert client.answer()[2] == str(accepts).encode()


def test_without_the_header_there_is_no_gzip(running: Running) -> None:
    client = running.client()
    client.ask("/gzip")
    assert client.answer()[2] == b"False"


@pytest.mark.fault("F34")
@pytest.mark.parametrize("accept", ["text/plain;version=abc", "\xe4\xff", "*/*;q=x", ",,,", "a" * 5000])
def test_a_malformed_accept_changes_nothing(running: Running, accept: str) -> None:
    client = running.client()
    client.ask("/metrics")
    status, headers, body = client.answer()
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    client.ask("/metrics", "GET", f"Accept: {accept}")
    assert client.answer() == (status, headers, body)


# --- requests that are none -----------------------------------------------------------------------


@pytest.mark.fault("F34")
@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["words", "0.9", "no host", "header", "length", "two lengths", "NUL", "TLS", "chunk"],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(running: Running, data: bytes) -> None:
    client = running.client()
    client.send(data)
    received = client.rest()
    assert received.startswith(b"HTTP/1.1 4"), received
    assert b"Traceback" not in received


@pytest.mark.fault("F34")
def test_headers_beyond_8_kib_are_refused(running: Running) -> None:
    client = running.client()
    client.ask("/", "GET", f"X-Long: {'x' * (2 * MAX_HEADERS)}")
    assert client.rest().startswith(b"HTTP/1.1 431")


def test_headers_without_end_are_cut_off(running: Running) -> None:
    client = running.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4000)
    assert client.rest().startswith(b"HTTP/1.1 431")


def test_the_body_of_a_request_is_thrown_away(running: Running) -> None:
    client = running.client()
    client.ask("/", "GET", "Content-Length: 30000")
    client.send(b"x" * 30000)
    assert client.answer()[2] == b"hello"
    client.ask()
    assert client.answer()[2] == b"hello"


@pytest.mark.fault("F34", "F44")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_stop_the_server(running: Running, data: bytes) -> None:
    """One server for all examples, on purpose."""
    with closing(Client(running.port)) as client:
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        client.rest()
    with closing(Client(running.port)) as client:
        client.ask()
        assert client.answer()[2] == b"hello"


# --- connections ----------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(running: Running) -> None:
    client = running.client()
    for _ in range(5):
        client.ask()
        assert client.answer()[2] == b"hello"


def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    client = running.client()
    request = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send("".join(request.format(path) for path in ("/", "/gzip", "/nothing", "/")).encode())
    assert [client.answer()[0] for _ in range(4)] == [200, 200, 404, 200]


def test_a_request_may_come_byte_by_byte(running: Running) -> None:
    client = running.client()
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
        client.send(bytes([byte]))
    assert client.answer()[2] == b"hello"


@pytest.mark.parametrize(
    "request_head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
)
def test_a_client_that_wants_no_more_is_not_kept(running: Running, request_head: bytes) -> None:
    client = running.client()
    client.send(request_head)
    assert client.rest().endswith(b"\r\n\r\nhello")


def test_a_client_that_goes_in_the_middle_does_no_harm(running: Running) -> None:
    for _ in range(5):
        client = running.client()
        client.ask("/big")
        client.close()
    client = running.client()
    client.ask()
    assert client.answer()[2] == b"hello"


# --- hold-ups -------------------------------------------------------------------------------------


@pytest.mark.fault("F31")
def test_idle_half_and_slow_connections_do_not_hinder_a_scrape(running: Running) -> None:
    for _ in range(60):
        running.client()
    for _ in range(60):
        running.client().send(b"GET / HTTP/1.1\r\nHost:")
    for _ in range(3):
        running.client().ask("/big")  # and never reads it
    client = running.client()
    client.ask()
    assert client.answer()[2] == b"hello"


def test_a_page_that_takes_long_does_not_hinder_another(running: Running) -> None:
    slow, quick = running.client(), running.client()
    slow.ask("/slow")
    quick.ask()
    assert quick.answer()[2] == b"hello"
    running.release.set()
    assert slow.answer()[2] == b"at last"


@pytest.mark.fault("F31")
def test_a_request_that_drips_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.1)
    client = running.client()
    stop = threading.Event()
    try:
        for byte in b"GET / HTTP/1.1\r\nX-Drip: " + b"x" * 500:
            client.send(bytes([byte]))
            stop.wait(0.01)
    except ConnectionError:
        return
    pytest.fail("the server took five hundred drips")


def test_an_idle_connection_is_closed_after_a_while(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.05)
    client = running.client()
    client.ask()
    assert client.answer()[2] == b"hello"
    assert client.rest() == b""


@pytest.mark.fault("F31")
def test_who_comes_and_asks_nothing_is_not_kept_as_an_idle_connection_is(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.05)
    assert running.client().rest() == b""


def test_an_answer_that_nobody_takes_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.1)
    client = running.client()
    client.ask("/big")
    threading.Event().wait(0.3)  # this client reads nothing for that long
    assert len(client.rest()) < len(BIG)


@pytest.mark.fault("F31")
def test_too_many_connections_are_turned_away_and_taken_again_when_some_have_gone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    busy = [running.client() for _ in range(3)]
    for client in busy:
        client.ask("/slow")
    running.wait_slow(3)
    assert running.client().rest().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    running.release.set()
    for client in busy:
        client.answer()
    client = running.client()
    client.ask()
    assert client.answer()[0] == 200


@pytest.mark.fault("F31")
def test_the_client_that_was_waited_for_longest_makes_room(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    first, second, third = (running.client() for _ in range(3))
    for client in (first, second, third, first):
        client.ask()
        client.answer()
    running.client().ask()
    assert second.rest() == b""
    first.ask()
    assert first.answer()[0] == 200


HALF = b"GET / HTTP/1.1\r\nHost: a\r\n"


@case(
    "W38",
    kind="Found by tests: a peer that used up time or memory",
    situation="Hundreds of clients connect and say nothing.",
    says="Scrapes are answered. Before: 503, for up to two minutes.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("F31")
@pytest.mark.parametrize(
    ("clients", "says"),
    [(500, b""), (500, HALF), (300, HALF.replace(b"/", b"/big", 1) + b"\r\n")],
    ids=["silent", "half a request", "never read"],
)
@pytest.mark.thorough
def test_among_hundreds_that_say_or_take_nothing_scrapes_go_on(running: Running, clients: int, says: bytes) -> None:
    for _ in range(clients):
        running.client().send(says)
        client = running.client()
        client.ask()
        assert client.answer()[2] == b"hello"
        client.close()


@pytest.mark.fault("F33")
def test_fifty_scrapes_at_once_of_fifty_thousand_samples_are_whole(running: Running) -> None:
    plain, packed = ([running.client() for _ in range(25)] for _ in range(2))
    for one, other in zip(plain, packed, strict=True):
        one.ask("/metrics")
        other.ask("/metrics", "GET", "Accept-Encoding: gzip")
    whole = b"".join(snapshot().scrape(gzip=False))
    assert whole.count(FAMILY.name.encode() + b"{") == 50_000
    assert all(client.answer()[2] == whole for client in plain)
    for client in packed:
        _, headers, body = client.answer()
        assert headers["content-encoding"] == "gzip"
        assert gzip.decompress(body) == whole


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.fault("F35")
def test_a_closed_server_listens_no_more_and_drops_its_connections(running: Running) -> None:
    idle, half, taking = running.client(), running.client(), running.client()
    half.send(b"GET / HT")
    taking.ask("/big")
    assert taking.socket.recv(1)
    idle.ask()
    idle.answer()
    running.close()
    assert idle.rest() == half.rest() == b""
    assert len(taking.rest()) < len(BIG)
    with pytest.raises(ConnectionRefusedError):
        Client(running.port)


@pytest.mark.fault("F35")
def test_a_server_that_is_closed_while_clients_come_in_leaves_nothing_open() -> None:
    """Anything left open warns when it is collected, and a warning fails the test."""
    for _ in range(30):
        server = Server({}, WebConfigFile(None))
        host, port = server.start(HOST, 0)
        clients = [socket.create_connection((host, port)) for _ in range(5)]
        server.close()
        for client in clients:
            client.close()
        del server
    gc.collect()


def test_an_address_that_is_taken_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as other:
        server = Server({}, WebConfigFile(None))
        with pytest.raises(OSError, match="in use"):
            server.start(HOST, other.getsockname()[1])
        server.close()


def test_an_ipv6_address_can_be_listened_on() -> None:
    server = Server({}, WebConfigFile(None))
    host, port = server.start("::1", 0)
    socket.create_connection((host, port)).close()
    server.close()
