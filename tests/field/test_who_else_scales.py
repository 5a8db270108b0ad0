"""Other controllers that scale what a run touches are paused, and never longer than the workers are away.

KEDA acts on a ScaledObject whenever it reconciles it: after a change, an apply, or a restart of its operator. So what
stands on it must be right at every instant, not only at the end.
"""

from typing import Any

import pytest

from rehearsal.faults import Faults
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import Cluster, Ran, cluster

PAUSED, PAUSED_REPLICAS = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"
SERVICE = workloads.deployment("svc")
WORKER = workloads.deployment("worker", replicas=3, image="worker", grace=3600)


def scaled_object(name: str, annotations: str = "", **spec: int) -> str:
    """A ScaledObject of the Deployment of its name."""
    lines = "".join(f", {key}: {value}" for key, value in spec.items())
    return f"""
        apiVersion: keda.sh/v1alpha1
        kind: ScaledObject
        metadata: {{name: {name}, annotations: {{{annotations}}}}}
        spec: {{scaleTargetRef: {{name: {name}}}, triggers: []{lines}}}
    """


def autoscaler(name: str, minimum: int) -> str:
    """A HorizontalPodAutoscaler of the Deployment of its name."""
    return f"""
        apiVersion: autoscaling/v2
        kind: HorizontalPodAutoscaler
        metadata: {{name: {name}}}
        spec:
          scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
          minReplicas: {minimum}
          maxReplicas: 5
    """


def replicas(shop: Cluster, name: str) -> int:
    found: int = shop.get("Deployment", name)["spec"]["replicas"]
    return found


def restart_keda(shop: Cluster) -> None:
    """Restart KEDA's operator: it reconciles every ScaledObject."""
    shop.fault(stop_keda)
    shop.fault(lambda faults: setattr(faults, "keda_down", False))


def stop_keda(faults: Faults) -> None:
    faults.keda_down = True


def coming_back(shop: Cluster) -> bool:
    """Whether the workers were scaled up again, and are not Ready yet."""
    worker = shop.get("Deployment", "worker")
    return bool(worker["spec"]["replicas"] == 3 and worker["status"].get("readyReplicas", 0) < 3)


