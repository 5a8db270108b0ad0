"""What a kubeconfig's user proves itself with, and until when it says that it lasts."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.kube.credential import Credential, CredentialKind, describe
from tests import pki

SOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 9, 1, tzinfo=UTC)
CERTIFICATE = pki.authority("clients").leaf("someone", not_before=datetime(2026, 1, 1, tzinfo=UTC), not_after=LATER).pem


def jwt(claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{middle}.signature"


@pytest.mark.parametrize(
    ("settings", "kind", "refreshable"),
    [
        ({}, CredentialKind.NONE, False),
        ({"token": "a"}, CredentialKind.TOKEN, False),
        ({"tokenFile": "/a"}, CredentialKind.TOKEN_FILE, True),
        ({"token": "a", "tokenFile": "/a"}, CredentialKind.TOKEN, False),
        ({"exec": {"command": "a"}}, CredentialKind.EXEC, True),
        ({"token": "a", "exec": {"command": "a"}}, CredentialKind.TOKEN, False),
        ({"auth-provider": {"name": "oidc"}, "token": "a"}, CredentialKind.OIDC, True),
        ({"username": "a", "password": "b"}, CredentialKind.BASIC, False),
        ({"client-certificate": "/a", "client-key": "/b"}, CredentialKind.CLIENT_CERTIFICATE, False),
        ({"client-certificate-data": "a", "client-key-data": "b"}, CredentialKind.CLIENT_CERTIFICATE, False),
        ({"client-certificate": "/a", "token": "a"}, CredentialKind.TOKEN, False),
    ],
)
def test_the_kind_is_the_first_that_the_package_would_use(
    settings: dict[str, Any], kind: CredentialKind, *, refreshable: bool
) -> None:
    assert describe(settings) == Credential(kind, None, refreshable)


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
def test_a_jwt_says_until_when_it_lasts(scheme: str) -> None:
    token = f"{scheme}{jwt({'exp': SOON.timestamp()})}\n"
    assert describe({"token": "a"}, token=token).expires_at == SOON


SILENT: list[Any] = [{}, [], None, {"exp": None}, {"exp": "soon"}, {"exp": 1e300}, {"exp": float("nan")}]


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c.d", "a.ä.c", "..", "Basic YTpi", *(jwt(claims) for claims in SILENT)]
)
def test_a_token_that_says_nothing_of_its_end_has_none(token: str) -> None:
    assert describe({"token": "a"}, token=token).expires_at is None


@given(st.text())
def test_no_token_breaks_it(token: str) -> None:
    assert describe({"token": "a"}, token=token).kind is CredentialKind.TOKEN


def test_a_client_certificate_lasts_until_its_not_after() -> None:
    assert describe({"client-certificate": "/a"}, certificate=CERTIFICATE).expires_at == LATER
    assert describe({"client-certificate": "/a"}, certificate=b"no certificate").expires_at is None


def test_beside_a_token_the_client_certificate_may_end() -> None:
    found = describe({"client-certificate": "/a", "token": "a"}, token="opaque", certificate=CERTIFICATE)
    assert found.expires_at is None


def test_what_ends_first_counts() -> None:
    for token, plugin in ((SOON, LATER), (LATER, SOON)):
        found = describe({"exec": {"command": "a"}}, token=jwt({"exp": token.timestamp()}), expires_at=plugin)
        assert found.expires_at == SOON
