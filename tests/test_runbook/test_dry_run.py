"""A dry run sends what a run would write, each write against what is there now, and keeps nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.cluster.connection import Connection
from runbook import writes
from runbook.dry_run import dry_run_changes
from runbook.effects import Change, Verb
from runbook.workloads import workload_view
from tests.builders import DEPLOYMENT, a_target
from tests.memory_cluster import LEASES, RECORD
from tests.scripted_api import answer, scripted_api
from tests.workload_documents import WORKER, a_deployment

VIEWS = [workload_view(DEPLOYMENT, a_deployment()), workload_view(WORKER, a_deployment(WORKER, 2))]


def changes(**existing: Any) -> list[Change]:
    return list(dry_run_changes(a_target(), VIEWS, existing, "run-1"))


def test_every_kind_of_write_of_a_run_is_among_them() -> None:
    assert [change.what for change in changes()] == [
        "create Lease certlag-deployment-build-service",
        "create Lease certlag-deployment-worker",
        "create ConfigMap certlag-run-build-service",
        "restart deployment/build-service",
        "scale deployment/worker to 0",
    ]


def test_what_exists_already_is_touched_instead_of_created() -> None:
    there = {"metadata": {"resourceVersion": "5"}}
    found = changes(**{RECORD: there, f"{LEASES}/certlag-deployment-worker": there})
    verbs = {change.what: change.verb for change in found}
    assert verbs["write ConfigMap certlag-run-build-service"] is Verb.PATCH
    assert verbs["write Lease certlag-deployment-worker"] is Verb.PATCH
    assert verbs["create Lease certlag-deployment-build-service"] is Verb.CREATE


def test_every_patch_carries_the_version_that_was_read() -> None:
    for change in changes(**{RECORD: {"metadata": {"resourceVersion": "5"}}}):
        if change.verb is Verb.PATCH:
            assert change.body["metadata"]["resourceVersion"] in ("5", "7")


def test_the_target_is_restarted_and_the_worker_scaled_under_a_fence() -> None:
    restart, scale = changes()[-2:]
    assert restart.body["metadata"]["annotations"] == {"certlag.dev/run": "run-1/1"}
    template = restart.body["spec"]["template"]["metadata"]["annotations"]
    assert template == {"certlag.dev/restart-id": "run-1-1"}
    assert scale.body["spec"] == {"replicas": 0}


# --- how a change is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_write_is_sent_under_our_field_manager_and_as_a_dry_run_only_if_it_is_one(
    tmp_path: Path,
    dry_run: bool,  # noqa: FBT001 - a parameter
) -> None:
    with scripted_api(answer(b"{}")) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path))
        writes.write(connection, changes()[-1], dry_run=dry_run)
        request = api.next_request()
    assert request.query == {"fieldManager": "certlag", **({"dryRun": "All"} if dry_run else {})}
    assert (request.method, request.headers["content-type"]) == ("PATCH", "application/merge-patch+json")
    assert json.loads(request.body)["metadata"]["resourceVersion"] == "7"


def test_a_patch_without_a_version_is_a_bug_and_never_sent(tmp_path: Path) -> None:
    with scripted_api() as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path))
        with pytest.raises(AssertionError, match="without a resourceVersion"):
            writes.write(connection, Change("scale", Verb.PATCH, "/x", {"spec": {"replicas": 0}}))
        assert api.requests.empty()
