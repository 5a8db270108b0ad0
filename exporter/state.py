"""The world as the watches and probes have told it: events folded in, subjects for the judgement taken out.

Owned by one thread; needs no lock and does no I/O. `apply` and `observe` return the keys of the Certificates whose
judgement may have changed, so that one event costs one judgement. `subject` gathers all that is known about a
Certificate into one frozen value.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import singledispatchmethod
from typing import Any

from exporter.cluster.decode import WorkloadSeen
from exporter.cluster.resources import ALL_NAMESPACES, Watch
from exporter.cluster.watch import Change, Changed, Listed, Removed
from exporter.configuration import Configuration
from exporter.issued import issued
from exporter.model import (
    BAREPOD,
    Certificate,
    CertificateRequest,
    Endpoint,
    Evidence,
    Issued,
    IssuedEvidence,
    ObjectKey,
    Observation,
    Owner,
    Pod,
    PodView,
    Presented,
    Probe,
    ReplicaSet,
    Sight,
    Subject,
    Target,
    Use,
    Workload,
)
from exporter.targets import endpoints

FORMER = 8
"""Fingerprints that are remembered of each Certificate's past."""

Keys = set[ObjectKey]


class World:
    """Everything known, with the indexes that lead from an event to the Certificates that it concerns."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._targets: dict[Workload, list[Target]] = defaultdict(list)
        for target in configuration.targets:
            self._targets[target.workload].append(target)
        self._keys_of_targets = {key for target in configuration.targets for key in _named(target)}
        self._workers = frozenset(worker for target in configuration.targets for worker in target.workers)

        self.certificates: dict[ObjectKey, Certificate] = {}
        self.pods: dict[ObjectKey, Pod] = {}
        self._requests: dict[ObjectKey, CertificateRequest] = {}
        self._replica_sets: dict[ObjectKey, ReplicaSet] = {}
        self._workloads: dict[Workload, WorkloadSeen] = {}
        self._observations: dict[ObjectKey, dict[Endpoint, Observation]] = {}
        self._remembered: dict[ObjectKey, tuple[str, int, Issued]] = {}
        self._former: dict[ObjectKey, tuple[str, ...]] = {}

        self._certificates_by_secret: dict[ObjectKey, Keys] = defaultdict(set)
        self._requests_by_certificate: dict[ObjectKey, Keys] = defaultdict(set)
        self._replica_set_owners: dict[str, Owner] = {}
        self._pods_by_owner: dict[str, Keys] = defaultdict(set)
        self._pods_by_secret: dict[ObjectKey, Keys] = defaultdict(set)
        self._pods_by_workload: dict[Workload, Keys] = defaultdict(set)
        self._workload_by_pod: dict[ObjectKey, Workload] = {}

    # --- in ---------------------------------------------------------------------------------------

    def apply(self, change: Change) -> Keys:
        """Fold in what a watch reported."""
        match change:
            case Listed(watch, objects, unreadable):
                present = {_key(item) for item in objects} | unreadable
                gone = [key for key in self._keys(watch) if key not in present]
                changed = [self._put(item) for item in objects]
                return set().union(*changed, *(self._drop(watch, key) for key in gone))
            case Changed(_, item):
                return self._put(item)
            case Removed(watch, key):
                return self._drop(watch, key)

    def observe(self, probe: Probe) -> Keys:
        """Fold in a finished probe, unless the container it asked is no longer the one that answers there."""
        endpoint, outcome = probe.endpoint, probe.outcome
        pod = self.pods.get(endpoint.pod)
        if pod is None or not _still_there(endpoint, pod):
            return set()
        before = self._observations.setdefault(pod.key, {}).get(endpoint)
        loaded = before.loaded if before else None
        if isinstance(outcome, Presented):
            after = Observation(
                success=True,
                duration=probe.duration,
                failure=None,
                loaded=loaded if loaded == outcome.chain else outcome.chain,
                last_success_at=probe.started_at + probe.duration,
            )
        else:
            last = before.last_success_at if before else None
            after = Observation(
                success=False,
                duration=probe.duration,
                failure=outcome.failure,
                loaded=loaded,
                last_success_at=last,
            )
        self._observations[pod.key][endpoint] = after
        return self._certificates_of(pod)

    # --- out --------------------------------------------------------------------------------------

    def keys(self) -> Keys:
        """Return the keys of all subjects: every Certificate, and those that targets name."""
        return set(self.certificates) | self._keys_of_targets

    def snapshot(self) -> dict[ObjectKey, Subject]:
        """Return every subject."""
        return {key: subject for key in self.keys() if (subject := self.subject(key)) is not None}

    def subject(self, key: ObjectKey) -> Subject | None:
        """Gather all that is known about a Certificate; None if it is gone and no target names it."""
        certificate = self.certificates.get(key)
        if certificate is None and key not in self._keys_of_targets:
            return None
        return Subject(
            key=key,
            certificate=certificate,
            requests=self._requests_of(key),
            remembered=self._memory(certificate) if certificate else None,
            former=frozenset(self._former.get(key, ())),
            uses=tuple(self._uses(key, certificate)),
        )

    def found(self, target: Target) -> bool:
        """Tell whether a target's workload exists, and its certificate if it names one."""
        return target.workload in self._workloads and all(key in self.certificates for key in _named(target))

    # --- uses of a certificate --------------------------------------------------------------------

    def _uses(self, key: ObjectKey, certificate: Certificate | None) -> Iterator[Use]:
        secret = ObjectKey(key.namespace, certificate.secret) if certificate else None
        users = self._by_workload(self._pods_by_secret.get(secret, set()) if secret else set())
        for target in self._configuration.targets:
            if key in _named(target):
                users.pop(target.workload, None)
                served_by = self._pods_by_workload.get(target.workload, set())
                yield self._use(key, target.workload, target, target.evidence, served_by)
        for workload, pods in sorted(users.items()):
            targets = [target for target in self._targets.get(workload, ()) if target.certificate is None]
            for target in targets:
                yield self._use(key, workload, target, target.evidence, pods)
            if targets:
                continue
            if workload in self._workers:
                yield self._use(key, workload, None, Evidence.START_TIME, pods)
            elif self._configuration.discovery.covers(key.namespace):
                yield self._use(key, workload, None, Evidence.HANDSHAKE, pods)

    def _use(
        self,
        key: ObjectKey,
        workload: Workload,
        target: Target | None,
        evidence: Evidence,
        pods: Iterable[ObjectKey],
    ) -> Use:
        running = [pod for pod in (self.pods[name] for name in sorted(pods)) if pod.running]
        views = tuple(self._view(key, pod, target, evidence) for pod in running)
        return Use(workload, target, evidence, views)

    def _view(self, key: ObjectKey, pod: Pod, target: Target | None, evidence: Evidence) -> PodView:
        siblings = (self._known(other) for other in self._certificates_mounted(pod) if other != key)
        fingerprints = frozenset(known.chain.leaf.fingerprint_sha256 for known in siblings if known and known.chain)
        if evidence is Evidence.START_TIME:
            return PodView(pod, (), fingerprints)
        places = endpoints(pod, self.certificates.get(key), target, self._configuration.discovery.probe)
        seen = self._observations.get(pod.key, {})
        sights = None if places is None else tuple(Sight(place, seen.get(place)) for place in places)
        return PodView(pod, sights, fingerprints)

    def _by_workload(self, pods: Iterable[ObjectKey]) -> dict[Workload, list[ObjectKey]]:
        grouped: dict[Workload, list[ObjectKey]] = defaultdict(list)
        for pod in pods:
            if pod in self._workload_by_pod:
                grouped[self._workload_by_pod[pod]].append(pod)
        return grouped

    # --- issued -----------------------------------------------------------------------------------

    def _requests_of(self, key: ObjectKey) -> tuple[CertificateRequest, ...]:
        return tuple(self._requests[name] for name in sorted(self._requests_by_certificate.get(key, ())))

    def _memory(self, certificate: Certificate) -> tuple[int, Issued] | None:
        uid, revision, known = self._remembered.get(certificate.key, (None, 0, None))
        return (revision, known) if uid == certificate.uid and known else None

    def _known(self, key: ObjectKey) -> Issued | None:
        certificate = self.certificates.get(key)
        return issued(certificate, self._requests_of(key), self._memory(certificate)) if certificate else None

    def _remember(self, key: ObjectKey) -> None:
        """Keep what the request of the current revision says: cert-manager will delete that request."""
        certificate, known = self.certificates.get(key), self._known(key)
        if certificate is None or certificate.revision is None or known is None or known.chain is None:
            return
        if known.evidence is IssuedEvidence.CERTIFICATE_REQUEST:
            self._remembered[key] = (certificate.uid, certificate.revision, known)
            fingerprint = known.chain.leaf.fingerprint_sha256
            former = tuple(other for other in self._former.get(key, ()) if other != fingerprint)
            self._former[key] = (*former, fingerprint)[-FORMER:]

    # --- which certificates does something concern? -----------------------------------------------

    def _certificates_mounted(self, pod: Pod) -> Keys:
        secrets = (ObjectKey(pod.key.namespace, secret) for secret in pod.secrets)
        return set().union(*(self._certificates_by_secret.get(secret, ()) for secret in secrets))

    def _certificates_of(self, pod: Pod) -> Keys:
        targets = self._targets.get(self._workload_by_pod.get(pod.key, _NOWHERE), ())
        return self._certificates_mounted(pod) | {key for target in targets for key in _named(target)}

    def _neighbours(self, key: ObjectKey) -> Keys:
        """Return the Certificates that share a pod with this one: what it has issued is a sibling to them."""
        certificate = self.certificates.get(key)
        secret = ObjectKey(key.namespace, certificate.secret) if certificate else None
        pods = self._pods_by_secret.get(secret, ()) if secret else ()
        return {key}.union(*(self._certificates_mounted(self.pods[pod]) for pod in pods))

    # --- putting and dropping, by type ------------------------------------------------------------

    @singledispatchmethod
    def _put(self, item: Any) -> Keys:
        raise TypeError(f"nothing is known of {type(item).__name__}")

    @_put.register
    def _(self, certificate: Certificate) -> Keys:
        key = certificate.key
        dirty = self._neighbours(key)
        if before := self.certificates.get(key):
            self._certificates_by_secret[ObjectKey(key.namespace, before.secret)].discard(key)
        self.certificates[key] = certificate
        self._certificates_by_secret[ObjectKey(key.namespace, certificate.secret)].add(key)
        self._remember(key)
        return dirty | self._neighbours(key)

    @_put.register
    def _(self, request: CertificateRequest) -> Keys:
        self._requests[request.key] = request
        certificate = ObjectKey(request.key.namespace, request.certificate)
        self._requests_by_certificate[certificate].add(request.key)
        self._remember(certificate)
        return self._neighbours(certificate)

    @_put.register
    def _(self, pod: Pod) -> Keys:
        dirty = self._unindex_pod(pod.key)
        self.pods[pod.key] = pod
        if pod.owner is not None:
            self._pods_by_owner[pod.owner.uid].add(pod.key)
        for secret in pod.secrets:
            self._pods_by_secret[ObjectKey(pod.key.namespace, secret)].add(pod.key)
        self._resolve(pod)
        seen = self._observations.get(pod.key, {})
        self._observations[pod.key] = {place: what for place, what in seen.items() if _still_there(place, pod)}
        return dirty | self._certificates_of(pod)

    @_put.register
    def _(self, replica_set: ReplicaSet) -> Keys:
        self._replica_sets[replica_set.key] = replica_set
        owner = replica_set.owner or Owner("ReplicaSet", replica_set.key.name, replica_set.uid)
        if self._replica_set_owners.get(replica_set.uid) == owner:
            return set()
        self._replica_set_owners[replica_set.uid] = owner
        pods = [self.pods[key] for key in self._pods_by_owner.get(replica_set.uid, ())]
        return set().union(*(self._put(pod) for pod in pods))

    @_put.register
    def _(self, seen: WorkloadSeen) -> Keys:
        self._workloads[seen.workload] = seen
        return set()

    def _drop(self, watch: Watch, key: ObjectKey) -> Keys:
        drop: dict[str, Callable[[ObjectKey], Keys]] = {
            "certificates": self._drop_certificate,
            "certificaterequests": self._drop_request,
            "pods": self._drop_pod,
            "replicasets": self._drop_replica_set,
        }
        if watch.resource.name in drop:
            return drop[watch.resource.name](key)
        self._workloads.pop(Workload(key.namespace, watch.resource.name.removesuffix("s"), key.name), None)
        return set()

    def _drop_certificate(self, key: ObjectKey) -> Keys:
        dirty = self._neighbours(key)
        if certificate := self.certificates.pop(key, None):
            self._certificates_by_secret[ObjectKey(key.namespace, certificate.secret)].discard(key)
        self._remembered.pop(key, None)
        self._former.pop(key, None)
        return dirty

    def _drop_request(self, key: ObjectKey) -> Keys:
        request = self._requests.pop(key, None)
        if request is None:
            return set()
        certificate = ObjectKey(key.namespace, request.certificate)
        self._requests_by_certificate[certificate].discard(key)
        return self._neighbours(certificate)

    def _drop_pod(self, key: ObjectKey) -> Keys:
        dirty = self._unindex_pod(key)
        self.pods.pop(key, None)
        self._observations.pop(key, None)
        if workload := self._workload_by_pod.pop(key, None):
            self._pods_by_workload[workload].discard(key)
        return dirty

    def _drop_replica_set(self, key: ObjectKey) -> Keys:
        """Forget a ReplicaSet; pods that outlive it keep the workload that they were known to belong to."""
        if replica_set := self._replica_sets.pop(key, None):
            self._replica_set_owners.pop(replica_set.uid, None)
        return set()

    # --- pods -------------------------------------------------------------------------------------

    def _unindex_pod(self, key: ObjectKey) -> Keys:
        pod = self.pods.get(key)
        if pod is None:
            return set()
        dirty = self._certificates_of(pod)
        if pod.owner is not None:
            self._pods_by_owner[pod.owner.uid].discard(key)
        for secret in pod.secrets:
            self._pods_by_secret[ObjectKey(key.namespace, secret)].discard(key)
        return dirty

    def _resolve(self, pod: Pod) -> None:
        """Find the pod's workload.

        A pod whose ReplicaSet has not been seen yet belongs to none for the moment: they come by different watches.
        """
        workload = self._workload_of(pod)
        before = self._workload_by_pod.get(pod.key)
        if before is not None and workload is not None:
            self._pods_by_workload[before].discard(pod.key)
        if workload is not None:
            self._workload_by_pod[pod.key] = workload
            self._pods_by_workload[workload].add(pod.key)

    def _workload_of(self, pod: Pod) -> Workload | None:
        owner = pod.owner
        if owner is None:
            return Workload(pod.key.namespace, BAREPOD, pod.key.name)
        if owner.kind == "ReplicaSet":
            owner = self._replica_set_owners.get(owner.uid)
            if owner is None:
                return None
        return Workload(pod.key.namespace, owner.kind.lower(), owner.name)

    def _keys(self, watch: Watch) -> list[ObjectKey]:
        """Return the keys that are known within a watch's scope."""
        stores: dict[str, Iterable[ObjectKey]] = {
            "certificates": self.certificates,
            "certificaterequests": self._requests,
            "pods": self.pods,
            "replicasets": self._replica_sets,
        }
        kind = watch.resource.name.removesuffix("s")
        of_kind = (ObjectKey(found.namespace, found.name) for found in self._workloads if found.type == kind)
        return [
            key
            for key in stores.get(watch.resource.name, of_kind)
            if watch.namespace in (ALL_NAMESPACES, key.namespace) and watch.name in (None, key.name)
        ]


_NOWHERE = Workload("", "", "")


def _key(item: Any) -> ObjectKey:
    if isinstance(item, WorkloadSeen):
        return ObjectKey(item.workload.namespace, item.workload.name)
    key: ObjectKey = item.key
    return key


def _named(target: Target) -> tuple[ObjectKey, ...]:
    return (ObjectKey(target.workload.namespace, target.certificate),) if target.certificate else ()


def _still_there(endpoint: Endpoint, pod: Pod) -> bool:
    """Tell whether the container that an endpoint names still runs at its address."""
    same_pod = (pod.uid, pod.address) == (endpoint.pod_uid, endpoint.address)
    return same_pod and any(container.id == endpoint.container_id for container in pod.running)
