"""What a connection proves itself with, and until when: enough to say beforehand whether it lasts for a long run.

Pure. It reads a kubeconfig user's settings in the order in which the `kubernetes` package tries them (release 37:
auth-provider, token, tokenFile, exec, username; beside those, or alone, a client certificate).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cryptography import x509


class CredentialKind(StrEnum):
    """How a user proves who it is: a closed set."""

    BASIC = "basic"
    CLIENT_CERTIFICATE = "client_certificate"
    EXEC = "exec"
    NONE = "none"
    OIDC = "oidc"
    TOKEN = "token"  # noqa: S105 - the word, no password
    TOKEN_FILE = "token_file"  # noqa: S105


_KINDS = {
    "auth-provider": CredentialKind.OIDC,
    "token": CredentialKind.TOKEN,
    "tokenFile": CredentialKind.TOKEN_FILE,
    "exec": CredentialKind.EXEC,
    "username": CredentialKind.BASIC,
    "client-certificate-data": CredentialKind.CLIENT_CERTIFICATE,
    "client-certificate": CredentialKind.CLIENT_CERTIFICATE,
}
"""The kind by the settings of a user in a kubeconfig: the first that is there holds."""

_REFRESHABLE = frozenset({CredentialKind.EXEC, CredentialKind.OIDC, CredentialKind.TOKEN_FILE})


@dataclass(frozen=True, slots=True)
class Credential:
    """What requests are authenticated with.

    Attributes:
        kind: how.
        expires_at: when it ends, as far as it says so itself; nothing here was verified. None: it does not say.
        refreshable: a new one comes without a person once it is refused: by running the plugin again, from the
            identity provider, or by reading the file again, which somebody (in a pod the kubelet) keeps fresh.
    """

    kind: CredentialKind
    expires_at: datetime | None
    refreshable: bool


def describe(
    settings: Mapping[str, Any],
    *,
    token: str | None = None,
    certificate: bytes | None = None,
    expires_at: datetime | None = None,
) -> Credential:
    """Tell what a user's credential is.

    Args:
        settings: the user's entry in the kubeconfig.
        token: what is sent as Authorization.
        certificate: the client certificate, PEM.
        expires_at: what an exec plugin said of its credential.
    """
    kind = next((kind for key, kind in _KINDS.items() if settings.get(key)), CredentialKind.NONE)
    # With a token, a client certificate beside it may end: the API server then goes by the token.
    own = _expiry_of_token(token) if token else _expiry_of_certificate(certificate)
    known = [instant for instant in (own, expires_at) if instant is not None]
    return Credential(kind, min(known, default=None), refreshable=kind in _REFRESHABLE)


def _expiry_of_token(token: str) -> datetime | None:
    """Return a JWT's `exp` (RFC 7519 §4.1.4); None if this is no JWT, or says nothing."""
    parts = token.strip().rpartition(" ")[2].split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError):
        return None


def _expiry_of_certificate(pem: bytes | None) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc if pem else None
    except ValueError:
        return None
