"""API objects (JSON, already parsed) to the model's types. Pure.

The objects come from a cluster that anybody may write to: any field may be missing, null or of the wrong type.
What the judgement cannot do without makes the object undecodable, and it is counted and skipped; what it can
do without becomes None.
"""

import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import durationpy

from exporter.certificates import InvalidCertificateError, read_issued
from exporter.model import (
    Certificate,
    CertificateRequest,
    Container,
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
from exporter.run_record import RECORD_KEY, RecordError, RunRecord, parse

REVISION_ANNOTATION = "cert-manager.io/certificate-revision"
CERTIFICATE_ANNOTATION = "cert-manager.io/certificate-name"
PORT_ANNOTATION = "certlag.dev/port"

DEFAULT_GRACE = 30
"""Seconds: the API server's default of terminationGracePeriodSeconds."""

MAX_DIGITS = 18
"""A revision is an int64 to cert-manager; Python refuses to read thousands of digits."""
MAX_GRACE = timedelta(days=36500)
"""A century. The API takes any int64 of seconds for a grace period, which is more than a timedelta holds."""

_SEPARATORS = re.compile(r"[,\s]+")


class SkipReason(StrEnum):
    """Why an object could not be read: a closed set, the `reason` label of `certlag_objects_skipped_total`."""

    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_CERTIFICATE = "invalid_certificate"


class UndecodableError(Exception):
    """An object lacks what the judgement cannot do without."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


_T = TypeVar("_T")


def certificate(document: Mapping[str, Any]) -> Certificate:
    """Read a cert-manager.io/v1 Certificate."""
    spec, status = _mapping(document, "spec"), _mapping(document, "status")
    issuer = _mapping(spec, "issuerRef")
    dns_names = _texts(spec, "dnsNames")
    common_name = _optional(spec, "commonName", str)
    names = (*dns_names, *_texts(spec, "ipAddresses"), *_texts(spec, "uris"), *filter(None, [common_name]))
    return Certificate(
        key=key(document),
        uid=uid(document),
        secret=_required(spec, "secretName", str),
        names=frozenset(names),
        server_name=next((name for name in (*dns_names, common_name) if name and "*" not in name), None),
        issuer=IssuerRef(
            kind=_optional(issuer, "kind", str) or "Issuer",
            name=_optional(issuer, "name", str) or "",
            group=_optional(issuer, "group", str) or "cert-manager.io",
        ),
        renew_before=_duration(_optional(spec, "renewBefore", str)),
        renew_before_percentage=_optional(spec, "renewBeforePercentage", int),
        revision=_optional(status, "revision", int),
        not_before=_instant(status, "notBefore"),
        not_after=_instant(status, "notAfter"),
        renewal_at=_instant(status, "renewalTime"),
    )


def certificate_request(document: Mapping[str, Any]) -> CertificateRequest | None:
    """Read a cert-manager.io/v1 CertificateRequest; None if it was not made for a Certificate."""
    annotations = _mapping(_mapping(document, "metadata"), "annotations")
    certificate_name = _optional(annotations, CERTIFICATE_ANNOTATION, str)
    revision = _optional(annotations, REVISION_ANNOTATION, str)
    if not certificate_name or not revision:
        return None
    if not revision.isdecimal() or len(revision) > MAX_DIGITS:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"{REVISION_ANNOTATION}: {revision[:64]!r}")
    status = _mapping(document, "status")
    return CertificateRequest(
        key=key(document),
        certificate=certificate_name,
        revision=int(revision),
        ready_at=_condition_since(status, "Ready"),
        issued=_issued(status),
    )


def pod(document: Mapping[str, Any]) -> Pod:
    """Read a core/v1 Pod."""
    metadata, spec, status = (_mapping(document, part) for part in ("metadata", "spec", "status"))
    annotated = _optional(_mapping(metadata, "annotations"), PORT_ANNOTATION, str) or ""
    return Pod(
        key=key(document),
        uid=uid(document),
        address=_optional(status, "podIP", str) or "",
        terminating=_optional(metadata, "deletionTimestamp", str) is not None,
        owner=_controller(metadata),
        containers=tuple(_containers(spec, status)),
        probe_ports=tuple(part for part in _SEPARATORS.split(annotated) if part),
    )


def replica_set(document: Mapping[str, Any]) -> ReplicaSet:
    """Read the metadata of an apps/v1 ReplicaSet."""
    return ReplicaSet(key(document), uid(document), _controller(_mapping(document, "metadata")))


def workload(kind: str) -> Callable[[Mapping[str, Any]], WorkloadStatus]:
    """Return a reader of apps/v1 workloads of this kind."""

    def read(document: Mapping[str, Any]) -> WorkloadStatus:
        spec = _mapping(document, "spec")
        replicas = _optional(spec, "replicas", int)
        grace = _optional(_mapping(_mapping(spec, "template"), "spec"), "terminationGracePeriodSeconds", int)
        namespace, name = key(document)
        return WorkloadStatus(
            workload=Workload(namespace, kind, name),
            replicas=1 if replicas is None else replicas,
            grace_period=_seconds(DEFAULT_GRACE if grace is None else grace),
        )

    return read


def run_record(document: Mapping[str, Any]) -> RunRecord | None:
    """Read the ConfigMap of a run record; None before anything was recorded in it."""
    text = _optional(_mapping(document, "data"), RECORD_KEY, str)
    if not text:
        return None
    try:
        return parse(key(document), text)
    except RecordError as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, str(error)) from error


def lease(document: Mapping[str, Any]) -> Lease:
    """Read a coordination.k8s.io/v1 Lease."""
    spec = _mapping(document, "spec")
    return Lease(
        key=key(document),
        holder=_optional(spec, "holderIdentity", str) or "",
        renewed=_optional(spec, "renewTime", str) or "",
    )


def key(document: Mapping[str, Any]) -> ObjectKey:
    """Read the namespace and name of any namespaced object."""
    metadata = _mapping(document, "metadata")
    return ObjectKey(_required(metadata, "namespace", str), _required(metadata, "name", str))


def uid(document: Mapping[str, Any]) -> str:
    """Read the UID of any object."""
    return _required(_mapping(document, "metadata"), "uid", str)


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


def _issued(status: Mapping[str, Any]) -> IssuedChain | None:
    """Read what was signed; the API writes bytes as base64 of PEM."""
    encoded = _optional(status, "certificate", str)
    if not encoded:
        return None
    try:
        return read_issued(_base64(encoded), _base64(_optional(status, "ca", str) or ""))
    except InvalidCertificateError as error:
        raise UndecodableError(SkipReason.INVALID_CERTIFICATE, str(error)) from error


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"not base64: {error}") from error


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Container]:
    """Yield the containers that run beside one another: the ordinary ones, and init containers that are sidecars."""
    secrets_of_volumes = dict(_volumes(spec))
    statuses = {
        _optional(entry, "name", str): entry
        for entry in (*_mappings(status, "containerStatuses"), *_mappings(status, "initContainerStatuses"))
    }
    sidecars = (part for part in _mappings(spec, "initContainers") if part.get("restartPolicy") == "Always")
    for part in (*_mappings(spec, "containers"), *sidecars):
        name = _required(part, "name", str)
        seen = statuses.get(name, {})
        yield Container(
            name=name,
            id=_optional(seen, "containerID", str) or "",
            started_at=_instant(_mapping(_mapping(seen, "state"), "running"), "startedAt"),
            ready=_optional(seen, "ready", bool) or False,
            ports=tuple(_ports(part)),
            secrets=frozenset(_secrets(part, secrets_of_volumes)),
        )


def _ports(container: Mapping[str, Any]) -> Iterator[Port]:
    for port in _mappings(container, "ports"):
        number = _optional(port, "containerPort", int)
        if number and (_optional(port, "protocol", str) or "TCP") == "TCP":
            yield Port(_optional(port, "name", str) or "", number)


def _volumes(spec: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each volume's name with the Secrets that it holds, projected ones included."""
    for volume in _mappings(spec, "volumes"):
        projected = _mappings(_mapping(volume, "projected"), "sources")
        names = (
            _optional(_mapping(volume, "secret"), "secretName", str),
            *(_optional(_mapping(source, "secret"), "name", str) for source in projected),
        )
        yield _optional(volume, "name", str) or "", tuple(name for name in names if name)


def _secrets(container: Mapping[str, Any], secrets_of_volumes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for mount in _mappings(container, "volumeMounts"):
        yield from secrets_of_volumes.get(_optional(mount, "name", str) or "", ())
    references = (
        *(_mapping(source, "secretRef") for source in _mappings(container, "envFrom")),
        *(_mapping(_mapping(entry, "valueFrom"), "secretKeyRef") for entry in _mappings(container, "env")),
    )
    for reference in references:
        if name := _optional(reference, "name", str):
            yield name


def _controller(metadata: Mapping[str, Any]) -> Owner | None:
    for reference in _mappings(metadata, "ownerReferences"):
        if reference.get("controller") is True:
            return Owner(*(_required(reference, part, str) for part in ("kind", "name", "uid")))
    return None


def _condition_since(status: Mapping[str, Any], kind: str) -> datetime | None:
    """Return since when a condition is true, None if it is not."""
    for condition in _mappings(status, "conditions"):
        if condition.get("type") == kind and condition.get("status") == "True":
            return _instant(condition, "lastTransitionTime")
    return None


def _instant(document: Mapping[str, Any], name: str) -> datetime | None:
    text = _optional(document, name, str)
    return instant(text) if text else None


def _duration(text: str | None) -> timedelta | None:
    """Read a Go duration (`720h0m0s`)."""
    if text is None:
        return None
    try:
        return timedelta(seconds=durationpy.from_str(text).total_seconds())
    except (durationpy.DurationError, OverflowError) as error:
        raise UndecodableError(SkipReason.WRONG_TYPE, f"a duration: {text[:64]!r}") from error


def _seconds(count: int) -> timedelta:
    """Make a length of time of any int."""
    return timedelta(seconds=min(max(count, 0), MAX_GRACE // timedelta(seconds=1)))


# --- fields ---------------------------------------------------------------------------------------


def _optional(document: Mapping[str, Any], name: str, kind: type[_T]) -> _T | None:
    value = document.get(name)
    # True is an int to Python, but not to the API.
    if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    raise UndecodableError(SkipReason.WRONG_TYPE, f"{name} is {type(value).__name__}, not {kind.__name__}")


def _required(document: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = _optional(document, name, kind)
    if value is None or value == "":
        raise UndecodableError(SkipReason.MISSING_FIELD, name)
    return value


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _optional(document, name, dict) or {}


def _mappings(document: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    values = _optional(document, name, list) or []
    if not all(isinstance(value, dict) for value in values):
        raise UndecodableError(SkipReason.WRONG_TYPE, f"{name} holds what is no object")
    return tuple(values)


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = _optional(document, name, list) or []
    if not all(isinstance(value, str) for value in values):
        raise UndecodableError(SkipReason.WRONG_TYPE, f"{name} holds what is no text")
    return tuple(values)
