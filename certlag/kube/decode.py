"""API objects to the model's types. Pure.

The objects come from a cluster that anybody may write to: any field may be missing, null or of the wrong type.
What the assessment cannot do without makes the object undecodable, and it is counted and skipped; what it can
do without becomes None. `schema` has their form.

Names that many objects share are interned: namespaces, containers, ports. Those of objects are not: the table of
interned strings would cost more than it saves.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import TypeVar

import durationpy

from certlag import limits
from certlag.kube import schema
from certlag.kube.schema import Document
from certlag.model import (
    Certificate,
    CertificateRequest,
    Container,
    InitContainer,
    IssuedChain,
    IssuerRef,
    Lease,
    ObjectKey,
    Owner,
    Pod,
    Port,
    ReplicaSet,
    Workload,
    WorkloadStatus,
)
from certlag.run_record import RecordError, RunRecord, parse
from certlag.x509 import names
from certlag.x509.certificates import InvalidCertificateError, read_issued

DEFAULT_GRACE = 30
"""Seconds: the API server's default of terminationGracePeriodSeconds."""

MAX_SUBJECT = 4096
"""Characters of a Certificate's literal subject that are looked through."""
MAX_DIGITS = 18
"""A revision is an int64 to cert-manager; Python refuses to read thousands of digits."""
MAX_PROBE_PORTS = 64
"""Ports that are taken of a pod's annotation: anyone who may make a pod decides how many handshakes that costs us."""
MAX_PORT_NAME = 15
"""Characters of a port's name (RFC 6335 §5.1)."""
MAX_PORTS = 1000
"""Declared ports that are kept of a pod. The API takes a hundred thousand, which are gone through at each
assessment."""
MAX_SECRETS = 1000
"""Uses of Secrets by a pod's containers that are followed: each container may mount a volume of thousands."""
MAX_GRACE = timedelta(days=36500)
"""A century. The API takes any int64 of seconds for a grace period, which is more than a timedelta holds."""

_SEPARATORS = re.compile(r"[,\s]+")
_NO_METADATA = schema.Metadata()

Form = TypeVar("Form")
Kept = TypeVar("Kept")


class SkipReason(StrEnum):
    """Why an object could not be read: a closed set, the `reason` label of `certlag_objects_skipped_total`."""

    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_CERTIFICATE = "invalid_certificate"


