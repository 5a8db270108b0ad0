"""Each write of cert-manager, as a function of the situation. Every one is a single request to the API.

The field managers are those of cert-manager's controllers, which each have a name of their own.
"""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rehearsal import pki
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager import plan
from rehearsal.cert_manager.plan import Write
from rehearsal.cert_manager.situation import (
    CERTIFICATE_NAME,
    ISSUER_GROUP,
    ISSUER_KIND,
    ISSUER_NAME,
    KEY_SECRET,
    REVISION,
    Situation,
    lifetime,
)
from rehearsal.objects import Document, name_of, namespace_of, owner_reference, timestamp, uid_of, with_condition

TRIGGER = "cert-manager-certificates-trigger"
READINESS = "cert-manager-certificates-readiness"
KEYS = "cert-manager-certificates-key-manager"
REQUESTS = "cert-manager-certificates-request-manager"
ISSUING = "cert-manager-certificates-issuing"

TEMPORARY_SERIAL_NUMBER = "1234567890"
"""In the subject of every temporary certificate (pkg/util/pki/temporarycertificate.go)."""


def next_key_name(certificate: Document) -> str:
    """Return the name of the Secret of the next key: cert-manager generates it, we take it from UID and revision."""
    known = certificate["status"].get("nextPrivateKeySecretName")
    revision = certificate["status"].get("revision", 0)
    return known or f"{name_of(certificate)}-{uid_of(certificate)[:4]}{revision}"


def _readiness(api: Verbs, situation: Situation, now: datetime) -> None:
    ready = {"type": "Ready", **plan.readiness(situation, now)}
    _write_status(api, situation, READINESS, {**plan.status_dates(situation), **_with_condition(situation, ready, now)})


def _issuing(api: Verbs, situation: Situation, now: datetime) -> None:
    issuing = {"type": "Issuing", "status": "True", **(plan.reason_to_issue(situation, now) or {})}
    _write_status(api, situation, TRIGGER, _with_condition(situation, issuing, now))


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
    certificate, spec = situation.certificate, situation.spec
    annotations = {
        CERTIFICATE_NAME: name_of(certificate),
        REVISION: str(situation.revision + 1),
        KEY_SECRET: next_key_name(certificate),
    }
    asked: Document = {
        "request": _encoded(pki.request(spec, _key(situation))),
        "issuerRef": spec["issuerRef"],
        **{part: spec[part] for part in ("duration", "usages", "isCA") if part in spec},
    }
    owners = [owner_reference(certificate)]
    metadata = {"name": plan.request_name(situation), "annotations": annotations, "ownerReferences": owners}
    api.create(CERTIFICATE_REQUESTS, namespace_of(certificate), {"metadata": metadata, "spec": asked}, REQUESTS)


def _wrong_request(api: Verbs, situation: Situation, _now: datetime) -> None:
    _delete_request(api, plan.wrong_requests(situation)[0])


def _old_request(api: Verbs, situation: Situation, _now: datetime) -> None:
    _delete_request(api, plan.superfluous(situation)[0])


def _temporary_secret(api: Verbs, situation: Situation, now: datetime) -> None:
    """Store a certificate of an authority that nobody keeps, for servers that do not start without any."""
    spec = {**situation.spec, "subject": {"serialNumber": TEMPORARY_SERIAL_NUMBER}}
    duration, key = lifetime(situation.spec), _key(situation)
    authority = pki.self_signed("cert-manager.local", (), now=now, lifetime=duration)
    signed = pki.sign(pki.request(spec, key), signer=authority, key=key, now=now, lifetime=duration)
    _store(api, situation, {"tls.crt": _encoded(signed.certificate), "tls.key": _encoded(key)}, {})


def _secret(api: Verbs, situation: Situation, _now: datetime) -> None:
    request = situation.next_request
    if request is None:
        raise AssertionError("the plan stores what a request holds only where there is one")
    status, issuer = request["status"], request["spec"]["issuerRef"]
    data = {"tls.crt": status["certificate"], "tls.key": _encoded(_key(situation)), "ca.crt": status["ca"]}
    issued_by = {
        ISSUER_NAME: issuer["name"],
        ISSUER_KIND: issuer.get("kind", ""),
        ISSUER_GROUP: issuer.get("group", ""),
    }
    _store(api, situation, data, issued_by)


