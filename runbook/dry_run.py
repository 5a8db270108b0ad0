"""A run's writes as server-side dry runs: rights, admission and validation say what they would. Changes nothing."""

from collections.abc import Iterator

from exporter.model import Target
from exporter.run_record import lease_key, record_name
from runbook.effects import Change, Document, Verb
from runbook.fence import patch
from runbook.workloads import RESTART_ANNOTATION, RUN_ANNOTATION, WorkloadView, reference


def dry_run_changes(
    target: Target, views: list[WorkloadView], existing: dict[str, Document], run_id: str
) -> Iterator[Change]:
    """Yield what a run would write, each against the cluster as it is now.

    Args:
        target: what would be restarted.
        views: its workload and workers, as they are.
        existing: Leases and the record that exist already, by their path.
        run_id: of the run that would be.
    """
    namespace = target.workload.namespace
    for workload in (target.workload, *target.workers):
        collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        yield _create_or_touch("coordination.k8s.io/v1", "Lease", collection, lease_key(workload).name, existing)
    collection = f"/api/v1/namespaces/{namespace}/configmaps"
    yield _create_or_touch("v1", "ConfigMap", collection, record_name(target.name), existing)
    for view in views:
        name = reference(view.workload)
        annotations = {"metadata": {"annotations": {RUN_ANNOTATION: f"{run_id}/1"}}}
        if view.workload == target.workload:
            template = {"template": {"metadata": {"annotations": {RESTART_ANNOTATION: f"{run_id}-1"}}}}
            yield patch(view, f"restart {name}", {**annotations, "spec": template})
        else:
            yield patch(view, f"scale {name} to 0", {**annotations, "spec": {"replicas": 0}})


def _create_or_touch(version: str, kind: str, collection: str, name: str, existing: dict[str, Document]) -> Change:
    path = f"{collection}/{name}"
    if path in existing:
        metadata = {"resourceVersion": existing[path]["metadata"]["resourceVersion"]}
        return Change(f"write {kind} {name}", Verb.PATCH, path, {"metadata": metadata})
    return Change(
        f"create {kind} {name}",
        Verb.CREATE,
        collection,
        {"apiVersion": version, "kind": kind, "metadata": {"name": name}},
    )
