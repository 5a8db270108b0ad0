"""A web configuration that changed.

`--web.config.file` as its file stands at the moment of a request, for connections that were let in before too: on real
connections.
"""

import http.client
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from exporter.http.web_config import WebConfigError, WebConfigFile
from tests.field.record import case
from tests.pki import Authority
from tests.web_server import (
    HASH,
    PASSWORD,
    ROOT,
    STRANGER,
    a_leaf,
    ask,
    client,
    connect,
    get,
    presented,
    serving,
    write,
    write_pair,
)

ANOTHER = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
CREDENTIALS = f"prometheus:{PASSWORD}"


def require_certificates(folder: Path, authority: Authority, **section: Any) -> Path:
    """Write a web configuration that lets in anyone who has a certificate of this authority."""
    (folder / "clients.pem").write_bytes(authority.pem)
    demands = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "clients.pem"}
    pair = {"cert_file": "tls.crt", "key_file": "tls.key"}
    return write(folder, tls_server_config={**pair, **demands, **section})


@case(
    "E3",
    situation="A user is taken out of the web configuration, or given another password, while his connection is open.",
    says="His next request on it is answered with 401.",
    found_by="reader",
)
@pytest.mark.parametrize("users", [{"somebody": ANOTHER}, {"prometheus": ANOTHER}], ids=["gone", "another password"])
def test_a_user_who_was_revoked_is_not_admitted_on_an_open_connection(users: dict[str, str], tmp_path: Path) -> None:
    file = write(tmp_path, basic_auth_users={"prometheus": HASH, "other": ANOTHER})
    with serving(file) as port, closing(connect(port)) as connection:
        assert [ask(connection, CREDENTIALS).status for _ in range(2)] == [200, 200]
        open_since = connection.sock
        write(tmp_path, basic_auth_users=users)
        assert ask(connection, CREDENTIALS).status == 401
        assert ask(connection, CREDENTIALS).status == 401
        write(tmp_path, basic_auth_users={"prometheus": HASH})
        assert ask(connection, CREDENTIALS).status == 200
        assert connection.sock is open_since


@pytest.mark.field_case("E3")
def test_whoever_came_before_there_were_users_is_asked_on_an_open_connection(tmp_path: Path) -> None:
    file = write(tmp_path, http_server_config={"headers": {"X-Frame-Options": "deny"}})
    with serving(file) as port, closing(connect(port)) as connection:
        assert ask(connection).headers["X-Frame-Options"] == "deny"
        write(tmp_path, basic_auth_users={"prometheus": HASH})
        refused = ask(connection)
        assert (refused.status, refused.headers["X-Frame-Options"]) == (401, None)
        assert ask(connection, CREDENTIALS).status == 200


@pytest.mark.field_case("E3")
@pytest.mark.parametrize(
    ("change", "still"),
    [
        (lambda folder: require_certificates(folder, STRANGER), False),
        (lambda folder: (folder / "clients.pem").write_bytes(STRANGER.pem), False),
        (lambda folder: require_certificates(folder, ROOT, min_version="TLS13"), True),
    ],
    ids=["another authority", "another authority in the same file", "other versions"],
)
def test_a_connection_that_met_other_demands_than_there_are_now_gets_no_answer(
    change: Callable[[Path], object], *, still: bool, tmp_path: Path
) -> None:
    write_pair(tmp_path, a_leaf())
    known = a_leaf(name="scraper").write(tmp_path, "known")
    context = client((known.certificate, known.key))
    with serving(require_certificates(tmp_path, ROOT)) as port, closing(connect(port, context)) as connection:
        assert ask(connection).status == 200
        change(tmp_path)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            ask(connection)
        if still:
            assert get(port, context).status == 200
        else:
            with pytest.raises((ssl.SSLError, http.client.HTTPException, ConnectionError)):
                get(port, context)


@pytest.mark.field_case("E3")
def test_an_open_connection_without_tls_gets_no_answer_once_there_is_tls(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, a_leaf())
    with serving(write(tmp_path)) as port, closing(connect(port)) as connection:
        assert ask(connection).status == 200
        write(tmp_path, tls_server_config=pair)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            ask(connection)
        assert get(port, client()).status == 200


