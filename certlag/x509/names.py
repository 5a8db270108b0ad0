"""Names in certificates: one form for those that mean the same, which of them identify nobody, which a client asks for.

Pure.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from unicodedata import normalize
from urllib.parse import urlsplit, urlunsplit

ANY_LABEL = "certlag"
"""The label that takes the place of a wildcard's asterisk. A server may log it: it says who connected."""
MAX_HOST_NAME = 253
"""Characters of a host name (RFC 1035 §2.3.4, without the root's dot)."""
MAX_LABEL = 63
"""Characters between two dots of it."""

_LOCAL_HOSTS = ("localhost", "localhost.localdomain", "localhost4", "localhost6", "localdomain")
_LABEL = re.compile(rf"[a-z0-9_]([a-z0-9_-]{{0,{MAX_LABEL - 2}}}[a-z0-9_])?")
_COMMON_NAME = re.compile(r"(?:^|[,+;])\s*CN\s*=\s*((?:\\.|[^,+;\\])+)", re.IGNORECASE)


def normalized(name: str) -> str:
    """Return the form in which two names are equal if they name the same.

    An IP address is in its shortest form (RFC 5952), an IPv4-mapped one is IPv4; a DNS name is lower-case A-labels
    without the final dot (RFC 5280 §7.2 compares them so); scheme and host of a URI are lower-case (§7.4).
    """
    text = name.strip()
    if "://" in text:
        return _normalized_uri(text)
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return _a_labels(text.rstrip(".").lower())
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def identifying(names: Iterable[str]) -> frozenset[str]:
    """Return the normalized names that tell one service from another.

    `localhost`, loopback and unspecified addresses stand in many certificates, also in those that a library makes for
    itself at start (controller-runtime's metrics server), so they say nothing about whose a certificate is.
    """
    return frozenset(name for name in names if name and not _is_local(name))


def server_name(names: Sequence[str]) -> str | None:
    """Return the first name that can be a server name (SNI); of wildcards, if there is no other, a name under one.

    Args:
        names: DNS names and the common name of a Certificate: any text.
    """
    parents = (host_name(name[2:]) for name in names if name.startswith("*."))
    under_wildcards = (host_name(f"{ANY_LABEL}.{parent}") for parent in parents if parent)
    return next(filter(None, chain(map(host_name, names), under_wildcards)), None)


def host_name(name: str) -> str | None:
    """Return a name in the form in which a client sends it: normalized. None if it is no host name, or an IP address.

    Servers compare it with theirs, often byte by byte (RFC 6066 §3).
    """
    host = normalized(name)
    labels = host.split(".")
    valid = all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit() and len(host) <= MAX_HOST_NAME
    return host if valid else None


def common_name(literal_subject: str) -> str | None:
    """Return the common name in an RFC 4514 string, as `spec.literalSubject` of a Certificate has it."""
    found = _COMMON_NAME.search(literal_subject)
    return re.sub(r"\\(.)", r"\1", found[1]).strip() if found else None


def _is_local(name: str) -> bool:
    host = name.partition("://")[2].partition("/")[0] if "://" in name else name
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in _LOCAL_HOSTS or host.endswith(".localhost") or not host.strip("*.")
    return address.is_loopback or address.is_unspecified


def _normalized_uri(text: str) -> str:
    try:
        parts = urlsplit(text)
        return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, parts.query, parts.fragment))
    except ValueError:
        return text


def _a_labels(name: str) -> str:
    """Return an internationalized name as it stands in certificates (RFC 5890); any other as it is."""
    return name if name.isascii() else ".".join(map(_a_label, normalize("NFKC", name).lower().split(".")))


def _a_label(label: str) -> str:
    if label.isascii() or len(label) > MAX_LABEL:
        return label
    return f"xn--{label.encode('punycode').decode()}"