def _store(api: Verbs, situation: Situation, data: Document, issued_by: Document) -> None:
    certificate = situation.certificate
    annotations = {
        CERTIFICATE_NAME: name_of(certificate),
        "cert-manager.io/alt-names": ",".join(situation.spec.get("dnsNames") or ()),
        "cert-manager.io/common-name": situation.spec.get("commonName", ""),
        **issued_by,
    }
    key = Key(namespace_of(certificate), situation.spec["secretName"])
    if situation.secret is None:
        labels = {"controller.cert-manager.io/fao": "true"}
        metadata = {"name": key.name, "labels": labels, "annotations": annotations}
        made = {"metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        api.create(SECRETS, key.namespace, made, ISSUING)
    else:
        api.patch(SECRETS, key, {"metadata": {"annotations": annotations}, "data": data}, MERGE_PATCH, ISSUING)


def _failure(api: Verbs, situation: Situation, now: datetime) -> None:
    """Give up this issuance; the trigger tries again later."""
    message = "The certificate request has failed to complete and will be retried"
    issuing = {"type": "Issuing", "status": "False", "reason": "Failed", "message": message}
    failed = {
        "lastFailureTime": timestamp(now),
        "failedIssuanceAttempts": int(situation.status.get("failedIssuanceAttempts", 0)) + 1,
    }
    _write_status(api, situation, ISSUING, {**failed, **_with_condition(situation, issuing, now)})


def _revision(api: Verbs, situation: Situation, _now: datetime) -> None:
    """Say that the issuance is over. The dates in the status are those that readiness has written by now."""
    conditions = [each for each in situation.status["conditions"] if each["type"] != "Issuing"]
    no_failure = dict.fromkeys(("lastFailureTime", "failedIssuanceAttempts"))
    _write_status(api, situation, ISSUING, {"revision": situation.revision + 1, "conditions": conditions, **no_failure})


def _forget_key(api: Verbs, situation: Situation, _now: datetime) -> None:
    api.delete(SECRETS, Key(namespace_of(situation.certificate), next_key_name(situation.certificate)))


def _forget_key_name(api: Verbs, situation: Situation, _now: datetime) -> None:
    _write_status(api, situation, KEYS, {"nextPrivateKeySecretName": None})


WRITES: dict[Write, Callable[[Verbs, Situation, datetime], None]] = {
    Write.READINESS: _readiness,
    Write.ISSUING: _issuing,
    Write.NEXT_KEY: _next_key,
    Write.NEXT_KEY_NAME: _next_key_name,
    Write.FORGET_KEY: _forget_key,
    Write.FORGET_KEY_NAME: _forget_key_name,
    Write.WRONG_REQUEST: _wrong_request,
    Write.REQUEST: _request,
    Write.OLD_REQUEST: _old_request,
    Write.TEMPORARY_SECRET: _temporary_secret,
    Write.SECRET: _secret,
    Write.REVISION: _revision,
    Write.FAILURE: _failure,
}


def _with_condition(situation: Situation, new: Document, now: datetime) -> Document:
    """Return the conditions of the Certificate with one more."""
    certificate = situation.certificate
    new = {**new, "observedGeneration": certificate["metadata"]["generation"]}
    return {"conditions": with_condition(situation.status.get("conditions") or (), new, now)}


def _write_status(api: Verbs, situation: Situation, manager: str, status: Document) -> None:
    certificate = situation.certificate
    key = Key(namespace_of(certificate), name_of(certificate))
    api.patch(CERTIFICATES, key, {"status": status}, MERGE_PATCH, manager, subresource="status")


def _delete_request(api: Verbs, request: Document) -> None:
    api.delete(CERTIFICATE_REQUESTS, Key(namespace_of(request), name_of(request)))


def _key(situation: Situation) -> bytes:
    secret: dict[str, Any] = situation.next_key or {"data": {"tls.key": ""}}
    return base64.b64decode(secret["data"]["tls.key"])


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
