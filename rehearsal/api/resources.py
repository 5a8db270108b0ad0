"""The resources that the API serves: one table. Pure.

What is not in the table does not exist, just as a CRD that was not installed: its paths answer 404.
"""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource of the API, in the words of its discovery documents.

    `status` and `scale` say which subresources it has; `generation` whether its metadata counts changes of its spec.
    """

    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    status: bool = False
    scale: bool = False
    generation: bool = False

    @property
    def api_version(self) -> str:
        """Group and version, as objects write them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural with its group, as messages of the API write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def subresources(self) -> tuple[str, ...]:
        """The names of its subresources that answer GET, PUT and PATCH."""
        return (*(("status",) if self.status else ()), *(("scale",) if self.scale else ()))


def _core(plural: str, kind: str, *short: str, **more: bool) -> Resource:
    return Resource("", "v1", plural, kind, short, **more)


def _apps(plural: str, kind: str, short: str, *, scale: bool = True) -> Resource:
    return Resource("apps", "v1", plural, kind, (short,), status=True, scale=scale, generation=True)


def _cert_manager(plural: str, kind: str, *short: str, namespaced: bool = True) -> Resource:
    return Resource("cert-manager.io", "v1", plural, kind, short, namespaced, status=True, generation=True)


def _admission(plural: str, kind: str) -> Resource:
    return Resource("admissionregistration.k8s.io", "v1", plural, kind, namespaced=False, generation=True)


NAMESPACES = _core("namespaces", "Namespace", "ns", namespaced=False, status=True)
NODES = _core("nodes", "Node", "no", namespaced=False, status=True)
PODS = _core("pods", "Pod", "po", status=True, generation=True)
CONFIG_MAPS = _core("configmaps", "ConfigMap", "cm")
SECRETS = _core("secrets", "Secret")
EVENTS = _core("events", "Event", "ev")
QUOTAS = _core("resourcequotas", "ResourceQuota", "quota", status=True)
PERSISTENT_VOLUME_CLAIMS = _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", status=True)
DEPLOYMENTS = _apps("deployments", "Deployment", "deploy")
REPLICA_SETS = _apps("replicasets", "ReplicaSet", "rs")
STATEFUL_SETS = _apps("statefulsets", "StatefulSet", "sts")
DAEMON_SETS = _apps("daemonsets", "DaemonSet", "ds", scale=False)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), status=True, generation=True
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
AUTOSCALERS = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",), status=True
)
CERTIFICATES = _cert_manager("certificates", "Certificate", "cert", "certs")
CERTIFICATE_REQUESTS = _cert_manager("certificaterequests", "CertificateRequest", "cr", "crs")
ISSUERS = _cert_manager("issuers", "Issuer")
CLUSTER_ISSUERS = _cert_manager("clusterissuers", "ClusterIssuer", namespaced=False)
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", ("so",), status=True, generation=True)

JOBS = Resource("batch", "v1", "jobs", "Job", status=True, generation=True)
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", ("cj",), status=True, generation=True)
POLICIES = _admission("validatingadmissionpolicies", "ValidatingAdmissionPolicy")
POLICY_BINDINGS = _admission("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding")

ALWAYS = (
    *(NAMESPACES, NODES, PODS, CONFIG_MAPS, SECRETS, EVENTS, PERSISTENT_VOLUME_CLAIMS),
    *(DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, LEASES, AUTOSCALERS, POD_DISRUPTION_BUDGETS),
    *(CERTIFICATES, CERTIFICATE_REQUESTS, ISSUERS, CLUSTER_ISSUERS),
    *(JOBS, CRON_JOBS, QUOTAS, POLICIES, POLICY_BINDINGS),
)
"""What every embedded cluster serves; `SCALED_OBJECTS` only where KEDA is wanted."""

WORKLOADS = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS)
