"""A condition that says less than the evidence does not stand in the way for ever.

cert-manager's Ready may stay False for reasons that have nothing to do with what pods load. The signed request of the
current revision, with the dates that the status has, says what that is.
"""

from datetime import timedelta

import pytest

from rehearsal.api.resources import CERTIFICATE_REQUESTS
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import Cluster, cluster

WORKER = workloads.deployment("worker", image="worker", grace=3600)
NOT_READY = """
kind: Certificate
metadata: {name: svc}
status: {conditions: [{type: Ready, status: "False", reason: IncorrectCertificate, message: never to be ready}]}
"""


def freeze_not_ready(shop: Cluster, more: str = "") -> None:
    """Have the Certificate say that it is not Ready, with more in its status, and nobody say anything else."""
    shop.fault(lambda faults: setattr(faults, "cert_manager_down", True))
    shop.report(NOT_READY.replace("message: never to be ready}]}", f"message: never to be ready}}]{more}}}"))


@case(
    "D3",
    situation="Ready is False for ever, and the Secret holds what the last request signed",
    says="refused; `--accept-certificate-not-ready` is offered if pods are stale against a signed request of its dates",
    reference="cert-manager/cert-manager#9146, cert-manager/cert-manager#5183",
)
@pytest.mark.thorough
def test_pods_that_are_stale_against_a_signed_request_can_be_restarted_though_it_is_not_ready() -> None:
    with cluster(workloads.deployment("svc"), WORKER) as shop:
        freeze_not_ready(shop)
        ran = shop.run("restart-svc --yes --force")
        assert ran.code == 3, ran
        assert "Certificate svc is not Ready, though the request of its revision 2 is signed" in ran.text
        assert "--accept-certificate-not-ready" in ran.text
        assert ran.writes == ()
        ran = shop.run("restart-svc --yes --accept-certificate-not-ready")
        assert ran.code == 0, ran


@case(
    "D3",
    situation="Ready is False, and nothing proves what was issued: other dates in the status, or no request",
    says="refused, without an override",
    found_by="reader",
)
@pytest.mark.parametrize("doubt", ["dates", "request"])
def test_without_that_evidence_not_ready_cannot_be_overridden(doubt: str) -> None:
    with cluster(workloads.deployment("svc"), WORKER) as shop:
        freeze_not_ready(shop, ', notAfter: "2031-01-01T00:00:00Z"' if doubt == "dates" else "")
        if doubt == "request":
            for name in requests(shop):
                shop.delete("CertificateRequest", name)
        ran = shop.run("restart-svc --yes --accept-certificate-not-ready --force")
        assert ran.code == 3, ran
        assert "Certificate svc is not Ready: a restart may load what is not valid" in ran.text
        assert ran.writes == ()


@pytest.mark.field_case("D3")
def test_a_certificate_that_is_not_ready_and_has_expired_cannot_be_loaded_to_any_use() -> None:
    with cluster(workloads.deployment("svc"), WORKER) as shop:
        freeze_not_ready(shop)
        shop.wait(timedelta(days=90).total_seconds())
        ran = shop.run("restart-svc --yes --accept-certificate-not-ready --force")
        assert ran.code == 3, ran
        assert "Certificate svc is not Ready: a restart may load what is not valid" in ran.text


@pytest.mark.field_case("D3")
@pytest.mark.thorough
def test_pods_that_present_it_already_need_no_restart_whether_it_is_ready_or_not() -> None:
    with cluster(workloads.deployment("svc"), WORKER) as shop:
        assert shop.run("restart-svc --yes").code == 0
        freeze_not_ready(shop)
        ran = shop.run("restart-svc --yes")
        assert (ran.code, "every pod presents the issued certificate already" in ran.text) == (0, True), ran


def requests(shop: Cluster) -> list[str]:
    """The names of the requests of the Certificate."""
    found = shop.live.call(lambda cluster: list(cluster.api.storage.all(CERTIFICATE_REQUESTS)))
    return [key.name for key in found if key.name.startswith("svc")]
