"""Lost work is reported for the containers that work

A worker pod has sidecars; one that is killed at the end of the grace period has cut nothing off.
"""

import pytest

from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import Ran, cluster

pytestmark = pytest.mark.thorough

KILLED = "ended with 137, it was killed: what it worked on may be cut off"


def drained(containers: str, *, annotations: str = "") -> Ran:
    """Restart with a worker of these containers, which have two minutes to end in.

    A finalizer keeps the pod listed after its end, so its exit codes are read whatever the watch has delivered by then.
    """
    worker = workloads.deployment("worker", grace=120, pod=f"containers: [{containers}]")
    kept = f"metadata: {{labels: {{app: worker}}, finalizers: [example.org/kept]{annotations}}}"
    worker = worker.replace("metadata: {labels: {app: worker}}", kept)
    with cluster(workloads.SERVICE, worker) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        ended = [
            pod["status"]["containerStatuses"] for pod in shop.pods("worker") if pod["status"]["phase"] == "Failed"
        ]
        assert ended, "there is a pod of which a container was killed"
        return ran


@pytest.mark.parametrize(
    "sidecar", ["istio-proxy", "cloud-sql-proxy", "fluent-bit", "logs"], ids=lambda name: f"{name} beside worker"
)
@case(
    "D12",
    situation="A sidecar of each worker pod is killed (137) at each drain; the worker itself ended in time.",
    says="No lost work: the worker's own container counts.",
    reference="openshift/origin#17101",
)
@pytest.mark.matrix(1)
def test_a_sidecar_that_is_killed_is_no_lost_work(sidecar: str) -> None:
    ran = drained(f"{{name: worker, image: worker}}, {{name: {sidecar}, image: stubborn}}")
    assert "137" not in ran.text


@case(
    "D12",
    situation="A worker's own container is killed (137), beside a sidecar that ended by itself.",
    says="Lost work, with the names of the container and of its pod.",
    reference="openshift/origin#17101",
)
def test_lost_work_names_the_container() -> None:
    ran = drained("{name: istio-proxy, image: idle}, {name: builder, image: stubborn}")
    assert "container builder of pod worker-" in ran.text
    assert KILLED in ran.text
    assert "istio-proxy" not in ran.text


@pytest.mark.field_case("D12")
def test_the_container_that_the_pod_names_as_its_default_is_the_one_that_works() -> None:
    annotation = ", annotations: {kubectl.kubernetes.io/default-container: builder}"
    killed = drained("{name: worker, image: idle}, {name: builder, image: stubborn}", annotations=annotation)
    assert "container builder of pod worker-" in killed.text
    assert KILLED in killed.text
    other = drained("{name: worker, image: stubborn}, {name: builder, image: idle}", annotations=annotation)
    assert "137" not in other.text


@pytest.mark.field_case("D12")
def test_of_several_containers_that_are_no_sidecars_each_one_that_is_killed_is_told() -> None:
    ran = drained("{name: builder, image: stubborn}, {name: tester, image: stubborn}, {name: pusher, image: idle}")
    assert "container builder of pod worker-" in ran.text
    assert "container tester of pod worker-" in ran.text
    assert "container pusher" not in ran.text
