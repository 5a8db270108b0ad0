"""The alerts' pages: what each alert means and what to do, as Markdown. Reads this package's own files.

They are in the wheel, so the exporter serves them and `runbook page` prints them without a network.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

RESTART = "runbook restart-${TARGET}"
WITHOUT_RUNBOOK = """
## A restart without runbook

Where runs in the cluster are enabled (`runbook.inCluster.enabled` of the chart), kubectl alone can start a run and
follow it. It does not ask. `${JOB}` is a name that no Job has yet. Repeat the second command while the container is
being created.

```sh
kubectl -n ${NAMESPACE} create job ${JOB} --from=cronjob/certlag-run-${TARGET}
```

```sh
kubectl -n ${NAMESPACE} logs --follow --pod-running-timeout=5m job/${JOB}
```
"""
"""What is added to each page that restarts a target."""
PLACEHOLDERS = """
## Placeholders

`${TARGET}`, `${NAMESPACE}`, `${CERTIFICATE}` and `${WORKLOAD}` (`workload_type`/`workload`) are labels of the alert.
`${RELEASE}` is what stands after `--release` in its text: namespace and name of the chart's release (`helm list -A`).
Where its text has no release, write `-n ${NAMESPACE}` instead. `${EXPORTER_NAMESPACE}` is the exporter's namespace.
"""
"""What is added to each page."""


@cache
def alert_pages() -> Mapping[str, str]:
    """Return the text of each page by the alert's name."""
    markdown = (file for file in files(__name__).iterdir() if file.name.endswith(".md"))
    found = sorted(markdown, key=lambda file: file.name)
    texts = {file.name.removesuffix(".md"): file.read_text("utf-8") for file in found}
    return {name: text + (WITHOUT_RUNBOOK if RESTART in text else "") + PLACEHOLDERS for name, text in texts.items()}
