"""What did cert-manager last issue for a Certificate? Pure.

Three rungs, the first that holds decides:

1. the CertificateRequest of the current revision: its status holds the very leaf;
2. what was seen on rung 1 for this revision before, because cert-manager deletes old requests;
3. the dates in `Certificate.status`: enough to tell one certificate from the next, not to identify it.

cert-manager (1.12 to 1.21) signs the request of revision N+1, then writes the Secret, then `status.revision`;
under load minutes lie between. Meanwhile the dates in the status may already be those of N+1. So dates that belong
to a later request do not contradict what is remembered of N, and are not N's dates either.
"""

from collections.abc import Iterable

from exporter.model import Certificate, CertificateRequest, Issued, IssuedEvidence


def issued(
    certificate: Certificate, requests: Iterable[CertificateRequest], remembered: tuple[int, Issued] | None
) -> Issued | None:
    """Return what was last issued, None if nothing was or nothing is known of it.

    Args:
        certificate: the Certificate.
        requests: its CertificateRequests, of any revision.
        remembered: a revision and what was seen issued for it, if anything was.
    """
    requests = tuple(requests)
    return (
        _by_request(certificate, requests, remembered)
        or _by_memory(certificate, requests, remembered)
        or _by_dates(certificate, requests)
    )


def later(certificate: Certificate, requests: Iterable[CertificateRequest]) -> frozenset[str]:
    """Return the fingerprints of leaves signed for a later revision than the current one."""
    return frozenset(
        request.issued.leaf.fingerprint_sha256
        for request in requests
        if request.issued and request.revision > (certificate.revision or 0)
    )


def _by_request(
    certificate: Certificate, requests: tuple[CertificateRequest, ...], remembered: tuple[int, Issued] | None
) -> Issued | None:
    for request in requests:
        if request.issued and request.revision == certificate.revision:
            if (
                remembered is not None
                and remembered[1].chain is request.issued
                and remembered[1].at == request.ready_at
            ):
                return remembered[1]  # one object for equal values
            leaf = request.issued.leaf
            return Issued(
                IssuedEvidence.CERTIFICATE_REQUEST,
                leaf.not_before,
                leaf.not_after,
                request.issued,
                request.ready_at,
            )
    return None


def _by_memory(
    certificate: Certificate, requests: tuple[CertificateRequest, ...], remembered: tuple[int, Issued] | None
) -> Issued | None:
    if remembered is None or remembered[0] != certificate.revision:
        return None
    memory = remembered[1]
    dates = (certificate.not_before, certificate.not_after)
    agrees = dates in ((memory.not_before, memory.not_after), (None, None))
    if not agrees and not _dates_are_later(certificate, requests):
        return None
    return Issued(IssuedEvidence.MEMORY, memory.not_before, memory.not_after, memory.chain, memory.at)


def _by_dates(certificate: Certificate, requests: tuple[CertificateRequest, ...]) -> Issued | None:
    if certificate.not_before is None or certificate.not_after is None:
        return None
    if _dates_are_later(certificate, requests):
        return None
    return Issued(IssuedEvidence.STATUS_DATES, certificate.not_before, certificate.not_after, None, None)


def _dates_are_later(certificate: Certificate, requests: tuple[CertificateRequest, ...]) -> bool:
    """Tell whether the status already has the dates of a request later than its revision."""
    return any(
        request.issued is not None
        and request.revision > (certificate.revision or 0)
        and request.issued.leaf.not_before == certificate.not_before
        and request.issued.leaf.not_after == certificate.not_after
        for request in requests
    )
