"""A drain or a restart destroys no data unless that was accepted beforehand.

Scaling to 0 is the one thing that a run does which a rollout never does, and a StatefulSet may take it as a reason to
delete its volumes (KEP-1847).
"""

import pytest

from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import CONFIGURATION, cluster

STATEFUL = CONFIGURATION.replace("deployment/worker", "statefulset/worker")
STATEFUL_TARGET = CONFIGURATION.replace("deployment/svc", "statefulset/svc")
TEMPLATES = """
volumeClaimTemplates:
  - metadata: {name: cache}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
WHEN_SCALED = f"persistentVolumeClaimRetentionPolicy: {{whenScaled: Delete}}{TEMPLATES}"
WHEN_DELETED = f"persistentVolumeClaimRetentionPolicy: {{whenDeleted: Delete}}{TEMPLATES}"
CLAIMS = ("cache-worker-0", "cache-worker-1")


def a_worker(spec: str = "", pod: str = "") -> str:
    return workloads.stateful_set("worker", replicas=2, image="worker", grace=3600, spec=spec, pod=pod)


@case(
    "D2",
    situation="a worker is a StatefulSet that deletes its volume claims when it is scaled (`whenScaled: Delete`)",
    says="refused, with the names of the claims; `--accept-data` goes on",
    reference="kubernetes/enhancements#1847",
)
@pytest.mark.promise("P8")
def test_scaling_a_worker_to_0_that_deletes_its_volumes_is_refused_and_they_stand() -> None:
    with cluster(workloads.deployment("svc"), a_worker(WHEN_SCALED)) as shop:
        ran = shop.run("restart-svc --yes", configuration=STATEFUL)
        assert ran.code == 3, ran
        assert "statefulset/worker to 0 deletes its volume claims" in ran.text
        assert "cache-worker-0 to cache-worker-1" in ran.text
        assert "--accept-data" in ran.text
        assert '"whenScaled":"Retain"' in ran.text
        assert ran.writes == ()
        assert all(shop.get("PersistentVolumeClaim", claim) for claim in CLAIMS)


@case(
    "D2",
    situation="the same, and it was accepted that the volumes are lost",
    says="drained and restarted; the claims are deleted, and made again empty",
    reference="kubernetes/enhancements#1847",
)
@pytest.mark.thorough
def test_what_is_lost_can_be_accepted() -> None:
    with cluster(workloads.deployment("svc"), a_worker(WHEN_SCALED)) as shop:
        before = {shop.get("PersistentVolumeClaim", claim)["metadata"]["uid"] for claim in CLAIMS}
        ran = shop.run("restart-svc --yes --accept-data", configuration=STATEFUL)
        assert ran.code == 0, ran
        after = {shop.get("PersistentVolumeClaim", claim)["metadata"]["uid"] for claim in CLAIMS}
        assert before.isdisjoint(after)


@pytest.mark.parametrize("spec", [TEMPLATES, WHEN_DELETED, WHEN_SCALED.replace(TEMPLATES, "")])
@pytest.mark.field_case("D2")
@pytest.mark.thorough
@pytest.mark.matrix(1)
def test_volumes_that_outlive_a_scale_down_are_no_reason_to_refuse(spec: str) -> None:
    with cluster(workloads.deployment("svc"), a_worker(spec)) as shop:
        before = [shop.get("PersistentVolumeClaim", claim) for claim in CLAIMS]
        ran = shop.run("restart-svc --yes", configuration=STATEFUL)
        assert ran.code == 0, ran
        assert [shop.get("PersistentVolumeClaim", claim) for claim in CLAIMS] == before


@pytest.mark.field_case("D2")
@pytest.mark.thorough
def test_a_target_is_not_scaled_so_its_volumes_stand_whatever_its_policy_says() -> None:
    target = workloads.stateful_set("svc", spec=WHEN_SCALED)
    with cluster(target, workloads.deployment("worker", image="worker", grace=3600)) as shop:
        before = shop.get("PersistentVolumeClaim", "cache-svc-0")
        ran = shop.run("restart-svc --yes", configuration=STATEFUL_TARGET)
        assert ran.code == 0, ran
        assert before
        assert shop.get("PersistentVolumeClaim", "cache-svc-0") == before


@pytest.mark.parametrize("owned", ["svc", "worker"])
@pytest.mark.field_case("D2")
def test_a_claim_that_a_pod_owns_goes_with_the_pod_and_is_refused(owned: str) -> None:
    volumes = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]"
    mounted = (
        "volumes: [{name: tls, secret: {secretName: svc}}, {name: data, persistentVolumeClaim: {claimName: data}}]"
    )
    svc = workloads.deployment("svc")
    worker = workloads.deployment("worker", image="worker", grace=3600, pod=volumes if owned == "worker" else "")
    if owned == "svc":
        svc = svc.replace("volumes: [{name: tls, secret: {secretName: svc}}]", mounted)
    with cluster(svc, worker) as shop:
        (pod,) = shop.pods(owned)
        owner = f"{{apiVersion: v1, kind: Pod, name: {pod['metadata']['name']}, uid: {pod['metadata']['uid']}}}"
        shop.apply(f"""
            apiVersion: v1
            kind: PersistentVolumeClaim
            metadata: {{name: data, ownerReferences: [{owner}]}}
            spec: {{accessModes: [ReadWriteMany]}}
        """)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert f"volume claim data of deployment/{owned} is owned by pod {pod['metadata']['name']}" in ran.text
        assert ran.writes == ()


@pytest.mark.field_case("D2")
@pytest.mark.thorough
def test_what_begins_empty_with_each_pod_by_design_is_said_and_not_refused() -> None:
    volumes = """
    volumes:
      - {name: scratch, emptyDir: {}}
      - {name: work, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}}
    """
    worker = workloads.deployment("worker", image="worker", grace=3600, pod=volumes)
    with cluster(workloads.deployment("svc"), worker) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert "new pods of deployment/worker start without what is in scratch (emptyDir), work (ephemeral)" in ran.text
