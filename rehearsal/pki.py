"""Real X.509, as cert-manager's own issuers make it: keys, requests, signatures. Pure but for chance.

ECDSA P-256 throughout, whatever a Certificate asks for: a key in a tenth of a millisecond. Instants have whole seconds.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

_USAGES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=False,
    key_encipherment=True,
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Signer:
    """What an issuer signs with: its certificates (its own first, a root last or missing) and its key, as PEM."""

    chain: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """What a certificate is for: common name (may be empty), DNS names, IP addresses and URIs."""

    common_name: str
    dns_names: frozenset[str]
    addresses: frozenset[str]
    uris: frozenset[str]


@dataclass(frozen=True, slots=True)
class Signed:
    """What an issuer answers with, as PEM: the leaf with its intermediates, and the authority at the top."""

    certificate: bytes
    authority: bytes


def new_key() -> bytes:
    """Make a private key, as PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def request(spec: Mapping[str, Any], key: bytes) -> bytes:
    """Make the PKCS#10 request for a Certificate's spec, as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(spec))
    for extension, critical in _extensions(spec):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(_private(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(requested: bytes, *, signer: Signer | None, key: bytes, now: datetime, lifetime: timedelta) -> Signed:
    """Sign a request.

    Args:
        requested: the PKCS#10 request, as PEM.
        signer: the issuer; None: it signs itself, with `key`.
        key: the private key of the request, as PEM.
        now: the certificate's not-before, to the second.
        lifetime: until its not-after.

    Raises:
        ValueError: the request, the signer or the key cannot be read.
    """
    asked = x509.load_pem_x509_csr(requested)
    chain = x509.load_pem_x509_certificates(signer.chain) if signer else []
    signing = _private(signer.key if signer else key)
    start = now.replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(chain[0].subject if chain else asked.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(asked.public_key()), critical=False)
    )
    for extension in asked.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    leaf = builder.sign(signing, hashes.SHA256())
    intermediates = [each for each in chain if each.subject != each.issuer]
    authority = chain[-1] if chain else leaf
    return Signed(_pem(leaf, *intermediates), _pem(authority))


def dates(certificate: bytes) -> tuple[datetime, datetime]:
    """Return not-before and not-after of the first certificate in a PEM.

    Raises:
        ValueError: there is none.
    """
    leaf = x509.load_pem_x509_certificate(certificate)
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


def public_key(key: bytes) -> bytes:
    """Return the public part (DER) of a private key in PEM.

    Raises:
        ValueError: it cannot be read, or is not for ECDSA.
    """
    return _der(_private(key).public_key())


def public_key_and_subject(certificate: bytes) -> tuple[bytes, Subject]:
    """Return the public key (DER) of the first certificate in a PEM, and what it is for.

    Raises:
        ValueError: there is none.
    """
    leaf = x509.load_pem_x509_certificate(certificate)
    return _der(leaf.public_key()), _read_subject(leaf)


def requested(csr: bytes) -> tuple[bytes, Subject]:
    """Return the public key (DER) of a PKCS#10 request in PEM, and what it asks a certificate for.

    Raises:
        ValueError: there is none.
    """
    asked = x509.load_pem_x509_csr(csr)
    return _der(asked.public_key()), _read_subject(asked)


def subject_of(spec: Mapping[str, Any]) -> Subject:
    """Return what a Certificate's spec asks for."""
    addresses = (ipaddress.ip_address(address).compressed for address in spec.get("ipAddresses") or ())
    return Subject(
        spec.get("commonName", ""),
        frozenset(spec.get("dnsNames") or ()),
        frozenset(addresses),
        frozenset(spec.get("uris") or ()),
    )


def der_of(certificates: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a PEM as DER.

    Raises:
        ValueError: there is none.
    """
    loaded = x509.load_pem_x509_certificates(certificates)
    return tuple(each.public_bytes(serialization.Encoding.DER) for each in loaded)


def self_signed(common_name: str, names: Iterable[str], *, now: datetime, lifetime: timedelta) -> Signer:
    """Make a key and a certificate that signs itself, for a server of our own (the API server)."""
    key = new_key()
    spec = {"commonName": common_name, "isCA": True, **_named(names)}
    made = sign(request(spec, key), signer=None, key=key, now=now, lifetime=lifetime)
    return Signer(made.certificate, key)


def _named(names: Iterable[str]) -> dict[str, list[str]]:
    addresses = [name for name in names if name.replace(".", "").isdigit()]
    return {"ipAddresses": addresses, "dnsNames": [name for name in names if name not in addresses]}


def _subject(spec: Mapping[str, Any]) -> x509.Name:
    named = {
        x509.NameOID.COMMON_NAME: spec.get("commonName"),
        x509.NameOID.SERIAL_NUMBER: spec.get("subject", {}).get("serialNumber"),
    }
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in named.items() if text])


def _read_subject(signed: x509.Certificate | x509.CertificateSigningRequest) -> Subject:
    common_names = signed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    try:
        names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Subject(
        str(common_names[0].value) if common_names else "",
        frozenset(names.get_values_for_type(x509.DNSName)),
        frozenset(address.compressed for address in names.get_values_for_type(x509.IPAddress)),
        frozenset(names.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def _extensions(spec: Mapping[str, Any]) -> Iterable[tuple[x509.ExtensionType, bool]]:
    names = [
        *(x509.DNSName(name) for name in spec.get("dnsNames") or ()),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in spec.get("ipAddresses") or ()),
        *(x509.UniformResourceIdentifier(uri) for uri in spec.get("uris") or ()),
    ]
    if names:
        yield x509.SubjectAlternativeName(names), not spec.get("commonName")
    if spec.get("isCA"):
        yield x509.BasicConstraints(ca=True, path_length=None), True
        yield _SIGNS, True
        return
    yield x509.BasicConstraints(ca=False, path_length=None), True
    usages = [_USAGES[usage] for usage in spec.get("usages") or ("server auth",) if usage in _USAGES]
    if usages:
        yield x509.ExtendedKeyUsage(usages), False


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key, None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not for ECDSA")  # noqa: TRY004 - its value is wrong, whatever its type
    return loaded


def _der(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
