"""A connection to a pod's port, through servers that keep to the protocol and servers that don't."""

import base64
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from runbook.kube.port_forward import ForwardedConnection, port_forward
from tests import pki
from tests.field.record import case
from tests.scripted_api import ScriptedApi, page, refusal, scripted_api, silence
from tests.tls_servers import HOST, listening, server_context

PATIENCE = 20.0
BEGUN = ((0, b"\x39\x30"), (1, b"\x39\x30"))
"""The first message of each channel: the port."""

Script = Callable[[socket.socket, threading.Event], object]


def frame(payload: bytes, *, kind: int = 2) -> bytes:
    """One frame of a server (RFC 6455 §5.2): whole, not masked."""
    assert len(payload) < 126
    return bytes([0x80 | kind, len(payload)]) + payload


def messages(*sent: tuple[int, bytes]) -> bytes:
    return b"".join(frame(bytes([channel]) + content) for channel, content in sent)


@contextmanager
def forwarding(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedApi]:
    """Agree to each WebSocket, then do as the script says."""

    def handle(plain: socket.socket, stop: threading.Event) -> object:
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(65536)
            lines = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:-1])
            key = lines["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
            )
            return script(connection, stop)

    with listening(handle) as server:
        yield ScriptedApi(server.port, scheme="https" if tls else "http")


def sending(data: bytes, *, renew_if_due: bool = True) -> Script:
    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(data)
        if renew_if_due:
            stop.wait()

    return script


def forward(api: ScriptedApi, directory: Path, *, timeout: float = PATIENCE, **user: Any) -> ForwardedConnection:
    connection = Connection.find(kubeconfig=api.kubeconfig(directory, **user))
    return port_forward(connection, "ns", "pod", 12345, timeout=timeout)


def refusing(api: ScriptedApi, directory: Path, **options: Any) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        forward(api, directory, **options)
    return caught.value


# --- data -----------------------------------------------------------------------------------------


