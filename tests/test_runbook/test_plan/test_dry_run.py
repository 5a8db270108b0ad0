"""Every write of a run is tried as a dry run before the first of them, with the object as it will be then."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.transport import Connection
from certlag.run_record import Step
from runbook.effects import Change, Verb
from runbook.guard.fence import workload_path
from runbook.guard.lock import LeaseView, lease_path, lease_view
from runbook.kube import write
from runbook.kube.views import workload_view
from runbook.plan.dry_run import DryRunResults, intended, tried
from tests.disturbed_run import EFFECTS, restart, writing
from tests.memory_cluster import LEASES, SCALED_OBJECT, TARGET, WORKERS, Killed, MemoryCluster, approved
from tests.scripted_api import answer, scripted_api

VARYING = frozenset({"resourceVersion", "kubectl.kubernetes.io/restartedAt"})


def writes_of(cluster: MemoryCluster, *, opens: bool = True, abort: bool = False) -> list[Change]:
    workloads = (TARGET.workload, *WORKERS)
    views = {workload: workload_view(workload, cluster.workload(workload)) for workload in workloads}
    leases: dict[str, LeaseView | None] = dict.fromkeys(map(lease_path, workloads))
    leases |= {path: lease_view(path, held) for path, held in cluster.api.within(LEASES)}
    told, now = approved(cluster), cluster.clock.now()
    return list(intended(told, views, leases, cluster.record, now, opens=opens, abort=abort, revision=2))


def leaves(body: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}/{key}")
        elif key not in VARYING:
            yield f"{path}/{key}", value


def test_every_write_of_a_run_is_among_them() -> None:
    """What is patched in each object is patched in some dry run of it, with the same values."""
    planned = writes_of(MemoryCluster())
    for made in (effect for effect in EFFECTS if isinstance(effect, Change)):
        if made.path.startswith((LEASES, "/api/v1")):  # the lock, the record, events: they are written again and again
            assert any(each.path in made.path for each in planned), made
        else:
            wanted = set(leaves(made.body))
            assert any(wanted <= set(leaves(each.body)) for each in planned if each.path == made.path), made


def test_each_is_sent_with_the_object_as_it_will_be_then() -> None:
    of_worker = [each.body for each in writes_of(MemoryCluster()) if each.path == workload_path(WORKERS[0])]
    fence, down, up, last = of_worker
    marks = {"certlag.dev/run": "run-1/1", "certlag.dev/replicas": "2"}
    assert fence["metadata"]["annotations"] == down["metadata"]["annotations"] == up["metadata"]["annotations"] == marks
    assert (down["spec"], up["spec"]) == ({"replicas": 0}, {"replicas": 2})
    assert last["metadata"]["annotations"] == dict.fromkeys(marks)


def test_what_is_paused_is_paused_and_unpaused() -> None:
    paused, unpaused, _ = (each.body for each in writes_of(MemoryCluster()) if each.path == SCALED_OBJECT)
    assert paused["metadata"]["annotations"]["autoscaling.keda.sh/paused"] == "true"
    assert unpaused["metadata"]["annotations"]["autoscaling.keda.sh/paused"] is None


def test_of_an_open_run_only_what_is_left_is_tried() -> None:
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, writing("restart "), killed)
    assert cluster.record.run is not None
    assert cluster.record.run.step is Step.DRAINED
    resumed = {each.what for each in writes_of(cluster, opens=False)}
    assert "scale deployment/worker-a from 0 to 2" in resumed
    assert not any("to 0" in what for what in resumed)
    assert "restart deployment/build-service (restart-id run-1-2)" in resumed
    aborted = {each.what for each in writes_of(cluster, opens=False, abort=True)}
    assert "scale deployment/worker-a from 0 to 2" in aborted
    assert not any(what.startswith("restart ") for what in aborted)


def killed(*_: object) -> Any:
    raise Killed


def test_without_an_open_run_there_is_nothing_to_resume_but_the_lock() -> None:
    assert all(each.path.startswith(LEASES) for each in writes_of(MemoryCluster(), opens=False))


# --- what the API server says ---

CHANGE = Change("scale deployment/worker to 0", Verb.PATCH, "/x", {})


def refused(status: int | None, message: str = "") -> ClusterError:
    return ClusterError(ClusterErrorReason.SERVER_ERROR, "detail", status=status, message=message)


def test_accepted_writes_are_counted() -> None:
    assert tried([(CHANGE, None)]).sentence == "The API server accepted the only write."
    assert tried([(CHANGE, None)] * 5).sentence == "The API server accepted all 5 writes."


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_what_is_refused_is_denied_with_the_servers_own_words(status: int) -> None:
    denied = tried([(CHANGE, None), (CHANGE, refused(status, "not on Fridays"))])
    assert denied == DryRunResults(1, ((CHANGE.what, "not on Fridays"),))


def test_a_webhook_that_knows_no_dry_run_says_nothing_of_the_real_write() -> None:
    message = 'admission webhook "audit.example.com" does not support dry run'
    unknown = tried([(CHANGE, None), (CHANGE, refused(400, message))])
    assert unknown == DryRunResults(1, (), ((CHANGE.what, message),))
    assert unknown.sentence == "The API server accepted 1 write; 1 could not be tried."


def test_an_event_that_would_be_refused_stands_in_nobodys_way() -> None:
    event = Change("event DryRun", Verb.CREATE, "/api/v1/namespaces/x/events", {})
    assert tried([(event, refused(403, "exceeded quota"))]) == DryRunResults(0, (), ((event.what, "exceeded quota"),))


@pytest.mark.parametrize("status", [None, 401, 429, 500, 503])
def test_an_api_server_that_does_not_say_has_accepted_nothing(status: int | None) -> None:
    with pytest.raises(ClusterError):
        tried([(CHANGE, None), (CHANGE, refused(status))])


# --- how a change is sent ---


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_write_is_sent_under_our_field_manager_and_as_a_dry_run_only_if_it_is_one(
    tmp_path: Path,
    dry_run: bool,  # noqa: FBT001 - a parameter
) -> None:
    body = {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 0}}
    with scripted_api(answer(b"{}")) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path))
        write.write(connection, replace(CHANGE, body=body), dry_run=dry_run)
        request = api.next_request()
    assert request.query == {"fieldManager": "certlag", **({"dryRun": "All"} if dry_run else {})}
    assert (request.method, request.headers["content-type"]) == ("PATCH", "application/merge-patch+json")
    sent = json.loads(request.body)
    assert sent["metadata"] == ({} if dry_run else {"resourceVersion": "7"}), "nothing is kept, so nothing can be lost"
    assert sent["spec"] == {"replicas": 0}


def test_a_patch_without_a_version_is_a_bug_and_never_sent(tmp_path: Path) -> None:
    with scripted_api() as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path))
        with pytest.raises(AssertionError, match="without a resourceVersion"):
            write.write(connection, Change("scale", Verb.PATCH, "/x", {"spec": {"replicas": 0}}))
        assert api.requests.empty()
