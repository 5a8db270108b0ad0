"""X.509 bytes to the model's types, and whether one certificate signs another. Pure.

All input is hostile: sizes are bounded, and whatever the library makes of broken bytes becomes
`InvalidCertificateError`. Nothing here trusts a certificate; trust is not the question, identity is.
"""

import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certlag import limits
from certlag.model import Chain, IssuedChain, Leaf
from certlag.x509.names import normalized

MAX_PEM = 64 * 1024
"""Bytes of one PEM text that are read."""
MAX_CHAIN = 16
"""Certificates in one chain that are looked at. OpenSSL's own default depth is 100; real chains have at most five."""
REMEMBERED = 1024
"""Former chains, of which each is kept with the authority that signed it: 1 KiB each, and 0.15 ms to look again."""
MAX_REMEMBERED = 16 * 1024
"""Bytes of a chain that is remembered, with its authorities. Real ones have up to 10 KiB; a forged one of 100 KiB would
stay when its pod is long gone, and so is looked at again each time."""
MAX_SHARED = 4 * 1024
"""Bytes of a single certificate that is remembered: twice what one of RSA 4096 has."""

P = ParamSpec("P")
Result = TypeVar("Result")

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


class InvalidCertificateError(ValueError):
    """These bytes are not an X.509 certificate that can be read."""


def split_pem(pem: bytes) -> tuple[bytes, ...]:
    """Return the DER of each CERTIFICATE block of a PEM text (RFC 7468), in order.

    Raises:
        InvalidCertificateError: there is none, one is not base64, or the text is longer than 64 KiB. The size
            cap is what CVE-2024-12401 taught cert-manager.
    """
    if len(pem) > MAX_PEM:
        raise InvalidCertificateError(f"{len(pem)} bytes of PEM, at most {MAX_PEM} are read")
    try:
        bodies = _PEM.findall(pem.decode("ascii"))
        ders = tuple(binascii.a2b_base64("".join(body.split()), strict_mode=True) for body in bodies)
    except ValueError as error:
        raise InvalidCertificateError(f"not PEM: {error}") from error
    if not ders:
        raise InvalidCertificateError("no CERTIFICATE block")
    return ders[:MAX_CHAIN]


def read_chain(ders: Sequence[bytes]) -> Chain:
    """Read what a server presented, leaf first.

    Raises:
        InvalidCertificateError: one of them cannot be read, or there is none.
    """
    if not ders:
        raise InvalidCertificateError("an empty chain")
    leaf, others = read_leaf(ders[0]), tuple(_shared(der) for der in ders[1:MAX_CHAIN])
    return Chain(leaf, (ders[0], *others), min((leaf.not_after, *(_not_after(der) for der in others))))


def read_issued(certificate_pem: bytes, ca_pem: bytes) -> IssuedChain:
    """Read `status.certificate` and `status.ca` of a CertificateRequest; `ca_pem` may be empty.

    Raises:
        InvalidCertificateError: the leaf or an authority cannot be read.
    """
    der, *intermediates = split_pem(certificate_pem)
    authorities = _authorities(ca_pem)
    leaf, issuer = _read_issued_leaf(der)
    issuers = (issuer, *(_load(between).issuer for between in intermediates))
    return IssuedChain(
        leaf=leaf,
        intermediates=tuple(_shared(between) for between in intermediates),
        authorities=authorities,
        authority_not_after=_named_authority_not_after(issuers, authorities),
    )


def read_leaf(der: bytes) -> Leaf:
    """Read what identifies a leaf, its names among it.

    Raises:
        InvalidCertificateError: it cannot be read.
    """
    certificate = _parse(der)
    with _reading():
        return _leaf(der, certificate, (*_common_names(certificate), *_alternative_names(certificate)))


def _read_issued_leaf(der: bytes) -> tuple[Leaf, x509.Name]:
    """Read what was issued, and by whom. Of its names only the common name: the Certificate's spec has the others.

    Leaves are read once and not kept as the library's objects: ten thousand of them would fill any cache.
    """
    certificate = _parse(der)
    with _reading():
        return _leaf(der, certificate, _common_names(certificate)), certificate.issuer


def _leaf(der: bytes, certificate: x509.Certificate, names: Iterable[str]) -> Leaf:
    return Leaf(
        fingerprint=hashlib.sha256(der).digest(),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=tuple(dict.fromkeys(map(normalized, names))),
    )


