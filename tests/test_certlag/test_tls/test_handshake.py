"""A handshake shows what a real server presents, and every other ending is a value with its reason."""

import gc
import itertools
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from certlag.clock import SystemClock
from certlag.model import Endpoint, ObjectKey, Presented, Probe, ProbeError, ProbeFailure
from certlag.tls.handshake import MAX_BYTES, Handshake, probe
from tests import forged_tls, pki
from tests.field.record import case
from tests.forged_tls import ClientHello
from tests.hostile_peers import (
    CHANGE_CIPHER_SPEC,
    ENDLESS,
    HELLO_REQUEST,
    HTTP,
    TLS_1_2,
    alert,
    answering,
    drip,
    flooding,
    of_version_4,
    resetting,
    server_flight,
    with_certificates,
)
from tests.tls_servers import Seen, listening, openssl_server, server_context, tls_server

TLS_1_3 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
BOTH = pytest.mark.parametrize("versions", [TLS_1_2, TLS_1_3], ids=["TLS 1.2", "TLS 1.3"])

ROOT = pki.authority("root")
LEAF = ROOT.intermediate("middle").leaf("svc.example")
OTHER = ROOT.leaf("other.example")
PATIENCE = 20.0
"""Seconds for a probe that is expected to succeed, on a busy machine."""
SHORT = 0.3
"""Seconds for a probe that is expected to time out."""


def endpoint(port: int, server_name: str | None = "svc.example", address: str = "127.0.0.1") -> Endpoint:
    return Endpoint(ObjectKey("ns", "pod"), "uid", address, "main", "containerd://1", port, server_name)


def ask(port: int, server_name: str | None = "svc.example", *, timeout: float = PATIENCE) -> Probe:
    return probe(endpoint(port, server_name), SystemClock(), timeout=timeout)


def presented(result: Probe) -> tuple[bytes, ...]:
    assert isinstance(result.outcome, Presented), result.outcome
    return result.outcome.chain.der


def failure(result: Probe) -> ProbeFailure:
    assert isinstance(result.outcome, ProbeError), result.outcome
    assert result.outcome.detail
    return result.outcome.failure


# --- servers that present something ---------------------------------------------------------------


@pytest.mark.fault("F23")
@BOTH
def test_the_chain_of_a_server_of_one_version_is_read(versions: tuple[ssl.TLSVersion, ssl.TLSVersion]) -> None:
    with tls_server(server_context(LEAF, versions=versions)) as server:
        result = ask(server.port)
    assert presented(result) == LEAF.chain
    assert timedelta(0) < result.duration < timedelta(seconds=PATIENCE)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_chain_of_openssls_own_server_is_read(tmp_path: Path, version: str) -> None:
    with openssl_server(LEAF, tmp_path, version) as port:
        assert presented(ask(port)) == LEAF.chain


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_an_rsa_certificate_is_read(tmp_path: Path, version: str) -> None:
    leaf = ROOT.leaf("svc.example", key=pki.rsa_key())
    with openssl_server(leaf, tmp_path, version) as port:
        assert presented(ask(port)) == leaf.chain


EC = ("-newkey", "ec", "-pkeyopt")
PSS = ("-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048")
RSA = ("-newkey", "rsa:2048")
ANY_CIPHER = ("-cipher", "ALL:eNULL:@SECLEVEL=0")


