"""Values of the model for tests of pure modules: each says only what its test is about."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from certlag.assessment import CONFIRMATIONS, AssessmentInput, CertificateUse, ObservedEndpoint, PodView
from certlag.issued import Remembered, issued
from certlag.kube.resources import (
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    LEASES,
    PODS,
    REPLICA_SETS,
    RUN_RECORDS,
    WORKLOADS,
    Resource,
)
from certlag.model import (
    Certificate,
    CertificateRequest,
    Chain,
    Container,
    Endpoint,
    Evidence,
    IssuedChain,
    IssuerRef,
    Leaf,
    Lease,
    ObjectKey,
    Observation,
    Owner,
    Pod,
    Port,
    ProbeFailure,
    ReplicaSet,
    Target,
    Workload,
    WorkloadStatus,
)
from certlag.run_record import OpenRun, RunRecord, Step

NAMESPACE = "opschain"
KEY = ObjectKey(NAMESPACE, "build-service")
DEPLOYMENT = Workload(NAMESPACE, "deployment", "build-service")
ISSUED_AT = datetime(2026, 3, 1, tzinfo=UTC)
"""When revision 1 was issued, for 90 days; it is renewed after 60."""
LIFETIME = timedelta(days=90)
WINDOW = timedelta(days=30)
RENEWED_AT = ISSUED_AT + LIFETIME - WINDOW


RESOURCES: dict[type, Resource] = {
    Certificate: CERTIFICATES,
    CertificateRequest: CERTIFICATE_REQUESTS,
    Pod: PODS,
    ReplicaSet: REPLICA_SETS,
    RunRecord: RUN_RECORDS,
    Lease: LEASES,
}


def resource_of(item: Any) -> Resource:
    """The resource that an object is one of."""
    return WORKLOADS[item.workload.type] if isinstance(item, WorkloadStatus) else RESOURCES[type(item)]


def a_leaf(label: str = "first", **changes: Any) -> Leaf:
    """A leaf; the label decides its fingerprint. `first` is of revision 1, `second` of revision 2, 60 days later."""
    begins = {"first": ISSUED_AT, "second": RENEWED_AT, "third": RENEWED_AT + LIFETIME - WINDOW}.get(label, ISSUED_AT)
    digest = hashlib.sha256(label.encode()).digest()
    leaf = Leaf(digest, int.from_bytes(digest[:8]), begins, begins + LIFETIME, ("build-service",))
    return replace(leaf, **changes)


def a_chain(leaf: Leaf | None = None, **changes: Any) -> Chain:
    """What a server presents: a leaf alone. Its DER is no certificate: only tests of signatures need real ones."""
    leaf = leaf or a_leaf()
    return replace(Chain(leaf, (leaf.fingerprint_sha256.encode(),), leaf.not_after), **changes)


def a_certificate(revision: int | None = 1, **changes: Any) -> Certificate:
    """A Certificate of 90 days, renewed 30 before; its status fits the revision."""
    leaf = a_leaf({1: "first", 2: "second", 3: "third"}.get(revision or 1, "first"))
    certificate = Certificate(
        key=KEY,
        uid="certificate-uid",
        secret="build-service-tls",
        names=("build-service",),
        server_name="build-service",
        issuer=IssuerRef("Issuer", "ca", "cert-manager.io"),
        renew_before=WINDOW,
        renew_before_percentage=None,
        renewal_disabled=False,
        ready=True if revision else None,
        issuing=False,
        revision=revision,
        not_before=leaf.not_before if revision else None,
        not_after=leaf.not_after if revision else None,
        renewal_at=leaf.not_after - WINDOW if revision else None,
    )
    return replace(certificate, **changes)


def a_request(revision: int = 1, **changes: Any) -> CertificateRequest:
    """The signed request of a revision."""
    leaf = a_leaf({1: "first", 2: "second", 3: "third"}[revision])
    request = CertificateRequest(
        key=ObjectKey(NAMESPACE, f"build-service-{revision}"),
        certificate_uid="certificate-uid",
        revision=revision,
        ready_at=leaf.not_before,
        issued=IssuedChain(leaf),
    )
    return replace(request, **changes)


def a_container(name: str = "server", **changes: Any) -> Container:
    """A started, ready container that declares port 1234 and uses the certificate's Secret."""
    container = Container(
        name=name,
        id=f"containerd://{name}",
        started_at=ISSUED_AT + timedelta(hours=1),
        ready=True,
        ports=(Port("tls", 1234),),
        secrets=("build-service-tls",),
    )
    return replace(container, **changes)


