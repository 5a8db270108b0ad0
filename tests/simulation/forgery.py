"""CertificateRequests that somebody forges who may create and delete them in the namespace: every way at random.

Each carries the annotations of a target's Certificate. What differs is whom it names as its owner, the revision, whose
CSR it copies, its name, and what stands in its status: nothing, so that cert-manager signs it, or a certificate that
the forger writes there, as anyone who may change the status or stands behind an issuer of their own can.
"""

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from rehearsal import pki
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, SECRETS
from rehearsal.api.storage import Key
from rehearsal.objects import Document, controller_uid, instant, labels_of, name_of, owner_reference, uid_of
from tests.simulation.place import CERTIFICATE_SPECS, NAMESPACE, Place
from tests.simulation.truth import FORGED

FORGER = "forger"
NAME, REVISION = "cert-manager.io/certificate-name", "cert-manager.io/certificate-revision"
TARGETS = ("service", "registry")
FAR = 999


@dataclass(frozen=True)
class Victim:
    """A Certificate whose requests are forged, with what a forger can find out about it."""

    place: Place
    certificate: Document

    @property
    def chance(self) -> random.Random:
        """What decides."""
        return self.place.chance

    @property
    def revision(self) -> int:
        """The revision that its status has."""
        return int(self.certificate["status"].get("revision", 0))

    @property
    def requests(self) -> list[Document]:
        """The requests that it owns, forged or not."""
        uid = uid_of(self.certificate)
        return [each for each in self.place.everything(CERTIFICATE_REQUESTS) if controller_uid(each) == uid]

    @property
    def status_dates(self) -> tuple[datetime, datetime]:
        """The dates that its status has; some of now if it has none."""
        status, now = self.certificate["status"], self.place.clock.now()
        if "notAfter" not in status:
            return now, now + timedelta(days=90)
        return instant(status["notBefore"]), instant(status["notAfter"])


def victim(place: Place) -> Victim | None:
    """Choose one of the targets' Certificates, None if there is none."""
    found = [each for name in TARGETS if (each := place.get(CERTIFICATES, name)) is not None]
    return Victim(place, place.chance.choice(found)) if found else None


def forge(whose: Victim, name: str | None = None) -> str | None:
    """Create a forged request; return its name, None if there is one of that name."""
    name = name or whose.chance.choice((f"forged-{whose.chance.randrange(10**6)}", _next_name(whose)))
    annotations = {NAME: name_of(whose.certificate), REVISION: _pick(whose, REVISIONS)}
    owners = _pick(whose, OWNERS)
    metadata = {
        "name": name,
        "labels": {FORGED: "true"},
        "annotations": annotations,
        **({"ownerReferences": [owners]} if owners else {}),
    }
    spec = {
        "issuerRef": whose.certificate["spec"]["issuerRef"],
        "request": _pick(whose, CSRS),
        "usages": ["server auth"],
    }
    try:
        whose.place.cluster.apply(CERTIFICATE_REQUESTS, NAMESPACE, {"metadata": metadata, "spec": spec})
    except Refusal:
        return None
    if (signed := _pick(whose, LEAVES)) is not None:
        now = f"{whose.place.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        ready = {"type": "Ready", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": now}
        status = {"status": {**signed, "conditions": [ready]}}
        whose.place.patch(CERTIFICATE_REQUESTS, name, status, FORGER, subresource="status")
    return name


def take_the_place(whose: Victim) -> str | None:
    """Delete a request of the Certificate and create a forged one of its name; return that, None if it has none."""
    if not whose.requests:
        return None
    name = name_of(whose.chance.choice(whose.requests))
    delete(whose.place, name)
    return forge(whose, name)


def rewrite(whose: Victim) -> str | None:
    """Change the annotations of a request of the Certificate; return its name, None if it has none.

    cert-manager's webhook refuses that; where it does not run, or fails open, nothing does.
    """
    if not whose.requests:
        return None
    name = name_of(whose.chance.choice(whose.requests))
    annotations = {REVISION: _pick(whose, REVISIONS), NAME: whose.chance.choice((*TARGETS, None))}
    metadata = {"annotations": annotations, "labels": {FORGED: "true"}}
    whose.place.patch(CERTIFICATE_REQUESTS, name, {"metadata": metadata}, FORGER)
    return name


def delete(place: Place, name: str) -> None:
    """Delete a request, if it is there."""
    if place.get(CERTIFICATE_REQUESTS, name) is not None:
        place.cluster.api.objects.delete(CERTIFICATE_REQUESTS, Key(NAMESPACE, name))


def tidy(place: Place) -> None:
    """Delete every forged request, and those that were left behind: their names are wanted by cert-manager."""
    for request in place.everything(CERTIFICATE_REQUESTS):
        if FORGED in labels_of(request) or controller_uid(request) is None:
            delete(place, name_of(request))


# --- the ways -------------------------------------------------------------------------------------------------

Part = TypeVar("Part")
Ways = Mapping[str, Callable[[Victim], Part]]


