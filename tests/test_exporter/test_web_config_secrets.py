"""A password by mistake where a hash belongs is told of by its place, and never repeated."""

from pathlib import Path

import bcrypt
import pytest

from exporter.http.web_config import WebConfigError, WebConfigFile
from tests.field.record import case

PASSWORD = "Tr0ub4dor&3"
HASH = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
MISTAKES = {
    "in place of a hash": "basic_auth_users:\n  me: {password}",
    "in place of all users": "basic_auth_users: {password}",
    "as a user's name": "basic_auth_users: {{'{password}'}}",
    "below a user": "basic_auth_users:\n  me: {{pass: '{password}'}}",
    "of a user who is called like a key": "basic_auth_users:\n  headers: '{password}'",
    "below a user who is called like a key": "basic_auth_users:\n  cert_file: {{key_file: '{password}'}}",
    "in a list": "basic_auth_users: ['{password}']",
    "as an alias": "basic_auth_users:\n  me: *{password}",
    "as a tag": "basic_auth_users:\n  me: !{password} x",
    "after a quote": "basic_auth_users:\n  me: 'x' {password}",
    "as a date": "basic_auth_users:\n  me: 2023-13-45",
    "after a hash": "basic_auth_users:\n  me: {hash}{password}",
}


@case(
    "W45",
    kind="Found by tests: a credential or page without protection",
    situation="The web configuration has a password where a bcrypt hash belongs.",
    says="Refused, with its line. Before: the password was printed and logged.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("P4")
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_password_in_the_file_is_in_no_message_neither_at_start_nor_later(
    mistake: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = mistake.format(password=PASSWORD, hash=HASH)
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(WebConfigError) as refused:
        WebConfigFile(str(file))
    file.write_text(f"basic_auth_users: {{me: {HASH}}}")
    later = WebConfigFile(str(file))
    file.write_text(text)
    assert later.current().users == {"me": HASH.encode()}
    assert "not taken" in caplog.text
    said = str(refused.value) + "".join(str(record.__dict__) for record in caplog.records)
    assert f"{file}:" in said
    assert [word for word in (PASSWORD, "2023-13-45", HASH) if word in said] == []


@pytest.mark.fault("P4")
def test_the_place_of_a_password_is_told_with_its_line_and_what_would_be_right(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(f"# who may scrape\nbasic_auth_users:\n  other: {HASH}\n  me: {PASSWORD}\n")
    with pytest.raises(WebConfigError) as refused:
        WebConfigFile(str(file))
    assert str(refused.value) == (
        f"{file}:4: basic_auth_users: what stands here (not repeated) is not "
        "a mapping of user names without a colon to bcrypt hashes of a cost of 4 to 16, as `htpasswd -nBC 10 NAME` "
        "prints them"
    )
