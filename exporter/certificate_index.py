"""Certificates with their requests, and what is remembered of both. Pure bookkeeping, owned by `state`."""

from collections import defaultdict
from collections.abc import Iterable

from exporter.issued import issued
from exporter.model import Certificate, CertificateRequest, Issued, IssuedEvidence, ObjectKey

FORMER = 8
"""Fingerprints that are remembered of each Certificate's past."""


class CertificateIndex:
    """All Certificates and CertificateRequests.

    What the request of the current revision says is remembered, because cert-manager will delete that request.
    """

    def __init__(self) -> None:
        self._certificates: dict[ObjectKey, Certificate] = {}
        self._requests: dict[ObjectKey, CertificateRequest] = {}
        self._by_secret: dict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        self._requests_of: dict[ObjectKey, set[ObjectKey]] = defaultdict(set)
        self._remembered: dict[ObjectKey, tuple[str, int, Issued]] = {}
        self._former: dict[ObjectKey, tuple[str, ...]] = {}

    def put(self, certificate: Certificate) -> None:
        """Take in a Certificate, new or changed."""
        self._unlink(certificate.key)
        self._certificates[certificate.key] = certificate
        self._by_secret[_secret(certificate)].add(certificate.key)
        self._remember(certificate.key)

    def drop(self, key: ObjectKey) -> None:
        """Forget a Certificate and its past."""
        self._unlink(key)
        for store in (self._certificates, self._remembered, self._former):
            store.pop(key, None)

    def put_request(self, request: CertificateRequest) -> ObjectKey:
        """Take in a request; return the key of its Certificate."""
        certificate = ObjectKey(request.key.namespace, request.certificate)
        self._requests[request.key] = request
        self._requests_of[certificate].add(request.key)
        self._remember(certificate)
        return certificate

    def drop_request(self, key: ObjectKey) -> ObjectKey | None:
        """Forget a request; return the key of its Certificate if it was known."""
        request = self._requests.pop(key, None)
        if request is None:
            return None
        certificate = ObjectKey(key.namespace, request.certificate)
        self._requests_of[certificate].discard(key)
        return certificate

    def get(self, key: ObjectKey) -> Certificate | None:
        """Return a Certificate."""
        return self._certificates.get(key)

    def keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all Certificates."""
        return self._certificates.keys()

    def request_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all requests."""
        return self._requests.keys()

    def with_secret(self, secret: ObjectKey) -> frozenset[ObjectKey]:
        """Return the Certificates that are stored in a Secret."""
        return frozenset(self._by_secret.get(secret, ()))

    def requests(self, key: ObjectKey) -> tuple[CertificateRequest, ...]:
        """Return the requests of a Certificate."""
        return tuple(self._requests[name] for name in sorted(self._requests_of.get(key, ())))

    def remembered(self, key: ObjectKey) -> tuple[int, Issued] | None:
        """Return a revision and what was seen issued for it; nothing of a Certificate that was made anew since."""
        certificate = self._certificates.get(key)
        uid, revision, known = self._remembered.get(key, (None, 0, None))
        return (revision, known) if known and certificate and certificate.uid == uid else None

    def former(self, key: ObjectKey) -> frozenset[str]:
        """Return the fingerprints of what was seen issued so far, the present one among them."""
        return frozenset(self._former.get(key, ()))

    def known(self, key: ObjectKey) -> Issued | None:
        """Return what was last issued."""
        certificate = self._certificates.get(key)
        return issued(certificate, self.requests(key), self.remembered(key)) if certificate else None

    def _remember(self, key: ObjectKey) -> None:
        certificate, known = self._certificates.get(key), self.known(key)
        if certificate is None or certificate.revision is None or known is None or known.chain is None:
            return
        if known.evidence is IssuedEvidence.CERTIFICATE_REQUEST:
            self._remembered[key] = (certificate.uid, certificate.revision, known)
            fingerprint = known.chain.leaf.fingerprint_sha256
            older = tuple(other for other in self._former.get(key, ()) if other != fingerprint)
            self._former[key] = (*older, fingerprint)[-FORMER:]

    def _unlink(self, key: ObjectKey) -> None:
        if before := self._certificates.get(key):
            self._by_secret[_secret(before)].discard(key)


def _secret(certificate: Certificate) -> ObjectKey:
    return ObjectKey(certificate.key.namespace, certificate.secret)
