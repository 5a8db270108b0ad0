"""cert-manager's controllers for Certificates: the writes that are due, in an order by chance."""

import random
from collections import defaultdict
from datetime import datetime, timedelta

from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager import plan
from rehearsal.cert_manager.plan import Write
from rehearsal.cert_manager.situation import Situation
from rehearsal.cert_manager.writes import WRITES, next_key_name
from rehearsal.controllers.loop import earliest
from rehearsal.faults import Faults
from rehearsal.objects import Document, controller_uid, is_ending, namespace_of, uid_of

LATE = timedelta(milliseconds=10)
"""How much later a controller comes that has lost a race."""
AGAIN = timedelta(minutes=1)
"""How long a request that its issuer can't sign stays deleted. The real one is made again at once, for as long."""


class CertificateController:
    """Issues and renews Certificates."""

    watches = (CERTIFICATES, CERTIFICATE_REQUESTS, SECRETS)

    def __init__(self, api: Verbs, faults: Faults, chance: random.Random) -> None:
        self._api = api
        self._faults = faults
        self._chance = chance
        self._held_until: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Make one of the writes that are due for each Certificate; return when time makes the next one due."""
        owned: defaultdict[str | None, list[Document]] = defaultdict(list)
        taken: defaultdict[str, set[str]] = defaultdict(set)
        for key, request in sorted(self._api.storage.all(CERTIFICATE_REQUESTS).items()):
            owned[controller_uid(request)].append(request)
            taken[key.namespace].add(key.name)
        self._held_until = {uid: at for uid, at in self._held_until.items() if at > now}
        certificates = [each for each in self._api.storage.all(CERTIFICATES).values() if not is_ending(each)]
        return earliest(
            *(
                self._sync(self._situation(each, owned[uid_of(each)], taken[namespace_of(each)]), now)
                for each in certificates
            )
        )

    def _sync(self, situation: Situation, now: datetime) -> datetime | None:
        uid = uid_of(situation.certificate)
        writes = plan.due(situation, now)
        if not writes:
            return plan.due_at(situation, now)
        if uid in self._held_until:
            return self._held_until[uid]
        write = self._chance.choice(writes)
        if write is Write.OLD_REQUEST and plan.races(situation) and self._chance.random() < 0.5:
            return now + LATE
        pause = self._faults.issuing_pause
        if write is Write.OLD_REQUEST and plan.deletes_unsigned(situation):
            pause = max(pause, AGAIN)
        WRITES[write](self._api, situation, now)
        if pause > timedelta(0):
            self._held_until[uid] = now + pause
        return None

    def _situation(self, certificate: Document, requests: list[Document], names_taken: set[str]) -> Situation:
        namespace = namespace_of(certificate)
        secret = self._api.storage.get(SECRETS, Key(namespace, certificate["spec"]["secretName"]))
        next_key = self._api.storage.get(SECRETS, Key(namespace, next_key_name(certificate)))
        return Situation(certificate, tuple(requests), frozenset(names_taken), secret, next_key)
