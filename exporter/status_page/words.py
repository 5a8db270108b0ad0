"""How the status page says things: spans of time, instants, states, verdicts, reasons. Pure tables and arithmetic.

Spans are coarse on purpose: what is said changes rarely, so that most of the page stays what it was.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from certlag.assessment import Reason, Verdict, WindowState
from certlag.model import ProbeFailure
from certlag.run_record import RunState

_UNITS = (
    (timedelta(days=730), timedelta(days=365), "year"),
    (timedelta(days=2), timedelta(days=1), "day"),
    (timedelta(hours=2), timedelta(hours=1), "hour"),
    (timedelta(minutes=1), timedelta(minutes=1), "minute"),
    (timedelta(0), timedelta(seconds=1), "second"),
)
"""From which length on a span is counted in which unit: 47 hours, then 2 days."""

STATES = {
    WindowState.EXPIRED: "Expired",
    WindowState.NEEDS_RESTART: "Needs restart",
    WindowState.RENEWAL_DISABLED: "Renewal disabled",
    WindowState.RENEWAL_DUE: "Renewal overdue",
    WindowState.UNKNOWN: "Unknown",
    WindowState.SETTLED: "Nothing to do",
}
RUN_STATES = {
    RunState.DRAINING: "Draining the workers",
    RunState.RESTARTING: "Restarting",
    RunState.VERIFYING: "Verifying",
    RunState.RESTORING: "Putting the workers back",
    RunState.LEFT_DRAINED: "Workers left drained",
}
VERDICTS = {
    Verdict.CURRENT: "current",
    Verdict.STALE: "stale",
    Verdict.UNKNOWN: "unknown",
    Verdict.UNPROBED: "not probed",
    Verdict.PENDING: "not probed yet",
}
REASONS = {
    Reason.IS_ISSUED: "presents the issued certificate",
    Reason.SAME_DATES_AS_ISSUED: "has the dates of the issued certificate; more is not known of it",
    Reason.STARTED_AFTER_ISSUANCE: "started after the issuance: a guess",
    Reason.DIFFERS_FROM_REQUEST: "has the dates of the Secret, which are not those of the last request",
    Reason.OLDER_THAN_ISSUED: "presents a certificate from before the renewal",
    Reason.EARLIER_REVISION: "presents the certificate of an earlier revision",
    Reason.MIXED: "several processes answer, with different certificates",
    Reason.STARTED_BEFORE_ISSUANCE: "started before the issuance: a guess",
    Reason.OTHER_CERTIFICATE: "presents a certificate that is not this one",
    Reason.NEWER_THAN_ISSUED: "presents a newer certificate than the issued one",
    Reason.NOT_ORDERED: "presents a certificate whose dates do not tell whether it is older",
    Reason.NEVER_ISSUED: "nothing was issued yet",
    Reason.ISSUED_NOT_KNOWN: "what was issued is not known",
    Reason.PROBE_FAILED: "no handshake has shown a certificate yet",
    Reason.STARTED_AROUND_ISSUANCE: "started within two minutes after the issuance",
    Reason.PORT_NOT_FOUND: "has no port of the configured name",
    Reason.NO_PORT: "has no port that is probed",
    Reason.NOT_SERVED: "has no port that serves this certificate",
    Reason.PRESENTS_SIBLING: "presents another certificate of the same pod",
    Reason.FIRST_PROBE_PENDING: "the first handshake is under way",
}
FAILURES = {
    ProbeFailure.ALERT: "refused by the server with a TLS alert",
    ProbeFailure.CONNECTION_REFUSED: "connection refused",
    ProbeFailure.CONNECTION_RESET: "connection reset",
    ProbeFailure.INVALID_CERTIFICATE: "unreadable certificate",
    ProbeFailure.NOT_TLS: "does not speak TLS",
    ProbeFailure.NO_COMMON_CIPHER: "no common cipher that proves the server's key",
    ProbeFailure.NO_COMMON_VERSION: "no common TLS version",
    ProbeFailure.PROTOCOL: "invalid TLS from the server",
    ProbeFailure.SERVER_ERROR: "internal error of the server",
    ProbeFailure.TIMEOUT: "no answer in time",
    ProbeFailure.TOO_LARGE: "too large an answer",
    ProbeFailure.UNREACHABLE: "unreachable",
    ProbeFailure.UNRECOGNIZED_NAME: "server name refused by the server",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant as it is shown: for machines, as a date, and from where we stand."""

    iso: str
    date: str
    day: str
    words: str


def moment(at: datetime, now: datetime) -> Moment:
    """Say an instant in all its forms; always in UTC, as logs and clusters do."""
    return Moment(*_forms(at), relative(at, now))


@lru_cache(maxsize=8192)
def _forms(at: datetime) -> tuple[str, str, str]:
    """Return what does not depend on where we stand."""
    at = at.astimezone(UTC)
    day = f"{at:%a} {at.day} {at:%b} {at.year}"
    return at.isoformat().replace("+00:00", "Z"), f"{day}, {at:%H:%M} UTC", day


def relative(at: datetime, now: datetime) -> str:
    """Say where an instant lies from now."""
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def span(length: timedelta) -> str:
    """Say a length of time in its largest sensible unit, rounded down."""
    for least, unit, name in _UNITS:
        if length >= least:
            count = length // unit
            return f"{count} {name}" if count == 1 else f"{count:,} {name}s"
    return "0 seconds"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Say how many of something."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
