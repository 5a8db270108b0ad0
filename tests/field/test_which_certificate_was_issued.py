"""Which certificate was issued.

cert-manager matches a CertificateRequest to its Certificate by owner reference (pkg/controller/certificates and
pkg/util/predicate, ResourceOwnedBy), not by annotation, which anyone may write.
"""

from datetime import timedelta

from tests.field.documents import certificate, pod, request
from tests.field.exporter import Exporter
from tests.field.record import case
from tests.pki import NOW, authority

USE = {"namespace": "shop", "workload": "svc", "certificate": "svc"}


@case(
    "A1",
    situation="A developer creates a CertificateRequest with both annotations and no owner; the same CA signs it.",
    says="The service is still settled: the request is ignored.",
    reference="cert-manager/cert-manager#4956",
)
def test_a_request_that_the_certificate_does_not_own_changes_nothing() -> None:
    root = authority("ca")
    served = root.leaf("svc.shop.svc")
    forged = root.leaf("svc.shop.svc", not_before=NOW - timedelta(hours=1))
    exporter = Exporter()
    exporter.serve("10.88.0.7", 8443, served)
    exporter.listed(
        certificate(served),
        request(served, authority=root),
        request(forged, name="a-developers-own", owner_uid=None, authority=root),
        pod(),
    )
    assert exporter.scrape().value("certlag_needs_restart", **USE) == 0
