"""The server side of TLS 1.3 by hand (RFC 8446), for servers that lie.

Enough of it for one client: X25519, TLS_AES_128_GCM_SHA256, an ECDSA P-256 key. `server_flight` answers a ClientHello
with whichever certificate it is given, and proves to hold its key, or another's, or does not prove anything.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE = 1, 2, 8, 11
SERVER_KEY_EXCHANGE, CERTIFICATE_VERIFY, FINISHED, MESSAGE_HASH = 12, 15, 20, 254
HANDSHAKE_RECORD = 22
KEY_SHARE, COOKIE, PADDING = 0x33, 0x2C, 0x15
X25519 = 0x1D
_SUITE = 0x1301
_RETRY_RANDOM = hashlib.sha256(b"HelloRetryRequest").digest()


def number(value: int, size: int) -> bytes:
    """Write a number as TLS does."""
    return value.to_bytes(size)


def vector(content: bytes, size: int) -> bytes:
    """Write bytes with their length before them."""
    return number(len(content), size) + content


def message(kind: int, body: bytes) -> bytes:
    """Frame one handshake message."""
    return number(kind, 1) + vector(body, 3)


def records(handshake: bytes) -> bytes:
    """Frame handshake messages as plaintext records."""
    pieces = (handshake[start : start + 16000] for start in range(0, len(handshake), 16000))
    return b"".join(b"\x16\x03\x03" + vector(piece, 2) for piece in pieces)


def messages(flight: bytes) -> list[bytes]:
    """Take plaintext records apart into handshake messages, headers included."""
    handshake = bytearray()
    while flight:
        assert flight[0] == HANDSHAKE_RECORD, "not a plaintext handshake record"
        size = int.from_bytes(flight[3:5])
        handshake += flight[5 : 5 + size]
        flight = flight[5 + size :]
    found = []
    while handshake:
        size = 4 + int.from_bytes(handshake[1:4])
        found.append(bytes(handshake[:size]))
        del handshake[:size]
    return found


def without_extension(server_hello: bytes, extension: bytes) -> bytes:
    """Take an extension, given as its bytes, out of a ServerHello."""
    at = 4 + 2 + 32
    at += 1 + server_hello[at] + 2 + 1
    extensions = server_hello[at + 2 :].replace(extension, b"", 1)
    return message(SERVER_HELLO, server_hello[4:at] + vector(extensions, 2))


def certificate_message_1_2(chain: Sequence[bytes]) -> bytes:
    """Make the Certificate message of TLS 1.2 (RFC 5246 §7.4.2)."""
    return message(CERTIFICATE, vector(b"".join(vector(der, 3) for der in chain), 3))


@dataclass(frozen=True)
class ClientHello:
    """A ClientHello, taken apart."""

    raw: bytes
    head: bytes
    session: bytes
    extensions: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, flight: bytes) -> "ClientHello":
        (raw,) = messages(flight)
        at = 4 + 2 + 32
        session = raw[at + 1 : at + 1 + raw[at]]
        at += 1 + raw[at]
        at += 2 + int.from_bytes(raw[at : at + 2])
        at += 1 + raw[at]
        head, rest = raw[4:at], raw[at + 2 :]
        extensions = []
        while rest:
            size = int.from_bytes(rest[2:4])
            extensions.append((int.from_bytes(rest[:2]), rest[4 : 4 + size]))
            rest = rest[4 + size :]
        return cls(raw, head, session, tuple(extensions))

    @property
    def x25519(self) -> X25519PublicKey:
        """The client's key share."""
        shares = dict(self.extensions)[KEY_SHARE][2:]
        while shares:
            group, size = int.from_bytes(shares[:2]), int.from_bytes(shares[2:4])
            if group == X25519:
                return X25519PublicKey.from_public_bytes(shares[4 : 4 + size])
            shares = shares[4 + size :]
        raise AssertionError("the client shares no X25519 key")

    def second(self, cookie: bytes) -> bytes:
        """Predict the ClientHello with which OpenSSL answers a HelloRetryRequest that gives only a cookie."""
        extensions = b""
        for kind, content in self.extensions:
            if kind != PADDING:
                extensions += number(kind, 2) + vector(content, 2)
            if kind == KEY_SHARE:
                extensions += number(COOKIE, 2) + vector(vector(cookie, 2), 2)
        unpadded = len(message(CLIENT_HELLO, self.head + vector(extensions, 2)))
        if 0xFF < unpadded < 0x200:  # RFC 7685: some servers hang on hellos of such a length
            padding = max(1, 0x200 - unpadded - 4)
            extensions += number(PADDING, 2) + vector(bytes(padding), 2)
        return message(CLIENT_HELLO, self.head + vector(extensions, 2))


