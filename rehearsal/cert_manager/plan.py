"""The next write of each of cert-manager's controllers for a Certificate. Pure.

cert-manager is several controllers that write side by side, each by rules of its own; which of the writes that are
due comes first is chance. What follows from the rules alone: the next private key and its name come before the request
of the next revision, that before its signature, that before the Secret, that before the revision. The dates in the
status are the Secret's, so they may be written before the revision or after it, and the old request is deleted as soon
as there is the next one. Each write depends only on what is stored, so a cert-manager that was killed goes on where it
was. The rules are those of release 1.21.2, pkg/controller/certificates.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from rehearsal.cert_manager import contents
from rehearsal.cert_manager.policies import READINESS_CHAIN, TEMPORARY_CHAIN, TRIGGER_CHAIN, first_violation, mismatches
from rehearsal.cert_manager.situation import TEMPORARY, Situation, renewal_at, revision_of
from rehearsal.objects import Document, annotations_of, condition, instant, is_true, name_of

BACKOFF, MOST_BACKOFF = timedelta(hours=1), timedelta(hours=32)
"""How long the trigger waits after a failed issuance: doubled with each, up to the second."""


class Write(Enum):
    """A write that is due."""

    READINESS = auto()
    ISSUING = auto()
    NEXT_KEY = auto()
    NEXT_KEY_NAME = auto()
    FORGET_KEY = auto()
    FORGET_KEY_NAME = auto()
    WRONG_REQUEST = auto()
    REQUEST = auto()
    OLD_REQUEST = auto()
    TEMPORARY_SECRET = auto()
    SECRET = auto()
    REVISION = auto()
    FAILURE = auto()


def due(situation: Situation, now: datetime) -> Sequence[Write]:
    """Return what each controller would write now, of those that would write anything."""
    return [write for controller in CONTROLLERS.values() if (write := controller(situation, now)) is not None]


def due_at(situation: Situation, now: datetime) -> datetime | None:
    """Return when time alone makes a write due: the renewal, the end, or another try after a failure."""
    leaf = situation.leaf
    instants = [retry_at(situation)]
    if leaf is not None:
        instants += [renewal_at(situation.spec, leaf.not_before, leaf.not_after), leaf.not_after]
    return min((at for at in instants if at is not None and at > now), default=None)


# --- readiness: Ready, and the dates of the Secret --------------------------------------------------------


def readiness(situation: Situation, now: datetime) -> Document:
    """Return status, reason and message of the condition Ready."""
    violation = first_violation(READINESS_CHAIN, situation, now)
    if violation is not None:
        return {"status": "False", **violation._asdict()}
    return {"status": "True", "reason": "Ready", "message": "Certificate is up to date and has not expired"}


def status_dates(situation: Situation) -> dict[str, str | None]:
    """Return the dates for the status: those of the leaf in the Secret, no matter who put it there."""
    leaf = situation.leaf
    if leaf is None:
        return dict.fromkeys(("notBefore", "notAfter", "renewalTime"))
    renewal = renewal_at(situation.spec, leaf.not_before, leaf.not_after)
    dates = {"notBefore": leaf.not_before, "notAfter": leaf.not_after, "renewalTime": renewal}
    return {name: None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in dates.items()}


def _readiness(situation: Situation, now: datetime) -> Write | None:
    if situation.has_duplicates:
        return None
    found, wanted = condition(situation.certificate, "Ready") or {}, readiness(situation, now)
    same = all(found.get(name) == wanted[name] for name in wanted)
    dates = status_dates(situation)
    return None if same and all(situation.status.get(name) == at for name, at in dates.items()) else Write.READINESS


# --- trigger: is it to be issued? ---------------------------------------------------------------------------


def reason_to_issue(situation: Situation, now: datetime) -> Document | None:
    """Return why a certificate is to be issued, as reason and message of a condition; None if it is not."""
    violation = first_violation(TRIGGER_CHAIN, situation, now)
    return violation._asdict() if violation is not None else None


def retry_at(situation: Situation) -> datetime | None:
    """Return until when the trigger waits after a failure, None if it does not."""
    status, request = situation.status, situation.next_request
    if "lastFailureTime" not in status or (request is not None and mismatches(request, situation.spec)):
        return None
    attempts = int(status.get("failedIssuanceAttempts", 1))
    backoff = min(BACKOFF * (1 << min(attempts - 1, 8)), MOST_BACKOFF)
    return instant(status["lastFailureTime"]) + backoff


def _trigger(situation: Situation, now: datetime) -> Write | None:
    if situation.is_issuing or situation.has_duplicates:
        return None
    retry = retry_at(situation)
    if retry is not None and retry > now:
        return None
    return Write.ISSUING if reason_to_issue(situation, now) is not None else None


# --- key manager: the private key of the next revision ------------------------------------------------------


def _key_manager(situation: Situation, _: datetime) -> Write | None:
    has_name = bool(situation.status.get("nextPrivateKeySecretName"))
    if not situation.is_issuing:
        if situation.next_key is not None:
            return Write.FORGET_KEY
        return Write.FORGET_KEY_NAME if has_name else None
    if situation.next_key is None:
        return Write.NEXT_KEY
    return None if has_name else Write.NEXT_KEY_NAME


# --- request manager: the request of the next revision ------------------------------------------------------


def wrong_requests(situation: Situation) -> Sequence[Document]:
    """Return the requests that an issuance deletes first.

    Those that say no revision, and those of the next one for another key or spec, or that failed in an issuance before.
    """
    since = (condition(situation.certificate, "Issuing") or {}).get("lastTransitionTime", "")

    def is_wrong(request: Document) -> bool:
        csr = contents.csr(request)
        failed = (condition(request, "Ready") or {}).get("reason") == "Failed"
        return (
            csr is None
            or csr.public_key != contents.public_key(situation.next_key)
            or bool(mismatches(request, situation.spec))
            or (failed and request["status"].get("failureTime", "") < since)
        )

    unreadable = [request for request in situation.requests if revision_of(request) is None]
    return [*unreadable, *(each for each in situation.of_revision(situation.revision + 1) if is_wrong(each))]


def request_name(situation: Situation) -> str:
    """Return the name of the next request (StableCertificateRequestName, on by default)."""
    return f"{name_of(situation.certificate)}-{situation.revision + 1}"


def _request_manager(situation: Situation, _: datetime) -> Write | None:
    if not _has_next_key(situation):
        return None
    if wrong_requests(situation):
        return Write.WRONG_REQUEST
    if situation.of_revision(situation.revision + 1) or request_name(situation) in situation.names_taken:
        return None
    return Write.REQUEST


# --- revision manager: old requests --------------------------------------------------------------------------


def superfluous(situation: Situation) -> Sequence[Document]:
    """Return the requests beyond `revisionHistoryLimit` (1 since cert-manager 1.18), lowest revision first."""
    limit = int(situation.spec.get("revisionHistoryLimit", 1))
    numbered = sorted(
        ((revision, request) for request in situation.requests if (revision := revision_of(request)) is not None),
        key=lambda pair: pair[0],
    )
    return [request for _, request in numbered[: max(0, len(numbered) - limit)]]


def races(situation: Situation) -> bool:
    """Tell whether the revision manager is up against approver and signer of the next request.

    A request with a forged revision far ahead makes it delete each next request (seen of 1.21.2 on a real cluster): it
    is made again at once, dozens of times in a second, until one of them is signed and stored before it is deleted.
    """
    request = situation.next_request
    return request is not None and (not is_true(request, "Approved") or condition(request, "Ready") is None)


def deletes_unsigned(situation: Situation) -> bool:
    """Tell whether the revision manager deletes first the next request, which its issuer cannot sign."""
    request = situation.next_request
    pending = request is not None and (condition(request, "Ready") or {}).get("reason") == "Pending"
    return pending and superfluous(situation)[0] is request


def _revision_manager(situation: Situation, _: datetime) -> Write | None:
    is_ready = is_true(situation.certificate, "Ready")
    return Write.OLD_REQUEST if is_ready and superfluous(situation) else None


# --- issuing: the Secret, then the revision ------------------------------------------------------------------


def _issuing(situation: Situation, now: datetime) -> Write | None:
    request = situation.next_request
    if request is None or not _has_next_key(situation) or request in wrong_requests(situation):
        return None
    ready = condition(request, "Ready")
    if is_true(request, "Denied") or is_true(request, "InvalidRequest") or (ready or {}).get("reason") == "Failed":
        return Write.FAILURE
    if ready is None:
        return None
    if ready["reason"] != "Issued":
        is_asked_for = annotations_of(situation.certificate).get(TEMPORARY) == "true"
        lacks_a_pair = first_violation(TEMPORARY_CHAIN, situation, now) is not None
        return Write.TEMPORARY_SECRET if is_asked_for and lacks_a_pair else None
    signed = contents.leaf(request["status"], "certificate")
    if signed is None or signed.public_key != contents.public_key(situation.next_key) or signed.not_after < now:
        return Write.FAILURE
    stored = ((situation.secret or {}).get("data") or {}).get("tls.crt")
    return Write.REVISION if stored == request["status"]["certificate"] else Write.SECRET


def _has_next_key(situation: Situation) -> bool:
    """Tell whether an issuance is under way and has got as far as its private key."""
    has_name = bool(situation.status.get("nextPrivateKeySecretName"))
    return situation.is_issuing and has_name and contents.public_key(situation.next_key) is not None


CONTROLLERS: Mapping[str, Callable[[Situation, datetime], Write | None]] = {
    "readiness": _readiness,
    "trigger": _trigger,
    "keymanager": _key_manager,
    "requestmanager": _request_manager,
    "revisionmanager": _revision_manager,
    "issuing": _issuing,
}
"""What each controller writes next, by the name of its package."""
