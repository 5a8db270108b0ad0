"""What the PEM in Secrets and CertificateRequests says. Pure; each text is read once."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from rehearsal import pki
from rehearsal.objects import Document

Content = TypeVar("Content")

_REMEMBERED = 1000


class Leaf(NamedTuple):
    """A signed certificate: its dates, its public key, and what it is for."""

    not_before: datetime
    not_after: datetime
    public_key: bytes
    subject: pki.Subject


class Csr(NamedTuple):
    """A PKCS#10 request."""

    public_key: bytes
    subject: pki.Subject


def leaf(secret_or_status: Mapping[str, Any], name: str = "tls.crt") -> Leaf | None:
    """Return the first certificate of a field in base64, None if there is none or it cannot be read."""
    return _leaf(secret_or_status.get(name) or "")


def csr(request: Document) -> Csr | None:
    """Return what a CertificateRequest asks for, None if it cannot be read."""
    return _csr(request["spec"].get("request") or "")


def public_key(secret: Document | None) -> bytes | None:
    """Return the public key of the private key in a Secret, None if there is none or it cannot be read."""
    return _public_key(((secret or {}).get("data") or {}).get("tls.key") or "")


def _readable(read: Callable[[bytes], Content]) -> Callable[[str], Content | None]:
    @lru_cache(_REMEMBERED)
    def remembered(text: str) -> Content | None:
        try:
            return read(base64.b64decode(text))
        except ValueError:
            return None

    return remembered


_leaf = _readable(lambda pem: Leaf(*pki.dates(pem), *pki.public_key_and_subject(pem)))
_csr = _readable(lambda pem: Csr(*pki.requested(pem)))
_public_key = _readable(pki.public_key)