class UndecodableError(Exception):
    """An object lacks what the assessment cannot do without."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def certificate(document: Document) -> Certificate:
    """Read a cert-manager.io/v1 Certificate."""
    found = _read(document, schema.Certificate)
    spec, status = found.spec or schema.CertificateSpec(), found.status or schema.CertificateStatus()
    dns_names = tuple(limits.names(spec.dns_names or ()))
    common_name = spec.common_name or names.common_name((spec.literal_subject or "")[:MAX_SUBJECT]) or ""
    common_name = common_name[: limits.MAX_NAME]
    lists = (spec.ip_addresses, spec.email_addresses, spec.uris)
    others = (*(name for given in lists for name in limits.names(given or ())), *filter(None, [common_name]))
    return Certificate(
        key=_key(found),
        uid=_uid(found),
        secret=_required(spec.secret_name, "secretName"),
        names=tuple(dict.fromkeys(map(names.normalized, (*dns_names, *others)))),
        server_name=names.server_name((*dns_names, common_name)),
        issuer=_issuer(spec.issuer_ref),
        renew_before=None if spec.renew_before is None else _duration(spec.renew_before),
        renew_before_percentage=spec.renew_before_percentage,
        renewal_disabled=spec.renewal is not None and spec.renewal.policy == "Disabled",
        ready=_is_ready(status.conditions),
        issuing=_holds(status.conditions, "Issuing"),
        revision=status.revision,
        not_before=_instant(status.not_before),
        not_after=_instant(status.not_after),
        renewal_at=_instant(status.renewal_time),
    )


def certificate_request(document: Document) -> CertificateRequest | None:
    """Read a cert-manager.io/v1 CertificateRequest; None if no Certificate controls it, or it has no revision."""
    found = _read(document, schema.CertificateRequest)
    metadata = found.metadata or _NO_METADATA
    owner = _controller(metadata)
    revision = metadata.annotations.revision if metadata.annotations else None
    if owner is None or owner.kind != "Certificate" or not revision:
        return None
    if not revision.isdecimal() or len(revision) > MAX_DIGITS:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"the revision: {revision[:64]!r}")
    status = found.status or schema.CertificateRequestStatus()
    return CertificateRequest(
        key=_key(found),
        certificate_uid=owner.uid,
        revision=int(revision),
        ready_at=_condition_since(status.conditions, "Ready"),
        issued=_issued(status),
    )


def pod(document: Document) -> Pod:
    """Read a core/v1 Pod."""
    found = _read(document, schema.Pod)
    metadata = found.metadata or _NO_METADATA
    status = found.status or schema.PodStatus()
    annotations = metadata.annotations or schema.Annotations()
    spec = found.spec or schema.PodSpec()
    return Pod(
        key=_key(found),
        uid=_uid(found),
        address=status.pod_ip or "",
        terminating=metadata.deletion_timestamp is not None,
        owner=_controller(metadata),
        containers=tuple(_containers(spec, status)),
        probe_ports=tuple(_annotated(annotations.port, MAX_PORT_NAME))[:MAX_PROBE_PORTS],
        init_containers=tuple(_init_containers(spec, status)),
        ignored_secrets=frozenset(_annotated(annotations.ignore_secrets, limits.MAX_TEXT)),
    )


def replica_set(document: Document) -> ReplicaSet:
    """Read the metadata of an apps/v1 ReplicaSet."""
    found = _read(document, schema.Named)
    return ReplicaSet(_key(found), _uid(found), _controller(found.metadata or _NO_METADATA))


def workload(kind: str) -> Callable[[Document], WorkloadStatus]:
    """Return a reader of apps/v1 workloads of this kind."""

    def read(document: Document) -> WorkloadStatus:
        found = _read(document, schema.Workload)
        spec = found.spec or schema.WorkloadSpec()
        template = (spec.template and spec.template.spec) or schema.PodSpec()
        grace = template.termination_grace_period_seconds
        namespace, name = _key(found)
        return WorkloadStatus(
            workload=Workload(namespace, kind, name),
            replicas=1 if spec.replicas is None else spec.replicas,
            grace_period=_seconds(DEFAULT_GRACE if grace is None else grace),
            secrets=_secrets_of(template),
        )

    return read


def run_record(document: Document) -> RunRecord | None:
    """Read the ConfigMap of a run record; None before anything was recorded in it."""
    found = _read(document, schema.RunRecordConfigMap)
    text = found.data.record if found.data else None
    if not text:
        return None
    try:
        return parse(_key(found), text)
    except RecordError as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, str(error)) from error


def lease(document: Document) -> Lease:
    """Read a coordination.k8s.io/v1 Lease."""
    found = _read(document, schema.Lease)
    spec = found.spec or schema.LeaseSpec()
    return Lease(key=_key(found), holder=spec.holder_identity or "", renewed=spec.renew_time or "")


def key(document: Document) -> ObjectKey:
    """Read the namespace and name of any namespaced object, whatever else it holds."""
    return _key(_read(document, schema.Identified))


def resource_version(document: Document) -> str | None:
    """Read the resourceVersion of any object or bookmark, None if it has none that can be read."""
    try:
        found = _read(document, schema.Identified)
    except UndecodableError:
        return None
    return found.metadata.resource_version if found.metadata else None


def instant(text: str) -> datetime:
    """Read an RFC 3339 instant as the API writes it.

    Raises:
        UndecodableError: it is none, or has no offset.
    """
    try:
        value = datetime.fromisoformat(text)
        if value.tzinfo is None:
            raise UndecodableError(SkipReason.WRONG_TYPE, f"an instant without an offset: {text[:64]!r}")
        return value.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"an instant: {text[:64]!r}") from error


# --- parts ----------------------------------------------------------------------------------------


def _read(document: Document, form: type[Form]) -> Form:
    try:
        return schema.read(document, form)
    except schema.MalformedError as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, str(error)[:200]) from error


def _key(found: schema.Named | schema.Identified) -> ObjectKey:
    metadata = found.metadata or _NO_METADATA
    namespace, name = _required(metadata.namespace, "namespace"), _required(metadata.name, "name")
    return ObjectKey(intern(namespace), name)


def _uid(found: schema.Named) -> str:
    return _required((found.metadata or _NO_METADATA).uid, "uid")


def _required(value: str | None, name: str) -> str:
    if not value:
        raise UndecodableError(SkipReason.MISSING_FIELD, name)
    return value


def _issuer(reference: schema.IssuerReference | None) -> IssuerRef:
    given = reference or schema.IssuerReference()
    return _shared_issuer(given.kind or "Issuer", given.name or "", given.group or "cert-manager.io")


@lru_cache(maxsize=1024)
def _shared_issuer(kind: str, name: str, group: str) -> IssuerRef:
    return IssuerRef(kind, name, group)


def _issued(status: schema.CertificateRequestStatus) -> IssuedChain | None:
    """Read what was signed; the API writes bytes as base64 of PEM."""
    if not status.certificate:
        return None
    try:
        return read_issued(_base64(status.certificate), _base64(status.ca or ""))
    except InvalidCertificateError as error:
        raise UndecodableError(SkipReason.INVALID_CERTIFICATE, str(error)) from error


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"not base64: {error}") from error


def _containers(spec: schema.PodSpec, status: schema.PodStatus) -> Iterator[Container]:
    """Yield the containers that run beside one another: the ordinary ones, and init containers that are sidecars.

    Of their ports and Secrets the first ones count, all containers taken together.
    """
    ports_left, secrets_left = iter(range(MAX_PORTS)), iter(range(MAX_SECRETS))
    secrets_of_volumes = dict(_volumes(spec))
    statuses = _statuses(status)
    sidecars = (part for part in spec.init_containers or () if _is_sidecar(part))
    by_name = {part.name: part for part in (*(spec.containers or ()), *sidecars)}  # as the API server demands
    for part in by_name.values():
        name = intern(_required(part.name, "name"))
        seen = statuses.get(name, schema.ContainerStatus())
        running = seen.state.running if seen.state else None
        yield Container(
            name=name,
            id=seen.container_id or "",
            started_at=_instant(running.started_at) if running else None,
            ready=seen.ready or False,
            ports=tuple(_first(_ports(part), ports_left)),
            secrets=tuple(dict.fromkeys(_first(_secrets(part, secrets_of_volumes), secrets_left))),
        )


def _init_containers(spec: schema.PodSpec, status: schema.PodStatus) -> Iterator[InitContainer]:
    """Yield the init containers that end before the others start, as far as they use Secrets."""
    left = iter(range(MAX_SECRETS))
    secrets_of_volumes = dict(_volumes(spec)) if spec.init_containers else {}
    statuses = _statuses(status)
    for part in spec.init_containers or ():
        secrets = tuple(dict.fromkeys(_first(_secrets(part, secrets_of_volumes), left)))
        if secrets and not _is_sidecar(part):
            state = statuses.get(part.name, schema.ContainerStatus()).state
            ended = state.terminated if state else None
            yield InitContainer(secrets, _instant(ended.finished_at) if ended else None)


def _secrets_of(spec: schema.PodSpec) -> frozenset[str]:
    """Return the Secrets that the containers of a pod template use."""
    secrets_of_volumes = dict(_volumes(spec))
    parts = (*(spec.containers or ()), *(spec.init_containers or ()))
    return frozenset(
        _first((name for part in parts for name in _secrets(part, secrets_of_volumes)), iter(range(MAX_SECRETS)))
    )


def _statuses(status: schema.PodStatus) -> dict[str | None, schema.ContainerStatus]:
    every = (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
    return {entry.name: entry for entry in every}


def _is_sidecar(part: schema.Container) -> bool:
    """Tell whether an init container goes on beside the others (KEP-753)."""
    return part.restart_policy == "Always"


def _first(things: Iterator[Kept], left: Iterator[int]) -> Iterator[Kept]:
    """Yield things as long as something is left, of which each takes one."""
    return (thing for thing, _ in zip(things, left, strict=False))


def _annotated(annotation: str | None, limit: int) -> Iterator[str]:
    """Split an annotation that lists names; one that is longer than such a name may be is none."""
    return (part for part in _SEPARATORS.split(annotation or "") if 0 < len(part) <= limit)


def _ports(container: schema.Container) -> Iterator[Port]:
    for port in container.ports or ():
        if port.container_port and (port.protocol or "TCP") == "TCP":
            yield Port(intern(port.name or ""), port.container_port)


def _volumes(spec: schema.PodSpec) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each volume's name with the Secrets that it holds, projected ones included."""
    for volume in spec.volumes or ():
        projected = (volume.projected and volume.projected.sources) or ()
        names = (
            volume.secret.secret_name if volume.secret else None,
            *(source.secret.name for source in projected if source.secret),
        )
        yield volume.name or "", tuple(_names_of_secrets(names))


