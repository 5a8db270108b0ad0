"""The status as the JSON of `/api/v1/status`, for programs that want more than numbers. Pure.

Keys are camelCase, as Kubernetes writes them; instants are RFC 3339 in UTC; what is not known is null. The form is
documented in docs/status.md; keys may be added to it within v1, never renamed or removed.
"""

from datetime import datetime
from typing import Any

from certlag.assessment import Assessment, EndpointAssessment, PodAssessment, UseAssessment
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import Watch
from certlag.model import Issued, Leaf, Workload
from certlag.target_assessment import TargetAssessment
from exporter.status import Status

VERSION = "v1"


def document(status: Status) -> dict[str, Any]:
    """Return the whole status as a JSON object."""
    return {
        "version": VERSION,
        "at": _instant(status.now),
        "ready": status.ready,
        "server": status.server,
        "release": None if status.release is None else str(status.release),
        "watches": [_watch(watch, health) for watch, health in status.watches.items()],
        "targets": [_target(target) for target in status.targets],
        "certificates": [_certificate(assessment) for assessment in status.certificates],
    }


def _watch(watch: Watch, health: WatchHealth) -> dict[str, Any]:
    return {
        "resource": watch.resource.name,
        "namespace": watch.namespace,
        "name": watch.name,
        "synced": health.synced,
        "lastContactAt": _instant(health.last_contact_at),
        "failure": health.failure,
        "failingSince": _instant(health.failing_since),
    }


def _target(assessment: TargetAssessment) -> dict[str, Any]:
    target, run, last = assessment.target, assessment.run, assessment.last
    return {
        "name": target.name,
        "workload": _workload(target.workload),
        "clientAuth": target.client_auth,
        "reloads": target.reloads,
        "workers": [_workload(worker) for worker in target.workers],
        "found": assessment.found,
        "missing": assessment.missing_text,
        "budgetSeconds": assessment.budget.total_seconds() if assessment.budget is not None else None,
        "state": assessment.state,
        "run": run
        and {
            "id": run.id,
            "step": run.step,
            "begunAt": _instant(run.begun_at),
            "deadlineAt": _instant(run.deadline_at),
            "heartbeatAt": _instant(assessment.heartbeat_at),
            "heartbeatAwaitedAt": _instant(assessment.heartbeat_awaited_at),
            "outcome": run.outcome,
            "steps": [{"step": step, "at": _instant(at)} for step, at in run.steps],
            "workers": [
                {**_workload(worker.worker), "expected": worker.expected, "current": worker.current}
                for worker in assessment.workers
            ],
        },
        "lastRun": last
        and {
            "id": last.id,
            "begunAt": _instant(last.begun_at),
            "finishedAt": _instant(last.finished_at),
            "outcome": last.outcome,
            "steps": [{"step": step, "seconds": seconds} for step, seconds in last.seconds],
        },
    }


def _certificate(assessment: Assessment) -> dict[str, Any]:
    certificate = assessment.certificate
    return {
        "namespace": assessment.key.namespace,
        "name": assessment.key.name,
        "exists": certificate is not None,
        "secret": certificate and certificate.secret,
        "issuer": certificate and certificate.issuer._asdict(),
        "renewalAt": _instant(assessment.renewal_at),
        "issued": assessment.issued and _issued(assessment.issued),
        "uses": [_use(use) for use in assessment.uses],
    }


def _issued(issued: Issued) -> dict[str, Any]:
    return {
        "evidence": issued.evidence,
        "notBefore": _instant(issued.not_before),
        "notAfter": _instant(issued.not_after),
        "fingerprintSHA256": issued.chain and issued.chain.leaf.fingerprint_sha256,
        "serialNumber": issued.chain and issued.chain.leaf.serial_number,
        "authorityNotAfter": _instant(issued.chain.authority_not_after if issued.chain else None),
        "at": _instant(issued.at),
    }


def _use(use: UseAssessment) -> dict[str, Any]:
    return {
        "workload": _workload(use.workload),
        "target": use.target,
        "evidence": use.evidence,
        "state": use.state,
        "needsRestart": use.needs_restart,
        "deadline": _instant(use.deadline),
        "windowSeconds": use.window.total_seconds() if use.window is not None else None,
        "issuerChanged": use.issuer_changed,
        "pods": [_pod(pod) for pod in use.pods],
    }


def _pod(pod: PodAssessment) -> dict[str, Any]:
    return {
        "name": pod.pod.name,
        "verdict": pod.verdict,
        "reason": pod.reason,
        "endpoints": [_endpoint(assessed) for assessed in pod.endpoints],
    }


def _endpoint(assessed: EndpointAssessment) -> dict[str, Any]:
    endpoint, observation = assessed.observed.endpoint, assessed.observed.observation
    return {
        "container": endpoint.container,
        "port": endpoint.port or None,
        "serverName": endpoint.server_name,
        "verdict": assessed.verdict,
        "reason": assessed.reason,
        "evidence": assessed.evidence,
        "loaded": assessed.observed.loaded and _leaf(assessed.observed.loaded.leaf),
        "chainNotAfter": _instant(assessed.observed.loaded.not_after if assessed.observed.loaded else None),
        "alsoLoaded": [_leaf(chain.leaf) for chain in assessed.observed.shown[1:]],
        "failure": observation and observation.failure,
        "lastSuccessAt": _instant(observation.last_success_at if observation else None),
    }


def _leaf(leaf: Leaf) -> dict[str, Any]:
    return {
        "notBefore": _instant(leaf.not_before),
        "notAfter": _instant(leaf.not_after),
        "fingerprintSHA256": leaf.fingerprint_sha256,
        "serialNumber": leaf.serial_number,
    }


def _workload(workload: Workload) -> dict[str, str]:
    return {"namespace": workload.namespace, "type": workload.type, "name": workload.name}


def _instant(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
