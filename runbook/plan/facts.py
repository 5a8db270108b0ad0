"""All that a plan is made from, gathered once: reads the cluster and probes the target's pods; changes nothing."""

from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.credential import Credential
from certlag.model import ObjectKey, Target, Workload
from certlag.run_record import RecordError, lease_key, record_key, record_name
from certlag.x509.certificates import InvalidCertificateError, read_leaf, split_pem, verified_until
from runbook.check.inspector import get, list_all
from runbook.check.status import TargetStatus
from runbook.concurrent_calls import THREADS, map_concurrently
from runbook.effects import Change
from runbook.guard.controllers import Autoscaler, horizontal_pod_autoscaler, scaled_object
from runbook.guard.fence import workload_path
from runbook.guard.lock import LeaseView, lease_path, lease_view
from runbook.guard.record import Record, from_config_map
from runbook.kube import ownership, write
from runbook.kube.permissions import Right
from runbook.kube.quotas import Quota, quota
from runbook.kube.selectors import LabelSelector, label_selector
from runbook.kube.views import PodState, ReplicaSetView, WorkloadView, pod_state, replica_set_view, workload_view
from runbook.kube.volumes import Claim, claim
from runbook.plan.dry_run import DryRunResults, tried
from runbook.run.retry import RetryingClient

Seen = TypeVar("Seen")

TIMEOUT = 10.0
"""Seconds for one request."""


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """A PodDisruptionBudget. `allowed` is how many disruptions its controller allows now, None if it has not said."""

    name: str
    rule: str
    allowed: int | None
    selector: LabelSelector

    def __str__(self) -> str:
        """Say it in a few words."""
        now = "" if self.allowed is None else f", {self.allowed} disruptions allowed now"
        return f"PodDisruptionBudget {self.name} ({self.rule}{now})"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so, at one moment. What could not be read is None, with `unreadable` saying why."""

    at: datetime
    user: str
    clock_skew: timedelta | None
    credential: Credential
    denied: tuple[Right, ...]
    record: Record | RecordError
    views: dict[Workload, WorkloadView]
    replica_sets: tuple[ReplicaSetView, ...]
    pods: tuple[PodState, ...]
    status: TargetStatus | None
    ready_certificates: frozenset[str]
    unchained: frozenset[str]
    autoscalers: tuple[Autoscaler, ...]
    claims: Mapping[Workload, tuple[Claim, ...]]
    budgets: tuple[DisruptionBudget, ...] | None
    quotas: tuple[Quota, ...] | None
    firing: tuple[str, ...] | None
    firing_unknown: str | None

    def pods_of(self, workload: Workload, *, ignored: Collection[str] = ()) -> tuple[PodState, ...]:
        """Return the pods that are a workload's, owned by it or not, and that have not ended."""
        view = self.views.get(workload)
        if view is None:
            return ()
        others = {each.uid for each in self.views.values()}
        found = ownership.pods_of(view, self.replica_sets, self.pods, others=others, ignored=ignored)
        return tuple(pod for pod in found if not pod.terminal)

    def unowned(self, workload: Workload, *, ignored: Collection[str] = ()) -> tuple[PodState, ...]:
        """Return those of its pods that it does not own, and that nobody has asked to end."""
        found = self.pods_of(workload, ignored=ignored)
        view = self.views.get(workload)
        owned = ownership.owners_of(view, self.replica_sets) if view else ()
        return tuple(pod for pod in found if pod.owner_uid not in owned and not pod.terminating)


