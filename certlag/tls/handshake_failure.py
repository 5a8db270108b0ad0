"""Why a handshake failed: the exception that ended it, as a `ProbeFailure` and a sentence. No I/O.

OpenSSL names a reason for every `ssl.SSLError`. A name that begins with a version of TLS is an alert of the peer
(RFC 8446 §6.2, RFC 5246 §7.2.2); any other is OpenSSL's own objection to what the peer sent. Python has no constant for
some reasons, and OpenSSL no text for alerts that it does not know; an alert is one of those then.
"""

import re
import ssl

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.model import ProbeError, ProbeFailure
from certlag.x509.certificates import InvalidCertificateError

_MESSAGE = re.compile(r"(?:\[[^]]*\] )?(.*?)(?: \(_ssl\.c:\d+\))?", re.DOTALL)
_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls) (?:alert )?(.+)")
_NAMELESS = "unknown error"

_BY_KIND: tuple[tuple[type[Exception], ProbeFailure], ...] = (
    (InvalidCertificateError, ProbeFailure.INVALID_CERTIFICATE),
    (OverflowError, ProbeFailure.TOO_LARGE),
    (TimeoutError, ProbeFailure.TIMEOUT),
    (ConnectionRefusedError, ProbeFailure.CONNECTION_REFUSED),
    (ConnectionError, ProbeFailure.CONNECTION_RESET),
    (Exception, ProbeFailure.UNREACHABLE),
)

_BY_ALERT = {
    "handshake failure": (ProbeFailure.NO_COMMON_CIPHER, "it shares no cipher, group or signature that proves its key"),
    "insufficient security": (ProbeFailure.NO_COMMON_CIPHER, "it takes none of the ciphers that prove its key"),
    "internal error": (ProbeFailure.SERVER_ERROR, "it failed; often it has no certificate"),
    "no application protocol": (ProbeFailure.ALERT, "it insists on an application protocol (ALPN) of its own"),
    "protocol version": (ProbeFailure.NO_COMMON_VERSION, "it speaks none of TLS 1.0 to 1.3"),
    "unrecognized name": (ProbeFailure.UNRECOGNIZED_NAME, "it has no certificate for the server name"),
}

_BY_OBJECTION = {
    "dh key too small": (ProbeFailure.NO_COMMON_CIPHER, "its Diffie-Hellman group has fewer than 1024 bits"),
    "excessive message size": (ProbeFailure.TOO_LARGE, "it sent a message of more than 100 KiB"),
    "http request": (ProbeFailure.NOT_TLS, "it does not speak TLS"),
    "packet length too long": (ProbeFailure.NOT_TLS, "it does not speak TLS"),
    "record layer failure": (ProbeFailure.NOT_TLS, "it does not speak TLS"),
    "unsupported protocol": (ProbeFailure.NO_COMMON_VERSION, "it speaks none of TLS 1.0 to 1.3"),
    "wrong version number": (ProbeFailure.NOT_TLS, "it does not speak TLS"),
}


def explain(error: Exception) -> ProbeError:
    """Return the failure that an exception of a handshake stands for, and what happened in plain words.

    Args:
        error: an `OSError` (`ssl.SSLError` is one), `ClusterError`, `OverflowError` or `InvalidCertificateError`.
    """
    match error:
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return ProbeError(ProbeFailure.CONNECTION_RESET, "the server closed the connection within the handshake")
        case ssl.SSLError():
            return _of_tls(_reason(error))
        case ClusterError(reason=ClusterErrorReason.TIMEOUT):
            return ProbeError(ProbeFailure.TIMEOUT, str(error))
    failure = next(failure for kind, failure in _BY_KIND if isinstance(error, kind))
    return ProbeError(failure, str(error) or type(error).__name__)


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason in lower case, as in `tlsv1 alert internal error`."""
    constant: str | None = getattr(error, "reason", None)  # an error that Python itself raises has none
    if constant:
        return constant.lower().replace("_", " ")
    found = _MESSAGE.fullmatch(str(error.args[-1] if error.args else ""))
    return found[1] if found else ""


def _of_tls(reason: str) -> ProbeError:
    if reason == _NAMELESS:
        return ProbeError(ProbeFailure.ALERT, "the server ended the handshake with a TLS alert that has no name")
    if alert := _ALERT.fullmatch(reason):
        failure, meaning = _BY_ALERT.get(alert[1], (ProbeFailure.ALERT, ""))
        name = alert[1].replace(" ", "_")
        detail = f"the server ended the handshake with the TLS alert {name}"
        return ProbeError(failure, f"{detail}: {meaning}" if meaning else detail)
    failure, meaning = _BY_OBJECTION.get(reason, (ProbeFailure.PROTOCOL, "its part of the handshake is invalid"))
    return ProbeError(failure, f"{meaning} (OpenSSL: {reason})")
