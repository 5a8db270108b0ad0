"""Facts of a run in which nothing stands in the way; a test says what does."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from certlag.assess import assess
from certlag.assessment import ObservedEndpoint, PodView
from certlag.kube.credential import Credential, CredentialKind
from certlag.model import Leaf, ProbeFailure, Target
from runbook.check.status import TargetStatus, target_status
from runbook.guard.guarded_run import Limits
from runbook.guard.record import Record
from runbook.kube.views import pod_state, replica_set_view, workload_view
from runbook.plan.facts import Facts
from runbook.plan.preconditions import RunRequest
from tests.builders import DEPLOYMENT, KEY, RENEWED_AT, a_leaf, a_subject, a_target, a_use, an_endpoint, an_observation
from tests.builders import a_pod as an_exporters_pod
from tests.workload_documents import WORKER, Document, a_deployment, a_pod, a_replica_set

NOW = RENEWED_AT + timedelta(days=1)
TARGET = a_target()
LIMITS = Limits(timedelta(hours=2), timedelta(minutes=5))


def a_status(
    *presented: Leaf | None,
    revision: int = 2,
    failure: ProbeFailure | None = None,
    port: int = 1234,
    **subject: Any,
) -> TargetStatus:
    """Assess a target of revision 2 whose pods present these leaves; without one, a pod that was not seen yet."""
    pods = (
        (an_exporters_pod(f"build-service-{number}"), an_observation(leaf, failure) if leaf or failure else None)
        for number, leaf in enumerate(presented)
    )
    views = (PodView(pod, (ObservedEndpoint(an_endpoint(pod, port), seen),), frozenset()) for pod, seen in pods)
    judged = assess({KEY: a_subject(a_use(*views), revision=revision, **subject)}, NOW)
    return target_status(TARGET, judged, NOW)


def facts(*, target: Document | None = None, worker: Document | None = None, **changes: Any) -> Facts:
    """Facts with a stale pod, a worker of two replicas with an hour of grace, and every right."""
    found = Facts(
        at=NOW,
        user="ann",
        clock_skew=timedelta(seconds=1),
        credential=Credential(CredentialKind.TOKEN, None, refreshable=False),
        denied=(),
        record=Record(),
        views={
            DEPLOYMENT: workload_view(DEPLOYMENT, target or a_deployment()),
            WORKER: workload_view(WORKER, worker or a_deployment(WORKER, 2)),
        },
        replica_sets=(replica_set_view(a_replica_set(WORKER)),),
        pods=tuple(pod_state(a_pod(f"worker-{number}", "worker-new")) for number in (1, 2)),
        status=a_status(a_leaf("first")),
        ready_certificates=frozenset({KEY.name}),
        unchained=frozenset(),
        autoscalers=(),
        claims={},
        budgets=(),
        quotas=(),
        firing=(),
        firing_unknown=None,
    )
    return replace(found, **changes)


def asked(**changes: Any) -> RunRequest:
    """A restart with verification, nothing accepted."""
    of: Target = changes.pop("target", TARGET)
    return replace(RunRequest(of, LIMITS), **changes)
