"""Asking a TLS server.

Each test has a real server on loopback, configured as the report says, which stands for the pod of a Certificate. It
has the issued certificate, so `settled` is right wherever it proves that it holds the key.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest

from certlag.clock import SystemClock
from certlag.model import Endpoint, Presented, ProbeError
from certlag.tls.handshake import probe
from tests.field import documents
from tests.field.exporter import DISCOVER, Exporter
from tests.field.record import case
from tests.forged_tls import ClientHello
from tests.hostile_peers import alert, answering, server_flight
from tests.pki import Issued, authority, rsa_key
from tests.tls_servers import HOST, Listener, listening, openssl_server, reset, server_context, tls_server

ALPN_EXTENSION = 16
POD, PORT = "10.88.0.7", 8443
PATIENCE = 20.0
"""Seconds for a handshake on a busy machine."""
ROOT = authority("root")
NAME = "svc.shop.svc"
LEAF = ROOT.leaf(NAME)
RSA_LEAF = ROOT.leaf(NAME, key=rsa_key())
OTHER = ROOT.leaf("other.example")


def on_loopback(port: int) -> Callable[[Endpoint], Presented | ProbeError]:
    """Shake hands with what listens there instead of at the pod's address."""

    def shake_hands(endpoint: Endpoint) -> Presented | ProbeError:
        reachable = endpoint._replace(address=HOST, port=port)
        return probe(reachable, SystemClock(), timeout=PATIENCE).outcome

    return shake_hands


def probed(
    port: int,
    issued: Issued = LEAF,
    *,
    dns_names: tuple[str, ...] = (NAME,),
    spec: str = "",
    configuration: str = DISCOVER,
    interval: float = 300.0,
) -> Exporter:
    """Return an exporter that has probed the pod of a Certificate; a server's port stands for the pod's."""
    exporter = Exporter(configuration, interval=interval)
    exporter.serve(POD, PORT, on_loopback(port))
    certificate = documents.certificate(issued, dns_names=dns_names, spec=spec)
    exporter.listed(certificate, documents.request(issued), documents.pod(address=POD, port=PORT))
    return exporter


def state(exporter: Exporter) -> str | None:
    return exporter.scrape().state("certlag_renewal_window_state", certificate="svc")


def failed(exporter: Exporter) -> dict[str, float]:
    """Return how many handshakes failed, by reason."""
    counters = exporter.scrape().all("certlag_probe_failures_total")
    return {sample.labels["reason"]: sample.value for sample in counters if sample.value}


# --- application protocols ------------------------------------------------------------------------


@case(
    "C1",
    situation="A server insists on an application protocol (ALPN) of its own: PostgreSQL 17, MQTT, DNS over TLS.",
    says="Settled: the server is asked once more, without ALPN.",
    found_by="reader",
)
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("protocol", ["postgresql", "mqtt", "dot"])
def test_a_server_that_insists_on_its_own_application_protocol_is_read(
    tmp_path: Path, protocol: str, version: str
) -> None:
    with openssl_server(LEAF, tmp_path, "-alpn", protocol, version) as port:
        exporter = probed(port)
    assert state(exporter) == "settled"
    assert failed(exporter) == {}


def close(connection: socket.socket) -> None:
    connection.close()


def say_goodbye(connection: socket.socket) -> None:
    """Send close_notify, which is a warning."""
    connection.sendall(alert(0, level=1))


def report_an_error(connection: socket.socket) -> None:
    """Send internal_error, as Go does for an error of the program's own callback."""
    connection.sendall(alert(80))


def refuse(connection: socket.socket) -> None:
    """Send handshake_failure."""
    connection.sendall(alert(40))


def send_an_alert_without_a_name(connection: socket.socket) -> None:
    connection.sendall(alert(200))


@pytest.mark.field_case("C1")
@pytest.mark.parametrize(
    "end",
    [close, reset, say_goodbye, report_an_error, refuse, send_an_alert_without_a_name],
    ids=lambda end: end.__name__,
)
def test_a_server_that_ends_a_handshake_with_other_application_protocols_in_its_own_way_is_read(
    end: Callable[[socket.socket], None],
) -> None:
    with without_alpn_only(end) as server:
        exporter = probed(server.port)
        offers = {server.next(), server.next()}
    assert state(exporter) == "settled"
    assert failed(exporter) == {}
    assert offers == {b"\x00\x0c\x02h2\x08http/1.1", None}


