"""How things are said to people: foreign text, instants, lengths of time, the project's words in plain English. Pure.

All text that came from a cluster, a peer or a certificate goes through `visible` before it reaches a terminal.
"""

from datetime import UTC, datetime, timedelta

from certlag.assessment import Reason, WindowState
from certlag.model import IssuedEvidence
from certlag.run_record import Step
from runbook.events import Phase
from runbook.kube.views import counted

LONGEST = 1000
"""Characters of one piece of foreign text that are shown: an error page of a proxy is not a message."""

BRIEF = 0.05
"""Seconds below which it is not worth saying how long something took."""


def visible(text: str) -> str:
    """Make foreign text harmless on a terminal: one line, and nothing in it that a terminal obeys or hides.

    Control, format (bidirectional overrides, zero width) and unassigned characters are shown as escapes.
    """
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown} (and {len(text) - LONGEST} more characters)"


def instant(at: datetime) -> str:
    """Write an instant in UTC, to the minute: what a certificate's dates are worth."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def moment(at: datetime) -> str:
    """Write an instant in UTC, to the second: when something happened."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def time_of_day(at: datetime) -> str:
    """Write an instant in UTC without its date: within a run, the date is no news."""
    return f"{at.astimezone(UTC):%H:%M:%S}Z"


def length(time: timedelta | float) -> str:
    """Write a length of time in its two largest units: `850 ms`, `12.4 s`, `3m 5s`, `1h 2m`, `19d 4h`."""
    seconds = max(time.total_seconds() if isinstance(time, timedelta) else time, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit} {rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole // 60}m {whole % 60}s" if whole % 60 else f"{whole // 60}m"


def ticking(time: timedelta | float) -> str:
    """Write a length of time that is redrawn as it passes, in whole seconds."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    return length(float(int(max(seconds, 0.0))))


def distance(at: datetime, now: datetime) -> str:
    """Say how far away an instant is: `in 19 days`, `3 hours ago`, as one counts days before something is due."""
    seconds = (at - now).total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if (count := int(abs(seconds) // size)) > (1 if size > 1 else 0):
            amount = counted(count, unit)
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


def sentence(text: str) -> str:
    """Begin a text with a capital."""
    return text[:1].upper() + text[1:]


PHASES = {
    Phase.LOCKING: "take the lock",
    Phase.SCALING_DOWN: "scale workers to 0",
    Phase.DRAINING: "let workers finish",
    Phase.SETTLING: "let the issuance settle",
    Phase.RESTARTING: "restart",
    Phase.VERIFYING: "verify by handshake",
    Phase.SCALING_UP: "scale workers back",
    Phase.RESTORING: "workers ready again",
    Phase.CLOSING: "close the record",
}
"""What a run does in each phase, for a person who has not read its code."""

STEPS: dict[str, str] = {
    Step.PLANNED: "planned",
    Step.LOCKED: "lock taken",
    Step.RECORDED: "replicas recorded",
    Step.PAUSED_AUTOSCALER: "other controllers paused",
    Step.SCALED_DOWN: "workers scaled to 0",
    Step.DRAINED: "workers finished",
    Step.RESTARTING: "restart asked for",
    Step.RESTARTED: "rolled out",
    Step.VERIFIED: "verified by handshake",
    Step.SCALED_UP: "workers scaled back",
    Step.UNPAUSED: "workers ready again",
    Step.DONE: "done",
    "finished": "record closed",
}
"""What has been reached, by the record's names."""

REASONS = {
    Reason.IS_ISSUED: "presents the issued certificate",
    Reason.SAME_DATES_AS_ISSUED: "presents one with the dates of the issued certificate",
    Reason.STARTED_AFTER_ISSUANCE: "started after the issuance (a guess)",
    Reason.DIFFERS_FROM_REQUEST: "presents what is in the Secret, which differs from the last request",
    Reason.EARLIER_REVISION: "presents the certificate of an earlier revision",
    Reason.MIXED: "several processes answer, with different certificates",
    Reason.OLDER_THAN_ISSUED: "presents an older certificate than the issued one",
    Reason.STARTED_BEFORE_ISSUANCE: "started before the issuance (a guess)",
    Reason.OTHER_CERTIFICATE: "presents a certificate that is not this one",
    Reason.NEWER_THAN_ISSUED: "presents a newer certificate than the issued one",
    Reason.NOT_ORDERED: "presents a certificate whose dates do not tell whether it is older",
    Reason.NOT_SERVED: "has no port that serves this certificate",
    Reason.NEVER_ISSUED: "no certificate was ever issued",
    Reason.ISSUED_NOT_KNOWN: "what was issued is not known",
    Reason.PROBE_FAILED: "did not answer the handshake",
    Reason.STARTED_AROUND_ISSUANCE: "started just about when it was issued",
    Reason.PORT_NOT_FOUND: "has no port of the configured name",
    Reason.NO_PORT: "has no port that could be asked",
    Reason.PRESENTS_SIBLING: "presents another certificate of the same pod",
    Reason.FIRST_PROBE_PENDING: "not asked yet",
}
"""Why a verdict is what it is, as the end of a sentence that begins with the pod's name."""

STATES = {
    WindowState.EXPIRED: "an expired certificate is presented: clients are refused now",
    WindowState.NEEDS_RESTART: "renewed, and not loaded yet: a restart is due",
    WindowState.RENEWAL_DUE: "cert-manager should have renewed it and has not: a restart does not help",
    WindowState.RENEWAL_DISABLED: "its Certificate says never to renew it: a restart does not help",
    WindowState.UNKNOWN: "it is not known what every pod presents",
    WindowState.SETTLED: "every pod presents the issued certificate",
}
"""The state of a renewal window as one sentence."""

EVIDENCE = {
    IssuedEvidence.CERTIFICATE_REQUEST: "from its CertificateRequest",
    IssuedEvidence.MEMORY: "remembered from its CertificateRequest",
    IssuedEvidence.STATUS_DATES: "by the dates in its status only",
}
"""How we know what was issued."""
