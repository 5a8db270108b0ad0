"""Is a workload in a state that survives being scaled or restarted? Pure: one read of it in, what is wrong out.

Two kinds of symptoms. Of a rollout that never finished, old pods still work and the new template is not shown to work:
scaled to 0 and back, or restarted, all pods come from the new one (kubernetes#105395, #120157). Where fewer pods are
ready than are wanted, a controller that replaces one after another does not get past the one that is not ready
(kubernetes#67250, #60164), and one that does goes below a quorum.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from runbook.kube.views import Condition, WorkloadView


class Trouble(StrEnum):
    """What kind of symptom it is: the name of its precondition, and of the flag that accepts it."""

    UNFINISHED = "unfinished-rollout"
    NOT_READY = "not-ready"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One field that says that something is wrong, with its value."""

    trouble: Trouble
    field: str
    value: str

    def __str__(self) -> str:
        """Name field and value."""
        return f"{self.field} {self.value}"


def symptoms(view: WorkloadView, *, scaled: bool) -> tuple[Symptom, ...]:
    """Return all that is wrong with a workload; of one that is at 0 only that its controller has not seen it yet.

    Args:
        view: the workload.
        scaled: whether it is to be scaled to 0 and back. Then a pause and a partition are symptoms, too: at 0 a
            StatefulSet forgets the revision that its partition kept. A restart of such a one is refused by itself.
    """
    if not view.replicas:
        return tuple(_not_observed(view))
    rules = (*_COMMON, *_BY_KIND[view.workload.type], *(_SCALED if scaled else ()))
    return tuple(symptom for rule in rules for symptom in rule(view))


def _unfinished(field: str, value: str) -> Symptom:
    return Symptom(Trouble.UNFINISHED, field, value)


def _not_ready(field: str, value: str) -> Symptom:
    return Symptom(Trouble.NOT_READY, field, value)


# --- rules -----------------------------------------------------------------------------------------

Rule = Callable[[WorkloadView], Iterable[Symptom]]


def _not_observed(view: WorkloadView) -> Iterator[Symptom]:
    if view.observed_generation < view.generation:
        yield _unfinished("status.observedGeneration", f"{view.observed_generation} of {view.generation}")


def _not_updated(view: WorkloadView) -> Iterator[Symptom]:
    if view.updated != view.replicas:
        field = _UPDATED.get(view.workload.type, "status.updatedReplicas")
        yield _unfinished(field, f"{view.updated} of {view.replicas}")


def _old_pods(view: WorkloadView) -> Iterator[Symptom]:
    """Old pods beside enough new ones, of which some are not Ready."""
    if view.current > view.updated == view.replicas:
        yield _unfinished("status.replicas", f"{view.current}, updatedReplicas {view.updated}")


def _fewer_ready(view: WorkloadView) -> Iterator[Symptom]:
    if view.ready != view.replicas:
        yield _not_ready(_READY.get(view.workload.type, "status.readyReplicas"), f"{view.ready} of {view.replicas}")


def _fewer_available(view: WorkloadView) -> Iterator[Symptom]:
    """Pods that are Ready, and not for `minReadySeconds` yet."""
    if view.available != view.replicas and view.ready == view.replicas:
        field = _AVAILABLE.get(view.workload.type, "status.availableReplicas")
        yield _not_ready(field, f"{view.available} of {view.replicas}")


def _unavailable(view: WorkloadView) -> Iterator[Symptom]:
    if view.unavailable:
        yield _not_ready("status.numberUnavailable", str(view.unavailable))


def _paused(view: WorkloadView) -> Iterator[Symptom]:
    if view.paused:
        yield _unfinished("spec.paused", "true")


def _conditions(view: WorkloadView) -> Iterator[Symptom]:
    for kind, bad, trouble in (
        ("Progressing", "False", Trouble.UNFINISHED),
        ("ReplicaFailure", "True", Trouble.UNFINISHED),
        ("Available", "False", Trouble.NOT_READY),
    ):
        if (found := view.conditions.get(kind)) is not None and found.status == bad:
            yield Symptom(trouble, f"condition {kind}", _said(found))


def _said(condition: Condition) -> str:
    why = ": ".join(filter(None, (condition.reason, condition.message)))
    return f"{condition.status} ({why})" if why else condition.status


def _partitioned(view: WorkloadView) -> Iterator[Symptom]:
    if view.partition:
        yield _unfinished("spec.updateStrategy.rollingUpdate.partition", str(view.partition))


def _other_revision(view: WorkloadView) -> Iterator[Symptom]:
    """With OnDelete the current revision stays behind for ever: there only the counts say something."""
    if view.strategy == "RollingUpdate" and view.current_revision != view.update_revision:
        yield _unfinished("status.currentRevision", f"{view.current_revision}, updateRevision {view.update_revision}")


_COMMON: tuple[Rule, ...] = (_not_observed, _not_updated, _old_pods, _fewer_ready, _fewer_available)
_BY_KIND: Mapping[str, tuple[Rule, ...]] = {
    "deployment": (_conditions,),
    "statefulset": (_other_revision,),
    "daemonset": (_unavailable,),
}
_SCALED: tuple[Rule, ...] = (_paused, _partitioned)
_UPDATED = {"daemonset": "status.updatedNumberScheduled"}
_READY = {"daemonset": "status.numberReady"}
_AVAILABLE = {"daemonset": "status.numberAvailable"}