@contextmanager
def without_alpn_only(end: Callable[[socket.socket], None]) -> Iterator[Listener]:
    """Serve TLS to clients without ALPN; each connection reports the ALPN that was offered."""
    context = server_context(LEAF)

    def handle(connection: socket.socket, _: threading.Event) -> bytes | None:
        hello = connection.recv(65536)
        offer = dict(ClientHello.of(hello).extensions).get(ALPN_EXTENSION)
        if offer is None:
            connection.sendall(server_flight(context, hello))
            connection.recv(65536)
        else:
            end(connection)
        return offer

    with listening(handle) as server:
        yield server


@pytest.mark.field_case("C1")
def test_a_server_that_has_no_objection_is_asked_once() -> None:
    with tls_server(server_context(LEAF)) as server:
        exporter = probed(server.port)
    assert state(exporter) == "settled"
    assert server.accepted.qsize() == 1


# --- ciphers --------------------------------------------------------------------------------------


@case(
    "C2",
    situation="An old server has only ciphers with CBC and SHA-1, or only TLS 1.0.",
    says="Settled: every cipher is offered whose key exchange the server signs.",
    reference="prometheus/blackbox_exporter#1390",
)
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA"),
        ("-tls1_2", "-cipher", "DHE-RSA-AES128-SHA:@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    ],
    ids=["CBC and SHA-1", "finite-field Diffie-Hellman", "TLS 1.1", "TLS 1.0"],
)
def test_an_old_server_that_signs_its_key_exchange_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    with openssl_server(RSA_LEAF, tmp_path, *options) as port:
        exporter = probed(port, RSA_LEAF)
    assert state(exporter) == "settled"


@case(
    "C2",
    situation="A server has only ciphers with which it does not sign the key exchange: static RSA, anonymous, PSK.",
    says="Unknown, with failure `no_common_cipher`: nothing would prove that the certificate it sends is its own.",
    reference="mrlhansen/idrac_exporter#204",
)
@pytest.mark.parametrize(
    "options",
    [
        ("-cipher", "AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0"),
        ("-cipher", "aNULL:@SECLEVEL=0"),
        ("-cipher", "kRSAPSK:@SECLEVEL=0", "-psk", "1a2b3c4d"),
        ("-cipher", "PSK:@SECLEVEL=0", "-psk", "1a2b3c4d"),
    ],
    ids=["static RSA", "anonymous", "RSA with PSK", "PSK"],
)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_2"])
def test_a_server_that_would_not_prove_its_key_is_unknown(
    tmp_path: Path, options: tuple[str, ...], version: str
) -> None:
    with openssl_server(RSA_LEAF, tmp_path, version, *options) as port:
        exporter = probed(port, RSA_LEAF)
    assert state(exporter) == "unknown"
    assert failed(exporter) == {"no_common_cipher": 1}


# --- server names ---------------------------------------------------------------------------------


@case(
    "C3",
    situation="A Certificate has only the name `*.shop.example`, and the server chooses by server name.",
    says="Settled: a name under the wildcard is asked for.",
    reference="ribbybibby/ssl_exporter#74",
)
@pytest.mark.parametrize(
    ("dns_names", "spec"),
    [
        (("*.shop.example",), ""),
        (("*.Shop.Example.",), ""),
        ((), "commonName: '*.shop.example'"),
        (("10.0.0.1",), "commonName: '*.shop.example'"),
        (("x" * 64, "*.shop.example"), ""),
    ],
    ids=["only name", "capitals and a dot", "common name", "beside an address", "beside an impossible name"],
)
def test_of_a_wildcard_a_name_under_it_is_asked_for(dns_names: tuple[str, ...], spec: str) -> None:
    with tls_server(server_context(OTHER, by_name={"*.shop.example": LEAF})) as server:
        exporter = probed(server.port, dns_names=dns_names, spec=spec)
    assert state(exporter) == "settled"