@pytest.mark.field_case("C2")
@pytest.mark.parametrize(
    ("key", "server"),
    [
        pytest.param(("-newkey", "rsa:512", "-sha1"), ("-tls1_2", *ANY_CIPHER), id="RSA of 512 bits"),
        pytest.param(("-newkey", "rsa:1024", "-sha1"), ANY_CIPHER, id="RSA of 1024 bits"),
        pytest.param(RSA, ("-tls1_2", *ANY_CIPHER, "-sigalgs", "RSA+SHA1"), id="RSA with SHA-1"),
        pytest.param(
            (*EC, "ec_paramgen_curve:P-256"), ("-tls1_2", *ANY_CIPHER, "-sigalgs", "ECDSA+SHA1"), id="ECDSA with SHA-1"
        ),
        pytest.param(PSS, ("-tls1_2",), id="RSA-PSS in TLS 1.2"),
        pytest.param(PSS, ("-tls1_3",), id="RSA-PSS in TLS 1.3"),
        pytest.param(("-newkey", "ed25519"), ("-tls1_2",), id="Ed25519 in TLS 1.2"),
        pytest.param(("-newkey", "ed25519"), ("-tls1_3",), id="Ed25519 in TLS 1.3"),
        pytest.param(("-newkey", "ed448"), (), id="Ed448"),
        pytest.param((*EC, "ec_paramgen_curve:P-521"), ("-tls1_2",), id="P-521 in TLS 1.2"),
        pytest.param((*EC, "ec_paramgen_curve:P-521"), ("-tls1_3",), id="P-521 in TLS 1.3"),
        pytest.param(RSA, ("-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA:@SECLEVEL=0"), id="no encryption"),
        pytest.param(RSA, ("-tls1_2", "-cipher", "ECDHE+CAMELLIA"), id="Camellia"),
    ],
)
def test_every_key_and_signature_that_openssl_can_check_is_read(
    tmp_path: Path, key: tuple[str, ...], server: tuple[str, ...]
) -> None:
    files = made_by_openssl(tmp_path, *key)
    with openssl_server(OTHER, tmp_path, *server, "-cert", str(files.certificate), "-key", str(files.key)) as port:
        (der,) = presented(ask(port))
    assert der == ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


def made_by_openssl(directory: Path, *key: str) -> pki.Files:
    """Make a certificate that signs itself, with a key of a kind that `cryptography` would not make."""
    files = pki.Files(directory / "made.crt", directory / "made.key")
    command = ("openssl", "req", "-x509", "-nodes", "-subj", "/CN=svc.example", *key)
    subprocess.run([*command, "-out", files.certificate, "-keyout", files.key], check=True, capture_output=True)
    return files


@pytest.mark.field_case("C2")
def test_a_diffie_hellman_group_of_1024_bits_is_read(tmp_path: Path) -> None:
    leaf = ROOT.leaf("svc.example", key=pki.rsa_key())
    context = server_context(leaf, versions=TLS_1_2)
    context.set_ciphers("DHE:@SECLEVEL=0")
    group = tmp_path / "dh.pem"
    subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", group, "1024"], check=True, capture_output=True)
    context.load_dh_params(str(group))
    with tls_server(context) as server:
        assert presented(ask(server.port)) == leaf.chain


@BOTH
def test_a_server_that_requires_client_certificates_sees_an_early_end_and_no_failed_client(
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion],
) -> None:
    """It gets the ClientHello and then EOF: no alert, no empty certificate, so it has no client to verify or to log."""
    with tls_server(server_context(LEAF, versions=versions, client_authority=ROOT)) as server:
        assert presented(ask(server.port)) == LEAF.chain
        seen = server.next()
    assert isinstance(seen, Seen), f"the server met {seen!r}"
    assert not seen.completed
    (only,) = forged_tls.messages(seen.received)
    assert only[0] == forged_tls.CLIENT_HELLO


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssls_server_that_requires_client_certificates_is_read(tmp_path: Path, version: str) -> None:
    authority = ROOT.write(tmp_path, "ca").certificate
    with openssl_server(LEAF, tmp_path, version, "-Verify", "1", "-CAfile", str(authority)) as port:
        assert presented(ask(port)) == LEAF.chain


def test_the_server_name_picks_one_of_two_certificates_on_a_port() -> None:
    with tls_server(server_context(LEAF, by_name={"other.example": OTHER})) as server:
        assert presented(ask(server.port, "svc.example")) == LEAF.chain
        assert presented(ask(server.port, "other.example")) == OTHER.chain
        assert presented(ask(server.port, None)) == LEAF.chain


@case(
    "W31",
    kind="Found by tests: an input that stopped a program",
    situation="The first name of a Certificate cannot be sent as SNI: an empty label, or 64 characters without a dot.",
    says="The handshake has no SNI. Before: the exporter ended.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize(
    "name",
    ["", ".example", "a..example", "x" * 64, "x." * 150, "a\0b", "127.0.0.1", "::1", "*.example", "a name"],
)
def test_a_name_that_cannot_be_asked_for_is_not_asked_for(name: str) -> None:
    """A Certificate's names and common name are free text; one of them must not end the prober."""
    names: list[str | None] = []
    context = server_context(LEAF)
    context.sni_callback = lambda _, asked, __: names.append(asked)
    with tls_server(context) as server:
        assert presented(ask(server.port, name)) == LEAF.chain
    assert names == [None]


