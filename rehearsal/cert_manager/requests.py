"""CertificateRequests, no matter who made them: each is approved, and signed by the issuer that it names.

cert-manager's own approver approves all, unless an approver-policy takes its place (release 1.21.2,
pkg/controller/certificaterequests/approver), and its CA and self-signed issuers sign whatever is approved.
"""

import base64
from datetime import datetime, timedelta

from rehearsal import pki
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CLUSTER_ISSUERS, ISSUERS, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager.issuers import Signing, signing_for
from rehearsal.cert_manager.situation import KEY_SECRET, lifetime
from rehearsal.controllers.loop import earliest
from rehearsal.faults import Faults
from rehearsal.objects import (
    Document,
    annotations_of,
    condition,
    is_ending,
    is_true,
    name_of,
    namespace_of,
    uid_of,
    with_condition,
)

APPROVER = "cert-manager-certificaterequests-approver"
ISSUER = "cert-manager-certificaterequests-issuer-ca"


class CertificateRequestController:
    """Approves and signs CertificateRequests."""

    watches = (CERTIFICATE_REQUESTS, SECRETS, ISSUERS, CLUSTER_ISSUERS)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._held_until: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Make the write that each request is due for; return when the next may be made."""
        requests = tuple(self._api.storage.all(CERTIFICATE_REQUESTS).values())
        self._held_until = {uid: at for uid, at in self._held_until.items() if at > now}
        return earliest(*(self._sync(request, now) for request in requests if not is_ending(request)))

    def _sync(self, request: Document, now: datetime) -> datetime | None:
        status = self._next_status(request, now)
        if status is None:
            return None
        uid = uid_of(request)
        if uid in self._held_until:
            return self._held_until[uid]
        manager = ISSUER if is_true(request, "Approved") else APPROVER
        key = Key(namespace_of(request), name_of(request))
        self._api.patch(CERTIFICATE_REQUESTS, key, {"status": status}, MERGE_PATCH, manager, subresource="status")
        if self._faults.issuing_pause > timedelta(0):
            self._held_until[uid] = now + self._faults.issuing_pause
        return None

    def _next_status(self, request: Document, now: datetime) -> Document | None:
        """Return what is to be written into a request's status, None if nothing is."""
        reason = (condition(request, "Ready") or {}).get("reason")
        if reason in ("Issued", "Failed") or is_true(request, "Denied"):
            return None
        if not is_true(request, "Approved"):
            message = "Certificate request has been approved by cert-manager.io"
            approved = {"type": "Approved", "status": "True", "reason": "cert-manager.io", "message": message}
            return _with(request, approved, now)
        if request["status"].get("certificate"):
            return None
        signing = signing_for(self._api, self._faults, request)
        signed = self._signed(request, signing, now) if signing is not None else None
        if signed is None:
            message = "Referenced issuer does not have a Ready status condition"
            pending = {"type": "Ready", "status": "False", "reason": "Pending", "message": message}
            return None if reason == "Pending" else _with(request, pending, now)
        content = {"certificate": _encoded(signed.certificate), "ca": _encoded(signed.authority)}
        message = "Certificate fetched from issuer successfully"
        issued = {"type": "Ready", "status": "True", "reason": "Issued", "message": message}
        return {**content, **_with(request, issued, now)}

    def _signed(self, request: Document, signing: Signing, now: datetime) -> pki.Signed | None:
        """Sign what a request asks for; None if it cannot be read, or its own key is needed and not there."""
        key = b""
        if signing.signer is None:
            name = annotations_of(request).get(KEY_SECRET, "")
            secret = self._api.storage.get(SECRETS, Key(namespace_of(request), name))
            key = base64.b64decode(((secret or {}).get("data") or {}).get("tls.key", ""))
        try:
            csr = base64.b64decode(request["spec"]["request"])
            return pki.sign(csr, signer=signing.signer, key=key, now=now, lifetime=lifetime(request["spec"]))
        except ValueError:
            return None


def _with(request: Document, new: Document, now: datetime) -> Document:
    """Return the conditions of a request with one more."""
    return {"conditions": with_condition(request["status"].get("conditions") or (), new, now)}


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
