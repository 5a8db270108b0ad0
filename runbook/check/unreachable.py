"""Why a pod cannot be asked what it presents, and what would be right: by how the handshake failed, and where. Pure."""

from certlag.assessment import Reason
from certlag.model import ProbeFailure, Target
from runbook.check.status import PodStatus

OPENS_PLAIN = {
    21: "FTP",
    25: "SMTP",
    110: "POP3",
    119: "NNTP",
    143: "IMAP",
    389: "LDAP",
    587: "SMTP",
    1389: "LDAP",
    1433: "SQL Server",
    2525: "SMTP",
    3306: "MySQL",
    4190: "ManageSieve",
    5222: "XMPP",
    5269: "XMPP",
    5432: "PostgreSQL",
    6432: "PostgreSQL",
}
"""Ports by protocols that begin in plain text and change to TLS inside (STARTTLS and the like): IANA's service names,
and the ports that the charts of OpenLDAP and PgBouncer listen on."""

BY_START = (
    "evidence: start_time in the configuration, which goes by when a container started: what it loaded, and whether "
    "clients accept that, is then not seen"
)


_LOG, _POLICY = "see the daemon's log", "see that a NetworkPolicy lets this through"
_BY_FAILURE = {
    ProbeFailure.ALERT: ("port {port} refuses the handshake with a TLS alert", _LOG),
    ProbeFailure.CONNECTION_REFUSED: ("nothing listens on port {port}", "see that it listens, and name its TLS port"),
    ProbeFailure.CONNECTION_RESET: ("the connection to port {port} was reset", _LOG),
    ProbeFailure.INVALID_CERTIFICATE: ("what port {port} presents is no certificate", _LOG),
    ProbeFailure.NOT_TLS: ("port {port} does not answer in TLS", "name the port on which it does"),
    ProbeFailure.NO_COMMON_CIPHER: ("port {port} has no cipher that proves its key", BY_START),
    ProbeFailure.NO_COMMON_VERSION: ("port {port} has no TLS version that can be asked in", BY_START),
    ProbeFailure.PROTOCOL: ("the TLS handshake with port {port} failed", _LOG),
    ProbeFailure.SERVER_ERROR: ("port {port} ends the handshake with an error of its own", _LOG),
    ProbeFailure.TIMEOUT: ("port {port} does not answer in time", _POLICY),
    ProbeFailure.TOO_LARGE: ("port {port} sends more than a handshake has", _LOG),
    ProbeFailure.UNREACHABLE: ("the pod cannot be reached", _POLICY),
    ProbeFailure.UNRECOGNIZED_NAME: ("port {port} does not know the name it is asked for", "name it: serverName"),
}
_OTHER_PROTOCOL = frozenset({ProbeFailure.NOT_TLS, ProbeFailure.CONNECTION_RESET, ProbeFailure.PROTOCOL})
"""How those answer a TLS handshake who expect something else: in their own words, or not at all (PostgreSQL)."""
_BY_REASON = {
    Reason.NO_PORT: ("it declares no port", "name the port in the configuration"),
    Reason.PORT_NOT_FOUND: ("no container declares the configured port", "correct the port in the configuration"),
}


def why(pod: PodStatus) -> str:
    """Say why a pod cannot be asked."""
    if pod.failure is None:
        return _BY_REASON.get(pod.reason, (str(pod.reason), ""))[0]
    if (protocol := _protocol(pod)) is not None:
        return f"port {pod.port} speaks {protocol}, which changes to TLS inside its own protocol"
    return _BY_FAILURE[pod.failure][0].format(port=pod.port)


def remedy(pod: PodStatus, target: Target) -> str:
    """Say what would be right. A port that the configuration names is not asked for again."""
    if pod.failure is None:
        return _BY_REASON.get(pod.reason, ("", "name the port in the configuration"))[1]
    if _protocol(pod) is not None or (pod.failure is ProbeFailure.NOT_TLS and target.port is not None):
        return BY_START
    return _BY_FAILURE[pod.failure][1]


def _protocol(pod: PodStatus) -> str | None:
    """Return the protocol that a port without plain TLS is known for."""
    return OPENS_PLAIN.get(pod.port or 0) if pod.failure in _OTHER_PROTOCOL else None