@given(st.text(max_size=80))
def test_no_server_name_stops_a_handshake_from_beginning(name: str) -> None:
    assert Handshake(name).to_send()


@pytest.mark.parametrize("group", ["secp521r1", "P-384", "P-256"])
def test_a_server_that_asks_for_another_key_share_is_answered(tmp_path: Path, group: str) -> None:
    """HelloRetryRequest: the client sends a second ClientHello before there is any certificate."""
    with openssl_server(LEAF, tmp_path, "-tls1_3", "-groups", group) as port:
        assert presented(ask(port)) == LEAF.chain


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_servers_that_insist_on_an_application_protocol_get_theirs(tmp_path: Path, protocol: str) -> None:
    with openssl_server(LEAF, tmp_path, "-alpn", protocol) as port:
        assert presented(ask(port)) == LEAF.chain


def test_an_expired_and_a_self_signed_certificate_are_shown_like_any_other() -> None:
    expired = pki.self_signed("svc.example", not_before=pki.NOW - 900 * pki.DAY, not_after=pki.NOW - 800 * pki.DAY)
    with tls_server(server_context(expired)) as server:
        assert presented(ask(server.port)) == expired.chain


def test_what_still_presents_the_same_is_not_read_anew() -> None:
    other = pki.self_signed("svc.example")
    with tls_server(server_context(LEAF)) as server, tls_server(server_context(other)) as restarted:
        first = ask(server.port).outcome
        assert isinstance(first, Presented)
        again = probe(endpoint(server.port), SystemClock(), timeout=PATIENCE, known=first.chain).outcome
        assert isinstance(again, Presented)
        assert again.chain is first.chain
        assert presented(probe(endpoint(restarted.port), SystemClock(), known=first.chain)) == other.chain


@pytest.mark.fault("H8")
def test_of_a_huge_chain_the_first_sixteen_are_kept() -> None:
    leaf = replace(LEAF, intermediates=LEAF.intermediates * 100)
    with tls_server(server_context(leaf)) as server:
        assert presented(ask(server.port)) == leaf.chain[:16]


# --- servers that do not --------------------------------------------------------------------------


def test_a_closed_port_is_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert failure(ask(port)) is ProbeFailure.CONNECTION_REFUSED


def test_an_address_without_a_way_to_it_is_unreachable() -> None:
    result = probe(endpoint(443, address="255.255.255.255"), SystemClock(), timeout=SHORT)
    assert failure(result) is ProbeFailure.UNREACHABLE


@pytest.mark.fault("F25")
def test_a_silent_server_is_a_timeout_at_the_deadline() -> None:
    with listening(lambda _, stop: stop.wait()) as server:
        result = ask(server.port, timeout=SHORT)
    assert failure(result) is ProbeFailure.TIMEOUT
    assert SHORT <= result.duration.total_seconds() < SHORT + 3


@pytest.mark.fault("F25")
def test_a_real_handshake_that_drips_is_a_timeout_at_the_one_deadline() -> None:
    def handle(connection: socket.socket, stop: threading.Event) -> None:
        flight = server_flight(server_context(LEAF), connection.recv(65536))
        drip(connection, stop, flight)

    with listening(handle) as server:
        result = ask(server.port, timeout=SHORT)
    assert failure(result) is ProbeFailure.TIMEOUT
    assert SHORT <= result.duration.total_seconds() < SHORT + 3


@pytest.mark.fault("F25")
def test_records_without_end_that_drip_are_a_timeout_at_the_one_deadline() -> None:
    with listening(lambda connection, stop: drip(connection, stop, ENDLESS)) as server:
        result = ask(server.port, timeout=SHORT)
    assert failure(result) is ProbeFailure.TIMEOUT
    assert SHORT <= result.duration.total_seconds() < SHORT + 3


