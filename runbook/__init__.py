"""The runbook: plans and performs the drained restart. The only code that changes a cluster.

It may import the exporter's pure modules, its cluster reader and its prober, so that both judge alike; the exporter
never imports it (pyproject.toml has this as an import contract).
"""