class Gatherer:
    """Reads the facts about one target."""

    def __init__(self, target: Target, client: RetryingClient, *, threads: int = THREADS) -> None:
        """Be ready to read.

        Args:
            target: whose facts.
            client: to the API server.
            threads: requests at the same time; 1 keeps their order, for a simulation that must repeat.
        """
        self._target = target
        self._threads = threads
        self._connection = client.connection
        self._client = client
        self._namespace = target.workload.namespace

    def user(self) -> str:
        """Return who we are to the API server; where it cannot tell (before Kubernetes 1.28), the kubeconfig's word."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._review("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
            return str(answer["status"]["userInfo"]["username"])
        except ClusterError as error:
            if error.status in (403, 404):
                return self._connection.user or "unknown"
            raise

    def denied(self, rights: Iterable[Right]) -> tuple[Right, ...]:
        """Return those of the rights that we do not have."""
        asked = tuple(dict.fromkeys(rights))

        def allowed(right: Right) -> bool:
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            return bool(self._review(path, dict(right.review))["status"]["allowed"])

        answers = map_concurrently(allowed, asked, threads=self._threads)
        return tuple(right for right, is_allowed in zip(asked, answers, strict=True) if not is_allowed)

    def made(self) -> frozenset[ObjectKey]:
        """Return those of the record and the Leases that exist; one that we may not see, as if it did."""
        record = record_key(self._target)
        paths = {lease_key(workload): lease_path(workload) for workload in self._workloads()}
        paths[record] = f"/api/v1/namespaces/{self._namespace}/configmaps/{record.name}"
        exist = map_concurrently(self._exists, paths.values(), threads=self._threads)
        return frozenset(key for key, is_there in zip(paths, exist, strict=True) if is_there)

    def leases(self) -> dict[str, LeaseView | None]:
        """Return the Leases that a run takes, by their path; None for one that does not exist."""
        paths = sorted({lease_path(workload) for workload in self._workloads()})
        documents = zip(paths, self._objects(paths), strict=True)
        return {path: None if document is None else lease_view(path, document) for path, document in documents}

    def try_writes(self, changes: Iterable[Change]) -> DryRunResults:
        """Send writes as dry runs, and return what came of them.

        Raises:
            ClusterError: the API server did not say.
        """

        def attempt(change: Change) -> tuple[Change, ClusterError | None]:
            try:
                self._client.retry(lambda: write.write(self._connection, change, dry_run=True))
            except ClusterError as error:
                return change, error
            return change, None

        return tried(map_concurrently(attempt, changes, threads=self._threads))

    def record(self) -> Record | RecordError:
        """Return the record of runs, or why it cannot be read."""
        document = get(
            self._client, f"/api/v1/namespaces/{self._namespace}/configmaps/{record_name(self._target.name)}"
        )
        try:
            return Record() if document is None else from_config_map(document)
        except RecordError as error:
            return error

    def views(self) -> dict[Workload, WorkloadView]:
        """Return those of the target's workload and workers that exist."""
        workloads = self._workloads()
        documents = zip(workloads, self._objects(map(workload_path, workloads)), strict=True)
        return {workload: workload_view(workload, document) for workload, document in documents if document is not None}

    def replica_sets(self) -> tuple[ReplicaSetView, ...]:
        """Return all ReplicaSets of the namespace."""
        return tuple(map(replica_set_view, self._each("/apis/apps/v1", "replicasets")))

    def pods(self) -> tuple[PodState, ...]:
        """Return all pods of the namespace."""
        return tuple(map(pod_state, self._each("/api/v1", "pods")))

    def ready_certificates(self) -> frozenset[str]:
        """Return the names of the Certificates that cert-manager says are Ready."""
        documents = self._each("/apis/cert-manager.io/v1", "certificates")
        return frozenset(str(each["metadata"]["name"]) for each in documents if _is_ready(each))

    def unchained(self) -> frozenset[str]:
        """Return the fingerprints of issued leaves that do not verify to the CA in their own request."""
        documents = self._each("/apis/cert-manager.io/v1", "certificaterequests")
        return frozenset(filter(None, (_unchained_leaf(each.get("status") or {}) for each in documents)))

    def has_keda(self) -> bool:
        """Tell whether KEDA is installed: without it, its resources are forbidden rather than not found."""
        groups = self._client.get("/apis", {}, timeout=TIMEOUT)["groups"]
        return any(group["name"] == "keda.sh" for group in groups)

    def autoscalers(self, *, keda: bool) -> tuple[Autoscaler, ...]:
        """Return what scales the target or one of its workers."""
        kinds: list[tuple[str, str, Callable[[str, Any], Autoscaler | None]]] = [
            ("/apis/autoscaling/v2", "horizontalpodautoscalers", horizontal_pod_autoscaler)
        ]
        if keda:
            kinds.append(("/apis/keda.sh/v1alpha1", "scaledobjects", scaled_object))
        found = (
            read(self._namespace, document)
            for group, resource, read in kinds
            for document in self._each(group, resource)
        )
        return tuple(each for each in found if each is not None and each.workload in self._workloads())

    def disruption_budgets(self) -> tuple[DisruptionBudget, ...] | None:
        """Return the PodDisruptionBudgets of the namespace; None without the right to, which no run needs."""
        return self._if_seen("/apis/policy/v1", "poddisruptionbudgets", _disruption_budget)

    def quotas(self) -> tuple[Quota, ...] | None:
        """Return the ResourceQuotas of the namespace; None without the right to, which no run needs."""
        return self._if_seen("/api/v1", "resourcequotas", quota)

    def _if_seen(self, group: str, resource: str, read: Callable[[Any], Seen]) -> tuple[Seen, ...] | None:
        try:
            return tuple(map(read, self._each(group, resource)))
        except ClusterError as error:
            if error.reason in (ClusterErrorReason.FORBIDDEN, ClusterErrorReason.NOT_FOUND):
                return None
            raise

    def claims(self, views: Mapping[Workload, WorkloadView]) -> dict[Workload, tuple[Claim, ...]]:
        """Return, of each workload, the claims that its pods use by name."""
        return {
            workload: tuple(filter(None, (self._claim(name) for name in view.volumes.named)))
            for workload, view in views.items()
        }

    def _claim(self, name: str) -> Claim | None:
        document = get(self._client, f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims/{name}")
        return None if document is None else claim(document)

    def _objects(self, paths: Iterable[str]) -> tuple[Any, ...]:
        return map_concurrently(lambda path: get(self._client, path), paths, threads=self._threads)

    def _review(self, path: str, body: dict[str, Any]) -> Any:
        return self._client.retry(lambda: write.review(self._connection, path, body))

    def _workloads(self) -> tuple[Workload, ...]:
        return (self._target.workload, *self._target.workers)

    def _each(self, group: str, resource: str) -> Iterator[Any]:
        return list_all(self._client, f"{group}/namespaces/{self._namespace}/{resource}")

    def _exists(self, path: str) -> bool:
        try:
            return get(self._client, path) is not None
        except ClusterError as error:
            if error.reason is ClusterErrorReason.FORBIDDEN:
                return True  # the right to see it is missing, and that is told of
            raise


def _disruption_budget(document: Any) -> DisruptionBudget:
    spec, status = document["spec"], document.get("status") or {}
    rules = ("minAvailable", "maxUnavailable")
    return DisruptionBudget(
        name=str(document["metadata"]["name"]),
        rule=", ".join(f"{rule} {spec[rule]}" for rule in rules if rule in spec),
        allowed=status.get("disruptionsAllowed"),
        selector=label_selector(spec.get("selector")),
    )


def _is_ready(document: Any) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _unchained_leaf(status: Any) -> str | None:
    """Return the fingerprint of what a CertificateRequest's status holds if it does not chain to its `ca`."""
    if not status.get("certificate") or not status.get("ca"):
        return None
    try:
        chain = split_pem(b64decode(status["certificate"]))
        verifies = verified_until(chain, split_pem(b64decode(status["ca"]))) is not None
        return None if verifies else read_leaf(chain[0]).fingerprint_sha256
    except (InvalidCertificateError, ValueError):
        return None  # what cannot be read is told by the assessment