@pytest.mark.fault("F25")
@pytest.mark.parametrize(
    "data",
    [
        HTTP,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP\r\n",
        b"E" * 100,
    ],
    ids=["HTTP", "SSH", "SMTP", "what PostgreSQL says"],
)
def test_a_server_of_another_protocol_is_not_tls(data: bytes) -> None:
    with listening(answering(data)) as server:
        assert failure(ask(server.port)) is ProbeFailure.NOT_TLS


@pytest.mark.parametrize("speaks_first", [True, False])
def test_a_server_that_closes_is_connection_reset(*, speaks_first: bool) -> None:
    def handle(connection: socket.socket, _: threading.Event) -> None:
        if not speaks_first:
            connection.recv(65536)

    with listening(handle) as server:
        assert failure(ask(server.port)) is ProbeFailure.CONNECTION_RESET


def test_a_server_that_closes_within_its_flight_is_connection_reset() -> None:
    def handle(connection: socket.socket, _: threading.Event) -> None:
        flight = server_flight(server_context(LEAF), connection.recv(65536))
        connection.sendall(flight[:-1])

    with listening(handle) as server:
        assert failure(ask(server.port)) is ProbeFailure.CONNECTION_RESET


@pytest.mark.fault("F25")
def test_a_rst_is_connection_reset() -> None:
    with listening(resetting) as server:
        assert failure(ask(server.port)) is ProbeFailure.CONNECTION_RESET


@pytest.mark.fault("F24")
def test_a_server_that_refuses_with_and_without_an_application_protocol_is_asked_twice() -> None:
    with listening(answering(alert(120))) as server:
        outcome = ask(server.port).outcome
    assert outcome == ProbeError(
        ProbeFailure.ALERT,
        "the server ended the handshake with the TLS alert no_application_protocol: "
        "it insists on an application protocol (ALPN) of its own",
    )
    assert server.accepted.qsize() == 2


@pytest.mark.fault("F24")
@pytest.mark.parametrize("number", [70, 112], ids=["protocol_version", "unrecognized_name"])
def test_a_server_that_refuses_for_another_reason_than_the_application_protocol_is_asked_once(number: int) -> None:
    with listening(answering(alert(number))) as server:
        failure(ask(server.port))
    assert server.accepted.qsize() == 1


@pytest.mark.fault("F24", "F25")
def test_both_handshakes_have_one_deadline() -> None:
    connections = itertools.count()

    def handle(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        if next(connections):
            stop.wait()

    with listening(handle) as server:
        result = ask(server.port, timeout=SHORT)
    assert failure(result) is ProbeFailure.CONNECTION_RESET
    assert SHORT <= result.duration.total_seconds() < SHORT + 3
    assert next(connections) == 2


@pytest.mark.fault("F24", "F25")
@pytest.mark.parametrize(("share", "read"), [(0.4, True), (0.6, False)])
def test_both_handshakes_have_one_budget_of_bytes(share: float, *, read: bool) -> None:
    padding = HELLO_REQUEST * int(share * MAX_BYTES / len(HELLO_REQUEST))
    context = server_context(LEAF, versions=TLS_1_2)
    connections = itertools.count()

    def handle(connection: socket.socket, _: threading.Event) -> None:
        hello = connection.recv(65536)
        connection.sendall(padding + (server_flight(context, hello) if next(connections) else alert(120)))
        connection.recv(65536)

    with listening(handle) as server:
        outcome = ask(server.port).outcome
    assert isinstance(outcome, Presented) == read
    assert read or (isinstance(outcome, ProbeError) and outcome.failure is ProbeFailure.ALERT)
    assert next(connections) == 2


@pytest.mark.fault("F23")
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_a_server_of_an_old_version_is_read(tmp_path: Path, version: str) -> None:
    with openssl_server(LEAF, tmp_path, version, "-cipher", "ALL:@SECLEVEL=0") as port:
        assert presented(ask(port)) == LEAF.chain


@pytest.mark.fault("F25", "H8")
def test_a_chain_beyond_what_openssl_takes_is_too_large() -> None:
    leaf = replace(LEAF, intermediates=LEAF.intermediates * 400)
    with tls_server(server_context(leaf)) as server:
        assert failure(ask(server.port)) is ProbeFailure.TOO_LARGE


@pytest.mark.fault("F25")
def test_a_server_that_calls_for_renegotiation_without_end_is_cut_at_256_kib() -> None:
    with listening(flooding(HELLO_REQUEST)) as server:
        assert failure(ask(server.port)) is ProbeFailure.TOO_LARGE


@pytest.mark.fault("F25")
def test_a_flood_of_what_may_come_once_is_a_protocol_failure() -> None:
    with listening(flooding(CHANGE_CIPHER_SPEC)) as server:
        assert failure(ask(server.port)) is ProbeFailure.PROTOCOL


@pytest.mark.fault("F25")
@BOTH
def test_a_call_for_renegotiation_before_the_flight_changes_nothing(
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion],
) -> None:
    shake = Handshake("svc.example")
    flight = server_flight(server_context(LEAF, versions=versions), shake.to_send())
    shake.receive(HELLO_REQUEST * 3 + flight)
    assert shake.chain == LEAF.chain


