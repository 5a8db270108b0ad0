"""Who else may write to a workload: autoscalers, GitOps controllers, operators, automatic restarters. Pure.

Detection is not trusted: anyone who is not seen here and writes anyway is found out during the run, as contested.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from certlag.model import Workload
from runbook.guard.fence import workload_path
from runbook.guard.record import Paused
from runbook.kube.permissions import Right
from runbook.kube.views import KINDS, WorkloadView

KEDA_PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
KEDA_PAUSED = "autoscaling.keda.sh/paused"
KEDA_ONE_WAY = ("autoscaling.keda.sh/paused-scale-in", "autoscaling.keda.sh/paused-scale-out")
"""Pauses of one direction (KEDA 2.18): the other one goes on, and the condition Paused is True anyway."""
FLUX_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
FLUX_LABELS = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
ARGO_MANAGERS = ("argocd-controller", "argocd-application-controller")
DOWNSCALER, DOWNSCALER_EXCLUDE = "downscaler/", "downscaler/exclude"
"""The prefix of kube-downscaler's annotations, and the one by which a workload is left alone."""
_PEOPLE = ("kubectl", "certlag")
"""How the field managers of those begin who scale a workload by hand."""
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""What Go's strconv.ParseBool takes for true."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Restarter:
    """An automatic restarter, and how a workload shows that it is watched by it.

    All are keys of annotations, of the workload or of its pod template: `switches` are on if they are true, `lists`
    name what is watched, `traces` are left by a restart of its own. So is an environment variable of this `prefix`.
    """

    name: str
    switches: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()
    prefix: str | None = None


_RELOADED = ("secret", "configmap", "secretproviderclass")
RESTARTERS = (
    Restarter(
        "Reloader",
        switches=frozenset(
            {
                "reloader.stakater.com/auto",
                "reloader.stakater.com/search",
                *(f"{kind}.reloader.stakater.com/auto" for kind in _RELOADED),
            }
        ),
        lists=frozenset(f"{kind}.reloader.stakater.com/reload" for kind in _RELOADED),
        traces=frozenset({"reloader.stakater.com/last-reloaded-from"}),
        prefix="STAKATER_",
    ),
    Restarter(
        "Wave",
        switches=frozenset({"wave.pusher.com/update-on-config-change"}),
        traces=frozenset({"wave.pusher.com/config-hash"}),
    ),
    Restarter("the 1Password operator", switches=frozenset({"operator.1password.io/auto-restart"})),
    Restarter("the Doppler operator", switches=frozenset({"secrets.doppler.com/reload"})),
    Restarter("the Infisical operator", switches=frozenset({"secrets.infisical.com/auto-reload"})),
    Restarter("the Vault Secrets Operator", traces=frozenset({"vso.secrets.hashicorp.com/restartedAt"})),
)
"""Who restarts a workload without draining it when a Secret changes, from the documentation and code of each."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler or a KEDA ScaledObject on the target or a worker.

    `min_replicas` is how far it scales down while nothing is to do. `annotations` are those that stand on it; `paused`
    is the status of KEDA's condition Paused, None where there is no such condition.
    """

    kind: str
    name: str
    path: str
    workload: Workload
    min_replicas: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    paused: bool | None = None

    @property
    def description(self) -> str:
        """Say it to people."""
        return f"{self.kind} {self.name} scales {self.workload.type}/{self.workload.name}"

    @property
    def pauses(self) -> str:
        """Say what stands on it of KEDA's pauses, and what KEDA says of them."""
        keys = (KEDA_PAUSED, KEDA_PAUSED_REPLICAS, *KEDA_ONE_WAY)
        stand = [f"{key} is {self.annotations[key]}" for key in keys if key in self.annotations]
        return f"{', '.join(stand) or 'no annotation pauses it'}, and its condition Paused is {self.paused}"


class Pause(StrEnum):
    """What pauses a ScaledObject, as far as its annotations and its condition Paused tell."""

    NONE = "none"
    PAUSED = "paused"
    HELD = "held"
    UNREPORTED = "unreported"
    CONTRADICTORY = "contradictory"


def horizontal_pod_autoscaler(namespace: str, document: Mapping[str, Any]) -> Autoscaler | None:
    """Read an autoscaling/v2 HorizontalPodAutoscaler; None if it scales something else, or a ScaledObject made it."""
    spec, metadata = document["spec"], document["metadata"]
    workload = _scaled(namespace, spec.get("scaleTargetRef") or {})
    if workload is None or any(owner.get("kind") == "ScaledObject" for owner in metadata.get("ownerReferences") or ()):
        return None
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{metadata['name']}"
    minimum = 1 if spec.get("minReplicas") is None else spec["minReplicas"]
    return Autoscaler("HorizontalPodAutoscaler", metadata["name"], path, workload, minimum)


