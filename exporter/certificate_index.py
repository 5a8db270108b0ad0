"""Certificates with their requests, and what is remembered of both. Pure bookkeeping, owned by `state`.

Most of the exporter's memory is here, so there is one entry for each Certificate (docs/performance.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from exporter.groups import Groups
from exporter.issued import issued
from exporter.model import Certificate, CertificateRequest, Issued, IssuedEvidence, ObjectKey

FORMER = 8
"""Fingerprints that are remembered of each Certificate's past."""


@dataclass(slots=True)
class _Entry:
    """One Certificate with its requests; `uid` and `revision` are those for which `issued` was seen.

    `former` are the fingerprints of what was seen issued before that.
    """

    certificate: Certificate | None = None
    requests: tuple[CertificateRequest, ...] = ()
    uid: str = ""
    revision: int = 0
    issued: Issued | None = None
    former: tuple[str, ...] = ()


_NONE = _Entry()


class CertificateIndex:
    """All Certificates and CertificateRequests.

    What the request of the current revision says is remembered, because cert-manager will delete that request.
    """

    def __init__(self) -> None:
        self._entries: dict[ObjectKey, _Entry] = {}
        self._certificate_of: dict[ObjectKey, ObjectKey] = {}
        self._by_secret = Groups[ObjectKey]()

    def put(self, certificate: Certificate) -> None:
        """Take in a Certificate, new or changed."""
        entry = self._entry(certificate.key)
        before = entry.certificate
        entry.certificate = certificate
        if before is None or before.secret != certificate.secret:
            self._unlink(before)
            self._by_secret.add(_secret(certificate), certificate.key)
        _remember(entry)

    def drop(self, key: ObjectKey) -> None:
        """Forget a Certificate and its past."""
        entry = self._entries.get(key)
        if entry is None:
            return
        self._unlink(entry.certificate)
        self._keep(key, _Entry(requests=entry.requests))

    def put_request(self, request: CertificateRequest) -> ObjectKey | None:
        """Take in a request; return the key of its Certificate, None if it is known just so already."""
        key = ObjectKey(request.key.namespace, request.certificate)
        if request in self.requests(key):
            return None
        self.drop_request(request.key)
        entry = self._entry(key)
        if entry.certificate is not None:
            key = entry.certificate.key  # one object for equal keys, and names
            request = replace(request, certificate=key.name)
        entry.requests = tuple(sorted((*entry.requests, request), key=lambda each: each.key))
        self._certificate_of[request.key] = key
        _remember(entry)
        return key

    def drop_request(self, key: ObjectKey) -> ObjectKey | None:
        """Forget a request; return the key of its Certificate if it was known."""
        certificate = self._certificate_of.pop(key, None)
        if certificate is not None:
            entry = self._entries[certificate]
            entry.requests = tuple(request for request in entry.requests if request.key != key)
            self._keep(certificate, entry)
        return certificate

    def get(self, key: ObjectKey) -> Certificate | None:
        """Return a Certificate."""
        return self._entries.get(key, _NONE).certificate

    def keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all Certificates."""
        return (key for key, entry in self._entries.items() if entry.certificate is not None)

    def request_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all requests."""
        return self._certificate_of.keys()

    def with_secret(self, secret: ObjectKey) -> tuple[ObjectKey, ...]:
        """Return the Certificates that are stored in a Secret."""
        return self._by_secret.of(secret)

    def requests(self, key: ObjectKey) -> tuple[CertificateRequest, ...]:
        """Return the requests of a Certificate, by name."""
        return self._entries.get(key, _NONE).requests

    def remembered(self, key: ObjectKey) -> tuple[int, Issued] | None:
        """Return a revision and what was seen issued for it; nothing of a Certificate that was made anew since."""
        return _remembered(self._entries.get(key, _NONE))

    def former(self, key: ObjectKey) -> frozenset[str]:
        """Return the fingerprints of what was seen issued so far, the present one among them."""
        entry = self._entries.get(key, _NONE)
        return frozenset((*entry.former, *_fingerprint(entry.issued)))

    def _entry(self, key: ObjectKey) -> _Entry:
        return self._entries.setdefault(key, _Entry())

    def _keep(self, key: ObjectKey, entry: _Entry) -> None:
        """Keep an entry as long as it says something."""
        if entry.certificate is None and not entry.requests:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry

    def _unlink(self, certificate: Certificate | None) -> None:
        if certificate is not None:
            self._by_secret.discard(_secret(certificate), certificate.key)


def _remembered(entry: _Entry) -> tuple[int, Issued] | None:
    certificate, known = entry.certificate, entry.issued
    return (entry.revision, known) if known and certificate and certificate.uid == entry.uid else None


def _remember(entry: _Entry) -> None:
    """Note what is issued now, if its request says so."""
    certificate = entry.certificate
    if certificate is None or certificate.revision is None:
        return
    known = issued(certificate, entry.requests, _remembered(entry))
    if known is None or known.chain is None or known.evidence is not IssuedEvidence.CERTIFICATE_REQUEST:
        return
    entry.uid, entry.revision = certificate.uid, certificate.revision
    if (certificate.not_before, certificate.not_after) == (known.not_before, known.not_after):
        # One object for equal values.
        entry.certificate = replace(certificate, not_before=known.not_before, not_after=known.not_after)
    if entry.issued != known:
        now = _fingerprint(known)
        before = (*entry.former, *_fingerprint(entry.issued))
        entry.former = tuple(other for other in dict.fromkeys(before) if other not in now)[1 - FORMER :]
        entry.issued = known


def _fingerprint(known: Issued | None) -> tuple[str, ...]:
    return (known.chain.leaf.fingerprint_sha256,) if known is not None and known.chain is not None else ()


def _secret(certificate: Certificate) -> ObjectKey:
    return ObjectKey(certificate.key.namespace, certificate.secret)