def test_a_handshake_takes_256_kib_and_not_a_byte_more() -> None:
    shake = Handshake(None)
    sent = 0
    while sent + len(HELLO_REQUEST) <= MAX_BYTES:
        shake.receive(HELLO_REQUEST)
        sent += len(HELLO_REQUEST)
    with pytest.raises(OverflowError):
        shake.receive(HELLO_REQUEST)


def test_a_leaf_that_openssl_takes_and_the_parser_does_not_is_an_invalid_certificate() -> None:
    """X.509 version 4: OpenSSL does not look at the version of what it is not to verify."""
    with listening(of_version_4(LEAF)) as server:
        assert failure(ask(server.port)) is ProbeFailure.INVALID_CERTIFICATE


@pytest.mark.fault("H5")
@pytest.mark.parametrize("der", [b"", b"garbage", LEAF.der[:-10], LEAF.der + b"\0"])
def test_a_leaf_of_broken_der_is_a_protocol_failure(der: bytes) -> None:
    def handle(connection: socket.socket, _: threading.Event) -> None:
        flight = server_flight(server_context(LEAF, versions=TLS_1_2), connection.recv(65536))
        connection.sendall(with_certificates(flight, [der]))
        connection.recv(65536)

    with listening(handle) as server:
        assert failure(ask(server.port)) is ProbeFailure.PROTOCOL


# --- the handshake, byte by byte ------------------------------------------------------------------


@pytest.mark.fault("F27")
@BOTH
def test_the_chain_is_known_at_the_last_byte_of_the_flight_and_not_before(
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion],
) -> None:
    shake = Handshake("svc.example")
    flight = server_flight(server_context(LEAF, versions=versions, client_authority=ROOT), shake.to_send())
    for byte in flight[:-1]:
        shake.receive(bytes([byte]))
        assert shake.chain is None
        assert shake.to_send() == b""
    shake.receive(flight[-1:])
    assert shake.chain == LEAF.chain


@BOTH
def test_nothing_is_sent_once_the_chain_is_known(versions: tuple[ssl.TLSVersion, ssl.TLSVersion]) -> None:
    shake = Handshake("svc.example")
    flight = server_flight(server_context(LEAF, versions=versions), shake.to_send())
    shake.receive(flight)
    assert shake.chain == LEAF.chain
    assert shake.to_send() == b""


def outcome(shake: Handshake, data: bytes) -> tuple[bytes, ...] | ssl.SSLError | None:
    try:
        shake.receive(data)
    except ssl.SSLError as error:
        assert shake.chain is None
        return error
    return shake.chain


@pytest.mark.fault("F26")
def test_a_tampered_key_exchange_never_gives_a_chain() -> None:
    """Each byte of ServerKeyExchange in turn: signed, so that only the holder of the key can make one."""
    context = server_context(LEAF, versions=TLS_1_2)
    for place in itertools.count():
        shake = Handshake("svc.example")
        flight = server_flight(context, shake.to_send())
        handshake = forged_tls.messages(flight)
        (index,) = (i for i, message in enumerate(handshake) if message[0] == forged_tls.SERVER_KEY_EXCHANGE)
        tampered = bytearray(handshake[index])
        if place >= len(tampered):  # the signature's length differs by a byte or two
            break
        tampered[place] ^= 0x01
        handshake[index] = bytes(tampered)
        assert not isinstance(outcome(shake, forged_tls.records(b"".join(handshake))), tuple), f"byte {place}"


