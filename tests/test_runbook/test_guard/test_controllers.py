"""Who else may write to a workload is known by what stands on it; how each is kept away, and put back."""

from typing import Any

import pytest

from certlag.model import Workload
from runbook.guard import controllers
from runbook.guard.controllers import Autoscaler, Pause, horizontal_pod_autoscaler, scaled_object
from runbook.kube.views import WorkloadView, workload_view
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


def keda(paused: str | None = "False", annotations: dict[str, str] | None = None, **spec: Any) -> Autoscaler:
    found = scaled_object(
        NAMESPACE,
        {
            "metadata": {"name": "workers", "annotations": annotations or {}},
            "spec": {"scaleTargetRef": {"name": "worker"}, **spec},
            "status": {"conditions": [] if paused is None else [{"type": "Paused", "status": paused}]},
        },
    )
    assert found is not None
    return found


@pytest.mark.parametrize(("spec", "minimum"), [({}, 1), ({"minReplicas": 3}, 3), ({"minReplicas": 0}, 0)])
def test_r14_an_hpas_minimum_is_one_unless_it_says_otherwise(spec: dict[str, Any], minimum: int) -> None:
    found = hpa(**spec)
    assert found is not None
    assert (found.workload, found.min_replicas, found.paused) == (WORKER, minimum, None)
    assert list(controllers.rights_to_pause(found)) == []
    assert found.description == "HorizontalPodAutoscaler workers scales deployment/worker"


def test_an_autoscaler_of_something_else_is_none_of_ours() -> None:
    assert hpa(scaleTargetRef={"kind": "ReplicationController", "name": "x"}) is None
    assert hpa(scaleTargetRef={}) is None
    foreign = {"apiVersion": "apps.kruise.io/v1beta1", "kind": "StatefulSet", "name": "worker"}
    assert hpa(scaleTargetRef=foreign) is None
    assert hpa(scaleTargetRef={**REFERENCE, "apiVersion": "apps/v1"}) is not None


def test_an_autoscaler_that_keda_made_is_part_of_its_scaled_object() -> None:
    owners = [{"kind": "ScaledObject", "name": "workers", "uid": "s", "controller": True}]
    document = {"metadata": {"name": "keda-hpa-workers", "ownerReferences": owners}}
    assert horizontal_pod_autoscaler(NAMESPACE, {**document, "spec": {"scaleTargetRef": REFERENCE}}) is None


def test_r15_keda_scales_a_deployment_unless_it_says_otherwise() -> None:
    assert keda().workload == WORKER
    stateful = keda(scaleTargetRef={"kind": "StatefulSet", "name": "worker"})
    assert stateful.workload == Workload(NAMESPACE, "statefulset", "worker")


@pytest.mark.parametrize(
    ("spec", "least"),
    [({}, 0), ({"minReplicaCount": 2}, 2), ({"minReplicaCount": 2, "idleReplicaCount": 0}, 0)],
)
def test_keda_scales_what_is_idle_down_to_its_idle_count_or_its_minimum(spec: dict[str, Any], least: int) -> None:
    assert keda(**spec).min_replicas == least


IN, OUT = controllers.KEDA_ONE_WAY


@pytest.mark.parametrize(
    ("paused", "annotations", "pause"),
    [
        ("False", {}, Pause.NONE),
        ("Unknown", {}, Pause.NONE),
        ("False", {PAUSED: "true"}, Pause.NONE),
        ("True", {PAUSED: "true"}, Pause.PAUSED),
        ("True", {PAUSED_REPLICAS: "3"}, Pause.HELD),
        ("True", {PAUSED_REPLICAS: "3", PAUSED: "true"}, Pause.HELD),
        ("False", {PAUSED_REPLICAS: "3"}, Pause.NONE),
        ("True", {PAUSED_REPLICAS: "0", PAUSED: "true"}, Pause.CONTRADICTORY),
        ("True", {}, Pause.CONTRADICTORY),
        ("True", {PAUSED: "false"}, Pause.CONTRADICTORY),
        ("True", {IN: "true"}, Pause.CONTRADICTORY),
        ("True", {PAUSED: "true", OUT: "true"}, Pause.CONTRADICTORY),
        (None, {PAUSED: "true"}, Pause.UNREPORTED),
    ],
)
def test_r15_what_pauses_keda_is_what_stands_there_and_what_it_says(
    paused: str | None, annotations: dict[str, str], pause: Pause
) -> None:
    assert controllers.pause(keda(paused, annotations), 3) is pause


def test_r15_it_is_paused_at_no_number_and_what_stood_there_before_is_restored() -> None:
    pause = controllers.pause_of(keda(annotations={PAUSED_REPLICAS: "5"}))
    assert pause.during == {PAUSED_REPLICAS: None, PAUSED: "true"}
    assert pause.before == {PAUSED_REPLICAS: "5", PAUSED: None}
    assert pause.path.endswith("/namespaces/opschain/scaledobjects/workers")


def test_r15_a_pause_is_in_effect_once_keda_says_so_and_one_of_flux_at_once() -> None:
    def says(paused: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": "Paused", "status": paused}]}}

    pause = controllers.pause_of(keda())
    assert [controllers.is_in_effect(pause, pause.during, says(each)) for each in ("True", "False")] == [True, False]
    assert [controllers.is_in_effect(pause, pause.before, says(each)) for each in ("True", "False")] == [False, True]
    held = controllers.pause_of(keda(annotations={PAUSED_REPLICAS: "5"}))
    assert controllers.is_in_effect(held, held.before, says("True"))
    flux = controllers.pause_of_flux(view(), "/x")
    assert controllers.is_in_effect(flux, flux.during, {})


def test_r15_pausing_takes_the_right_to_read_and_to_patch_just_that_object() -> None:
    rights = [str(right) for right in controllers.rights_to_pause(keda())]
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


SCALED: dict[str, Any] = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("metadata", "scaler"),
    [
        ({"managedFields": [{"manager": "datadog", "subresource": "scale", "fieldsV1": SCALED}]}, "datadog"),
        ({"managedFields": [{"manager": "kubectl-scale", "subresource": "scale", "fieldsV1": SCALED}]}, None),
        ({"managedFields": [{"manager": "certlag", "subresource": "scale", "fieldsV1": SCALED}]}, None),
        ({"managedFields": [{"manager": "helm", "fieldsV1": SCALED}]}, None),
        ({"managedFields": [{"manager": "datadog", "subresource": "status", "fieldsV1": {}}]}, None),
        ({"annotations": {"downscaler/downtime-replicas": "0"}}, "kube-downscaler"),
        ({"annotations": {"downscaler/uptime": "never", "downscaler/exclude": "true"}}, None),
    ],
)
def test_who_scales_is_known_by_its_annotations_or_by_writing_through_scale(
    metadata: dict[str, Any], scaler: str | None
) -> None:
    found = controllers.other_scaler(view(**metadata))
    assert found is None if scaler is None else scaler in (found or "")
