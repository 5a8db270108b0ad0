"""cert-manager's controllers as one: the next write for each Certificate, as soon as it is due."""

import base64
from collections import defaultdict
from datetime import datetime, timedelta

from rehearsal import pki
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, CLUSTER_ISSUERS, ISSUERS, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager import plan
from rehearsal.cert_manager.issuers import signing_of
from rehearsal.cert_manager.plan import Situation, Write
from rehearsal.cert_manager.writes import WRITES, next_key_name, sign
from rehearsal.controllers.loop import earliest
from rehearsal.faults import Faults
from rehearsal.objects import Document, annotations_of, condition, is_ending, namespace_of, uid_of

_REMEMBERED = 1000


class CertificateController:
    """Issues and renews Certificates."""

    watches = (CERTIFICATES, CERTIFICATE_REQUESTS, SECRETS, ISSUERS, CLUSTER_ISSUERS)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._held_until: dict[str, datetime] = {}
        self._dates: dict[str, tuple[datetime, datetime] | None] = {}

    def run(self, now: datetime) -> datetime | None:
        """Make one write for each Certificate that one is due for; return when time makes the next one due."""
        requests: defaultdict[Key, dict[int, Document]] = defaultdict(dict)
        for request in self._api.storage.all(CERTIFICATE_REQUESTS).values():
            certificate = annotations_of(request).get(plan.CERTIFICATE_NAME, "")
            requests[Key(namespace_of(request), certificate)][plan.revision_of(request)] = request
        certificates = [each for each in self._api.storage.all(CERTIFICATES).items() if not is_ending(each[1])]
        return earliest(*(self._sync(self._situation(each, requests[key]), now) for key, each in certificates))

    def _sync(self, situation: Situation, now: datetime) -> datetime | None:
        write = plan.next_write(situation, now)
        if write is None:
            return plan.due_at(situation, now)
        uid = uid_of(situation.certificate)
        if (held_until := self._held_until.get(uid, now)) > now:
            return held_until
        if write is Write.SIGNATURE:
            signing = signing_of(self._api, self._faults, situation.certificate)
            if signing is None and situation.request and condition(situation.request, "Ready"):
                return None  # it is said already; the issuer's return will wake us
            sign(self._api, situation, signing, now)
        else:
            WRITES[write](self._api, situation, now)
        if self._faults.issuing_pause > timedelta(0):
            self._held_until[uid] = now + self._faults.issuing_pause
        return None

    def _situation(self, certificate: Document, requests: dict[int, Document]) -> Situation:
        namespace = namespace_of(certificate)
        secret = self._api.storage.get(SECRETS, Key(namespace, certificate["spec"]["secretName"]))
        next_key = self._api.storage.get(SECRETS, Key(namespace, next_key_name(certificate)))
        return Situation(certificate, requests, secret, next_key, self._leaf_dates(secret))

    def _leaf_dates(self, secret: Document | None) -> tuple[datetime, datetime] | None:
        """Return the dates of the leaf in a Secret; each is read once."""
        text = ((secret or {}).get("data") or {}).get("tls.crt", "")
        if text not in self._dates:
            if len(self._dates) >= _REMEMBERED:
                self._dates.clear()
            try:
                self._dates[text] = pki.dates(base64.b64decode(text))
            except ValueError:
                self._dates[text] = None
        return self._dates[text]
