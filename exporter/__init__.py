"""The exporter: reads the cluster and the pods, judges, publishes. It never writes to the cluster.

The flow has one direction: Kubernetes and TLS → `state` → `assess` → `exposition` → `server`.
docs/architecture.md has the figure; pyproject.toml has the same as an import contract.
"""
