"""The form of the API's documents, as far as they are read: a struct for each object and each part. Pure.

Whatever else a document holds is passed over without being decoded, which is most of it: ten thousand
CertificateRequests take 0.05 s this way, against 0.9 s as dictionaries of everything (docs/performance.md).

Any field may be missing or null: it is None then. One of the wrong type, or a text that is longer than any that the
API has there, makes the document unreadable. `str` is a text of any length, which anyone who reads it bounds: so is all
that the API takes at any length, or anyone who may make an object could hide it.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from certlag.limits import MAX_TEXT
from certlag.run_record import RECORD_KEY

Document = Mapping[str, Any] | bytes | msgspec.Raw
"""An object of the API: parsed JSON, or its text."""

Form = TypeVar("Form")

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
"""A name, an identity, an instant, a word."""


class MalformedError(ValueError):
    """A text or a document is not of the form that it should have."""


class Struct(msgspec.Struct, rename="camel", gc=False):
    """A JSON object whose fields have the API's names."""


class OwnerReference(Struct):
    """Who owns an object. The API server asks only that each is there."""

    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None


class Annotations(msgspec.Struct, gc=False):
    """The annotations that are read. The API takes 256 KiB of them."""

    revision: str | None = msgspec.field(default=None, name="cert-manager.io/certificate-revision")
    port: str | None = msgspec.field(default=None, name="certlag.dev/port")
    ignore_secrets: str | None = msgspec.field(default=None, name="certlag.dev/ignore-secrets")


class Identity(Struct):
    """Of any object's metadata what is known by it: readable also where nothing else of the object is."""

    namespace: Text | None = None
    name: Text | None = None
    resource_version: Text | None = None


class Identified(Struct):
    """Any object, or bookmark: which it is, and which version of it."""

    metadata: Identity | None = None


class Metadata(Struct):
    """Any object's metadata."""

    namespace: Text | None = None
    name: Text | None = None
    uid: Text | None = None
    deletion_timestamp: Text | None = None
    owner_references: list[OwnerReference] | None = None
    annotations: Annotations | None = None


class Named(Struct):
    """Any object: who it is."""

    metadata: Metadata | None = None


class Condition(Struct):
    """One of an object's conditions."""

    type: Text | None = None
    status: Text | None = None
    reason: str | None = None
    last_transition_time: Text | None = None


# --- cert-manager ---------------------------------------------------------------------------------


class IssuerReference(Struct):
    """`Certificate.spec.issuerRef`."""

    kind: Text | None = None
    name: Text | None = None
    group: Text | None = None


class Renewal(Struct):
    """`Certificate.spec.renewal`."""

    policy: Text | None = None


class CertificateSpec(Struct):
    """What is asked for."""

    secret_name: Text | None = None
    common_name: str | None = None
    literal_subject: str | None = None
    dns_names: list[str] | None = None
    ip_addresses: list[str] | None = None
    email_addresses: list[str] | None = None
    uris: list[str] | None = None
    renewal: Renewal | None = None
    issuer_ref: IssuerReference | None = None
    renew_before: Text | None = None
    renew_before_percentage: int | None = None


class CertificateStatus(Struct):
    """What was issued, by its dates."""

    conditions: list[Condition] | None = None
    revision: int | None = None
    not_before: Text | None = None
    not_after: Text | None = None
    renewal_time: Text | None = None


class Certificate(Named):
    """cert-manager.io/v1 Certificate."""

    spec: CertificateSpec | None = None
    status: CertificateStatus | None = None


class CertificateRequestStatus(Struct):
    """What was signed: `certificate` and `ca` are base64 of PEM."""

    certificate: str | None = None
    ca: str | None = None
    conditions: list[Condition] | None = None


class CertificateRequest(Named):
    """cert-manager.io/v1 CertificateRequest."""

    status: CertificateRequestStatus | None = None


# --- pods -----------------------------------------------------------------------------------------


class SecretReference(Struct):
    """A Secret, by whichever of the two names the place has. Where it is optional, the API takes any name for one."""

    name: str | None = None
    secret_name: str | None = None


class VolumeSource(Struct):
    """One source of a projected volume."""

    secret: SecretReference | None = None


class ProjectedVolume(Struct):
    """A projected volume."""

    sources: list[VolumeSource] | None = None