def scaled_object(namespace: str, document: Mapping[str, Any]) -> Autoscaler | None:
    """Read a keda.sh/v1alpha1 ScaledObject; None if it scales something else than a workload."""
    spec, metadata = document.get("spec") or {}, document["metadata"]
    workload = _scaled(namespace, {"kind": "Deployment", **(spec.get("scaleTargetRef") or {})})
    if workload is None:
        return None
    idle = spec.get("idleReplicaCount")
    return Autoscaler(
        "ScaledObject",
        metadata["name"],
        _scaled_objects(namespace) + metadata["name"],
        workload,
        (spec.get("minReplicaCount") or 0) if idle is None else idle,
        metadata.get("annotations") or {},
        reports_paused(document),
    )


def reports_paused(document: Mapping[str, Any]) -> bool | None:
    """Return whether KEDA says that it has paused a ScaledObject; None if it says nothing of pausing.

    KEDA says so since 2.11 (keda#4253), in the condition Paused, which is Unknown until the first pause.
    """
    conditions = (document.get("status") or {}).get("conditions") or ()
    return next((each.get("status") == "True" for each in conditions if each.get("type") == "Paused"), None)


def pause(autoscaler: Autoscaler, replicas: int) -> Pause:
    """Assess what pauses a ScaledObject of a workload with that many replicas.

    HELD is one that somebody else holds at just that number (`paused-replicas`). CONTRADICTORY is what KEDA may act on
    at any reconcile, or what it wrongly takes for paused already, so that pausing it would change nothing (keda#6982,
    keda#7663): a pause of one direction, a number that is another, a condition that no annotation explains.
    """
    held = autoscaler.annotations.get(KEDA_PAUSED_REPLICAS)
    annotated = autoscaler.annotations.get(KEDA_PAUSED) in _TRUE
    if autoscaler.paused is None:
        return Pause.UNREPORTED
    if any(key in autoscaler.annotations for key in KEDA_ONE_WAY) or held not in (None, str(replicas)):
        return Pause.CONTRADICTORY
    if not autoscaler.paused:
        return Pause.NONE
    if held is not None:
        return Pause.HELD
    return Pause.PAUSED if annotated else Pause.CONTRADICTORY


def pause_of(autoscaler: Autoscaler) -> Paused:
    """Return how KEDA is kept away: paused at whatever number of replicas there is, which only we change then.

    `paused-replicas` is none of it, and is taken off: to KEDA it is a number to scale to, at any reconcile (after a
    restart of the operator, or an apply), regardless of who scaled the workload (keda#7663, keda#7231).
    """
    during = {KEDA_PAUSED: "true", KEDA_PAUSED_REPLICAS: None}
    return Paused(autoscaler.path, during, {key: autoscaler.annotations.get(key) for key in during})


def is_in_effect(paused: Paused, annotations: Mapping[str, str | None], document: Mapping[str, Any]) -> bool:
    """Tell whether a controller does what these annotations of a pause tell it: KEDA says so, Flux need not.

    Args:
        paused: the pause.
        annotations: either those during the pause, or those before.
        document: the object that they stand on.
    """
    if KEDA_PAUSED not in paused.during:
        return True
    wanted = annotations.get(KEDA_PAUSED) in _TRUE or annotations.get(KEDA_PAUSED_REPLICAS) is not None
    return reports_paused(document) is wanted


def rights_to_pause(autoscaler: Autoscaler) -> Iterable[Right]:
    """Yield the rights that pausing takes; a HorizontalPodAutoscaler cannot be paused."""
    for verb in ("get", "patch") if autoscaler.kind == "ScaledObject" else ():
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
    """Return which automatic restarter watches a workload: it restarts without draining.

    One that watches every workload (Reloader's --auto-reload-all) is known only by what it has left behind.
    """
    stands = {**view.template_annotations, **view.annotations}
    both = [(key, value) for each in (view.annotations, view.template_annotations) for key, value in each.items()]
    on = {key for key, value in both if value in _TRUE}
    for each in RESTARTERS:
        traced = each.prefix is not None and any(name.startswith(each.prefix) for name in view.variables)
        if on & each.switches or stands.keys() & (each.lists | each.traces) or traced:
            return each.name
    return None


def other_scaler(view: WorkloadView) -> str | None:
    """Return what else seems to scale a workload: kube-downscaler, or a client that wrote its replicas through `scale`.

    Autoscalers of any kind write there; so do people, whose field managers are known.
    """
    if view.annotations.get(DOWNSCALER_EXCLUDE) != "true":
        marked = sorted(key for key in view.annotations if key.startswith(DOWNSCALER))
        if marked:
            return f"kube-downscaler ({marked[0]})"
    writers = [each for each in view.managers if each.subresource == "scale" and each.wrote("spec", "replicas")]
    return next((f"field manager {each.name}" for each in writers if not each.name.startswith(_PEOPLE)), None)


def _scaled_objects(namespace: str) -> str:
    return f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/"


def _scaled(namespace: str, reference: Mapping[str, Any]) -> Workload | None:
    kinds = {kind: word for word, kind in KINDS.items()}
    kind, name, group = reference.get("kind"), reference.get("name"), reference.get("apiVersion") or "apps/v1"
    return Workload(namespace, kinds[kind], str(name)) if kind in kinds and name and group.startswith("apps/") else None