def _pick(whose: Victim, ways: Ways[Part]) -> Part:
    return ways[whose.chance.choice(tuple(ways))](whose)


def _next_name(whose: Victim) -> str:
    """Return the name that cert-manager's next request will have."""
    return f"{name_of(whose.certificate)}-{whose.revision + 1}"


def _spec(whose: Victim) -> Document:
    """Return what the Certificate asks for; now and then also with the name of another."""
    names = [*whose.certificate["spec"]["dnsNames"], *whose.chance.choice(((), (), TARGETS))]
    return {"dnsNames": list(dict.fromkeys(names))}


def _another_owner(whose: Victim) -> Document:
    others = [each for each in whose.place.everything(CERTIFICATES) if each is not whose.certificate]
    return owner_reference(whose.chance.choice(others))


def _own_csr(whose: Victim) -> str:
    return _encoded(pki.request(_spec(whose), pki.new_key()))


def _copied(whose: Victim) -> str:
    """Return the CSR of one of the Certificate's own requests: cert-manager takes it for its own."""
    return str(whose.chance.choice(whose.requests)["spec"]["request"]) if whose.requests else _own_csr(whose)


def _of_a_pod(whose: Victim) -> Document | None:
    chains = [chain for _, chain in sorted(whose.place.network.served.items())]
    return {"certificate": _encoded(whose.chance.choice(chains))} if chains else None


def _of_the_secret(whose: Victim) -> Document | None:
    secret = whose.place.get(SECRETS, whose.certificate["spec"]["secretName"])
    data = (secret or {}).get("data") or {}
    return {"certificate": data["tls.crt"], "ca": data.get("ca.crt", "")} if "tls.crt" in data else None


def _of_another_request(whose: Victim) -> Document | None:
    signed = [each for each in whose.requests if each["status"].get("certificate")]
    if not signed:
        return None
    status = whose.chance.choice(signed)["status"]
    return {part: status[part] for part in ("certificate", "ca") if part in status}


def _shifted(whose: Victim, by: timedelta) -> Document:
    not_before, not_after = whose.status_dates
    return _signed(whose, not_before + by, not_after + by)


_AUTHORITIES = {name: issuer for name, (issuer, _) in CERTIFICATE_SPECS.items()}


def _signed(whose: Victim, not_before: datetime, not_after: datetime, *, by_issuer: bool = True) -> Document:
    """Sign a certificate for the Certificate's names, with the key of its issuer or of nobody's."""
    key = pki.new_key()
    authority = whose.place.get(SECRETS, _AUTHORITIES[name_of(whose.certificate)])
    made_by = None
    if by_issuer and authority is not None:
        data = {name: base64.b64decode(text) for name, text in authority["data"].items()}
        made_by = pki.Signer(data["tls.crt"] + data["ca.crt"], data["tls.key"])
    csr, lifetime = pki.request(_spec(whose), key), not_after - not_before
    signed = pki.sign(csr, signer=made_by, key=key, now=not_before, lifetime=lifetime)
    return {"certificate": _encoded(signed.certificate), "ca": _encoded(signed.authority)}


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


OWNERS: Ways[Document | None] = {
    "nobody": lambda _: None,
    "the Certificate": lambda whose: owner_reference(whose.certificate),
    "the Certificate, as cert-manager does": lambda whose: owner_reference(whose.certificate),
    "not the controller": lambda whose: {**owner_reference(whose.certificate), "controller": False},
    "another Certificate": _another_owner,
    "an earlier Certificate": lambda whose: {**owner_reference(whose.certificate), "uid": "of-an-earlier-one"},
    "another name": lambda whose: {**owner_reference(whose.certificate), "name": "another"},
}
REVISIONS: Ways[str] = {
    "lower": lambda whose: str(whose.revision - 1),
    "equal": lambda whose: str(whose.revision),
    "equal, once more": lambda whose: str(whose.revision),
    "next": lambda whose: str(whose.revision + 1),
    "far": lambda _: str(FAR),
    "none": lambda _: "x",
}
CSRS: Ways[str] = {
    "own": _own_csr,
    "copied": _copied,
}
LEAVES: Ways[Document | None] = {
    "signed by cert-manager": lambda _: None,
    "loaded": _of_a_pod,
    "in the Secret": _of_the_secret,
    "of another request": _of_another_request,
    "dates of the status": lambda whose: _signed(whose, *whose.status_dates),
    "dates of the status, by nobody": lambda whose: _signed(whose, *whose.status_dates, by_issuer=False),
    "same second": lambda whose: _signed(whose, whose.status_dates[0], whose.status_dates[1] - timedelta(days=1)),
    "of now": lambda whose: _signed(whose, whose.place.clock.now(), whose.place.clock.now() + timedelta(days=90)),
    "back-dated": lambda whose: _shifted(whose, -timedelta(days=whose.chance.uniform(1, 60))),
    "future-dated": lambda whose: _shifted(whose, timedelta(days=whose.chance.uniform(1, 60))),
}