def pauses(shop: Cluster, name: str = "worker") -> dict[str, str]:
    """KEDA's annotations on a ScaledObject."""
    annotations: dict[str, str] = shop.get("ScaledObject", name)["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith("autoscaling.keda.sh/")}


def written(ran: Ran) -> list[Any]:
    """What a run has written of KEDA's annotations, in its order."""
    annotations = (write.body["metadata"].get("annotations", {}) for write in ran.written("scaledobjects"))
    return [each[PAUSED] for each in annotations if PAUSED in each]


@case(
    "D9",
    situation="KEDA scales the workers; its operator is restarted while they come back",
    says="it was paused at no number, so it takes them nowhere; its annotations are restored last",
    reference="kedacore/keda#7663, kedacore/keda#7664, kedacore/keda#5490",
)
@pytest.mark.thorough
def test_a_reconcile_of_keda_while_the_workers_come_back_does_not_take_them_to_0() -> None:
    with cluster(SERVICE, WORKER, scaled_object("worker", minReplicaCount=1), keda=True) as shop:
        shop.when(lambda shop: replicas(shop, "worker") == 0, restart_keda)
        back: list[dict[str, str]] = []

        def come_back(shop: Cluster) -> None:
            back.append(pauses(shop))
            restart_keda(shop)

        shop.when(coming_back, come_back)
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 0, ran
        assert replicas(shop, "worker") == 3
        assert back == [{PAUSED: "true"}]
        assert written(ran) == ["true", None]
        assert not any(PAUSED_REPLICAS in str(write.body) and '"0"' in str(write.body) for write in ran.writes)
        assert pauses(shop) == {}


@case(
    "G4",
    situation="KEDA scales the workers, which do not become Ready when they are restored",
    says="exit code 7, and KEDA's pause is taken off anyway",
    reference="kedacore/keda#7663, kedacore/keda#7231, kedacore/keda#6982",
)
@pytest.mark.thorough
def test_the_pause_does_not_outlive_the_workers_where_they_do_not_become_ready() -> None:
    with cluster(SERVICE, WORKER, scaled_object("worker", minReplicaCount=1), keda=True) as shop:
        shop.when(lambda shop: replicas(shop, "worker") == 0, lambda shop: shop.fault(_crash("worker")))
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 7, ran
        assert pauses(shop) == {}
        restart_keda(shop)
        assert replicas(shop, "worker") == 3


def _crash(name: str) -> Any:
    return lambda faults: faults.crashing.add(name)


@case(
    "G4",
    situation="KEDA is asked to pause and does not say that it has (its operator does not run)",
    says="refused before anything is drained, and the annotation is taken off",
    reference="kedacore/keda#6982, kedacore/keda#7231",
)
def test_a_pause_that_keda_does_not_confirm_drains_nothing() -> None:
    with cluster(SERVICE, WORKER, scaled_object("worker", minReplicaCount=1), keda=True) as shop:
        shop.fault(stop_keda)
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 3, ran
        assert "does not say that it is" in ran.text
        assert not any("replicas" in str(write.body.get("spec")) for write in ran.written("deployments"))
        assert pauses(shop) == {}


@case(
    "D9",
    situation="somebody else has KEDA hold the workers at just their number (`paused-replicas`)",
    says="that is taken off while they are drained, and restored last",
    reference="kedacore/keda#7663",
)
@pytest.mark.thorough
def test_a_number_at_which_somebody_holds_the_workers_is_restored_when_they_are_there() -> None:
    held = f"{PAUSED_REPLICAS}: '3'"
    with cluster(SERVICE, WORKER, scaled_object("worker", held), keda=True) as shop:
        shop.when(lambda shop: replicas(shop, "worker") == 0, restart_keda)
        shop.when(coming_back, restart_keda)
        ran = shop.run("restart-svc --yes")
        assert (ran.code, "--pause-controllers" in ran.text) == (3, True), ran
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 0, ran
        assert pauses(shop) == {PAUSED_REPLICAS: "3"}
        assert replicas(shop, "worker") == 3


@case(
    "D9",
    situation="a ScaledObject says that it is held at another number than its workers have, or is paused in one way",
    says="refused: at its next reconcile KEDA would act on that, or take it for paused already",
    reference="kedacore/keda#7663, kedacore/keda#6982",
)
@pytest.mark.parametrize(
    "annotation", [f"{PAUSED_REPLICAS}: '0'", "autoscaling.keda.sh/paused-scale-in: 'true'"], ids=["number", "one way"]
)
def test_a_pause_that_is_not_what_it_seems_is_refused(annotation: str) -> None:
    with cluster(SERVICE, WORKER, scaled_object("worker"), keda=True) as shop:
        shop.fault(stop_keda)
        shop.apply(scaled_object("worker", annotation))
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 3, ran
        assert annotation.partition(":")[0] in ran.text
        assert ran.writes == ()


@case(
    "D13",
    situation="KEDA reports no condition Paused",
    says="older than 2.11, or not running; needed is 2.12, the first that pauses at any number (not 2.7)",
    reference="kedacore/keda#4253, kedacore/keda#3304",
)
def test_a_keda_that_reports_no_pause_is_named_by_the_version_that_it_is() -> None:
    silent = scaled_object("worker")
    with cluster(SERVICE, WORKER, keda=True) as shop:
        shop.fault(stop_keda)
        shop.apply(silent)
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 3, ran
        assert "reports no condition Paused: KEDA before 2.11, or one that does not run" in ran.text
        assert "KEDA 2.12 or newer" in ran.text
        assert ran.writes == ()


# --- the target ------------------------------------------------------------------------------------------------


@case(
    "G5",
    situation="KEDA scales the target too, to 0 when it has nothing to do, as while its workers are drained",
    says="refused, or paused for the run with `--pause-controllers`",
    reference="pytorch/ci-infra#701, pytorch/ci-infra#723",
)
@pytest.mark.thorough
def test_keda_on_the_target_is_paused_as_it_is_on_the_workers() -> None:
    with cluster(SERVICE, WORKER, scaled_object("svc"), scaled_object("worker"), keda=True) as shop:
        shop.when(
            lambda shop: replicas(shop, "worker") == 0, lambda shop: shop.fault(lambda faults: faults.idle.add("svc"))
        )
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "ScaledObject svc scales deployment/svc, to 0 once its workers are drained" in ran.text
        assert ran.writes == ()
        ran = shop.run("restart-svc --yes --pause-controllers")
        assert ran.code == 0, ran
        assert (pauses(shop, "svc"), pauses(shop, "worker")) == ({}, {})


@pytest.mark.field_case("G5")
@pytest.mark.thorough
def test_keda_that_never_takes_the_target_to_0_is_no_reason_to_refuse() -> None:
    with cluster(SERVICE, WORKER, scaled_object("svc", minReplicaCount=1), keda=True) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert "ScaledObject svc scales deployment/svc, never below 1" in ran.text


@pytest.mark.field_case("G5")
def test_an_idle_count_of_0_counts_and_not_the_minimum() -> None:
    with cluster(SERVICE, WORKER, scaled_object("svc", minReplicaCount=2, idleReplicaCount=0), keda=True) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "ScaledObject svc scales deployment/svc, to 0" in ran.text


@case(
    "G5",
    situation="a HorizontalPodAutoscaler of the target may scale it to 0 (minReplicas 0)",
    says="refused; with minReplicas 1 it passes",
    reference="kubernetes/kubernetes#110278",
    found_by="reader",
)
@pytest.mark.parametrize(("minimum", "code"), [(0, 3), (1, 0)])
@pytest.mark.thorough
def test_an_autoscaler_of_the_target_is_judged_by_how_far_it_scales_down(minimum: int, code: int) -> None:
    with cluster(SERVICE, WORKER, autoscaler("svc", minimum)) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == code, ran
        assert "HorizontalPodAutoscaler svc scales deployment/svc" in ran.text


@case(
    "G5",
    situation="kube-downscaler scales a worker",
    says="a warning that names it, and what to do",
    reference="hjacobs/kube-downscaler#44",
    found_by="reader",
)
@pytest.mark.thorough
def test_who_scales_by_an_annotation_is_warned_of() -> None:
    annotated = "\n---\n".join([WORKER.replace("labels:", "annotations: {downscaler/uptime: always}, labels:", 1)])
    with cluster(SERVICE, annotated) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert "kube-downscaler (downscaler/uptime) scales deployment/worker" in ran.text
