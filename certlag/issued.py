"""What did cert-manager last issue for a Certificate? Pure.

Three rungs, the first that holds decides:

1. the CertificateRequest that the Certificate owns for its current revision: its status holds the very leaf;
2. what was seen on rung 1 for this revision before, because cert-manager deletes old requests;
3. the dates in `Certificate.status`: enough to tell one certificate from the next, not to identify it.

Anyone who may create CertificateRequests can write owner and revision into one, and have it signed. What they can't
write is `Certificate.status`, whose dates cert-manager reads from the Secret (pkg/controller/certificates/readiness).
So a request of the current revision counts only if its leaf has those dates.

cert-manager (1.12 to 1.21) signs the request of revision N+1, then writes the Secret, then `status.revision`;
under load minutes lie between, and the dates in the status may already be those of N+1. Where a later request has them,
they do not contradict what is known of N, and are not N's dates either.

A temporary certificate (annotation cert-manager.io/issue-temporary-certificate) has dates in the status too, but is no
issuance: there is no revision, and the Certificate is not Ready, or is being issued. A Secret that cert-manager adopted
has no revision either, and the Certificate is Ready and not being issued (pkg/controller/certificates/trigger).
"""

from collections.abc import Iterable
from datetime import datetime

from certlag.model import Certificate, CertificateRequest, Issued, IssuedChain, IssuedEvidence, Leaf

Remembered = tuple[int, Issued]
"""A revision, and what was seen issued for it."""


def issued(
    certificate: Certificate, requests: Iterable[CertificateRequest], remembered: Remembered | None
) -> Issued | None:
    """Return what was last issued, None if nothing was or nothing is known of it.

    Args:
        certificate: the Certificate.
        requests: the CertificateRequests that it owns, of any revision.
        remembered: a revision and what was seen issued for it, if anything was.
    """
    requests = tuple(requests)
    current = [request for request in requests if request.issued and request.revision == certificate.revision]
    memory = remembered[1] if remembered and remembered[0] == certificate.revision else None
    fitting = [request for request in current if request.issued and fits_dates(request.issued.leaf, certificate)]
    if _dates(certificate) == (None, None):
        return _by_memory(memory)
    is_ahead = _dates_are_later(certificate, requests)
    if fitting and not (is_ahead and memory and not fits_dates(memory, certificate)):
        return _by_requests(fitting, memory, certificate)
    if is_ahead and (memory or current or certificate.issuing):
        # No dates tell these requests apart; what was seen while some did is the stronger evidence.
        same = [request for request in current if not memory or request.issued == memory.chain]
        return _by_requests(same, memory, certificate) if same else _by_memory(memory)
    if memory and fits_dates(memory, certificate):
        return _by_memory(memory)
    return _by_dates(certificate, contradicted=bool(current or memory))


def next_revision_fingerprints(certificate: Certificate, requests: Iterable[CertificateRequest]) -> frozenset[str]:
    """Return the fingerprints of leaves signed for a later revision than the current one.

    A leaf that is older than the one in the Secret is not: a request that says so was tampered with. Nor is any where
    there is no revision and none on its way: the Secret was adopted then.
    """
    if certificate.revision is None and not certificate.issuing and certificate.not_before is not None:
        return frozenset()
    return frozenset(
        request.issued.leaf.fingerprint_sha256
        for request in requests
        if request.issued
        and request.revision > (certificate.revision or 0)
        and (certificate.not_before is None or request.issued.leaf.not_before >= certificate.not_before)
    )


def previous_revision_fingerprints(
    certificate: Certificate, requests: Iterable[CertificateRequest], seen: Iterable[tuple[str, int]]
) -> frozenset[str]:
    """Return the fingerprints of leaves that are known to be of a lower revision than the current one.

    `seen` are fingerprints that were seen issued, each with its revision.
    """
    signed = ((request.issued.leaf.fingerprint_sha256, request.revision) for request in requests if request.issued)
    return frozenset(print_ for print_, revision in (*signed, *seen) if revision < (certificate.revision or 0))


def fits_dates(leaf: Leaf | Issued, certificate: Certificate) -> bool:
    """Tell whether the dates of a leaf are those of `Certificate.status`, as far as it has any."""
    not_before, not_after = _dates(certificate)
    return not_before in (None, leaf.not_before) and not_after in (None, leaf.not_after)


def _dates(certificate: Certificate) -> tuple[datetime | None, datetime | None]:
    return certificate.not_before, certificate.not_after


def _by_requests(requests: list[CertificateRequest], memory: Issued | None, certificate: Certificate) -> Issued:
    """Return what some requests that count alike say; the one that is remembered stands first.

    What is remembered is an alternative where its own request is gone.
    """
    first, *others = sorted(requests, key=lambda request: (_chain(request) != (memory and memory.chain), request.key))
    chain = _chain(first)
    alternatives = tuple(_chain(other) for other in others)
    if memory and memory.chain and memory.chain != chain and fits_dates(memory, certificate):
        alternatives = (*alternatives, memory.chain)
    if memory and memory.chain is chain and memory.at == first.ready_at and memory.alternatives == alternatives:
        return memory  # one object for equal values
    leaf = chain.leaf
    evidence = IssuedEvidence.CERTIFICATE_REQUEST
    return Issued(evidence, leaf.not_before, leaf.not_after, chain, first.ready_at, alternatives)


def _by_memory(memory: Issued | None) -> Issued | None:
    if memory is None:
        return None
    return Issued(IssuedEvidence.MEMORY, memory.not_before, memory.not_after, memory.chain, memory.at)


def _by_dates(certificate: Certificate, *, contradicted: bool) -> Issued | None:
    not_before, not_after = _dates(certificate)
    if not_before is None or not_after is None:
        return None
    is_adopted = bool(certificate.ready) and not certificate.issuing
    if not (is_adopted if certificate.revision is None else certificate.ready is not False):
        return None
    return Issued(IssuedEvidence.STATUS_DATES, not_before, not_after, None, None, contradicted=contradicted)


def _dates_are_later(certificate: Certificate, requests: tuple[CertificateRequest, ...]) -> bool:
    """Tell whether the status already has the dates of a request later than its revision."""
    return certificate.revision is not None and any(
        request.issued is not None
        and request.revision > certificate.revision
        and (request.issued.leaf.not_before, request.issued.leaf.not_after) == _dates(certificate)
        for request in requests
    )


def _chain(request: CertificateRequest) -> IssuedChain:
    if request.issued is None:
        raise ValueError(f"{request.key} was never signed")
    return request.issued
