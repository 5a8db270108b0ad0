"""The runbook: plans and performs the drained restart. The only code that changes a cluster.

It assesses by `certlag.assess`, as the exporter does; neither of the two imports the other (pyproject.toml has this as
an import contract). The modules of this package itself are the words that its packages share.
"""
