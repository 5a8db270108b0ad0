"""A small certificate authority for tests: real certificates with chosen names, dates, keys and serials.

    root = authority("root")
    leaf = root.intermediate("int").leaf("svc.example", not_after=datetime(2030, 1, 1, tzinfo=UTC))
    leaf.chain_pem, leaf.key_pem    # what a server is started with
    leaf.der, leaf.chain            # what a probe of it should give

Everything is frozen. A path that is a tmp_path can be filled by `write`.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
"""The instant around which certificates are valid if a test says nothing else."""
DAY = timedelta(days=1)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Make a key in a millisecond."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Make a key in tenths of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


class Files(NamedTuple):
    """Where `Issued.write` put things."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the certificates between it and the root (which is not among them)."""

    certificate: x509.Certificate
    key: Key
    intermediates: tuple[bytes, ...] = ()

    @cached_property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the certificate and its intermediates: what a server presents."""
        return (self.der, *self.intermediates)

    @property
    def chain_pem(self) -> bytes:
        """The same as PEM: what cert-manager puts into tls.crt and into `status.certificate`."""
        return b"".join(pem(der) for der in self.chain)

    @cached_property
    def key_pem(self) -> bytes:
        """The key, unencrypted PKCS#8."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, directory: Path, name: str = "tls") -> Files:
        """Write chain and key into a directory."""
        files = Files(directory / f"{name}.crt", directory / f"{name}.key")
        files.certificate.write_bytes(self.chain_pem)
        files.key.write_bytes(self.key_pem)
        return files


@dataclass(frozen=True)
class Authority(Issued):
    """A certificate that signs others."""

    is_root: bool = True

    def leaf(
        self,
        *names: str,
        not_before: datetime = NOW - DAY,
        not_after: datetime = NOW + 89 * DAY,
        common_name: str | None = None,
        serial: int | None = None,
        key: Key | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> Issued:
        """Issue a leaf for DNS names, addresses and URIs (told apart by their looks)."""
        key = key or ec_key()
        if names:
            extensions = (x509.SubjectAlternativeName([general_name(name) for name in names]), *extensions)
        signed = sign(
            common_name,
            key,
            issuer=self,
            not_before=not_before,
            not_after=not_after,
            serial=serial,
            extensions=extensions,
        )
        return Issued(signed, key, self._below())

    def intermediate(
        self,
        name: str,
        *,
        not_before: datetime = NOW - 365 * DAY,
        not_after: datetime = NOW + 3650 * DAY,
        key: Key | None = None,
    ) -> "Authority":
        """Issue a certificate that may sign others; with another authority's key it is a cross-signed one."""
        key = key or ec_key()
        signed = sign(name, key, issuer=self, not_before=not_before, not_after=not_after, extensions=_MAY_SIGN)
        return Authority(signed, key, self._below(), is_root=False)

    def _below(self) -> tuple[bytes, ...]:
        return () if self.is_root else self.chain


def authority(
    name: str,
    *,
    not_before: datetime = NOW - 365 * DAY,
    not_after: datetime = NOW + 3650 * DAY,
    key: Key | None = None,
) -> Authority:
    """Make a root."""
    key = key or ec_key()
    signed = sign(name, key, issuer=None, not_before=not_before, not_after=not_after, extensions=_MAY_SIGN)
    return Authority(signed, key)


def self_signed(*names: str, not_before: datetime = NOW - DAY, not_after: datetime = NOW + 89 * DAY) -> Issued:
    """Make a leaf that signs itself."""
    key = ec_key()
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
    signed = sign(names[0], key, issuer=None, not_before=not_before, not_after=not_after, extensions=(alternatives,))
    return Issued(signed, key)


def sign(
    common_name: str | None,
    key: Key,
    *,
    issuer: Authority | None,
    not_before: datetime,
    not_after: datetime,
    serial: int | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """Sign one certificate; without an issuer it signs itself."""
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    signer = issuer.key if issuer else key
    # What RFC 5280 §4.2.1 asks for, and Python verifies strictly from 3.13 on.
    critical = (x509.BasicConstraints, x509.KeyUsage, *((x509.SubjectAlternativeName,) if not attributes else ()))
    identifiers = (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
    )
    for extension in (*extensions, *identifiers):
        builder = builder.add_extension(extension, critical=isinstance(extension, critical))
    return builder.sign(signer, hashes.SHA256())


def general_name(name: str) -> x509.GeneralName:
    """Tell a URI, an address and a DNS name apart."""
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem(der: bytes) -> bytes:
    """Return PEM (RFC 7468: base64 in lines of 64) of any bytes, be they a certificate or not."""
    text = base64.b64encode(der)
    lines = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"


_MAY_SIGN = (
    x509.BasicConstraints(ca=True, path_length=None),
    x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    ),
)
