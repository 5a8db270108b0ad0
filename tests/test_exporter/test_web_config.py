"""The web configuration: what it lets in, and that our own certificate is never the one that was not loaded."""

import http.client
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest
import yaml

from exporter.http import server as server_module
from exporter.http.web_config import WebConfigError, WebConfigFile
from tests.field.record import case
from tests.web_server import HASH, PASSWORD, ROOT, STRANGER, a_leaf, client, get, presented, serving, write, write_pair


def test_it_serves_tls_and_refuses_plain_http(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, a_leaf())
    with serving(write(tmp_path, tls_server_config=pair)) as port:
        assert get(port, client()).status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            get(port)


@pytest.mark.fault("F32")
def test_among_hundreds_that_never_begin_tls_scrapes_go_on(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, a_leaf())
    with serving(write(tmp_path, tls_server_config=pair)) as port, ExitStack() as silent:
        for number in range(300):
            silent.enter_context(socket.create_connection(("localhost", port), 20))
            if number % 10 == 0:
                assert get(port, client()).status == 200


@pytest.mark.fault("F32")
def test_who_connects_and_never_begins_tls_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own patience with a handshake is a minute."""
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.2)
    pair = write_pair(tmp_path, a_leaf())
    with (
        serving(write(tmp_path, tls_server_config=pair)) as port,
        socket.create_connection(("localhost", port), 20) as silent,
        socket.create_connection(("localhost", port), 20) as halting,
    ):
        halting.sendall(b"\x16\x03\x01")
        assert [gone(each) for each in (silent, halting)] == [True, True]


def gone(connection: socket.socket) -> bool:
    """Wait until the server has closed, with or without a last word."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        return True
    return True


@pytest.mark.fault("F36")
def test_a_renewed_certificate_is_presented_to_the_next_client(tmp_path: Path) -> None:
    first, second = a_leaf(), a_leaf()
    with serving(write(tmp_path, tls_server_config=write_pair(tmp_path, first))) as port:
        assert presented(port) == first.der
        write_pair(tmp_path, second)
        assert presented(port) == second.der


@pytest.mark.fault("F36")
def test_a_certificate_whose_key_is_not_there_yet_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = a_leaf(), a_leaf()
    with serving(write(tmp_path, tls_server_config=write_pair(tmp_path, first))) as port:
        (tmp_path / "tls.crt").write_bytes(second.chain_pem)
        assert presented(port) == presented(port) == first.der
        refusals = [record for record in caplog.records if "not taken" in record.message]
        assert len(refusals) == 1, "one change is told of once"
        (tmp_path / "tls.key").write_bytes(second.key_pem)
        assert presented(port) == second.der


def test_a_link_that_is_swapped_as_the_kubelet_does_is_a_change(tmp_path: Path) -> None:
    leaves = {name: a_leaf() for name in ("first", "second")}
    for name, leaf in leaves.items():
        (tmp_path / name).mkdir()
        write_pair(tmp_path / name, leaf)
    (tmp_path / "data").symlink_to("first")
    pair = {"cert_file": "data/tls.crt", "key_file": "data/tls.key"}
    with serving(write(tmp_path, tls_server_config=pair)) as port:
        assert presented(port) == leaves["first"].der
        (tmp_path / "data.new").symlink_to("second")
        (tmp_path / "data.new").replace(tmp_path / "data")
        assert presented(port) == leaves["second"].der


@pytest.mark.fault("F36")
def test_a_configuration_that_was_broken_later_changes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, basic_auth_users={"prometheus": HASH})
    with serving(file) as port:
        file.write_text("basic_auth_users: {prometheus: plain text}")
        assert get(port).status == 401
        assert get(port, credentials=f"prometheus:{PASSWORD}").status == 200


