"""A template that was repaired, or deployed again, while a run is open

After exit code 6 somebody repairs the target, and `resume` has to reach the end: what counts is the present template,
regardless of who wrote it, and that its pods serve the issued certificate.
"""

from datetime import timedelta

import pytest

from rehearsal.node.programs import Program
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import CONFIGURATION, Cluster, cluster

pytestmark = pytest.mark.thorough

BROKEN = {"broken": Program(serves_tls=True, crashes_after=timedelta(seconds=2), ready_after=timedelta(days=1))}
OF_KIND = {
    "Deployment": workloads.deployment("svc", replicas=2),
    "StatefulSet": workloads.stateful_set("svc", replicas=2),
    "DaemonSet": workloads.daemon_set("svc"),
}
REPAIRED = """
kind: %s
metadata: {name: svc}
spec: {template: {spec: {priorityClassName: repaired}}}
"""
DEPLOYED = """
kind: Deployment
metadata: {name: svc}
spec: {template: {metadata: {annotations: {certlag.dev/restart-id: null}}, spec: {priorityClassName: deployed}}}
"""


def configuration(kind: str) -> str:
    return CONFIGURATION.replace("deployment/svc", f"{kind.lower()}/svc")


def fail_once(shop: Cluster, kind: str) -> None:
    """Run a restart whose new pods crash: the configuration that they read is broken."""
    shop.fault(lambda faults: faults.crashing.add("svc"))
    ran = shop.run("restart-svc --yes --restart-timeout 2m", configuration=configuration(kind))
    assert ran.code == 6, ran


def repair(shop: Cluster, document: str) -> None:
    """Heal what made the new pods crash, and change the template."""
    shop.fault(lambda faults: faults.crashing.discard("svc"))
    shop.apply(document)
    shop.wait(300)


@pytest.mark.parametrize("kind", OF_KIND)
@case(
    "G1",
    situation="After exit code 6 somebody repairs the template (`kubectl set image`): our annotation stays in it, and "
    "two ReplicaSets carry the id of the restart.",
    says="`resume` takes the ReplicaSet (revision) of the present template, verifies its pods, and ends with 0.",
    reference="helm/helm#11823",
)
@pytest.mark.matrix(1)
def test_a_template_that_was_repaired_is_accepted_by_resume(kind: str) -> None:
    with cluster(OF_KIND[kind], workloads.WORKERS) as shop:
        fail_once(shop, kind)
        repair(shop, REPAIRED % kind)
        ran = shop.run("resume-svc --yes", configuration=configuration(kind))
        assert ran.code == 0, ran
        assert not [write for write in ran.written(f"{kind.lower()}s") if "template" in (write.body.get("spec") or {})]
        assert shop.get("Deployment", "worker")["status"]["readyReplicas"] == 3


@case(
    "G1",
    situation="After exit code 6 somebody deploys a template of their own, without our annotation.",
    says="`resume` accepts it, as its pods serve the issued certificate; no other restart is requested.",
    reference="helm/helm#11823",
)
def test_a_template_that_was_deployed_again_is_accepted_by_resume() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        fail_once(shop, "Deployment")
        repair(shop, DEPLOYED)
        ran = shop.run("resume-svc --yes")
        assert ran.code == 0, ran
        assert "restart deployment/svc" not in ran.text


@pytest.mark.field_case("G1")
def test_a_template_that_was_deployed_again_and_serves_the_old_certificate_is_restarted() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        fail_once(shop, "Deployment")
        shop.fault(lambda faults: setattr(faults, "secret_lag", timedelta(days=30)))
        repair(shop, DEPLOYED)
        shop.fault(lambda faults: setattr(faults, "secret_lag", timedelta(0)))
        ran = shop.run("resume-svc --yes")
        assert ran.code == 0, ran
        assert "done: restart deployment/svc" in ran.text


@pytest.mark.field_case("G1")
def test_a_template_that_is_still_broken_is_reported_again_and_can_be_repaired_later() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        fail_once(shop, "Deployment")
        shop.apply(REPAIRED % "Deployment")
        ran = shop.run("resume-svc --yes --restart-timeout 2m")
        assert ran.code == 6, ran
        assert shop.get("Deployment", "worker")["spec"]["replicas"] == 0
        repair(shop, (REPAIRED % "Deployment").replace("repaired", "repaired-again"))
        assert shop.run("resume-svc --yes").code == 0


@pytest.mark.field_case("G1")
def test_a_template_that_is_repaired_while_the_run_waits_is_taken_at_once() -> None:
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:
        shop.fault(lambda faults: faults.crashing.add("svc"))

        def is_broken(now: Cluster) -> bool:
            return any(pod["status"].get("containerStatuses", [{}])[0].get("restartCount") for pod in now.pods("svc"))

        def mend(now: Cluster) -> None:
            now.fault(lambda faults: faults.crashing.discard("svc"))
            now.apply(REPAIRED % "Deployment")

        shop.when(is_broken, mend)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran


@pytest.mark.field_case("G1")
def test_after_a_contest_a_template_that_serves_the_issued_certificate_is_not_restarted_again() -> None:
    """Somebody deploys another template during the rollout: reported as contested, then accepted by resume."""
    with cluster(workloads.SERVICE, workloads.WORKERS) as shop:

        def is_restarted(now: Cluster) -> bool:
            return "annotations" in now.get("Deployment", "svc")["spec"]["template"]["metadata"]

        shop.when(is_restarted, lambda now: now.apply(DEPLOYED))
        ran = shop.run("restart-svc --yes")
        assert ran.code == 9, ran
        assert "the restart was reverted or superseded, by kubectl" in ran.text
        shop.wait(60)
        ran = shop.run("resume-svc --yes")
        assert ran.code == 0, ran
        assert "done: restart deployment/svc" not in ran.text
