"""What certlag does not see.

docs/configuration.md lists these limits. Each test shows what certlag says today, beside a pod that it does see.
"""

from tests import pki
from tests.field.documents import base64_pem, certificate, pod, request
from tests.field.exporter import NAMESPACE, Exporter
from tests.field.record import case
from tests.pki import DAY, NOW

CA = pki.authority("ca")
LEAF = CA.leaf("svc.shop.svc", not_before=NOW - 10 * DAY, not_after=NOW + 80 * DAY)
OLD = CA.leaf("svc.shop.svc", not_before=NOW - 70 * DAY, not_after=NOW + 20 * DAY)
ISSUED = (certificate(LEAF), request(LEAF, authority=CA))
OTHER_ADDRESS = "10.88.0.8"


def seen(*documents: str) -> Exporter:
    """An exporter that sees a stale pod of the Certificate's own namespace, and these documents."""
    exporter = Exporter()
    exporter.serve("10.88.0.7", 8443, OLD)
    exporter.serve(OTHER_ADDRESS, 8443, OLD)
    exporter.listed(*ISSUED, pod(), *documents)
    assert exporter.scrape().value("certlag_needs_restart", namespace=NAMESPACE, workload="svc") == 1
    return exporter


def assert_only_the_usual_pod(exporter: Exporter) -> None:
    """Nothing was probed but the pod that mounts the Certificate's own Secret, and nothing is said of another."""
    assert {endpoint.address for endpoint in exporter.probed} == {"10.88.0.7"}
    assert {sample.labels["workload"] for sample in exporter.scrape().all("certlag_pods")} == {"svc"}


@case(
    "B3",
    situation="A Secret is copied to another namespace (reflector, kubed), where a pod mounts the copy.",
    says="Nothing of that pod: it is not seen as a use of the Certificate.",
    reference="cert-manager/cert-manager#4210",
)
def test_a_copy_of_a_secret_in_another_namespace_is_not_seen_as_a_use() -> None:
    owner = "{kind: StatefulSet, name: web, uid: uid-of-web, controller: true}"
    copied = pod(name="web-0", namespace="web", address=OTHER_ADDRESS, secret="svc-tls", owner=owner)
    assert_only_the_usual_pod(seen(copied))


@case(
    "L1",
    situation="A pod has a certificate of cert-manager's csi-driver: its request is owned by the pod.",
    says="Nothing of that pod: there is no Certificate.",
    reference="cert-manager/cert-manager#8378",
)
def test_a_certificate_of_the_csi_driver_is_not_seen() -> None:
    owner = "{kind: StatefulSet, name: csi, uid: uid-of-csi, controller: true}"
    mounting = pod(
        name="csi-0",
        address=OTHER_ADDRESS,
        secret=None,
        owner=owner,
        spec="volumes: [{name: tls, csi: {driver: csi.cert-manager.io, readOnly: true}}]",
    )
    of_the_pod = f"""
apiVersion: cert-manager.io/v1
kind: CertificateRequest
metadata:
  name: 5e0b7e4a-1b43-4a4c-9f0e-0c1d2e3f4a5b
  namespace: {NAMESPACE}
  uid: uid-of-request
  ownerReferences: [{{apiVersion: v1, kind: Pod, name: csi-0, uid: uid-of-csi-0, controller: true}}]
spec: {{issuerRef: {{name: ca}}}}
status:
  certificate: {base64_pem(OLD)}
  conditions: [{{type: Ready, status: 'True'}}]
"""
    exporter = seen(mounting, of_the_pod)
    assert_only_the_usual_pod(exporter)
    assert [sample.labels["certificate"] for sample in exporter.scrape().all("certlag_certificate_info")] == ["svc"]


@case(
    "L2",
    situation="A pod mounts a Secret that no Certificate issues (service-ca, External Secrets).",
    says="Nothing of that pod: what was issued is not known.",
    reference="openshift/enhancements#100",
)
def test_a_secret_without_a_certificate_is_not_seen() -> None:
    owner = "{kind: StatefulSet, name: own, uid: uid-of-own, controller: true}"
    own = pod(name="own-0", address=OTHER_ADDRESS, secret="own-tls", owner=owner)
    assert_only_the_usual_pod(seen(own))


@case(
    "L3",
    situation="The CA was renewed, and the certificates below it were not issued again.",
    says="Settled: the pod has loaded what was issued last.",
    reference="cert-manager/cert-manager#2478, cert-manager/cert-manager#8340, cert-manager/cert-manager#9076",
)
def test_leaves_that_were_not_issued_again_after_their_ca_are_settled() -> None:
    exporter = Exporter()
    exporter.serve("10.88.0.7", 8443, LEAF)
    renewed = pki.authority("ca")
    authority = certificate(renewed, name="ca", uid="uid-of-ca", dns_names=())
    exporter.listed(
        *ISSUED, pod(), authority, request(renewed, name="ca-1", certificate_name="ca", owner_uid="uid-of-ca")
    )
    scrape = exporter.scrape()
    assert scrape.state("certlag_renewal_window_state", workload="svc") == "settled"
    assert scrape.value("certlag_issuer_changed", workload="svc") == 0