def a_pod(name: str = "build-service-a", *containers: Container, **changes: Any) -> Pod:
    """A running pod of the Deployment's ReplicaSet."""
    pod = Pod(
        key=ObjectKey(NAMESPACE, name),
        uid=f"uid-of-{name}",
        address="10.88.0.7",
        terminating=False,
        owner=Owner("ReplicaSet", "build-service-1", "replica-set-uid"),
        containers=containers or (a_container(),),
        probe_ports=(),
    )
    return replace(pod, **changes)


def a_replica_set(**changes: Any) -> ReplicaSet:
    """The ReplicaSet of the Deployment."""
    owner = Owner("Deployment", DEPLOYMENT.name, "deployment-uid")
    return replace(ReplicaSet(ObjectKey(NAMESPACE, "build-service-1"), "replica-set-uid", owner), **changes)


def a_target(**changes: Any) -> Target:
    """The Deployment as a target that names certificate and port."""
    target = Target(
        name="build-service",
        workload=DEPLOYMENT,
        certificate=KEY.name,
        port=1234,
        server_name=None,
        client_auth=True,
        workers=(Workload(NAMESPACE, "deployment", "worker"),),
        drain_timeout=timedelta(hours=1),
        restart_timeout=timedelta(minutes=5),
        reloads=False,
        evidence=Evidence.HANDSHAKE,
    )
    return replace(target, **changes)


def a_workload(workload: Workload = DEPLOYMENT, **changes: Any) -> WorkloadStatus:
    """A workload that exists, with one replica."""
    return replace(WorkloadStatus(workload, 1, timedelta(seconds=30)), **changes)


def an_endpoint(pod: Pod | None = None, port: int = 1234, **changes: Any) -> Endpoint:
    """Where a pod's first container is asked."""
    pod = pod or a_pod()
    container = pod.containers[0]
    return Endpoint(pod.key, pod.uid, pod.address, container.name, container.id, port, "build-service")._replace(
        **changes
    )


def an_observation(
    loaded: Leaf | Chain | None = None, failure: ProbeFailure | None = None, streak: int = CONFIRMATIONS
) -> Observation:
    """What was seen of an endpoint: what is loaded, and whether the last attempt failed."""
    chain = a_chain(loaded) if isinstance(loaded, Leaf) else loaded
    return Observation(timedelta(milliseconds=2), failure, chain, ISSUED_AT if chain else None, streak)


def an_open_run(**changes: Any) -> OpenRun:
    """A run that has scaled its worker from three replicas to none."""
    run = OpenRun(
        id="run-1",
        epoch=1,
        step=Step.SCALED_DOWN,
        begun_at=RENEWED_AT,
        deadline_at=RENEWED_AT + timedelta(minutes=65),
        workers=(("deployment/worker", 3),),
        outcome=None,
    )
    return replace(run, **changes)


def a_view(
    pod: Pod | None = None, *observations: Observation | None, siblings: frozenset[str] = frozenset()
) -> PodView:
    """A pod with one endpoint for each observation, on ports from 1234 on."""
    pod = pod or a_pod()
    endpoints = (ObservedEndpoint(an_endpoint(pod, 1234 + number), seen) for number, seen in enumerate(observations))
    return PodView(pod, tuple(endpoints), siblings)


def a_use(*views: PodView, **changes: Any) -> CertificateUse:
    """The target's use of the certificate by these pods."""
    return replace(CertificateUse(DEPLOYMENT, a_target(), Evidence.HANDSHAKE, views), **changes)


def a_subject(
    *uses: CertificateUse, revision: int | None = 1, remembered: Remembered | None = None, **changes: Any
) -> AssessmentInput:
    """A Certificate of this revision with its request, and these uses; `remembered` was seen issued for a revision."""
    requests = (a_request(revision),) if revision else ()
    subject = replace(AssessmentInput(KEY, a_certificate(revision), requests, uses=uses), **changes)
    return with_issued(subject, remembered)


def with_issued(subject: AssessmentInput, remembered: Remembered | None = None) -> AssessmentInput:
    """Find out what was issued, as the store does for each change of a Certificate or its requests."""
    certificate = subject.certificate
    return replace(subject, issued=issued(certificate, subject.requests, remembered) if certificate else None)
