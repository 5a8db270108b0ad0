"""Why a handshake failed, from the exception that ended it."""

import ssl

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.model import ProbeError, ProbeFailure
from certlag.tls.handshake import Handshake
from certlag.tls.handshake_failure import explain
from certlag.x509.certificates import InvalidCertificateError
from tests.hostile_peers import alert

ALERTS = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    47: "illegal_parameter",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""Alerts that end a handshake, by their numbers (RFC 8446 §6)."""


def ended_by(answer: bytes) -> ProbeError:
    """Return the explanation of a handshake that a server answers so."""
    shake = Handshake("svc.example")
    shake.to_send()
    with pytest.raises(ssl.SSLError) as raised:
        shake.receive(answer)
    return explain(raised.value)


@pytest.mark.parametrize("number", ALERTS, ids=lambda number: ALERTS[number])
def test_an_alert_is_reported_by_its_name(number: int) -> None:
    assert f"the TLS alert {ALERTS[number]}" in ended_by(alert(number)).detail


def test_every_alert_is_what_the_server_said_and_none_is_a_mistake_of_its() -> None:
    said = {ended_by(alert(number)).failure for number in range(1, 256)}
    assert said == {
        ProbeFailure.ALERT,
        ProbeFailure.NO_COMMON_CIPHER,
        ProbeFailure.NO_COMMON_VERSION,
        ProbeFailure.SERVER_ERROR,
        ProbeFailure.UNRECOGNIZED_NAME,
    }


def test_what_breaks_the_protocol_is_reported_in_openssls_words() -> None:
    empty_server_hello = b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"
    assert ended_by(empty_server_hello) == ProbeError(
        ProbeFailure.PROTOCOL, "its part of the handshake is invalid (OpenSSL: length mismatch)"
    )


@pytest.mark.parametrize("answer", [b"", alert(0, level=1)], ids=["end of the stream", "close_notify"])
def test_a_closed_connection_is_reported_as_such(answer: bytes) -> None:
    assert ended_by(answer) == ProbeError(
        ProbeFailure.CONNECTION_RESET, "the server closed the connection within the handshake"
    )


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError("late"), ProbeFailure.TIMEOUT),
        (ConnectionRefusedError("nobody"), ProbeFailure.CONNECTION_REFUSED),
        (BrokenPipeError("gone"), ProbeFailure.CONNECTION_RESET),
        (OSError("no route"), ProbeFailure.UNREACHABLE),
        (OSError(), ProbeFailure.UNREACHABLE),
        (ClusterError(ClusterErrorReason.TIMEOUT, "port-forward"), ProbeFailure.TIMEOUT),
        (ClusterError(ClusterErrorReason.FORBIDDEN, "port-forward"), ProbeFailure.UNREACHABLE),
        (OverflowError("too much"), ProbeFailure.TOO_LARGE),
        (InvalidCertificateError("version 4"), ProbeFailure.INVALID_CERTIFICATE),
        (ssl.SSLError("without a reason"), ProbeFailure.PROTOCOL),
    ],
)
def test_every_other_exception_of_a_handshake_has_its_reason(error: Exception, failure: ProbeFailure) -> None:
    explained = explain(error)
    assert explained.failure is failure
    assert explained.detail
