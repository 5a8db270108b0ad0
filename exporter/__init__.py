"""The exporter: reads the cluster and the pods, assesses, publishes. It never writes to the cluster.

The flow has one direction: what `certlag` has assessed → metrics and page → http. docs/architecture.md has the figure;
pyproject.toml has the same as an import contract.
"""