def server_flight(
    hello: ClientHello,
    chain: Sequence[bytes],
    *,
    signer: ec.EllipticCurvePrivateKey | None,
    retry: bool = False,
    finish: bool = True,
) -> bytes:
    """Answer a ClientHello.

    Args:
        hello: what the client said.
        chain: the certificates to show.
        signer: the key to sign with; None ends after the certificates, and proves nothing.
        retry: ask for another ClientHello first, and answer that one without waiting for it.
        finish: send Finished too.
    """
    transcript, plain = hello.raw, b""
    if retry:
        cookie = b"a cookie"
        body = _server_hello(hello, _RETRY_RANDOM, number(COOKIE, 2) + vector(vector(cookie, 2), 2))
        transcript = message(MESSAGE_HASH, hashlib.sha256(hello.raw).digest()) + body + hello.second(cookie)
        plain += records(body)
    own = X25519PrivateKey.generate()
    share = own.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    share_extension = number(KEY_SHARE, 2) + vector(number(X25519, 2) + vector(share, 2), 2)
    greeting = _server_hello(hello, hashlib.sha256(share).digest(), share_extension)
    transcript += greeting
    secret = _server_secret(own.exchange(hello.x25519), transcript)
    sealed = message(ENCRYPTED_EXTENSIONS, vector(b"", 2))
    entries = b"".join(vector(der, 3) + vector(b"", 2) for der in chain)
    sealed += message(CERTIFICATE, vector(b"", 1) + vector(entries, 3))
    if signer is not None:
        digest = hashlib.sha256(transcript + sealed).digest()
        signed = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + digest
        signature = signer.sign(signed, ec.ECDSA(hashes.SHA256()))
        sealed += message(CERTIFICATE_VERIFY, number(0x0403, 2) + vector(signature, 2))
        if finish:
            digest = hashlib.sha256(transcript + sealed).digest()
            key = _expand(secret, b"finished", b"", 32)
            sealed += message(FINISHED, hmac.digest(key, digest, "sha256"))
    return plain + records(greeting) + _seal(secret, sealed)


def _server_hello(hello: ClientHello, random: bytes, extension: bytes) -> bytes:
    extensions = number(0x2B, 2) + vector(number(0x0304, 2), 2) + extension
    body = number(0x0303, 2) + random + vector(hello.session, 1) + number(_SUITE, 2) + b"\0"
    return message(SERVER_HELLO, body + vector(extensions, 2))


def _server_secret(shared: bytes, transcript: bytes) -> bytes:
    """Derive server_handshake_traffic_secret (RFC 8446 §7.1)."""
    early = hmac.digest(bytes(32), bytes(32), "sha256")
    derived = _expand(early, b"derived", hashlib.sha256(b"").digest(), 32)
    handshake = hmac.digest(derived, shared, "sha256")
    return _expand(handshake, b"s hs traffic", hashlib.sha256(transcript).digest(), 32)


def _expand(secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """HKDF-Expand-Label, for at most one block."""
    info = number(size, 2) + vector(b"tls13 " + label, 1) + vector(context, 1)
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


def _seal(secret: bytes, handshake: bytes) -> bytes:
    key, iv = _expand(secret, b"key", b"", 16), _expand(secret, b"iv", b"", 12)
    header = b"\x17\x03\x03" + number(len(handshake) + 1 + 16, 2)
    return header + AESGCM(key).encrypt(iv, handshake + b"\x16", header)