def test_bytes_go_to_the_port_and_come_back(tmp_path: Path) -> None:
    def echo(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(messages(*BEGUN))
        head = connection.recv(6)  # two bytes of a frame's head, four of its mask
        masked = connection.recv(head[1] & 0x7F)
        connection.sendall(frame(bytes(byte ^ head[2 + index % 4] for index, byte in enumerate(masked))))
        connection.recv(1)

    with forwarding(echo) as api, forward(api, tmp_path) as connection:
        connection.sendall(b"hello")
        assert connection.recv(3) == b"hel"
        assert connection.recv(65536) == b"lo"


@pytest.mark.parametrize("ending", [b"", frame(b"\x03\xe8", kind=8)], ids=["EOF", "goodbye"])
def test_what_came_before_the_end_is_read_and_then_the_end(tmp_path: Path, ending: bytes) -> None:
    with (
        forwarding(sending(messages(*BEGUN, (0, b"last")) + ending, renew_if_due=False)) as api,
        forward(api, tmp_path) as connection,
    ):
        assert [connection.recv(65536) for _ in range(3)] == [b"last", b"", b""]


def test_that_nothing_listens_on_the_port_is_a_connection_refused(tmp_path: Path) -> None:
    said = b"error forwarding port 12345: dial tcp4 127.0.0.1:12345: connect: connection refused"
    with (
        forwarding(sending(messages(*BEGUN, (1, said)))) as api,
        forward(api, tmp_path) as connection,
        pytest.raises(ConnectionRefusedError, match="port 12345"),
    ):
        connection.recv(65536)


@pytest.mark.parametrize(
    "sent",
    [messages(*BEGUN, (1, b"the sandbox is gone")), messages((7, b"")), frame(b""), b"\xf2\x00"],
    ids=["the far end's error", "unknown channel", "no channel", "reserved bits"],
)
def test_anything_else_that_is_said_is_a_broken_connection(tmp_path: Path, sent: bytes) -> None:
    with forwarding(sending(sent)) as api, forward(api, tmp_path) as connection, pytest.raises(ConnectionError):
        connection.recv(65536)


@pytest.mark.parametrize("sent", [b"", messages(*BEGUN)], ids=["silence", "no data"])
def test_a_silent_far_end_is_given_up_in_time(tmp_path: Path, sent: bytes) -> None:
    with forwarding(sending(sent)) as api, forward(api, tmp_path) as connection:
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(65536)


def test_pings_gain_no_time(tmp_path: Path) -> None:
    def ping(connection: socket.socket, stop: threading.Event) -> None:
        while not stop.wait(0.01):
            connection.sendall(frame(b"", kind=9))

    with forwarding(ping) as api, forward(api, tmp_path) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(65536)


def dripping(data: bytes) -> Script:
    """Send a byte every hundredth of a second."""

    def script(connection: socket.socket, stop: threading.Event) -> None:
        for byte in data:
            if stop.wait(0.01):
                return
            connection.sendall(bytes([byte]))

    return script


@pytest.mark.fault("N10")
def test_a_frame_that_drips_gains_no_time(tmp_path: Path) -> None:
    sent = b"\x82\x7e\xff\xff" + bytes(0xFFFF)
    with forwarding(dripping(sent)) as api, forward(api, tmp_path) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(65536)


@case(
    "W42",
    kind="Found by tests: a peer that used up time or memory",
    situation="A port-forward's answer comes one byte at a time.",
    says="Timed out after five seconds. Before: read without end, with drained workers.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("N10")
@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 101 Switching Protocols\r\nX: ", b"HTTP/1.1 500 no\r\nContent-Length: 99999\r\n\r\n"]
)
def test_a_head_or_a_refusal_that_drips_gains_no_time(tmp_path: Path, beginning: bytes) -> None:
    def drip(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        dripping(beginning + b"x" * 9999)(connection, stop)

    with listening(drip) as server:
        assert refusing(ScriptedApi(server.port), tmp_path, timeout=0.3).reason is ClusterErrorReason.TIMEOUT


def test_closing_says_goodbye_waits_for_nobody_and_leaves_no_thread(tmp_path: Path) -> None:
    gone = threading.Event()

    def read(connection: socket.socket, _: threading.Event) -> None:
        while connection.recv(65536):
            pass
        gone.set()

    with forwarding(read) as api:
        connection = forward(api, tmp_path)
        threads = threading.active_count()
        begun = time.monotonic()
        connection.close()
        connection.close()
        assert time.monotonic() - begun < 1
        assert threading.active_count() <= threads
        assert gone.wait(PATIENCE)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, ClusterErrorReason.FORBIDDEN),
        (404, ClusterErrorReason.NOT_FOUND),
        (500, ClusterErrorReason.SERVER_ERROR),
    ],
)
def test_a_refusal_has_its_reason(tmp_path: Path, status: int, reason: ClusterErrorReason) -> None:
    with scripted_api(refusal(status)) as api:
        error = refusing(api, tmp_path)
        request = api.next_request()
    assert (error.reason, error.status) == (reason, status)
    assert "refused" in str(error)
    assert (request.path, request.query) == ("/api/v1/namespaces/ns/pods/pod/portforward", {"ports": "12345"})
    assert request.headers["authorization"] == "Bearer secret-token"


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The token would go to wherever it points."""
    with scripted_api() as elsewhere, scripted_api(refusal(302, Location=f"ws://{HOST}:{elsewhere.port}/")) as api:
        assert refusing(api, tmp_path).reason is ClusterErrorReason.UNREACHABLE
        assert elsewhere.requests.empty()


def test_refused_credentials_are_loaded_anew_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("same")
    with scripted_api(refusal(401), refusal(401), refusal(404)) as api:
        assert refusing(api, tmp_path, tokenFile=str(token)).status == 401
        assert [api.next_request().path for _ in range(2)] == ["/api/v1/namespaces/ns/pods/pod/portforward"] * 2
        assert api.requests.empty()


def test_a_silent_api_server_is_a_timeout(tmp_path: Path) -> None:
    with scripted_api(silence) as api:
        assert refusing(api, tmp_path, timeout=0.1).reason is ClusterErrorReason.TIMEOUT


def test_an_api_server_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with scripted_api() as api:
        pass
    assert refusing(api, tmp_path).reason is ClusterErrorReason.UNREACHABLE


# --- the way there --------------------------------------------------------------------------------


@contextmanager
def proxy(targets: list[str]) -> Iterator[int]:
    """Serve CONNECT, as a company's proxy does, and note whereto."""

    def handle(client: socket.socket, _stop: threading.Event) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(65536)
        targets.append(head.split(b" ")[1].decode())
        host, _, port = targets[-1].partition(":")
        with socket.create_connection((host, int(port)), PATIENCE) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=carry, args=(server, client))
            back.start()
            carry(client, server)
            back.join()

    with listening(handle) as listener:
        yield listener.port


def carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def authority(directory: Path, name: str = HOST) -> tuple[Path, ssl.SSLContext]:
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    root = pki.authority("api", not_before=start, not_after=end)
    file = directory / "authority.crt"
    file.write_bytes(root.pem)
    return file, server_context(root.leaf(name, not_before=start, not_after=end))


def trusting(api: ScriptedApi, directory: Path, file: Path) -> Connection:
    path = Path(api.kubeconfig(directory))
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"]["certificate-authority"] = str(file)
    path.write_text(yaml.safe_dump(document))
    return Connection.find(kubeconfig=str(path))


def test_it_takes_the_same_proxy_and_trusts_the_same_authority_as_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tls = authority(tmp_path)
    targets: list[str] = []
    with proxy(targets) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{HOST}:{port}")
        with scripted_api(page([], "1"), tls=tls) as plain:
            ClusterClient(trusting(plain, tmp_path, file)).get("/api", {})
        with (
            forwarding(sending(messages(*BEGUN, (0, b"hello"))), tls) as api,
            port_forward(trusting(api, tmp_path, file), "ns", "pod", 1, timeout=PATIENCE) as connection,
        ):
            assert connection.recv(65536) == b"hello"
    assert targets == [f"{HOST}:{plain.port}", f"{HOST}:{api.port}"]


@pytest.mark.fault("N10")
def test_a_proxys_answer_that_drips_gains_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        dripping(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999)(connection, stop)

    with listening(drip) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{HOST}:{server.port}")
        assert refusing(ScriptedApi(1), tmp_path, timeout=0.3).reason is ClusterErrorReason.TIMEOUT


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"220 mail\r\n", b""])
def test_a_proxy_that_does_not_connect_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    def answering(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with listening(answering) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{HOST}:{server.port}")
        assert refusing(ScriptedApi(1), tmp_path).reason is ClusterErrorReason.UNREACHABLE


def test_no_proxy_counts_as_for_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, tls = authority(tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{HOST}:1")
    monkeypatch.setenv("NO_PROXY", f"elsewhere.example,{HOST}")
    with (
        forwarding(sending(messages(*BEGUN, (0, b"hello"))), tls) as api,
        port_forward(trusting(api, tmp_path, file), "ns", "pod", 1, timeout=PATIENCE) as connection,
    ):
        assert connection.recv(65536) == b"hello"


def test_an_api_server_of_another_authority_is_unreachable(tmp_path: Path) -> None:
    _, tls = authority(tmp_path)
    file, _ = authority(tmp_path)
    with forwarding(sending(b""), tls) as api, pytest.raises(ClusterError) as caught:
        port_forward(trusting(api, tmp_path, file), "ns", "pod", 1, timeout=PATIENCE)
    assert caught.value.reason is ClusterErrorReason.UNREACHABLE
