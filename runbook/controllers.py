"""Who else may write to a workload: autoscalers, GitOps controllers, operators, automatic restarters. Pure.

Detection is not trusted: whoever is not seen here and writes all the same is found out during the run, as contested.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.model import Workload
from runbook.fence import workload_path
from runbook.record import Paused
from runbook.rights import Right
from runbook.workloads import KINDS, WorkloadView

KEDA_PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
KEDA_PAUSED = "autoscaling.keda.sh/paused"
FLUX_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
FLUX_LABELS = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
ARGO_MANAGERS = ("argocd-controller", "argocd-application-controller")
RESTARTERS = {
    "reloader.stakater.com/auto": "Reloader",
    "secret.reloader.stakater.com/reload": "Reloader",
    "wave.pusher.com/update-on-config-change": "Wave",
}
"""Annotations by which a workload asks to be restarted when its Secret changes."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler or a KEDA ScaledObject on a worker.

    `pausable` is False where its own version cannot be kept away. `annotations` are those that stand on it.
    """

    kind: str
    name: str
    path: str
    workload: Workload
    min_replicas: int
    pausable: bool
    annotations: Mapping[str, str]

    @property
    def description(self) -> str:
        """Say it to people."""
        return f"{self.kind} {self.name} scales {self.workload.type}/{self.workload.name}"


def horizontal_pod_autoscaler(namespace: str, document: Mapping[str, Any]) -> Autoscaler | None:
    """Read an autoscaling/v2 HorizontalPodAutoscaler; None if it scales something else than a workload."""
    spec, name = document["spec"], document["metadata"]["name"]
    workload = _scaled(namespace, spec.get("scaleTargetRef") or {})
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
    minimum = 1 if spec.get("minReplicas") is None else spec["minReplicas"]
    if workload is None:
        return None
    return Autoscaler("HorizontalPodAutoscaler", name, path, workload, minimum, pausable=False, annotations={})


def scaled_object(namespace: str, document: Mapping[str, Any]) -> Autoscaler | None:
    """Read a keda.sh/v1alpha1 ScaledObject.

    KEDA before 2.7 ignores the pausing annotations (keda#4989); a version that knows them reports a condition `Paused`.
    """
    spec, metadata = document.get("spec") or {}, document["metadata"]
    workload = _scaled(namespace, {"kind": "Deployment", **(spec.get("scaleTargetRef") or {})})
    conditions = (document.get("status") or {}).get("conditions") or ()
    knows_pausing = any(condition.get("type") == "Paused" for condition in conditions)
    path = _scaled_objects(namespace) + metadata["name"]
    annotations = metadata.get("annotations") or {}
    minimum = spec.get("minReplicaCount") or 0
    if workload is None:
        return None
    return Autoscaler("ScaledObject", metadata["name"], path, workload, minimum, knows_pausing, annotations)


def pause_of(autoscaler: Autoscaler) -> Paused:
    """Return how KEDA is kept away: with both annotations, since one alone was seen to bounce (keda#5165)."""
    during = {KEDA_PAUSED_REPLICAS: "0", KEDA_PAUSED: "true"}
    return Paused(autoscaler.path, during, {key: autoscaler.annotations.get(key) for key in during})


def right_to_pause(autoscaler: Autoscaler) -> Iterable[Right]:
    """Yield the rights that pausing takes."""
    for verb in ("get", "patch"):
        yield Right(verb, "keda.sh", "scaledobjects", autoscaler.workload.namespace, autoscaler.name, why="pausing it")


def may_pause(paused: Paused, workload: Workload) -> bool:
    """Tell whether a pause is one that could be on this workload: an annotation that we set, where we set it."""
    keys = {*paused.during, *paused.before}
    if keys == {FLUX_RECONCILE}:
        return paused.path == workload_path(workload)
    name = paused.path.removeprefix(_scaled_objects(workload.namespace))
    return keys <= {KEDA_PAUSED, KEDA_PAUSED_REPLICAS} and name != paused.path and _NAME.fullmatch(name) is not None


def scales(document: Mapping[str, Any], workload: Workload) -> bool:
    """Tell whether a document is of a ScaledObject on this workload."""
    found = scaled_object(workload.namespace, document)
    return found is not None and found.workload == workload


def is_paused(autoscaler: Autoscaler) -> bool:
    """Tell whether KEDA is kept away already, by somebody else."""
    return autoscaler.annotations.get(KEDA_PAUSED_REPLICAS) == "0" and autoscaler.annotations.get(KEDA_PAUSED) == "true"


def flux(view: WorkloadView) -> str | None:
    """Return what Flux applies a workload from, None if it does not, or was told to leave it."""
    if view.annotations.get(FLUX_RECONCILE) == "disabled":
        return None
    return next((f"Flux ({label}: {view.labels[label]})" for label in FLUX_LABELS if label in view.labels), None)


def argo_cd(view: WorkloadView) -> str | None:
    """Return what Argo CD applies a workload from, None if it does not."""
    if ARGO_TRACKING in view.annotations:
        return f"Argo CD ({view.annotations[ARGO_TRACKING]})"
    manager = next((manager.name for manager in view.managers if manager.name in ARGO_MANAGERS), None)
    return f"Argo CD (field manager {manager})" if manager else None


def pause_of_flux(view: WorkloadView, path: str) -> Paused:
    """Return how Flux is told to leave a workload alone (kustomize-controller PR #484)."""
    return Paused(path, {FLUX_RECONCILE: "disabled"}, {FLUX_RECONCILE: view.annotations.get(FLUX_RECONCILE)})


def pausable_flux(view: WorkloadView) -> bool:
    """Tell whether Flux applies it by a Kustomization: a HelmRelease knows no such annotation."""
    return FLUX_LABELS[0] in view.labels and flux(view) is not None


def restarter(view: WorkloadView) -> str | None:
    """Return which automatic restarter watches a workload: it restarts without draining."""
    found = {*view.annotations} & RESTARTERS.keys()
    return RESTARTERS[min(found)] if found else None


def _scaled_objects(namespace: str) -> str:
    return f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/"


def _scaled(namespace: str, reference: Mapping[str, Any]) -> Workload | None:
    kinds = {kind: word for word, kind in KINDS.items()}
    kind, name = reference.get("kind"), reference.get("name")
    return Workload(namespace, kinds[kind], str(name)) if kind in kinds and name else None
