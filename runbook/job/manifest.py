"""A run in the cluster as a Job: made from the chart's suspended CronJob, and read back. Pure.

A Job's pod that dies is followed by another. Which Job a run belongs to stands in its record (`operator.job`), so the
next pod knows what the one before has begun.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certlag.model import Target
from certlag.run_record import record_key, record_name
from runbook.effects import Change, Document, Verb
from runbook.kube.obstacles import Obstacle, WarningEvent, obstacle, pod_obstacle
from runbook.kube.views import PodState
from runbook.kubectl import Show
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.plan.model import Check, CheckResult
from runbook.session.options import Options

JOB_LABEL = "batch.kubernetes.io/job-name"
"""On each pod of a Job (Kubernetes 1.27 and newer)."""
TARGET_LABEL = "certlag.dev/target"
"""On Jobs made from the chart's CronJob, and on their pods."""
OUTCOMES = {code: outcome for outcome, code in reversed(EXIT_CODES.items())}
"""What an exit code says; the plainest outcome where several share one."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job as one read showed it. `over`: no further pod comes; `why` is what its controller says of that."""

    name: str
    over: bool
    why: str = ""
    uid: str = ""
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Termination:
    """How the latest of a Job's pods to end did: its exit code, and what it said last."""

    code: int
    message: str


def cron_job_path(target: Target, name: str | None) -> str:
    """Return where the CronJob is that a target's runs in the cluster are made from."""
    namespace = record_key(target).namespace
    return f"/apis/batch/v1/namespaces/{namespace}/cronjobs/{name or record_name(target.name)}"


def job_path(target: Target, name: str = "") -> str:
    """Return where a Job is, or all of them."""
    return f"/apis/batch/v1/namespaces/{record_key(target).namespace}/jobs{'/' if name else ''}{name}"


def is_there(path: str, cron_job: Document | None) -> Check:
    """Assess whether there is a CronJob to make a Job from."""
    named = path.rpartition("/")[2]
    if cron_job is None:
        remedy = "helm upgrade RELEASE CHART --reuse-values --set runbook.inCluster.enabled=true, or --cron-job NAME"
        return Check("cron-job", CheckResult.REFUSED, f"there is no CronJob {named}, which makes a Job", remedy)
    return Check("cron-job", CheckResult.PASSED, f"the run's Job is made from CronJob {named}")


def arguments(options: Options, user: str) -> Iterator[str]:
    """Yield what was asked for as the Job's command takes it; how to get to the cluster is not passed on."""
    yield from options.of_the_run()
    by = f"started by {user}"
    yield f"--reason={options.reason} ({by})" if options.reason else f"--reason={by}"


def creation(target: Target, cron_job: Document, run_id: str, more: Iterable[str]) -> Change:
    """Return what creates a Job as `kubectl create job --from=cronjob/…` does, with further arguments.

    Without `blockOwnerDeletion`, which asks for the right to the CronJob's finalizers in some clusters.
    """
    owner, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    name = f"{owner['name']}-{run_id}"
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": metadata.get("labels") or {},
            "annotations": {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": _with_arguments(template["spec"], tuple(more)),
    }
    return Change(f"create Job {name}", Verb.CREATE, job_path(target), body)


def _with_arguments(spec: Mapping[str, Any], more: tuple[str, ...]) -> dict[str, Any]:
    pod = spec["template"]
    first, *others = pod["spec"]["containers"]
    container = {**first, "args": [*(first.get("args") or ()), *more]}
    return {**spec, "template": {**pod, "spec": {**pod["spec"], "containers": [container, *others]}}}


def job_view(document: Document) -> JobView:
    """Read a Job of batch/v1."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    ended = [each for each in conditions if each["type"] in ("Complete", "Failed") and each["status"] == "True"]
    why = "; ".join(filter(None, (each.get("message") or each.get("reason") for each in ended)))
    metadata, spec = document["metadata"], document.get("spec") or {}
    return JobView(str(metadata["name"]), bool(ended), why, str(metadata.get("uid", "")), bool(spec.get("suspend")))


def last_words(pods: Iterable[Document]) -> Termination | None:
    """Return how the latest of a Job's pods to end did, None if none has.

    The kubelet keeps the end of a failed container's log as its message (`FallbackToLogsOnError`), and the last line
    of ours is how it ended.
    """
    ends = [
        ended
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        if (ended := (status.get("state") or {}).get("terminated"))
    ]
    if not ends:
        return None
    latest = max(ends, key=lambda each: str(each.get("finishedAt") or ""))
    return Termination(int(latest["exitCode"]), _said(latest.get("message") or ""))


def why_idle(
    job: JobView, pods: Sequence[Document], events: Sequence[WarningEvent], *, namespace: str
) -> Obstacle | None:
    """Say why no pod of a Job runs; None while one does, or none need: it is over.

    Args:
        job: the Job.
        pods: its pods.
        events: warnings about it and its pods, as far as they may be read.
        namespace: the Job's.
    """
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    shows = Show.JOB.words(job=job.name, namespace=namespace)
    if job.over or "Running" in phases:
        return None
    if job.suspended:
        return Obstacle(f"Job {job.name} is suspended: somebody, or a queue such as Kueue, holds it back", shows)
    waiting = [pod for pod, phase in zip(pods, phases, strict=True) if phase in (None, "Pending")]
    found = [(str(pod["metadata"].get("uid")), pod_obstacle(pod)) for pod in waiting]
    known = [(uid, each) for uid, each in found if each is not None]
    why = obstacle({job.uid}, (), known, events, namespace=namespace, pods_missing=not waiting)
    if why is not None or not waiting:
        return why or Obstacle(f"Job {job.name} has no pod yet", shows)
    pod = waiting[0]["metadata"]["name"]
    return Obstacle(f"pod {pod} waits", Show.POD.words(pod=pod, namespace=namespace))


def is_pod_of(holder: str, job: str) -> bool:
    """Tell whether the holder of a lock is a pod of a Job: its host is called after that, cut off for a suffix."""
    return bool(job) and _host(holder).startswith(f"{job}-"[:58])


def has_ended(holder: str, job: str, pods: Iterable[PodState]) -> bool:
    """Tell whether the holder of a lock is a pod of a Job whose kubelet has reported the end of its containers.

    A phase alone does not say so: of a node that is lost others write it. Nor does a pod that is no longer there.
    """
    ended = {pod.name for pod in pods if pod.terminal and pod.ends}
    return is_pod_of(holder, job) and _host(holder) in ended


def outcome_of(code: int) -> Outcome:
    """Return what an exit code of the Job's command says."""
    return OUTCOMES.get(code, Outcome.UNEXPECTED)


def _host(holder: str) -> str:
    return holder.rsplit("/", 3)[0].rpartition("@")[2]


def _said(log: str) -> str:
    try:
        return str(json.loads(log.splitlines()[-1])["message"])
    except (IndexError, KeyError, TypeError, ValueError):
        return ""
