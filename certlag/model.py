"""The words of the project as types. Pure: no I/O, no clock, no decisions.

Everything is frozen, so a value can be handed between threads. Instants are timezone-aware UTC and their names
end in `_at` or are X.509's own (`not_before`, `not_after`); lengths of time are `timedelta`.
An instant that is not known is None, never zero.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from certlag.limits import MAX_SERIAL, truncate


class ObjectKey(NamedTuple):
    """A namespaced Kubernetes object of a kind that the context gives."""

    namespace: str
    name: str


class Workload(NamedTuple):
    """What owns a pod, in kubernetes-mixin's words.

    `type` is the owner's kind in lower case (deployment, statefulset, daemonset, job, …), or `barepod` for a pod
    that nothing owns.
    """

    namespace: str
    type: str
    name: str


BAREPOD = "barepod"
RESTARTABLE = ("deployment", "statefulset", "daemonset")
"""The types of workload that can be targets: the runbook can restart them."""
DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""The form of a namespace's name, as a regular expression (RFC 1123 §2.1)."""


# --- X.509 ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """What identifies one leaf certificate.

    `fingerprint` is the SHA-256 of the DER, 32 bytes. `names` are its DNS, IP, e-mail and URI subject alternative names
    and its common name, in normalized form (`certlag.x509.names`).
    """

    fingerprint: bytes
    serial: int
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]

    @property
    def fingerprint_sha256(self) -> str:
        """The fingerprint in lower-case hexadecimal, as blackbox_exporter writes it."""
        return self.fingerprint.hex()

    @property
    def serial_number(self) -> str:
        """The serial's own octets, likewise; RFC 5280 forbids a negative one, which has a sign, and a long one: cut."""
        size = max(1, (abs(self.serial).bit_length() + 7) // 8)
        return ("-" if self.serial < 0 else "") + truncate(abs(self.serial).to_bytes(size).hex(), 2 * MAX_SERIAL)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a TLS server presented: DER, leaf first.

    `not_after` is the earliest one in it, which may belong to a certificate that nobody needs: servers send old
    cross-signed roots for years.
    """

    leaf: Leaf
    der: tuple[bytes, ...]
    not_after: datetime


# --- cert-manager ---------------------------------------------------------------------------------


class IssuerRef(NamedTuple):
    """`Certificate.spec.issuerRef`, with cert-manager's defaults filled in."""

    kind: str
    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A cert-manager Certificate: what was asked for, and what its status says was issued.

    `names` are normalized (`certlag.x509.names`). `ready` is whether the Secret holds what was asked for: the condition
    Ready, also where it is false only because that has expired; None if there is no such condition. `issuing` is the
    condition Issuing: another one is on its way.

    `renewal_disabled` is `spec.renewal.policy: Disabled` (cert-manager 1.21).
    """

    key: ObjectKey
    uid: str
    secret: str
    names: tuple[str, ...]
    server_name: str | None
    issuer: IssuerRef
    renew_before: timedelta | None
    renew_before_percentage: int | None
    renewal_disabled: bool
    ready: bool | None
    issuing: bool
    revision: int | None
    not_before: datetime | None
    not_after: datetime | None
    renewal_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedChain:
    """What a CertificateRequest's status holds.

    Of the leaf's names only the common name is kept: the Certificate's spec has the others.
    `intermediates` (DER) follow the leaf in `status.certificate`; `authorities` (DER) are `status.ca`, empty if
    the issuer gave none. `authority_not_after` belongs to the one of them that signs the leaf's chain.
    """

    leaf: Leaf
    intermediates: tuple[bytes, ...] = ()
    authorities: tuple[bytes, ...] = ()
    authority_not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A cert-manager CertificateRequest; `issued` is None until it was signed.

    `certificate_uid` is the UID of the Certificate that controls it by owner reference, which is how cert-manager tells
    its own requests (pkg/util/predicate, ResourceOwnedBy). Anyone who may create requests can write any UID there.
    """

    key: ObjectKey
    certificate_uid: str
    revision: int
    ready_at: datetime | None
    issued: IssuedChain | None


class IssuedEvidence(StrEnum):
    """Which rung of the ladder told us what was issued, strongest first."""

    CERTIFICATE_REQUEST = "certificate_request"
    MEMORY = "memory"
    STATUS_DATES = "status_dates"


@dataclass(frozen=True, slots=True)
class Issued:
    """What cert-manager last issued for a Certificate.

    `chain` is None when only the dates in `Certificate.status` are known; `at` is when the request became Ready,
    None when no request tells. `alternatives` are the chains of further requests for which everything speaks as much:
    the same owner, revision and dates. `contradicted` says that the request of the revision has other dates than the
    Secret: the Secret was restored from a backup, say.
    """

    evidence: IssuedEvidence
    not_before: datetime
    not_after: datetime
    chain: IssuedChain | None
    at: datetime | None
    alternatives: tuple[IssuedChain, ...] = ()
    contradicted: bool = False

    @property
    def chains(self) -> tuple[IssuedChain, ...]:
        """Every chain that may be the issued one; empty if only its dates are known."""
        return (self.chain, *self.alternatives) if self.chain else ()


# --- pods -----------------------------------------------------------------------------------------


class Port(NamedTuple):
    """A TCP port that a container declares; `name` is empty if it has none."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod. `started_at` is None while it is not running."""

    name: str
    id: str
    started_at: datetime | None
    ready: bool
    ports: tuple[Port, ...]
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InitContainer:
    """An ordinary init container that uses Secrets: it may have copied them for the others.

    `finished_at` is None unless it has ended.
    """

    secrets: tuple[str, ...]
    finished_at: datetime | None


class Owner(NamedTuple):
    """A controller owner reference."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, as far as it matters here.

    `containers` run beside one another: the ordinary ones and sidecars. `init_containers` are those of the others that
    use a Secret. `probe_ports` is its annotation certlag.dev/port, split; `ignored_secrets` are those of its annotation
    certlag.dev/ignore-secrets, `*` for all: the pod uses them, but serves none of them.
    """

    key: ObjectKey
    uid: str
    address: str
    terminating: bool
    owner: Owner | None
    containers: tuple[Container, ...]
    probe_ports: tuple[str, ...]
    init_containers: tuple[InitContainer, ...] = ()
    ignored_secrets: frozenset[str] = frozenset()

    @property
    def secrets(self) -> frozenset[str]:
        """The names of all Secrets that some container of it uses and may serve."""
        if "*" in self.ignored_secrets:
            return frozenset()
        used = (*(part.secrets for part in self.containers), *(part.secrets for part in self.init_containers))
        return frozenset().union(*used) - self.ignored_secrets

    @property
    def running(self) -> tuple[Container, ...]:
        """Its started containers; none once it has a deletionTimestamp."""
        if self.terminating:
            return ()
        return tuple(container for container in self.containers if container.started_at is not None)


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """A ReplicaSet: only the way from a pod to its Deployment."""

    key: ObjectKey
    uid: str
    owner: Owner | None


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """A configured workload that exists. `grace_period` and `secrets` are those of its pod template."""

    workload: Workload
    replicas: int
    grace_period: timedelta
    secrets: frozenset[str] = frozenset()

    @property
    def key(self) -> ObjectKey:
        """Its namespace and name, as every object has them."""
        return ObjectKey(self.workload.namespace, self.workload.name)


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease: `holder` and `renewed` are only ever compared with what they were."""

    key: ObjectKey
    holder: str
    renewed: str


# --- probes ---------------------------------------------------------------------------------------


class Endpoint(NamedTuple):
    """One thing to shake hands with. `container_id` makes it another one when the container restarts."""

    pod: ObjectKey
    pod_uid: str
    address: str
    container: str
    container_id: str
    port: int
    server_name: str | None


class ProbeFailure(StrEnum):
    """Why a handshake gave no chain: a closed set, the `reason` label of `certlag_probe_failures_total`.

    `NO_COMMON_CIPHER`, `SERVER_ERROR`, `UNRECOGNIZED_NAME` and `ALERT` are what the server itself said, by a TLS alert;
    `PROTOCOL` is what OpenSSL said of the server. docs/metrics.md explains each.
    """

    ALERT = "alert"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    INVALID_CERTIFICATE = "invalid_certificate"
    NOT_TLS = "not_tls"
    NO_COMMON_CIPHER = "no_common_cipher"
    NO_COMMON_VERSION = "no_common_version"
    PROTOCOL = "protocol"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
    UNRECOGNIZED_NAME = "unrecognized_name"


@dataclass(frozen=True, slots=True)
class Presented:
    """A handshake that showed the server's chain."""

    chain: Chain


@dataclass(frozen=True, slots=True)
class ProbeError:
    """A handshake that did not, and why; `detail` is for logs."""

    failure: ProbeFailure
    detail: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One finished attempt."""

    endpoint: Endpoint
    outcome: Presented | ProbeError
    started_at: datetime
    duration: timedelta


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one endpoint after at least one attempt ended.

    `failure` is None if the last attempt succeeded. Once seen, `loaded` stays through failed probes: the same
    container cannot change it without being seen to. `streak` counts the last connections in a row that showed this
    leaf; `others` are the chains that were shown before it, until a streak of `assessment.CONFIRMATIONS` says that they
    are gone: several processes may answer at one port. Two that tell the same are equal, whenever and however long it
    took.
    """

    duration: timedelta = field(compare=False)
    failure: ProbeFailure | None
    loaded: Chain | None
    last_success_at: datetime | None = field(compare=False)
    streak: int = field(default=0, compare=False)
    others: tuple[Chain, ...] = ()


# --- targets --------------------------------------------------------------------------------------


class Evidence(StrEnum):
    """How we know what a container has loaded."""

    HANDSHAKE = "handshake"
    START_TIME = "start_time"


@dataclass(frozen=True, slots=True)
class Target:
    """A configured workload that serves a certificate, and the workers to drain before a restart of it."""

    name: str
    workload: Workload
    certificate: str | None
    port: int | str | None
    server_name: str | None
    client_auth: bool
    workers: tuple[Workload, ...]
    drain_timeout: timedelta | None
    restart_timeout: timedelta
    reloads: bool
    evidence: Evidence


class DiscoveryProbe(StrEnum):
    """Which ports of pods without a target are probed."""

    ANNOTATED = "annotated"
    DECLARED_PORTS = "declared-ports"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Discovery:
    """Where pods without a target are looked for: `*` means every namespace; nowhere if empty."""

    namespaces: frozenset[str] = frozenset()
    probe: DiscoveryProbe = DiscoveryProbe.ANNOTATED

    def covers(self, namespace: str) -> bool:
        """Tell whether pods of this namespace are discovered."""
        return "*" in self.namespaces or namespace in self.namespaces