def _remember(most: int, size: int) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
    """Keep the results of a function of bytes: those of the last calls, each for arguments of limited size."""

    def remembering(work_out: Callable[P, Result]) -> Callable[P, Result]:
        kept = cast(Callable[P, Result], lru_cache(maxsize=most)(work_out))

        @wraps(work_out)
        def result(*given: P.args, **named: P.kwargs) -> Result:
            return (kept if _size(given) <= size else work_out)(*given, **named)

        return result

    return remembering


def _size(given: Any) -> int:
    return len(given) if isinstance(given, bytes) else sum(map(_size, given))


@_remember(REMEMBERED, MAX_REMEMBERED)
def verified_until(chain: tuple[bytes, ...], authorities: tuple[bytes, ...]) -> datetime | None:
    """Return until when (UTC) a chain's leaf verifies to one of some authorities, None if it verifies to none.

    That is the earliest not-after on the path, and of several paths the latest of those: a certificate that is not
    needed (a cross-signed root that has expired) does no harm (RFC 4158 §2.2, and what OpenSSL and Go do).

    Args:
        chain: DER of the leaf and of any certificates that may stand between, those in any order.
        authorities: DER of what is trusted.

    Only names and signatures decide whether a path exists: dates are ignored for that, because an expired authority
    still tells who signed.
    """
    if not authorities:
        return None
    leaf, *between = (_load(der) for der in chain)
    trusted = tuple(_load(der) for der in authorities)
    frontier, left = {leaf: leaf.not_valid_after_utc}, set(between) - {leaf}
    ends: list[datetime] = []
    while frontier:
        certificate = max(frontier, key=lambda reached: frontier[reached])
        until = frontier.pop(certificate)
        left.discard(certificate)
        ends += [
            min(until, authority.not_valid_after_utc)
            for authority in trusted
            if certificate == authority or _signs(authority, certificate)
        ]
        for issuer in left:
            if _signs(issuer, certificate):
                frontier[issuer] = max(
                    frontier.get(issuer, datetime.min.replace(tzinfo=UTC)), min(until, issuer.not_valid_after_utc)
                )
    return max(ends, default=None)


@_remember(4096, MAX_SHARED)
def _shared(der: bytes) -> bytes:
    """Return one object for equal bytes: ten thousand leaves have the same few authorities."""
    return der


@_remember(256, MAX_REMEMBERED)
def _authorities(ca_pem: bytes) -> tuple[bytes, ...]:
    """Split `status.ca`; one tuple for equal texts, since many certificates have the same."""
    return tuple(_shared(der) for der in split_pem(ca_pem)) if ca_pem.strip() else ()


@_remember(512, MAX_SHARED)
def _load(der: bytes) -> x509.Certificate:
    certificate = _parse(der)
    with _reading():
        # The library reads names when they are first asked for, and may fail only then.
        _ = certificate.subject, certificate.issuer
    return certificate


def _parse(der: bytes) -> x509.Certificate:
    with _reading():
        return x509.load_der_x509_certificate(der)


@contextmanager
def _reading() -> Iterator[None]:
    """Translate what the library makes of broken bytes.

    Fuzzing it found ValueError, InvalidVersion, UnsupportedGeneralNameType and more, of no common kind: whichever it
    is, the certificate cannot be read.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidCertificateError(f"{type(error).__name__}: {error}") from error


def _not_after(der: bytes) -> datetime:
    return _load(der).not_valid_after_utc


def _signs(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Tell whether names and signature agree (RFC 5280 §6.1.3 a.1 and a.4)."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _named_authority_not_after(issuers: tuple[x509.Name, ...], authorities: tuple[bytes, ...]) -> datetime | None:
    """Return the not-after of the authority that a chain names as its issuer.

    Names are enough here: cert-manager itself put the two into one status, and checking ten thousand signatures
    at start would cost seconds.
    """
    named = [der for der in authorities if _load(der).subject in issuers] or list(authorities)
    return min((_not_after(der) for der in named), default=None)


def _common_names(certificate: x509.Certificate) -> Iterator[str]:
    return limits.names(
        str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    )


def _alternative_names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for kind in (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier):
        yield from limits.names(str(value) for value in alternatives.get_values_for_type(kind))