class Volume(Struct):
    """A volume of a pod."""

    name: Text | None = None
    secret: SecretReference | None = None
    projected: ProjectedVolume | None = None


class VolumeMount(Struct):
    """Where a container has a volume."""

    name: Text | None = None


class VariableSource(Struct):
    """Where an environment variable comes from."""

    secret_key_ref: SecretReference | None = None


class Variable(Struct):
    """An environment variable."""

    value_from: VariableSource | None = None


class VariablesSource(Struct):
    """Where many environment variables come from."""

    secret_ref: SecretReference | None = None


class ContainerPort(Struct):
    """A declared port."""

    name: Text | None = None
    container_port: int | None = None
    protocol: Text | None = None


class Container(Struct):
    """A container of a pod's spec."""

    name: Text | None = None
    restart_policy: Text | None = None
    ports: list[ContainerPort] | None = None
    volume_mounts: list[VolumeMount] | None = None
    env: list[Variable] | None = None
    env_from: list[VariablesSource] | None = None


class PodSpec(Struct):
    """A pod's spec, or that of a template."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    termination_grace_period_seconds: int | None = None


class Running(Struct):
    """The state of a container that runs."""

    started_at: Text | None = None


class Terminated(Struct):
    """The state of a container that has ended."""

    finished_at: Text | None = None


class ContainerState(Struct):
    """The state of a container."""

    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct):
    """What became of a container."""

    name: Text | None = None
    container_id: Text | None = msgspec.field(default=None, name="containerID")
    ready: bool | None = None
    state: ContainerState | None = None


class PodStatus(Struct):
    """What became of a pod."""

    pod_ip: Text | None = msgspec.field(default=None, name="podIP")
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Named):
    """v1 Pod."""

    spec: PodSpec | None = None
    status: PodStatus | None = None


# --- targets and their runs -----------------------------------------------------------------------


class PodTemplate(Struct):
    """What a workload's pods are made from."""

    spec: PodSpec | None = None


class WorkloadSpec(Struct):
    """A workload's spec."""

    replicas: int | None = None
    template: PodTemplate | None = None


class Workload(Named):
    """apps/v1 Deployment, StatefulSet or DaemonSet."""

    spec: WorkloadSpec | None = None


class RunRecordData(msgspec.Struct, gc=False):
    """The data of a ConfigMap that holds a run record."""

    record: str | None = msgspec.field(default=None, name=RECORD_KEY)


class RunRecordConfigMap(Named):
    """v1 ConfigMap that holds a run record."""

    data: RunRecordData | None = None


class LeaseSpec(Struct):
    """Who holds a Lease."""

    holder_identity: Text | None = None
    renew_time: Text | None = None


class Lease(Named):
    """coordination.k8s.io/v1 Lease."""

    spec: LeaseSpec | None = None


# --- answers --------------------------------------------------------------------------------------


class ListMetadata(Struct):
    """Where a list stands, and how to go on with it."""

    resource_version: Text | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class ListPage(Struct):
    """One page of a list; its items are read one by one, so that a bad one harms no other."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class Event(Struct):
    """One event of a watch."""

    type: Text
    object: msgspec.Raw


class Status(Struct):
    """meta.k8s.io/v1 Status: why a request or a watch failed."""

    kind: str | None = None
    code: int | None = None
    reason: Text | None = None
    message: str | None = None


def read(document: Document, form: type[Form]) -> Form:
    """Read a document as what it should be.

    Raises:
        MalformedError: it is no JSON, something in it is of another type, or it is nested without end.
    """
    try:
        if isinstance(document, Mapping):
            return msgspec.convert(document, form)
        decoder = _DECODERS.get(form)
        if decoder is None:
            decoder = _DECODERS[form] = msgspec.json.Decoder(form)
        found: Form = decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    return found


def _below(form: type[Struct]) -> Iterator[type[msgspec.Struct]]:
    for below in form.__subclasses__():
        yield below
        yield from _below(below)


_FORMS: tuple[type[msgspec.Struct], ...] = (*_below(Struct), Annotations, RunRecordData)
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {form: msgspec.json.Decoder(form) for form in _FORMS}
"""One for each form, made while there is one thread: msgspec learns a struct's fields when it first needs them, and a
thread that comes while another has it do so ends the process (seen at 4 of 544 starts with release 0.22.0)."""
