"""What is watched: one table of API resources, and the watches that a configuration needs. Pure.

The rights that the exporter needs are exactly what `watches` returns: list and watch, of these, there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from certlag.config.schema import Configuration
from certlag.kube import decode
from certlag.kube.schema import Document
from certlag.model import RESTARTABLE, Target
from certlag.run_record import lease_key, record_key

# Only metadata is wanted of these; the API server strips the rest (KEP-2158 lineage: PartialObjectMetadata).
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

ALL_NAMESPACES = "*"


@dataclass(frozen=True, slots=True)
class Resource:
    """An API resource: its plural name, the path before the namespace, and how its objects are read."""

    name: str
    group_path: str
    decode: Callable[[Document], Any]
    metadata_only: bool = False

    @property
    def accept_list(self) -> str:
        """The Accept header for a list."""
        return _METADATA_LIST if self.metadata_only else "application/json"

    @property
    def accept_watch(self) -> str:
        """The Accept header for a watch."""
        return _METADATA if self.metadata_only else "application/json"


CERTIFICATES = Resource("certificates", "/apis/cert-manager.io/v1", decode.certificate)
CERTIFICATE_REQUESTS = Resource("certificaterequests", "/apis/cert-manager.io/v1", decode.certificate_request)
PODS = Resource("pods", "/api/v1", decode.pod)
REPLICA_SETS = Resource("replicasets", "/apis/apps/v1", decode.replica_set, metadata_only=True)
WORKLOADS = {kind: Resource(f"{kind}s", "/apis/apps/v1", decode.workload(kind)) for kind in RESTARTABLE}
RUN_RECORDS = Resource("configmaps", "/api/v1", decode.run_record)
LEASES = Resource("leases", "/apis/coordination.k8s.io/v1", decode.lease)

FOR_CERTIFICATES = (CERTIFICATES, CERTIFICATE_REQUESTS, PODS, REPLICA_SETS)
"""What an assessment of certificates needs; the rest is about targets and their runs."""


class Watch(NamedTuple):
    """One list-and-watch: a resource in a namespace or in all; only the object of that name, if there is one."""

    resource: Resource
    namespace: str
    name: str | None = None

    @property
    def path(self) -> str:
        """The URL path of the collection."""
        where = "" if self.namespace == ALL_NAMESPACES else f"/namespaces/{self.namespace}"
        return f"{self.resource.group_path}{where}/{self.resource.name}"

    @property
    def parameters(self) -> dict[str, str]:
        """The query that narrows it: by name, so that a Role's resourceNames can allow just that."""
        return {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}


def watches(configuration: Configuration) -> tuple[Watch, ...]:
    """Return the watches that a configuration needs, without repetition."""
    if ALL_NAMESPACES in configuration.discovery.namespaces:
        namespaces = {ALL_NAMESPACES}
    else:
        namespaces = {target.workload.namespace for target in configuration.targets}
        namespaces |= configuration.discovery.namespaces
    broad = [Watch(resource, namespace) for namespace in sorted(namespaces) for resource in FOR_CERTIFICATES]
    by_name = [watch for target in configuration.targets for watch in of_target(target)]
    return tuple(dict.fromkeys(broad + by_name))


def of_target(target: Target) -> Iterator[Watch]:
    """Yield the watches of the single objects that a target and its runs consist of."""
    for workload in (target.workload, *target.workers):
        yield Watch(WORKLOADS[workload.type], workload.namespace, workload.name)
    yield Watch(RUN_RECORDS, *record_key(target))
    yield Watch(LEASES, *lease_key(target.workload))
