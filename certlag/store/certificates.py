"""Certificates with their requests, and what is remembered of both. Pure bookkeeping, owned by `world`.

A request belongs to the Certificate whose UID its owner reference has. Most of the exporter's memory is here, so there
is one entry for each Certificate (docs/performance.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from certlag.issued import issued
from certlag.model import Certificate, CertificateRequest, Issued, IssuedEvidence, ObjectKey
from certlag.store.multi_map import MultiMap

MAX_PREVIOUS = 8
"""Fingerprints that are remembered of each Certificate's past."""


class _Uid(NamedTuple):
    """A Certificate's UID, in the namespace of its requests: an owner reference is for the same namespace only."""

    namespace: str
    uid: str


@dataclass(slots=True)
class _Entry:
    """One Certificate with its requests, and what was issued.

    `seen` is what a request said was issued for `revision`; `previous_fingerprints` are
    those of what was seen before that, each with its revision.
    """

    certificate: Certificate | None = None
    requests: tuple[CertificateRequest, ...] = ()
    issued: Issued | None = None
    revision: int = 0
    seen: Issued | None = None
    previous_fingerprints: tuple[tuple[str, int], ...] = ()


_NONE = _Entry()


class CertificateIndex:
    """All Certificates and CertificateRequests.

    What the request of the current revision says is remembered, because cert-manager will delete that request.
    """

    def __init__(self) -> None:
        self._entries: dict[_Uid, _Entry] = {}
        self._uids: dict[ObjectKey, _Uid] = {}
        self._owner: dict[ObjectKey, _Uid] = {}
        self._by_secret = MultiMap[ObjectKey]()

    def put(self, certificate: Certificate) -> None:
        """Take in a Certificate, new or changed. One with another UID than before was created again."""
        uid = _Uid(certificate.key.namespace, certificate.uid)
        before = self._of(certificate.key)
        entry = self._entries.setdefault(uid, _Entry())
        if before is not entry:
            entry.previous_fingerprints = tuple((fingerprint, 0) for fingerprint, _ in _known(before))
            self.drop(certificate.key)
            self._uids[certificate.key] = uid
        if entry.certificate is None or entry.certificate.secret != certificate.secret:
            self._unlink(entry.certificate)
            self._by_secret.add(_secret(certificate), certificate.key)
        entry.certificate = certificate
        _take_in(entry)

    def drop(self, key: ObjectKey) -> None:
        """Forget a Certificate and its past."""
        uid = self._uids.pop(key, None)
        if uid is not None:
            entry = self._entries[uid]
            self._unlink(entry.certificate)
            self._keep(uid, _Entry(requests=entry.requests))

    def put_request(self, request: CertificateRequest) -> ObjectKey | None:
        """Take in a request; return the key of its Certificate, None if that is not known or nothing is new."""
        uid = _Uid(request.key.namespace, request.certificate_uid)
        entry = self._entries.get(uid, _NONE)
        if request in entry.requests:
            return None
        self.drop_request(request.key)
        entry = self._entries.setdefault(uid, _Entry())
        if entry.certificate is not None:
            uid = self._uids[entry.certificate.key]  # one object for equal values
            request = replace(request, certificate_uid=uid.uid)
        entry.requests = tuple(sorted((*entry.requests, request), key=lambda each: each.key))
        self._owner[request.key] = uid
        _take_in(entry)
        return entry.certificate.key if entry.certificate else None

    def drop_request(self, key: ObjectKey) -> ObjectKey | None:
        """Forget a request; return the key of its Certificate if that is known."""
        uid = self._owner.pop(key, None)
        if uid is None:
            return None
        entry = self._entries[uid]
        entry.requests = tuple(request for request in entry.requests if request.key != key)
        entry.issued = _issued(entry)
        self._keep(uid, entry)
        return entry.certificate.key if entry.certificate else None

    def get(self, key: ObjectKey) -> Certificate | None:
        """Return a Certificate."""
        return self._of(key).certificate

    def keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all Certificates."""
        return self._uids.keys()

    def request_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of all requests."""
        return self._owner.keys()

    def with_secret(self, secret: ObjectKey) -> tuple[ObjectKey, ...]:
        """Return the Certificates that are stored in a Secret."""
        return self._by_secret.get(secret)

    def requests(self, key: ObjectKey) -> tuple[CertificateRequest, ...]:
        """Return the requests that a Certificate owns, by name."""
        return self._of(key).requests

    def issued(self, key: ObjectKey) -> Issued | None:
        """Return what was last issued for a Certificate, None if nothing was or nothing is known of it."""
        return self._of(key).issued

    def previous_fingerprints(self, key: ObjectKey) -> Mapping[str, int]:
        """Return the fingerprints of what was seen issued, the present one among them, each with its revision."""
        return dict(_known(self._of(key)))

    def _of(self, key: ObjectKey) -> _Entry:
        uid = self._uids.get(key)
        return self._entries[uid] if uid else _NONE

    def _keep(self, uid: _Uid, entry: _Entry) -> None:
        """Keep an entry as long as it says something."""
        if entry.certificate is None and not entry.requests:
            self._entries.pop(uid, None)
        else:
            self._entries[uid] = entry

    def _unlink(self, certificate: Certificate | None) -> None:
        if certificate is not None:
            self._by_secret.discard(_secret(certificate), certificate.key)


def _issued(entry: _Entry) -> Issued | None:
    if entry.certificate is None:
        return None
    return issued(entry.certificate, entry.requests, (entry.revision, entry.seen) if entry.seen else None)


def _take_in(entry: _Entry) -> None:
    """Find out what is issued now; remember it if one request alone says so and the dates in the status agree.

    A revision has one leaf, so what was noted for it stays: while cert-manager writes the next one, a request may pass
    itself off as of the present revision.
    """
    certificate, known = entry.certificate, _issued(entry)
    entry.issued = known
    if certificate is None or certificate.revision is None:
        return
    if known is None or known.evidence is not IssuedEvidence.CERTIFICATE_REQUEST or known.alternatives:
        return
    if (certificate.not_before, certificate.not_after) != (known.not_before, known.not_after):
        return
    if entry.seen and entry.revision == certificate.revision and entry.seen.chain != known.chain:
        return
    # One object for equal values.
    entry.certificate = replace(certificate, not_before=known.not_before, not_after=known.not_after)
    if (entry.revision, entry.seen) != (certificate.revision, known):
        before, now = dict(_known(entry)), _fingerprint(known)
        entry.previous_fingerprints = tuple((print_, revision) for print_, revision in before.items() if print_ != now)[
            1 - MAX_PREVIOUS :
        ]
        entry.revision, entry.seen = certificate.revision, known


def _known(entry: _Entry) -> tuple[tuple[str, int], ...]:
    return (*entry.previous_fingerprints, *(((_fingerprint(entry.seen), entry.revision),) if entry.seen else ()))


def _fingerprint(known: Issued) -> str:
    return known.chain.leaf.fingerprint_sha256 if known.chain else ""


def _secret(certificate: Certificate) -> ObjectKey:
    return ObjectKey(certificate.key.namespace, certificate.secret)
