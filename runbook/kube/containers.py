"""Which of a pod's containers do the work that a drain waits for, and how they ended. Pure.

Sidecars are distinguished because they are often killed at the end of a grace period without any work of their own
(openshift/origin#17101: a proxy that ends with 137 at each drain). Those that Kubernetes knows, init containers with
`restartPolicy: Always`, have statuses of their own (`initContainerStatuses`) and are never looked at here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""The annotation of a pod that names the container which people mean (kubernetes/enhancements KEP-2227)."""

SIDECARS = (
    "*-proxy",  # istio-proxy, linkerd-proxy, cloud-sql-proxy, kube-rbac-proxy, oauth2-proxy, queue-proxy …
    "*-sidecar",  # kuma-sidecar, gke-gcsfuse-sidecar, envoy-sidecar …
    "sidecar-*",
    "consul-dataplane",
    "datadog-agent",
    "daprd",
    "envoy",
    "filebeat",
    "fluent-bit",
    "fluentd",
    "jaeger-agent",
    "otc-container",
    "promtail",
    "telegraf",
    "vault-agent",
    "vector",
    "xray-daemon",
)
"""Names of containers that injectors and charts put beside a workload's own: patterns as of a shell."""


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How a container of a pod ended. `works`: it is one of those that do the pod's own work."""

    container: str
    exit_code: int
    works: bool


def container_ends(pod: Mapping[str, Any]) -> tuple[ContainerEnd, ...]:
    """Return how the containers of a pod (core/v1) ended, as far as they have."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    working = _working(pod, [each.get("name", "") for each in statuses])
    return tuple(
        ContainerEnd(each.get("name", ""), state["terminated"]["exitCode"], each.get("name", "") in working)
        for each in statuses
        if "terminated" in (state := each.get("state") or {})
    )


def _working(pod: Mapping[str, Any], names: Sequence[str]) -> Sequence[str]:
    """Return the containers that do its work: the first of these rules that names any decides."""
    metadata = pod["metadata"]
    default, pod_name = (metadata.get("annotations") or {}).get(DEFAULT_CONTAINER), metadata["name"]
    rules = (
        [name for name in names if name == default],
        [name for name in names if f"{pod_name}-".startswith(f"{name}-")],  # called as the workload is
        [name for name in names if not any(fnmatchcase(name, pattern) for pattern in SIDECARS)],
    )
    return next((found for found in rules if found), names)