@pytest.mark.field_case("E3")
def test_a_connection_under_a_certificate_that_was_renewed_ends_with_its_next_answer(tmp_path: Path) -> None:
    """A scraper keeps its connection as long as it may, and would be shown the old one until that expires."""
    file = write(tmp_path, tls_server_config=write_pair(tmp_path, a_leaf()))
    second = a_leaf()
    with serving(file) as port, closing(connect(port, client())) as connection:
        assert ask(connection).headers["Connection"] is None
        write_pair(tmp_path, second)
        last = ask(connection)
        assert (last.status, last.headers["Connection"]) == (200, "close")
        assert presented(port) == second.der


@case(
    "E6",
    situation="A web configuration is changed to name files that are only written some time later.",
    says="The last good one stays, which is logged once; the new one counts as soon as its files are there.",
    found_by="reader",
)
def test_a_file_that_appears_later_is_read_when_it_appears(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = a_leaf(), a_leaf()
    with serving(write(tmp_path, tls_server_config=write_pair(tmp_path, first))) as port:
        write(tmp_path, tls_server_config={"cert_file": "new/tls.crt", "key_file": "new/tls.key"})
        assert presented(port) == presented(port) == first.der
        (refusal,) = [record for record in caplog.records if "not taken" in record.message]
        assert str(vars(refusal)["error"]).endswith("cert_file: new/tls.crt cannot be read: No such file or directory")
        (tmp_path / "new").mkdir()
        (tmp_path / "new/tls.crt").write_bytes(second.chain_pem)
        assert presented(port) == first.der
        (tmp_path / "new/tls.key").write_bytes(second.key_pem)
        assert presented(port) == second.der


@pytest.mark.field_case("E6")
def test_authorities_of_clients_that_appear_later_are_asked_for_when_they_appear(tmp_path: Path) -> None:
    known = a_leaf(name="scraper").write(tmp_path, "known")
    with serving(write(tmp_path, tls_server_config=write_pair(tmp_path, a_leaf()))) as port:
        file = require_certificates(tmp_path, ROOT)
        (tmp_path / "clients.pem").rename(tmp_path / "later.pem")
        assert get(port, client()).status == 200
        (tmp_path / "later.pem").rename(tmp_path / "clients.pem")
        assert get(port, client((known.certificate, known.key))).status == 200
        with pytest.raises((ssl.SSLError, http.client.HTTPException, ConnectionError)):
            get(port, client())
        assert file.exists()


@pytest.mark.field_case("E6")
@pytest.mark.parametrize(
    "broken",
    ["[", "tls_server_config: {cert_file: nowhere, key_file: nowhere}", "basic_auth_users: {me: plain}", None],
    ids=["no YAML", "other files", "no hash", "gone"],
)
def test_while_a_broken_file_is_not_taken_a_renewed_certificate_is(broken: str | None, tmp_path: Path) -> None:
    """What stays is the configuration, not the certificate, which would expire one day."""
    first, second, third = (a_leaf() for _ in range(3))
    file = write(tmp_path, tls_server_config=write_pair(tmp_path, first))
    good = file.read_text()
    with serving(file) as port:
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken)
        assert presented(port) == first.der
        write_pair(tmp_path, second)
        assert presented(port) == second.der
        (tmp_path / "tls.crt").write_bytes(third.chain_pem)
        assert presented(port) == second.der
        (tmp_path / "tls.key").write_bytes(third.key_pem)
        assert presented(port) == third.der
        file.write_text(good)
        assert presented(port) == third.der


# --- what could only fail later ---------------------------------------------------------------------------------------


