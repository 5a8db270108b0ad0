"""How our expressions are put together: over which labels, and how a value outlives its series. Pure."""

from alerts.settings import MEMORY

USE = "namespace, workload, workload_type, certificate, target"
"""The labels of a workload's use of a certificate."""
RUN = "namespace, workload, workload_type, target"
"""The labels of a target and its run."""
CERTIFICATE = "namespace, certificate"
TARGET = "target, namespace"
WATCH = "resource, watch_namespace"


def held(record: str) -> str:
    """Return the last value of a recorded series within the memory: what is recorded now, if anything is.

    The exporter's own series would not do: after a restart it has another `instance`, and what the old one last said
    would stand beside what the new one says.
    """
    return f"last_over_time({record}[{MEMORY}])"
