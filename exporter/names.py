"""Names in certificates: one form for those that mean the same, and which of them identify nobody. Pure."""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

_LOCAL_HOSTS = ("localhost", "localhost.localdomain", "localhost4", "localhost6", "localdomain")
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
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
