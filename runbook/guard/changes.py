"""The writes of a run as values: locks, fence, record, pauses, replicas, the restart, events. Pure.

They are made here alone: `engine` and `guarded_run` send them one after the other, and `dry_run` tries all of them
beforehand.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from certlag.model import Workload
from runbook.effects import Change, Document, Verb
from runbook.guard.fence import name_of, patch
from runbook.guard.record import Paused, Run
from runbook.kube.views import KINDS, REPLICAS_ANNOTATION, RESTART_ANNOTATION, RUN_ANNOTATION, WorkloadView, reference

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
REVISION_ANNOTATION = "certlag.dev/certificate-revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"


def fenced(view: WorkloadView, mark: str, replicas: int | None) -> Change:
    """Return what puts a run's fence on a workload, and on a worker the replicas that it had."""
    annotations = {RUN_ANNOTATION: mark} | ({} if replicas is None else {REPLICAS_ANNOTATION: str(replicas)})
    return patch(view, f"fence {reference(view.workload)}", {"metadata": {"annotations": annotations}})


def unfenced(view: WorkloadView, before: Mapping[str, str] | None = None) -> Change | None:
    """Return what makes our annotations on a workload what they were before, or removes them; None if they are so."""
    wanted = {key: (before or {}).get(key) for key in (RUN_ANNOTATION, REPLICAS_ANNOTATION)}
    changed = {key: value for key, value in wanted.items() if view.annotations.get(key) != value}
    what = f"take the marks off {reference(view.workload)}"
    return patch(view, what, {"metadata": {"annotations": changed}}) if changed else None


def scaled(view: WorkloadView, what: str, replicas: int) -> Change:
    """Return what scales a worker."""
    return patch(view, what, {"spec": {"replicas": replicas}})


def restarted(view: WorkloadView, run: Run, now: datetime) -> Change:
    """Return what restarts the target: a new pod template, and why, for `kubectl rollout history`."""
    cause = f"certlag run {run.id} by {run.operator.user}: certificate revision {run.revision}"
    template = {
        RESTARTED_AT: now.isoformat(timespec="seconds"),
        RESTART_ANNOTATION: run.restart_id,
        REVISION_ANNOTATION: str(run.revision),
    }
    content = {
        "metadata": {"annotations": {CHANGE_CAUSE: cause}},
        "spec": {"template": {"metadata": {"annotations": template}}},
    }
    return patch(view, restart_of(run), content)


def restart_of(run: Run) -> str:
    """Say a run's latest restart, as its record notes it."""
    return f"restart {run.workload} (restart-id {run.restart_id})"


def pause_of(paused: Paused) -> str:
    """Say what keeps a controller away."""
    return f"pause {name_of(paused.path)}"


def unpause_of(paused: Paused) -> str:
    """Say what lets it work again."""
    return f"unpause {name_of(paused.path)}"


def annotated(what: str, path: str, version: str, annotations: Mapping[str, str | None]) -> Change:
    """Return what sets annotations of an object that is no workload of ours."""
    return Change(what, Verb.PATCH, path, {"metadata": {"resourceVersion": version, "annotations": annotations}})


def event(
    workload: Workload, run: Run, number: int, now: datetime, *, reason: str, message: str, warning: bool = False
) -> Change:
    """Return what creates an Event of core/v1 on a workload.

    Args:
        workload: what it is about.
        run: what it tells of.
        number: of the run's events, in its epoch.
        now: when it happened.
        reason: one word in CamelCase.
        message: one sentence; 1024 characters are kept.
        warning: whether it is of type `Warning`.
    """
    worker = run.workers.get(reference(workload))
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{workload.name[:180]}.{run.id}.{run.epoch}.{number}",
            "namespace": workload.namespace,
        },
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": KINDS[workload.type],
            "namespace": workload.namespace,
            "name": workload.name,
            "uid": worker.uid if worker else run.workload_uid,
        },
        "reason": reason,
        "message": message[:1024],
        "type": "Warning" if warning else "Normal",
        "source": {"component": "certlag"},
        "reportingComponent": "certlag",
        "reportingInstance": run.operator.host,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
    return Change(f"event {reason}", Verb.CREATE, f"/api/v1/namespaces/{workload.namespace}/events", body)


def together(change: Change, *others: Change | None) -> Change:
    """Return a change with what others change in the same object beside it, as it will be after all of them."""
    body: Document = {}
    for each in (*others, change):
        body = _merged(body, each.body) if each is not None else body
    return Change(change.what, change.verb, change.path, body)


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(before)
    for key, value in patch.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged
