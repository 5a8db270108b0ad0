"""The world as the watches and probes have told it: events folded in, subjects for the assessment taken out.

Owned by one thread; needs no lock and does no I/O. `apply` and `observe` return the keys of the Certificates whose
assessment may have changed, so that one event costs one assessment. `subject` gathers all that is known about a
Certificate into one frozen value.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from certlag.assessment import CONFIRMATIONS, AssessmentInput, CertificateUse, ObservedEndpoint, PodView
from certlag.config.schema import Configuration
from certlag.endpoints import endpoints
from certlag.kube.reflector import Change, Changed, Listed, Removed
from certlag.kube.resources import ALL_NAMESPACES, WORKLOADS, Watch
from certlag.model import (
    Certificate,
    CertificateRequest,
    Chain,
    Endpoint,
    Evidence,
    Lease,
    ObjectKey,
    Observation,
    Pod,
    Presented,
    Probe,
    ReplicaSet,
    Target,
    Workload,
    WorkloadStatus,
)
from certlag.run_record import RunRecord, lease_key, record_key
from certlag.store.certificates import CertificateIndex
from certlag.store.pods import PodIndex
from certlag.target_assessment import TargetAssessment, assess_target

MAX_OTHERS = 8
"""Chains that an endpoint has shown before the last one: as many processes behind one port are told apart."""

Keys = set[ObjectKey]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is done with the objects of one resource: take one in, forget one, name all."""

    put: Callable[[Any, datetime], Keys]
    drop: Callable[[ObjectKey], Keys]
    known: Callable[[], Iterable[ObjectKey]]


class World:
    """Everything known, with the ways from an event to the Certificates that it concerns."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._targets: dict[Workload, list[Target]] = defaultdict(list)
        for target in configuration.targets:
            self._targets[target.workload].append(target)
        self._named_by_targets = {key for target in configuration.targets for key in _named(target)}
        self._workers = frozenset(worker for target in configuration.targets for worker in target.workers)
        self._certificates = CertificateIndex()
        self._pods = PodIndex()
        self._workloads: dict[Workload, WorkloadStatus] = {}
        self._records: dict[ObjectKey, tuple[RunRecord, datetime]] = {}
        self._leases: dict[ObjectKey, tuple[Lease, datetime | None]] = {}
        self._observations: dict[ObjectKey, dict[Endpoint, Observation]] = {}
        self._kinds = {
            "certificates": _Kind(self._put_certificate, self._drop_certificate, self._certificates.keys),
            "certificaterequests": _Kind(self._put_request, self._drop_request, self._certificates.request_keys),
            "pods": _Kind(self._put_pod, self._drop_pod, self._pods.keys),
            "replicasets": _Kind(self._put_replica_set, self._drop_replica_set, self._pods.replica_set_keys),
            "configmaps": _Kind(self._put_record, self._drop_record, self._records.keys),
            "leases": _Kind(self._put_lease, self._drop_lease, self._leases.keys),
            **{
                resource.name: _Kind(
                    self._put_workload, partial(self._drop_workload, kind), partial(self._workload_keys, kind)
                )
                for kind, resource in WORKLOADS.items()
            },
        }

    # --- in -------------------------------------------------------------------------------------------

    def apply(self, change: Change, now: datetime) -> Keys:
        """Fold in what a watch reported, at this instant."""
        kind = self._kinds[change.watch.resource.name]
        match change:
            case Listed(watch, objects, unreadable):
                present = {item.key for item in objects} | unreadable
                gone = [key for key in kind.known() if key not in present and _covers(watch, key)]
                changed = [kind.put(item, now) for item in objects]
                return set().union(*changed, *map(kind.drop, gone))
            case Changed(_, item):
                return kind.put(item, now)
            case Removed(_, key):
                return kind.drop(key)

    def observe(self, probe: Probe) -> Keys:
        """Fold in a finished probe, unless the container it asked is no longer the one that answers there."""
        endpoint, outcome = probe.endpoint, probe.outcome
        pod = self._pods.get(endpoint.pod)
        if pod is None or not _still_there(endpoint, pod):
            return set()
        seen = self._observations.setdefault(pod.key, {})
        before = seen.get(endpoint)
        if isinstance(outcome, Presented):
            seen[endpoint] = _presented(before, outcome.chain, probe)
        elif before is not None:
            seen[endpoint] = replace(before, duration=probe.duration, failure=outcome.failure)
        else:
            seen[endpoint] = Observation(probe.duration, outcome.failure, None, None)
        return self._certificates_of(pod)

    # --- out ------------------------------------------------------------------------------------------

    def loaded(self, endpoint: Endpoint) -> Chain | None:
        """Return what was last seen presented by an endpoint."""
        before = self._observations.get(endpoint.pod, {}).get(endpoint)
        return before.loaded if before else None

    def unconfirmed(self, endpoint: Endpoint) -> bool:
        """Tell whether an endpoint has presented several certificates, and may still do so."""
        seen = self._observations.get(endpoint.pod, {}).get(endpoint)
        return seen is not None and bool(seen.others)

    def keys(self) -> Keys:
        """Return the keys of all subjects: every Certificate, and those that targets name."""
        return set(self._certificates.keys()) | self._named_by_targets

    def snapshot(self) -> dict[ObjectKey, AssessmentInput]:
        """Return every subject."""
        return {key: subject for key in self.keys() if (subject := self.subject(key)) is not None}

    def subject(self, key: ObjectKey) -> AssessmentInput | None:
        """Gather all that is known about a Certificate; None if it is gone and no target names it."""
        certificate = self._certificates.get(key)
        if certificate is None and key not in self._named_by_targets:
            return None
        return AssessmentInput(
            key=key,
            certificate=certificate,
            requests=self._certificates.requests(key),
            issued=self._certificates.issued(key),
            previous_fingerprints=self._certificates.previous_fingerprints(key),
            uses=tuple(self._uses(key, certificate)),
        )

    def target(self, target: Target) -> TargetAssessment:
        """Say what is known of a target apart from its certificates."""
        record, run_seen_at = self._records.get(record_key(target), (None, None))
        _, heartbeat_at = self._leases.get(lease_key(target.workload), (None, None))
        return assess_target(
            target,
            certificate_found=self._has_certificate(target),
            workloads=self._workloads,
            record=record,
            heartbeat_at=heartbeat_at,
            run_seen_at=run_seen_at,
        )

    def _has_certificate(self, target: Target) -> bool:
        """Tell whether the certificate that a target names exists, or one of a Secret that its pods or template use."""
        if target.certificate:
            return all(self._certificates.get(key) for key in _named(target))
        status = self._workloads.get(target.workload)
        secrets = set(status.secrets) if status else set()
        secrets.update(*(pod.secrets for pod in self._pods.of_workload(target.workload)))
        return any(self._certificates.with_secret(ObjectKey(target.workload.namespace, name)) for name in secrets)

    # --- uses of a certificate ------------------------------------------------------------------------

    def _uses(self, key: ObjectKey, certificate: Certificate | None) -> Iterator[CertificateUse]:
        """Yield who uses a certificate: targets that name it, then all whose pods, or pod templates, use its Secret."""
        users: dict[Workload, list[Pod]] = defaultdict(list)
        if certificate is not None:
            for status in self._templates():
                if status.key.namespace == key.namespace and certificate.secret in status.secrets:
                    users[status.workload] = []
            for pod in self._pods.using(ObjectKey(key.namespace, certificate.secret)):
                if workload := self._pods.workload(pod.key):
                    users[workload].append(pod)
        for target in self._configuration.targets:
            if key in _named(target):
                users.pop(target.workload, None)
                yield self._use(key, target.workload, target, target.evidence, self._pods.of_workload(target.workload))
        for workload, pods in sorted(users.items()):
            yield from self._found(key, workload, pods)

    def _found(self, key: ObjectKey, workload: Workload, pods: list[Pod]) -> Iterator[CertificateUse]:
        """Yield the uses by a workload whose pods use the certificate's Secret, if anybody asked for them."""
        targets = [target for target in self._targets.get(workload, ()) if target.certificate is None]
        for target in targets:
            yield self._use(key, workload, target, target.evidence, pods)
        if targets:
            return
        worker = workload in self._workers
        if self._configuration.discovery.covers(key.namespace):
            yield self._use(key, workload, None, Evidence.HANDSHAKE, pods, worker=worker)
        elif worker:
            yield self._use(key, workload, None, Evidence.START_TIME, pods, worker=True)

    def _use(
        self,
        key: ObjectKey,
        workload: Workload,
        target: Target | None,
        evidence: Evidence,
        pods: Iterable[Pod],
        *,
        worker: bool = False,
    ) -> CertificateUse:
        views = tuple(self._view(key, pod, target, evidence) for pod in pods if pod.running)
        return CertificateUse(workload, target, evidence, views, worker)

    def _view(self, key: ObjectKey, pod: Pod, target: Target | None, evidence: Evidence) -> PodView:
        others = [other for other in self._mounted(pod) if other != key]
        siblings = frozenset[str]().union(*(self._certificates.previous_fingerprints(other) for other in others))
        certificates = filter(None, map(self._certificates.get, others))
        names = frozenset(name for certificate in certificates for name in certificate.names)
        if evidence is Evidence.START_TIME:
            return PodView(pod, (), siblings, names)
        places = endpoints(pod, self._certificates.get(key), target, self._configuration.discovery.probe)
        seen = self._observations.get(pod.key, {})
        observed = None if places is None else tuple(ObservedEndpoint(place, seen.get(place)) for place in places)
        return PodView(pod, observed, siblings, names)

    def _templates(self) -> Iterator[WorkloadStatus]:
        """Yield the targets that name no certificate, as far as they exist: by its template one has it without pods."""
        for workload, targets in self._targets.items():
            if workload in self._workloads and any(target.certificate is None for target in targets):
                yield self._workloads[workload]

    # --- which certificates does something concern? -----------------------------------------------------

    def _mounted(self, pod: Pod) -> Keys:
        """Return the Certificates whose Secrets a pod uses."""
        secrets = (ObjectKey(pod.key.namespace, secret) for secret in pod.secrets)
        return set().union(*(self._certificates.with_secret(secret) for secret in secrets))

    def _certificates_of(self, pod: Pod | None) -> Keys:
        """Return the Certificates whose assessment a pod takes part in."""
        if pod is None:
            return set()
        workload = self._pods.workload(pod.key)
        targets = self._targets.get(workload, ()) if workload else ()
        return self._mounted(pod) | {key for target in targets for key in _named(target)}

    def _certificates_of_template(self, status: WorkloadStatus | None) -> Keys:
        """Return the Certificates whose assessment a target takes part in by its pod template."""
        secrets = (ObjectKey(status.key.namespace, secret) for secret in status.secrets) if status else ()
        return set().union(*(self._certificates.with_secret(secret) for secret in secrets))

    def _neighbours(self, key: ObjectKey) -> Keys:
        """Return the Certificates that share a pod with this one: what it has issued is a sibling to them."""
        certificate = self._certificates.get(key)
        if certificate is None:
            return {key}
        pods = self._pods.using(ObjectKey(key.namespace, certificate.secret))
        return {key}.union(*(self._mounted(pod) for pod in pods))

    # --- each kind of object: put and drop ----------------------------------------------------------------
    #
    # An object that is listed again as it is known changes nothing: what was shared stays shared.

    def _put_certificate(self, certificate: Certificate, _: datetime) -> Keys:
        before = self._certificates.get(certificate.key)
        if before == certificate:
            return set()
        moved = before is not None and before.secret != certificate.secret
        dirty = self._neighbours(certificate.key) if moved else set()
        self._certificates.put(certificate)
        return dirty | self._neighbours(certificate.key)

    def _drop_certificate(self, key: ObjectKey) -> Keys:
        dirty = self._neighbours(key)
        self._certificates.drop(key)
        return dirty

    def _put_request(self, request: CertificateRequest, _: datetime) -> Keys:
        key = self._certificates.put_request(request)
        return self._neighbours(key) if key else set()

    def _drop_request(self, key: ObjectKey) -> Keys:
        certificate = self._certificates.drop_request(key)
        return self._neighbours(certificate) if certificate else set()

    def _put_pod(self, pod: Pod, _: datetime) -> Keys:
        before = self._pods.get(pod.key)
        if before == pod:
            return set()
        dirty = self._certificates_of(before)
        self._pods.put(pod)
        seen = self._observations.pop(pod.key, {})
        if kept := {place: what for place, what in seen.items() if _still_there(place, pod)}:
            self._observations[pod.key] = kept
        return dirty | self._certificates_of(pod)

    def _drop_pod(self, key: ObjectKey) -> Keys:
        dirty = self._certificates_of(self._pods.get(key))
        self._pods.drop(key)
        self._observations.pop(key, None)
        return dirty

    def _put_replica_set(self, replica_set: ReplicaSet, _: datetime) -> Keys:
        return set().union(*(self._certificates_of(pod) for pod in self._pods.put_replica_set(replica_set)))

    def _drop_replica_set(self, key: ObjectKey) -> Keys:
        self._pods.drop_replica_set(key)
        return set()

    def _put_workload(self, status: WorkloadStatus, _: datetime) -> Keys:
        before = self._workloads.get(status.workload)
        self._workloads[status.workload] = status
        if before == status:
            return set()
        return self._certificates_of_template(before) | self._certificates_of_template(status)

    def _drop_workload(self, kind: str, key: ObjectKey) -> Keys:
        return self._certificates_of_template(self._workloads.pop(Workload(key.namespace, kind, key.name), None))

    def _workload_keys(self, kind: str) -> Iterator[ObjectKey]:
        return (status.key for status in self._workloads.values() if status.workload.type == kind)

    def _put_record(self, record: RunRecord, now: datetime) -> Keys:
        """Keep the record, and since when we have known the run that it is about."""
        before, since = self._records.get(record.key, (None, now))
        self._records[record.key] = (record, since if before and _same_run(before, record) else now)
        return set()

    def _drop_record(self, key: ObjectKey) -> Keys:
        self._records.pop(key, None)
        return set()

    def _put_lease(self, lease: Lease, now: datetime) -> Keys:
        """Keep the Lease, and when we last saw it change, by our own clock: its timestamps are another machine's.

        The first view of a Lease is no change: it may have stood there for days.
        """
        before, _ = self._leases.get(lease.key, (None, None))
        if before != lease:
            self._leases[lease.key] = (lease, now if before else None)
        return set()

    def _drop_lease(self, key: ObjectKey) -> Keys:
        self._leases.pop(key, None)
        return set()


def _covers(watch: Watch, key: ObjectKey) -> bool:
    """Tell whether an object is within a watch's scope."""
    return watch.namespace in (ALL_NAMESPACES, key.namespace) and watch.name in (None, key.name)


def _named(target: Target) -> tuple[ObjectKey, ...]:
    return (ObjectKey(target.workload.namespace, target.certificate),) if target.certificate else ()


def _presented(before: Observation | None, chain: Chain, probe: Probe) -> Observation:
    """Return what is known after a handshake showed a chain."""
    loaded, streak, others = (before.loaded, before.streak, before.others) if before else (None, 0, ())
    if loaded is not None and loaded.leaf == chain.leaf:
        streak += 1
        # An equal chain stays the same object: a thousand probes keep one.
        chain = loaded if loaded == chain else chain
    else:
        streak = 1
        kept = (other for other in (loaded, *others) if other is not None and other.leaf != chain.leaf)
        others = tuple(kept)[:MAX_OTHERS]
    if streak >= CONFIRMATIONS:
        others = ()
    return Observation(probe.duration, None, chain, probe.started_at + probe.duration, streak, others)


def _same_run(one: RunRecord, other: RunRecord) -> bool:
    return one.run is not None and other.run is not None and one.run.id == other.run.id


def _still_there(endpoint: Endpoint, pod: Pod) -> bool:
    """Tell whether the container that an endpoint names still runs at its address."""
    same_pod = (pod.uid, pod.address) == (endpoint.pod_uid, endpoint.address)
    return same_pod and any(container.id == endpoint.container_id for container in pod.running)