def _secrets(container: schema.Container, secrets_of_volumes: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the Secrets that a container uses: of each volume, and of its environment, each once."""
    for volume in dict.fromkeys(mount.name or "" for mount in container.volume_mounts or ()):
        yield from secrets_of_volumes.get(volume, ())
    references = (
        *(source.secret_ref for source in container.env_from or ()),
        *(variable.value_from.secret_key_ref for variable in container.env or () if variable.value_from),
    )
    yield from _names_of_secrets(reference.name for reference in references if reference is not None)


def _names_of_secrets(given: Iterable[str | None]) -> Iterable[str]:
    """Return each once; one that is longer than any name is that of no Secret."""
    return dict.fromkeys(name for name in given if name and len(name) <= limits.MAX_TEXT)


def _controller(metadata: schema.Metadata) -> Owner | None:
    for reference in metadata.owner_references or ():
        if reference.controller:
            parts = (("kind", reference.kind), ("name", reference.name), ("uid", reference.uid))
            return Owner(*(_required(value, part)[: limits.MAX_TEXT] for part, value in parts))
    return None


def _holds(conditions: list[schema.Condition] | None, kind: str) -> bool:
    """Tell whether a condition is true."""
    return any(condition.type == kind and condition.status == "True" for condition in conditions or ())


def _is_ready(conditions: list[schema.Condition] | None) -> bool | None:
    """Tell whether a Certificate's Secret holds what was asked for, None if no condition says so.

    Of what makes a Certificate not Ready, expiry is looked at last (cert-manager 1.21.2,
    internal/controller/certificates/policies, NewReadinessPolicyChain): all else holds then.
    """
    ready = next((condition for condition in conditions or () if condition.type == "Ready"), None)
    return None if ready is None else ready.status == "True" or ready.reason == "Expired"


def _condition_since(conditions: list[schema.Condition] | None, kind: str) -> datetime | None:
    """Return since when a condition is true, None if it is not."""
    for condition in conditions or ():
        if condition.type == kind and condition.status == "True":
            return _instant(condition.last_transition_time)
    return None


def _instant(text: str | None) -> datetime | None:
    return instant(text) if text else None


@lru_cache(maxsize=1024)
def _duration(text: str) -> timedelta:
    """Read a Go duration (`720h0m0s`)."""
    try:
        return timedelta(seconds=durationpy.from_str(text).total_seconds())
    except (durationpy.DurationError, OverflowError) as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"a duration: {text[:64]!r}") from error


def _seconds(count: int) -> timedelta:
    """Make a length of time of any int."""
    return timedelta(seconds=min(max(count, 0), MAX_GRACE // timedelta(seconds=1)))