@pytest.mark.fault("F26")
def test_another_servers_certificate_in_front_of_an_own_key_exchange_never_gives_a_chain() -> None:
    shake = Handshake("svc.example")
    flight = server_flight(server_context(OTHER, versions=TLS_1_2), shake.to_send())
    assert isinstance(outcome(shake, with_certificates(flight, LEAF.chain)), ssl.SSLError)


@pytest.mark.field_case("C2")
def test_a_server_without_secure_renegotiation_is_read() -> None:
    """It leaves out an extension (RFC 5746). What a server of TLS 1.2 signs does not cover its ServerHello."""
    shake = Handshake("svc.example")
    greeting, *others = forged_tls.messages(server_flight(server_context(LEAF, versions=TLS_1_2), shake.to_send()))
    assert RENEGOTIATION_INFO in greeting
    old = forged_tls.without_extension(greeting, RENEGOTIATION_INFO)
    shake.receive(forged_tls.records(b"".join([old, *others])))
    assert shake.chain == LEAF.chain


RENEGOTIATION_INFO = b"\xff\x01\x00\x01\x00"


@pytest.mark.fault("F26")
@pytest.mark.field_case("C2")
@pytest.mark.parametrize("cipher", [0x002F, 0x009C, 0x0034, 0x00AE], ids=["static RSA", "GCM", "anonymous", "PSK"])
def test_a_server_that_takes_an_unsigned_key_exchange_although_none_was_offered_never_gives_a_chain(
    cipher: int,
) -> None:
    """Without ServerKeyExchange a client would answer at once, and nothing would prove the key."""
    shake = Handshake("svc.example")
    flight = forged_tls.messages(server_flight(server_context(LEAF, versions=TLS_1_2), shake.to_send()))
    greeting = bytearray(flight[0])
    at = 4 + 2 + 32
    at += 1 + greeting[at]
    greeting[at : at + 2] = cipher.to_bytes(2)
    rest = [message for message in flight[1:] if message[0] != forged_tls.SERVER_KEY_EXCHANGE]
    assert isinstance(outcome(shake, forged_tls.records(b"".join([greeting, *rest]))), ssl.SSLError)


@pytest.mark.fault("F26")
def test_a_flight_without_its_key_exchange_never_gives_a_chain() -> None:
    shake = Handshake("svc.example")
    flight = forged_tls.messages(server_flight(server_context(LEAF, versions=TLS_1_2), shake.to_send()))
    rest = [message for message in flight if message[0] != forged_tls.SERVER_KEY_EXCHANGE]
    assert len(rest) == len(flight) - 1
    assert isinstance(outcome(shake, forged_tls.records(b"".join(rest))), ssl.SSLError)


places = st.floats(0, 1, exclude_max=True)
"""Where in a flight: a share of its length, which differs from run to run."""


@settings(max_examples=150)
@given(places, st.integers(1, 255))
def test_a_flight_of_tls_1_3_with_a_changed_byte_never_gives_a_chain(place: float, change: int) -> None:
    """The sealed records, that is: they are the last thing in the flight, and the greeting before them has no seal."""
    shake = Handshake("svc.example")
    flight = server_flight(server_context_of_tls_1_3, shake.to_send())
    greeting = 5 + int.from_bytes(flight[3:5])
    tampered = bytearray(flight)
    tampered[greeting + 6 + int(place * (len(flight) - greeting - 6))] ^= change
    assert not isinstance(outcome(shake, bytes(tampered)), tuple)


server_context_of_tls_1_3 = server_context(LEAF, versions=TLS_1_3)

Proof = Literal["own key", "another key", "none"]


def forged(shake: Handshake, proof: Proof, *, retry: bool, finish: bool = True) -> bytes:
    assert isinstance(LEAF.key, EllipticCurvePrivateKey)
    signers = {"own key": LEAF.key, "another key": pki.ec_key(), "none": None}
    hello = ClientHello.of(shake.to_send())
    return forged_tls.server_flight(hello, LEAF.chain, signer=signers[proof], retry=retry, finish=finish)