@pytest.mark.field_case("C3")
@pytest.mark.parametrize(
    ("dns_names", "asked"),
    [
        (("*.shop.example", "shop.example"), "shop.example"),
        (("Shop.Example",), "shop.example"),
        (("shop.example.",), "shop.example"),
        (("bücher.example",), "xn--bcher-kva.example"),
        (("xn--bcher-kva.example",), "xn--bcher-kva.example"),
        (("10.0.0.1", "shop.example"), "shop.example"),
        (("a" * 250 + ".example", "shop.example"), "shop.example"),
    ],
)
def test_a_name_is_asked_for_as_servers_know_it(dns_names: tuple[str, ...], asked: str) -> None:
    with tls_server(server_context(OTHER, by_name={asked: LEAF})) as server:
        exporter = probed(server.port, dns_names=dns_names)
    assert state(exporter) == "settled"


@pytest.mark.field_case("C3")
def test_an_address_is_never_asked_for() -> None:
    names: list[str | None] = []
    context = server_context(LEAF)
    context.sni_callback = lambda _, name, __: names.append(name)
    with tls_server(context) as server:
        exporter = probed(server.port, dns_names=("10.0.0.1",), spec="ipAddresses: [10.0.0.1, '2001:db8::1']")
    assert state(exporter) == "settled"
    assert names == [None]


# --- why a handshake failed -----------------------------------------------------------------------


@case(
    "C4",
    situation="A handshake fails for another reason than the version of TLS.",
    says="The reason, in the metric, the status and the page; the log has the name of the server's alert.",
    found_by="reader",
)
@pytest.mark.parametrize(
    ("answer", "reason", "words", "logged"),
    [
        (alert(40), "no_common_cipher", "no common cipher that proves the server's key", "alert handshake_failure"),
        (alert(71), "no_common_cipher", "no common cipher that proves the server's key", "insufficient_security"),
        (alert(80), "server_error", "internal error of the server", "alert internal_error"),
        (alert(112), "unrecognized_name", "server name refused by the server", "alert unrecognized_name"),
        (alert(120), "alert", "refused by the server with a TLS alert", "alert no_application_protocol"),
        (alert(49), "alert", "refused by the server with a TLS alert", "alert access_denied"),
        (alert(200), "alert", "refused by the server with a TLS alert", "TLS alert that has no name"),
        (alert(70), "no_common_version", "no common TLS version", "alert protocol_version"),
        (alert(0, level=1), "connection_reset", "connection reset", "closed the connection"),
        (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", "protocol", "invalid TLS from the server", "length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failed_handshake_is_reported_with_its_reason(
    answer: bytes, reason: str, words: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(answering(answer)) as server, caplog.at_level(logging.DEBUG, "certlag"):
        exporter = probed(server.port)
    assert failed(exporter) == {reason: 1}
    (endpoint,) = exporter.status()["certificates"][0]["uses"][0]["pods"][0]["endpoints"]
    assert endpoint["failure"] == reason
    assert f"last handshake: {words}" in unescape(exporter.page())
    (record,) = (record for record in caplog.records if record.message == "handshake failed")
    assert logged in vars(record)["error"]


@pytest.mark.field_case("C4")
def test_a_server_that_knows_no_certificate_for_the_name_is_reported_as_such(tmp_path: Path) -> None:
    files = OTHER.write(tmp_path, "other")
    second = ("-cert2", str(files.certificate), "-key2", str(files.key))
    with openssl_server(OTHER, tmp_path, "-servername", "other.example", "-servername_fatal", *second) as port:
        exporter = probed(port)
    assert failed(exporter) == {"unrecognized_name": 1}


# --- what servers log -----------------------------------------------------------------------------


@case(
    "C5",
    situation="Go's net/http, HAProxy and stunnel log every handshake that a client ends early.",
    says="Each probe ends early; docs/configuration.md says which servers log it, and how to probe less often.",
    reference="grafana/grafana#112294, kubernetes-sigs/cluster-api-provider-aws#1001",
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_probe_is_a_handshake_that_the_client_ends_early_as_often_as_the_interval_says(
    version: ssl.TLSVersion,
) -> None:
    context = server_context(LEAF, versions=(version, version))

    def handle(connection: socket.socket, _: threading.Event) -> type[ssl.SSLError] | None:
        try:
            context.wrap_socket(connection, server_side=True)
        except ssl.SSLError as error:
            return type(error)
        return None

    with listening(handle) as server:
        exporter = probed(server.port, interval=6 * 3600)
        exporter.wait(24 * 3600)
    ends = [server.next() for _ in range(server.accepted.qsize())]
    assert set(ends) == {ssl.SSLEOFError}
    assert 4 <= len(ends) <= 6
