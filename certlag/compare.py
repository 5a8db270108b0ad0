"""One leaf that is presented against what was issued: is it current, stale, or can that not be told? Pure.

The order of a Certificate's leaves is that of their revisions. Only where no revision is known for a leaf do dates tell
it, and then the cluster's own: those in `Certificate.status`.
"""

from certlag.assessment import AssessmentInput, PodView, Reason, Verdict
from certlag.issued import fits_dates, next_revision_fingerprints, previous_revision_fingerprints
from certlag.model import Certificate, Issued, IssuedEvidence, Leaf
from certlag.x509.names import identifying


def compare(leaf: Leaf, view: PodView, subject: AssessmentInput, issued: Issued | None) -> tuple[Verdict, Reason]:
    """Compare a leaf that a pod presents with the one issued.

    Args:
        leaf: what is presented.
        view: the pod, with what its other Certificates have issued.
        subject: the Certificate.
        issued: what was issued for it, None if nothing is known of that.
    """
    certificate = subject.certificate
    if issued is not None and any(chain.leaf.fingerprint == leaf.fingerprint for chain in issued.chains):
        return Verdict.CURRENT, Reason.IS_ISSUED
    if certificate is not None and leaf.fingerprint_sha256 in next_revision_fingerprints(certificate, subject.requests):
        return Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED
    if leaf.fingerprint_sha256 in view.siblings:
        return Verdict.UNKNOWN, Reason.PRESENTS_SIBLING
    if certificate is None:
        return Verdict.UNKNOWN, Reason.NEVER_ISSUED
    in_secret = certificate.not_before is not None and fits_dates(leaf, certificate)
    is_earlier = leaf.fingerprint_sha256 in previous_revision_fingerprints(
        certificate, subject.requests, subject.previous_fingerprints.items()
    )
    if issued is None:
        was_issued = subject.previous_fingerprints.get(leaf.fingerprint_sha256)
        return _without_issued(certificate, is_earlier=was_issued is not None and is_earlier and not in_secret)
    if not is_earlier and leaf.fingerprint_sha256 not in subject.previous_fingerprints:
        presented = identifying(leaf.names)
        if presented.isdisjoint(identifying(certificate.names)):
            is_sibling = not presented.isdisjoint(identifying(view.sibling_names))
            return Verdict.UNKNOWN, Reason.PRESENTS_SIBLING if is_sibling else Reason.OTHER_CERTIFICATE
    if issued.chain is None and in_secret:
        same = Reason.DIFFERS_FROM_REQUEST if issued.contradicted else Reason.SAME_DATES_AS_ISSUED
        return Verdict.CURRENT, same
    if is_earlier:
        return Verdict.STALE, Reason.EARLIER_REVISION
    return _by_dates(leaf, issued, certificate)


def _without_issued(certificate: Certificate, *, is_earlier: bool) -> tuple[Verdict, Reason]:
    if is_earlier:
        return Verdict.STALE, Reason.EARLIER_REVISION
    never = certificate.revision is None
    return Verdict.UNKNOWN, Reason.NEVER_ISSUED if never else Reason.ISSUED_NOT_KNOWN


def _by_dates(leaf: Leaf, issued: Issued, certificate: Certificate) -> tuple[Verdict, Reason]:
    """Order a leaf of this certificate against the issued one by their dates, where no revision tells.

    A leaf with the very dates of the Secret is never called old: a forged request may have been signed in that second.
    Where only requests say what was issued, those dates tell what is older: some of the requests may be forged.
    """
    if certificate.not_before is not None and fits_dates(leaf, certificate):
        return Verdict.UNKNOWN, Reason.NOT_ORDERED
    begins = [chain.leaf.not_before for chain in issued.chains] or [issued.not_before]
    if issued.evidence is IssuedEvidence.CERTIFICATE_REQUEST and certificate.not_before is not None:
        begins = [certificate.not_before]
    if all(leaf.not_before < begin for begin in begins) or begins == [leaf.not_before]:
        return Verdict.STALE, Reason.OLDER_THAN_ISSUED
    is_newer = all(leaf.not_before > begin for begin in begins)
    return Verdict.UNKNOWN, Reason.NEWER_THAN_ISSUED if is_newer else Reason.NOT_ORDERED
