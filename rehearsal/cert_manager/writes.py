"""Each write of cert-manager, as a function of the situation. Every one is a single request to the API.

The field managers are those of cert-manager's controllers, which each have a name of their own.
"""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rehearsal import pki
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager import plan
from rehearsal.cert_manager.issuers import Signing
from rehearsal.cert_manager.plan import Situation, Write
from rehearsal.objects import Document, name_of, namespace_of, owner_reference, uid_of, with_condition

TRIGGER = "cert-manager-certificates-trigger"
READINESS = "cert-manager-certificates-readiness"
KEYS = "cert-manager-certificates-key-manager"
REQUESTS = "cert-manager-certificates-request-manager"
APPROVER = "cert-manager-certificaterequests-approver"
ISSUER = "cert-manager-certificaterequests-issuer-ca"
ISSUING = "cert-manager-certificates-issuing"


def next_key_name(certificate: Document) -> str:
    """Return the name of the Secret of the next key: cert-manager generates it, we take it from UID and revision."""
    known = certificate["status"].get("nextPrivateKeySecretName")
    revision = certificate["status"].get("revision", 0)
    return known or f"{name_of(certificate)}-{uid_of(certificate)[:4]}{revision}"


def _readiness(api: Verbs, situation: Situation, now: datetime) -> None:
    ready = {"type": "Ready", **plan.readiness(situation, now)}
    _write_status(api, situation, READINESS, {**plan.status_dates(situation), **_say(situation, ready, now)})


def _issuing(api: Verbs, situation: Situation, now: datetime) -> None:
    why = plan.reason_to_issue(situation, now) or {}
    _write_status(api, situation, TRIGGER, _say(situation, {"type": "Issuing", "status": "True", **why}, now))


def _next_key(api: Verbs, situation: Situation, _now: datetime) -> None:
    certificate = situation.certificate
    labels = {"cert-manager.io/next-private-key": "true", "controller.cert-manager.io/fao": "true"}
    owners = [owner_reference(certificate)]
    metadata = {"name": next_key_name(certificate), "labels": labels, "ownerReferences": owners}
    secret = {"metadata": metadata, "type": "Opaque", "data": {"tls.key": _encoded(pki.new_key())}}
    api.create(SECRETS, namespace_of(certificate), secret, KEYS)


def _next_key_name(api: Verbs, situation: Situation, _now: datetime) -> None:
    _write_status(api, situation, KEYS, {"nextPrivateKeySecretName": next_key_name(situation.certificate)})


def _request(api: Verbs, situation: Situation, _now: datetime) -> None:
    certificate, spec = situation.certificate, situation.certificate["spec"]
    revision = situation.revision + 1
    annotations = {
        plan.CERTIFICATE_NAME: name_of(certificate),
        plan.REVISION: str(revision),
        plan.KEY_SECRET: next_key_name(certificate),
    }
    name, owners = f"{name_of(certificate)}-{revision}", [owner_reference(certificate)]
    asked = {
        "request": _encoded(pki.request(spec, _key(situation))),
        "issuerRef": spec["issuerRef"],
        "duration": spec.get("duration", f"{plan.LIFETIME // timedelta(hours=1)}h0m0s"),
        **{part: spec[part] for part in ("usages", "isCA") if part in spec},
    }
    made = {"metadata": {"name": name, "annotations": annotations, "ownerReferences": owners}, "spec": asked}
    api.create(CERTIFICATE_REQUESTS, namespace_of(certificate), made, REQUESTS)


def _old_request(api: Verbs, situation: Situation, _now: datetime) -> None:
    oldest = plan.superfluous(situation)[0]
    api.delete(CERTIFICATE_REQUESTS, Key(namespace_of(oldest), name_of(oldest)))


def _approval(api: Verbs, situation: Situation, now: datetime) -> None:
    message = "Certificate request has been approved by cert-manager.io"
    approved = {"type": "Approved", "status": "True", "reason": "cert-manager.io", "message": message}
    _write_request_status(api, situation, APPROVER, _say_of_request(situation, approved, now))


def sign(api: Verbs, situation: Situation, signing: Signing | None, now: datetime) -> None:
    """Sign the request of a situation, or say in it that its issuer cannot."""
    if signing is None:
        message = "Referenced issuer does not have a Ready status condition"
        pending = {"type": "Ready", "status": "False", "reason": "Pending", "message": message}
        _write_request_status(api, situation, ISSUER, _say_of_request(situation, pending, now))
        return
    signed = pki.sign(
        base64.b64decode(_wanted(situation)["spec"]["request"]),
        signer=signing.signer,
        key=_key(situation),
        now=now,
        lifetime=plan.lifetime(situation.certificate["spec"]),
    )
    given = {"certificate": _encoded(signed.certificate), "ca": _encoded(signed.authority)}
    message = "Certificate fetched from issuer successfully"
    issued = {"type": "Ready", "status": "True", "reason": "Issued", "message": message}
    _write_request_status(api, situation, ISSUER, {**given, **_say_of_request(situation, issued, now)})


def _secret(api: Verbs, situation: Situation, _now: datetime) -> None:
    certificate, status = situation.certificate, _wanted(situation)["status"]
    data = {"tls.crt": status["certificate"], "tls.key": _encoded(_key(situation)), "ca.crt": status["ca"]}
    annotations = {
        plan.CERTIFICATE_NAME: name_of(certificate),
        "cert-manager.io/alt-names": ",".join(certificate["spec"].get("dnsNames") or ()),
        "cert-manager.io/common-name": certificate["spec"].get("commonName", ""),
        "cert-manager.io/issuer-name": certificate["spec"]["issuerRef"]["name"],
    }
    key = Key(namespace_of(certificate), certificate["spec"]["secretName"])
    if situation.secret is None:
        labels = {"controller.cert-manager.io/fao": "true"}
        metadata = {"name": key.name, "labels": labels, "annotations": annotations}
        made = {"metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        api.create(SECRETS, key.namespace, made, ISSUING)
    else:
        api.patch(SECRETS, key, {"metadata": {"annotations": annotations}, "data": data}, MERGE_PATCH, ISSUING)


def _revision(api: Verbs, situation: Situation, _now: datetime) -> None:
    """Say that the issuance is over. The dates in the status are still those of before."""
    conditions = [each for each in situation.certificate["status"]["conditions"] if each["type"] != "Issuing"]
    status = {"revision": situation.revision + 1, "conditions": conditions}
    _write_status(api, situation, ISSUING, status)


def _forget_key(api: Verbs, situation: Situation, _now: datetime) -> None:
    api.delete(SECRETS, Key(namespace_of(situation.certificate), next_key_name(situation.certificate)))


def _forget_key_name(api: Verbs, situation: Situation, _now: datetime) -> None:
    _write_status(api, situation, KEYS, {"nextPrivateKeySecretName": None})


WRITES: dict[Write, Callable[[Verbs, Situation, datetime], None]] = {
    Write.READINESS: _readiness,
    Write.ISSUING: _issuing,
    Write.NEXT_KEY: _next_key,
    Write.NEXT_KEY_NAME: _next_key_name,
    Write.REQUEST: _request,
    Write.OLD_REQUEST: _old_request,
    Write.APPROVAL: _approval,
    Write.SECRET: _secret,
    Write.REVISION: _revision,
    Write.FORGET_KEY: _forget_key,
    Write.FORGET_KEY_NAME: _forget_key_name,
}
"""All writes but the signature, which needs an issuer: that is `sign`."""


def _say(situation: Situation, said: Document, now: datetime) -> Document:
    """Return the status with one more condition of the Certificate."""
    certificate = situation.certificate
    said = {**said, "observedGeneration": certificate["metadata"]["generation"]}
    return {"conditions": with_condition(certificate["status"].get("conditions") or (), said, now)}


def _write_status(api: Verbs, situation: Situation, manager: str, status: Document) -> None:
    certificate = situation.certificate
    key = Key(namespace_of(certificate), name_of(certificate))
    api.patch(CERTIFICATES, key, {"status": status}, MERGE_PATCH, manager, subresource="status")


def _say_of_request(situation: Situation, said: Document, now: datetime) -> Document:
    return {"conditions": with_condition(_wanted(situation)["status"].get("conditions") or (), said, now)}


def _write_request_status(api: Verbs, situation: Situation, manager: str, status: Document) -> None:
    request = _wanted(situation)
    key = Key(namespace_of(request), name_of(request))
    api.patch(CERTIFICATE_REQUESTS, key, {"status": status}, MERGE_PATCH, manager, subresource="status")


def _wanted(situation: Situation) -> Document:
    if situation.request is None:
        raise AssertionError("the plan asks for writes to a request only where there is one")
    return situation.request


def _key(situation: Situation) -> bytes:
    secret: dict[str, Any] = situation.next_key or {"data": {"tls.key": ""}}
    return base64.b64decode(secret["data"]["tls.key"])


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
