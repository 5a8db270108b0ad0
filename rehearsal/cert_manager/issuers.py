"""Issuers and ClusterIssuers: what they sign with, and what they say of themselves."""

import base64
from datetime import datetime
from typing import NamedTuple

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CLUSTER_ISSUERS, ISSUERS, SECRETS, Resource
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.faults import Faults
from rehearsal.objects import Document, condition, name_of, namespace_of, with_condition
from rehearsal.pki import Signer

CLUSTER_NAMESPACE = "cert-manager"
"""Where the Secrets of ClusterIssuers are."""


class Signing(NamedTuple):
    """What an issuer signs with; `signer` is None if every certificate signs itself."""

    signer: Signer | None


def signing(api: Verbs, faults: Faults, resource: Resource, issuer: Document) -> Signing | None:
    """Return what an issuer signs with, None if it cannot."""
    if name_of(issuer) in faults.broken_issuers:
        return None
    if "selfSigned" in issuer["spec"]:
        return Signing(None)
    namespace = CLUSTER_NAMESPACE if resource is CLUSTER_ISSUERS else namespace_of(issuer)
    secret = api.storage.get(SECRETS, Key(namespace, issuer["spec"].get("ca", {}).get("secretName", "")))
    data = (secret or {}).get("data") or {}
    if not {"tls.crt", "tls.key"} <= data.keys():
        return None
    chain, root = base64.b64decode(data["tls.crt"]), base64.b64decode(data.get("ca.crt", ""))
    return Signing(Signer(chain if root in chain else chain + root, base64.b64decode(data["tls.key"])))


def signing_for(api: Verbs, faults: Faults, request: Document) -> Signing | None:
    """Return what signs a CertificateRequest, None if its issuer is missing or cannot."""
    reference = request["spec"].get("issuerRef") or {}
    resource = CLUSTER_ISSUERS if reference.get("kind") == "ClusterIssuer" else ISSUERS
    namespace = "" if resource is CLUSTER_ISSUERS else namespace_of(request)
    issuer = api.storage.get(resource, Key(namespace, reference.get("name", "")))
    return signing(api, faults, resource, issuer) if issuer is not None else None


class IssuerController:
    """Says of each Issuer whether it can sign."""

    watches = (ISSUERS, CLUSTER_ISSUERS, SECRETS)

    def __init__(self, api: Verbs, faults: Faults) -> None:
        self._api = api
        self._faults = faults

    def run(self, now: datetime) -> None:
        """Look at each."""
        for resource in (ISSUERS, CLUSTER_ISSUERS):
            for issuer in tuple(self._api.storage.all(resource).values()):
                self._sync(resource, issuer, now)

    def _sync(self, resource: Resource, issuer: Document, now: datetime) -> None:
        found = signing(self._api, self._faults, resource, issuer)
        if found is None:
            status, reason, message = "False", "ErrGetKeyPair", "Error getting keypair for CA issuer"
        elif found.signer is None:
            status, reason, message = "True", "IsReady", ""
        else:
            status, reason, message = "True", "KeyPairVerified", "Signing CA verified"
        if (condition(issuer, "Ready") or {}).get("reason") == reason:
            return
        generation = issuer["metadata"]["generation"]
        ready = {"type": "Ready", "status": status, "reason": reason, "message": message}
        conditions = with_condition(
            issuer["status"].get("conditions") or (), {**ready, "observedGeneration": generation}, now
        )
        key, patch = Key(namespace_of(issuer), name_of(issuer)), {"status": {"conditions": conditions}}
        self._api.patch(resource, key, patch, MERGE_PATCH, "cert-manager-issuers", subresource="status")