@pytest.mark.parametrize("retry", [False, True], ids=["at once", "after HelloRetryRequest"])
def test_the_forged_server_is_believed_if_it_holds_the_key(*, retry: bool) -> None:
    """Without this, the tests below could pass for a mistake in the forgery."""
    shake = Handshake("svc.example")
    assert outcome(shake, forged(shake, "own key", retry=retry)) == LEAF.chain


@case(
    "W1",
    kind="Found by tests: wrong answers of the exporter",
    situation="A TLS 1.3 server asks for a second ClientHello and sends a certificate without proof of its key.",
    says="No certificate was seen. Before: the certificate was believed.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("F26")
@pytest.mark.parametrize("retry", [False, True], ids=["at once", "after HelloRetryRequest"])
@pytest.mark.parametrize("proof", ["another key", "none"])
@pytest.mark.parametrize("piece", [1, 100, 65536])
def test_a_certificate_without_proof_of_its_key_never_gives_a_chain(proof: Proof, *, retry: bool, piece: int) -> None:
    """Certificates are public: anybody can show the issued one. A server that asks for a second ClientHello and sends
    its certificates in the same breath makes output pending while the chain can be read, and proves nothing."""
    shake = Handshake("svc.example")
    flight = forged(shake, proof, retry=retry)
    for start in range(0, len(flight), piece):
        result = outcome(shake, flight[start : start + piece])
        assert not isinstance(result, tuple)
        if result is not None:
            return


@pytest.mark.parametrize("retry", [False, True], ids=["at once", "after HelloRetryRequest"])
def test_a_proof_without_the_end_of_the_flight_gives_no_chain_yet(*, retry: bool) -> None:
    shake = Handshake("svc.example")
    assert outcome(shake, forged(shake, "own key", retry=retry, finish=False)) is None


@pytest.mark.fault("F44")
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_arbitrary_bytes_never_give_a_chain(pieces: list[bytes]) -> None:
    shake = Handshake("svc.example")
    for piece in pieces:
        if isinstance(outcome(shake, piece), ssl.SSLError):
            return
        assert shake.chain is None


@settings(max_examples=150)
@given(places, st.integers(1, 255))
def test_a_flight_of_tls_1_2_with_a_changed_byte_ends_in_a_chain_or_a_tls_error(place: float, change: int) -> None:
    shake = Handshake("svc.example")
    flight = server_flight(server_context_of_tls_1_2, shake.to_send())
    tampered = bytearray(flight)
    tampered[int(place * len(flight))] ^= change
    outcome(shake, bytes(tampered))


server_context_of_tls_1_2 = server_context(LEAF, versions=TLS_1_2)


# --- resources ------------------------------------------------------------------------------------


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.fault("F29")
@pytest.mark.thorough
def test_two_hundred_probes_leave_no_file_descriptor_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port_of_nobody = closed.getsockname()[1]
    with openssl_server(LEAF, tmp_path) as port, socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        presented(ask(port))  # whatever is opened once
        gc.collect()  # of what other tests have left
        before = open_files()
        for _ in range(150):
            presented(ask(port))
        for _ in range(40):
            failure(ask(port_of_nobody))
        for _ in range(10):
            failure(ask(silent.getsockname()[1], timeout=0.01))
        assert open_files() == before


def test_probes_from_many_threads_do_not_mix_their_answers() -> None:
    results: dict[int, tuple[bytes, ...]] = {}
    with tls_server(server_context(LEAF, by_name={"other.example": OTHER})) as server:

        def run(number: int) -> None:
            results[number] = presented(ask(server.port, ("svc.example", "other.example")[number % 2]))

        threads = [threading.Thread(target=partial(run, number)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {number: (LEAF, OTHER)[number % 2].chain for number in range(32)}


def test_a_probe_says_whom_it_asked_when_and_for_how_long() -> None:
    clock = SystemClock()
    before = clock.now()
    with tls_server(server_context(LEAF)) as server:
        asked = endpoint(server.port)
        result = probe(asked, clock)
    assert result.endpoint is asked
    assert before <= result.started_at <= result.started_at + result.duration <= clock.now() + timedelta(seconds=0.1)
