"""What can be made to go wrong, as switches. They may be set at any time; `EmbeddedCluster.step` then sees them.

Names of workloads here are those of the label `app` or the prefix of a pod's name; a pod's own name is only that pod.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from rehearsal.objects import Document, labels_of, name_of


@dataclass
class Faults:
    """The switches of one cluster.

    Attributes:
        stuck: workloads whose pods never end: the kubelet can't get rid of their containers.
        unpullable: images that no registry has.
        crashing: workloads whose containers end with exit code 1 soon after each start.
        dead_nodes: nodes whose kubelet does not answer, and whose processes are gone.
        broken_issuers: issuers that sign nothing.
        secret_lag: how old the Secret may be that a container finds mounted (the kubelet's cache).
        controllers_down: kube-controller-manager does nothing: workloads, their status and their pods stay as they are.
        cert_manager_down: cert-manager does nothing: Certificates and their status stay as they are.
        idle: ScaledObjects whose triggers are not active: KEDA scales down what they scale.
        keda_down: KEDA's operator does not run; as it starts again, it reconciles everything.
        issuing_pause: time between two writes of cert-manager: under load they lie minutes apart.
    """

    stuck: set[str] = field(default_factory=set)
    unpullable: set[str] = field(default_factory=set)
    crashing: set[str] = field(default_factory=set)
    dead_nodes: set[str] = field(default_factory=set)
    broken_issuers: set[str] = field(default_factory=set)
    secret_lag: timedelta = timedelta(0)
    controllers_down: bool = False
    cert_manager_down: bool = False
    idle: set[str] = field(default_factory=set)
    keda_down: bool = False
    issuing_pause: timedelta = timedelta(0)


def concerns(names: set[str], pod: Document) -> bool:
    """Tell whether a pod is one of those workloads'."""
    own = name_of(pod)
    return any(name in (own, labels_of(pod).get("app")) or own.startswith(f"{name}-") for name in names)
