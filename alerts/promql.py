"""How our expressions are put together: over which labels, and how a value outlives what carries it. Pure.

Aggregation drops the exporter's own `instance` and `pod`, so that neither a restart of it nor a second replica makes
another alert. Memory bridges the time in which there is no sample; what is there now always wins, so an alert clears
in the evaluation after its cause is gone.
"""

from alerts.settings import MEMORY

USE = "namespace, workload, workload_type, certificate, target"
"""The labels of a workload's use of a certificate."""
RUN = "namespace, workload, workload_type, target"
"""The labels of a target and its run."""
CERTIFICATE = "namespace, certificate"
TARGET = "target, namespace"
WORKER = f"{RUN}, worker"
WATCH = "resource, watch_namespace"


def held(series: str, labels: str, aggregation: str = "max") -> str:
    """Return the value of a series now or, while there is none, its last one within the memory."""
    by = f"{aggregation} by ({labels})"
    return f"{by} ({series})\nor {by} (last_over_time({series}[{MEMORY}]))"


def held_instant(series: str, labels: str) -> str:
    """As `held`, for an instant: 0 is none. An unguarded `0 - time()` would be the worst of all deadlines."""
    by = f"max by ({labels})"
    return f"{by} ({series} > 0)\nor {by} (last_over_time({series}[{MEMORY}]) > 0)"


def held_result(expression: str, labels: str) -> str:
    """As `held`, for what is computed from series."""
    by = f"max by ({labels})"
    inner = indented(expression)
    return f"{by} (\n{inner}\n)\nor {by} (last_over_time((\n{inner}\n)[{MEMORY}:1m]))"


def while_open(expression: str) -> str:
    """Return an expression about a run only while one is open: its series vanish with it, their memory must too."""
    idle = 'certlag_runbook_state{state="idle"}'
    return f"(\n{indented(expression)}\n)\nunless on ({RUN}) max by ({RUN}) ({idle}) == 1"


def indented(expression: str) -> str:
    """Return an expression two columns further in."""
    return "\n".join(f"  {line}" for line in expression.splitlines())