@case(
    "E5",
    situation="The web configuration has a response header with a line end, with a letter that HTTP does not carry, or "
    "one that the server sets itself.",
    says="The start, or the change, is refused with one line: the file's line, the header, and what would be right.",
    found_by="reader",
    kind="A web configuration that can only fail later",
)
@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        ("Strict-Transport-Security", "max-age=1\nSet-Cookie: a=b", "is not one line of ASCII characters"),
        ("Strict-Transport-Security", "max-age=1\r\n", "is not one line of ASCII characters"),
        ("Strict-Transport-Security", "\x00", "is not one line of ASCII characters"),
        ("Content-Security-Policy", "ключ", "is not one line of ASCII characters"),
        ("Content-Security-Policy", "é", "is not one line of ASCII characters"),
        ("X-XSS-Protection", " 1", "is not one line of ASCII characters"),
        ("X-XSS-Protection", 1, "1 is not one line of ASCII characters"),
        ("X-Frame-Options", "sometimes", "'sometimes' is not deny or sameorigin"),
        ("X-Content-Type-Options", "sniff", "'sniff' is not nosniff"),
        *(
            (name, "1", "unknown key; known here: Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, ")
            for name in ("Content-Length", "Transfer-Encoding", "Connection", "Set-Cookie", "ETag", "X-Own", "a b", "")
        ),
        ("content-security-policy", "a", 'unknown key (did you mean "Content-Security-Policy"?)'),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_with_one_message(
    header: str, value: object, message: str, tmp_path: Path
) -> None:
    file = write(tmp_path, http_server_config={"headers": {header: value}})
    with pytest.raises(WebConfigError) as refused:
        WebConfigFile(str(file))
    assert str(refused.value).startswith(f"{file}:")
    assert f"http_server_config.headers.{header}: " in str(refused.value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.field_case("E5")
def test_each_header_that_is_allowed_is_sent_once_and_a_page_has_its_own_way(tmp_path: Path) -> None:
    headers = {
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "sameorigin",
        "X-XSS-Protection": "",
        "Content-Security-Policy": "default-src 'self'",
    }
    with serving(write(tmp_path, http_server_config={"headers": headers})) as port:
        sent = get(port).headers
        own = get(port, path="/own").headers
    assert {name: sent.get_all(name) for name in headers} == {
        name: [value] if value else None for name, value in headers.items()
    }
    assert own.get_all("Content-Security-Policy") == ["default-src 'none'"]


@pytest.mark.field_case("E5")
def test_a_change_to_what_cannot_be_sent_is_not_taken(tmp_path: Path) -> None:
    with serving(write(tmp_path, http_server_config={"headers": {"X-Frame-Options": "deny"}})) as port:
        write(tmp_path, http_server_config={"headers": {"X-Frame-Options": "deny", "Connection": "close"}})
        assert [get(port).headers["X-Frame-Options"] for _ in range(2)] == ["deny", "deny"]


@pytest.mark.field_case("E5")
@pytest.mark.parametrize(
    "users",
    [
        {"me": "$2b$03$" + "." * 53},
        {"me": "$2b$32$" + "." * 53},
        {"me": "$2b$17$" + "." * 53},
        {"me": "$2b$10$" + "." * 21 + "z" + "." * 31},
        {"me": "$2x$10$" + "." * 53},
        {"me": "$2b$10$" + "." * 52},
        {"m:e": HASH},
    ],
    ids=["cost below", "cost above", "takes too long", "salt", "kind", "short", "a name with a colon"],
)
def test_a_user_who_could_never_come_in_is_refused(users: dict[str, str], tmp_path: Path) -> None:
    """bcrypt refuses the hash, or takes longer than a scrape may, or no credential has such a name."""
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump({"basic_auth_users": users}))
    with pytest.raises(
        WebConfigError, match=r"to bcrypt hashes of a cost of 4 to 16, as `htpasswd -nBC 10 NAME` prints"
    ):
        WebConfigFile(str(file))


@pytest.mark.field_case("E5")
def test_a_key_with_a_password_is_refused_and_asks_no_terminal(tmp_path: Path) -> None:
    leaf = a_leaf()
    section = write_pair(tmp_path, leaf)
    encrypted = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "tls.key").write_bytes(encrypted)
    with pytest.raises(WebConfigError, match="are not a PEM certificate chain and its key, without a password"):
        WebConfigFile(str(write(tmp_path, tls_server_config=section)))
