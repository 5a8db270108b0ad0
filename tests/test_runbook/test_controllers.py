"""Who else may write to a workload is known by what stands on it; how each is kept away, and put back."""

from typing import Any

import pytest

from exporter.model import Workload
from runbook import controllers
from runbook.controllers import Autoscaler, horizontal_pod_autoscaler, scaled_object
from runbook.workloads import WorkloadView, workload_view
from tests.builders import DEPLOYMENT, NAMESPACE
from tests.workload_documents import WORKER, a_deployment

PAUSED_REPLICAS, PAUSED = "autoscaling.keda.sh/paused-replicas", "autoscaling.keda.sh/paused"
REFERENCE = {"kind": "Deployment", "name": "worker"}


def view(**metadata: Any) -> WorkloadView:
    return workload_view(DEPLOYMENT, a_deployment(metadata=metadata))


def hpa(**spec: Any) -> Autoscaler | None:
    return horizontal_pod_autoscaler(
        NAMESPACE, {"metadata": {"name": "workers"}, "spec": {"scaleTargetRef": REFERENCE, **spec}}
    )


def keda(
    conditions: tuple[str, ...] = ("Paused",), annotations: dict[str, str] | None = None, **spec: Any
) -> Autoscaler:
    found = scaled_object(
        NAMESPACE,
        {
            "metadata": {"name": "workers", "annotations": annotations or {}},
            "spec": {"scaleTargetRef": {"name": "worker"}, **spec},
            "status": {"conditions": [{"type": each} for each in conditions]},
        },
    )
    assert found is not None
    return found


@pytest.mark.parametrize(("spec", "minimum"), [({}, 1), ({"minReplicas": 3}, 3), ({"minReplicas": 0}, 0)])
def test_r14_an_hpas_minimum_is_one_unless_it_says_otherwise(spec: dict[str, Any], minimum: int) -> None:
    found = hpa(**spec)
    assert found is not None
    assert (found.workload, found.min_replicas, found.pausable) == (WORKER, minimum, False)
    assert found.description == "HorizontalPodAutoscaler workers scales deployment/worker"


def test_an_autoscaler_of_something_else_is_none_of_ours() -> None:
    assert hpa(scaleTargetRef={"kind": "ReplicationController", "name": "x"}) is None
    assert hpa(scaleTargetRef={}) is None


def test_r15_keda_scales_a_deployment_unless_it_says_otherwise() -> None:
    assert keda().workload == WORKER
    stateful = keda(scaleTargetRef={"kind": "StatefulSet", "name": "worker"})
    assert stateful.workload == Workload(NAMESPACE, "statefulset", "worker")


def test_r15_a_keda_that_does_not_report_paused_ignores_being_paused() -> None:
    assert keda().pausable
    assert not keda(conditions=("Ready", "Active")).pausable


def test_r15_both_annotations_pause_it_and_what_stood_there_before_is_put_back() -> None:
    pause = controllers.pause_of(keda(annotations={PAUSED_REPLICAS: "5"}))
    assert pause.during == {PAUSED_REPLICAS: "0", PAUSED: "true"}
    assert pause.before == {PAUSED_REPLICAS: "5", PAUSED: None}
    assert pause.path.endswith("/namespaces/opschain/scaledobjects/workers")


@pytest.mark.parametrize(
    ("annotations", "paused"),
    [
        ({PAUSED_REPLICAS: "0", PAUSED: "true"}, True),
        ({PAUSED_REPLICAS: "0"}, False),
        ({PAUSED: "true"}, False),
        ({PAUSED_REPLICAS: "2", PAUSED: "true"}, False),
    ],
)
def test_r15_one_annotation_alone_does_not_keep_it_at_zero(annotations: dict[str, str], paused: bool) -> None:  # noqa: FBT001
    assert controllers.is_paused(keda(annotations=annotations)) is paused


def test_r15_pausing_takes_the_right_to_read_and_to_patch_just_that_object() -> None:
    rights = [str(right) for right in controllers.right_to_pause(keda())]
    assert rights == [
        "get scaledobjects.keda.sh workers in opschain",
        "patch scaledobjects.keda.sh workers in opschain",
    ]


@pytest.mark.parametrize("label", ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"])
def test_r16_flux_is_known_by_its_label_and_gone_when_it_was_told_to_leave(label: str) -> None:
    assert controllers.flux(view(labels={label: "apps"})) == f"Flux ({label}: apps)"
    left = view(labels={label: "apps"}, annotations={"kustomize.toolkit.fluxcd.io/reconcile": "disabled"})
    assert controllers.flux(left) is None
    assert not controllers.pausable_flux(left)
    assert controllers.flux(view()) is None


def test_r16_only_a_kustomization_can_be_told_to_leave_one_object_alone() -> None:
    assert controllers.pausable_flux(view(labels={"kustomize.toolkit.fluxcd.io/name": "apps"}))
    assert not controllers.pausable_flux(view(labels={"helm.toolkit.fluxcd.io/name": "apps"}))
    pause = controllers.pause_of_flux(view(), "/x")
    assert pause.during == {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
    assert pause.before == {"kustomize.toolkit.fluxcd.io/reconcile": None}


def test_r16_argo_cd_is_known_by_its_tracking_id_or_as_a_field_manager() -> None:
    tracked = view(annotations={"argocd.argoproj.io/tracking-id": "apps:x"})
    assert controllers.argo_cd(tracked) == "Argo CD (apps:x)"
    managed = view(managedFields=[{"manager": "argocd-controller"}])
    assert controllers.argo_cd(managed) == "Argo CD (field manager argocd-controller)"
    assert controllers.argo_cd(view(managedFields=[{"manager": "kubectl"}])) is None


def test_automatic_restarters_are_known_by_their_annotations() -> None:
    assert controllers.restarter(view(annotations={"reloader.stakater.com/auto": "true"})) == "Reloader"
    assert controllers.restarter(view(annotations={"wave.pusher.com/update-on-config-change": "true"})) == "Wave"
    assert controllers.restarter(view()) is None