@case(
    "W44",
    kind="Found by tests: a credential or page without protection",
    situation="The web configuration is read while it is written.",
    says="TLS and passwords stay. Before: everybody was let in without TLS until the file was complete.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("F36")
@pytest.mark.parametrize("first", ["basic_auth_users", "tls_server_config"])
@pytest.mark.thorough
def test_whoever_comes_while_it_is_written_is_asked_for_nothing_less(first: str, tmp_path: Path) -> None:
    section = write_pair(tmp_path, a_leaf())
    (tmp_path / "clients.pem").write_bytes(ROOT.pem)
    section |= {"client_ca_file": "clients.pem", "client_auth_type": "RequireAndVerifyClientCert"}
    sections = {"basic_auth_users": {"prometheus": HASH}, "tls_server_config": section}
    text = yaml.safe_dump({first: sections.pop(first), **sections}, sort_keys=False)
    file = tmp_path / "web.yaml"
    file.write_text(text)
    web = WebConfigFile(str(file))
    for length in range(len(text)):
        file.write_text(text[:length])
        config = web.current()
        assert config.tls is not None, text[:length]
        assert (config.tls.verify_mode, [*config.users]) == (ssl.CERT_REQUIRED, ["prometheus"]), text[:length]
    file.write_text(text.replace("prometheus", "somebody"))
    assert [*web.current().users] == ["somebody"], "once it is whole it counts"


def test_a_start_may_take_protection_away_and_says_how(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path, basic_auth_users={"prometheus": HASH})
    web = WebConfigFile(str(file))
    file.write_text("{}")
    assert web.current().users
    (refusal,) = [record for record in caplog.records if "not taken" in record.message]
    assert "without basic_auth_users; only a start takes it" in str(vars(refusal)["error"])
    assert not WebConfigFile(str(file)).current().users


def test_client_certificates_are_verified_when_they_are_required(tmp_path: Path) -> None:
    section = write_pair(tmp_path, a_leaf())
    (tmp_path / "clients.pem").write_bytes(ROOT.pem)
    section |= {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "clients.pem"}
    known = a_leaf(name="scraper").write(tmp_path, "known")
    stranger = a_leaf(STRANGER, name="scraper").write(tmp_path, "stranger")
    with serving(write(tmp_path, tls_server_config=section)) as port:
        assert get(port, client((known.certificate, known.key))).status == 200
        for pair in (None, (stranger.certificate, stranger.key)):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                get(port, client(pair))


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        (None, 401),
        (f"prometheus:{PASSWORD}", 200),
        ("prometheus:wrong", 401),
        (f"nobody:{PASSWORD}", 401),
        (f"prometheus:{'x' * 5000}", 401),
        ("", 401),
    ],
)
def test_basic_auth(tmp_path: Path, credentials: str | None, status: int) -> None:
    with serving(write(tmp_path, basic_auth_users={"prometheus": HASH})) as port:
        # Twice: the second time the answer may come from memory.
        responses = [get(port, credentials=credentials) for _ in range(2)]
        assert [response.status for response in responses] == [status, status]
        if status == 401:
            assert responses[0].headers["WWW-Authenticate"].startswith("Basic ")


def test_a_password_that_was_changed_no_longer_lets_in(tmp_path: Path) -> None:
    file = write(tmp_path, basic_auth_users={"prometheus": HASH})
    with serving(file) as port:
        assert get(port, credentials=f"prometheus:{PASSWORD}").status == 200
        another = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
        write(tmp_path, basic_auth_users={"prometheus": another})
        assert get(port, credentials=f"prometheus:{PASSWORD}").status == 401
        assert get(port, credentials="prometheus:another").status == 200


def test_configured_headers_are_sent(tmp_path: Path) -> None:
    headers = {"Strict-Transport-Security": "max-age=31536000"}
    with serving(write(tmp_path, http_server_config={"headers": headers})) as port:
        assert get(port).headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tls_server_config: {cert_file: a}", "1: tls_server_config.key_file: missing; it must be the path of its"),
        ("tls_server_config: {cert_file: no, key_file: no}", "tls_server_config.cert_file: False is not the path"),
        (
            "tls_server_config: {cert_file: x, key_file: y}",
            "tls_server_config.cert_file: x cannot be read: No such file",
        ),
        ("basic_auth_users: {me: secret}", "basic_auth_users: what stands here (not repeated) is not a mapping"),
        ("tls_config: {}", '1: tls_config: unknown key (did you mean "tls_server_config"?)'),
        (
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  cipher_suites: []",
            '4: tls_server_config.cipher_suites: unknown key (did you mean "prefer_server_cipher_suites"?)',
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "tls_server_config: client_auth_type RequireAndVerifyClientCert needs a client_ca_file",
        ),
        ("[", "not YAML"),
    ],
)
def test_what_cannot_be_used_at_start_is_refused_with_one_message(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(WebConfigError) as refused:
        WebConfigFile(str(file))
    assert str(refused.value).startswith(str(file))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
