"""The core that exporter and runbook share: what is watched, how it is read, and how it is assessed.

It starts no thread and changes nothing. `assess` is the one assessment: a pure function of what is known and the time.
Nothing here knows the exporter, the runbook or the rehearsal (pyproject.toml has this as an import contract).
"""
