"""The fence: a write lands only if our own epoch stood on the object in the read that it was decided on."""

from typing import Any

import pytest

from certlag.errors import ClusterError
from certlag.model import Workload
from runbook.effects import Change, Effect, Steps
from runbook.guard import fence
from runbook.guard.lock import LockLostError
from runbook.kube.views import WorkloadView
from tests.builders import NAMESPACE
from tests.memory_api import failure
from tests.memory_cluster import WORKERS, Driver, Fault, MemoryCluster, NoLock, Perform

WORKER = WORKERS[0]
PATH = fence.workload_path(WORKER)


def nothing() -> Steps[None]:
    yield from ()


def not_ours() -> Steps[None]:
    yield from ()
    raise LockLostError("taken over")


def to_zero(view: WorkloadView) -> Change | None:
    return None if view.replicas == 0 else fence.patch(view, "scale", {"spec": {"replicas": 0}})


def fenced(mark: str = "run-1/1") -> MemoryCluster:
    """A cluster on which a run's fence stands, and no record: which the cluster's own promises are not about."""
    cluster = MemoryCluster()
    cluster.api.witnesses.clear()
    cluster.api.edit(PATH, {"metadata": {"annotations": {"certlag.dev/run": mark}}})
    return cluster


def change(
    cluster: MemoryCluster, *faults: Fault, make: fence.Make = to_zero, confirm: Any = nothing, **changes: Any
) -> WorkloadView:
    asked = {"uid": cluster.workload(WORKER)["metadata"]["uid"], "fence": "run-1/1", **changes}
    steps = fence.change(WORKER, make, lock=NoLock(), confirm=confirm, **asked)
    return Driver(cluster, dict(enumerate(faults))).drive(steps)


def replicas(cluster: MemoryCluster) -> int:
    return int(cluster.workload(WORKER)["spec"]["replicas"])


def test_the_path_of_each_kind_is_the_apis() -> None:
    for kind in ("deployment", "statefulset", "daemonset"):
        assert fence.workload_path(Workload("a", kind, "x")) == f"/apis/apps/v1/namespaces/a/{kind}s/x"


def test_a_patch_carries_the_version_of_the_view_that_it_was_decided_on() -> None:
    cluster = fenced()
    view = Driver(cluster).drive(fence.read(WORKER))
    made = fence.patch(view, "x", {"metadata": {"annotations": {"a": "b"}}})
    assert made.body == {"metadata": {"resourceVersion": view.resource_version, "annotations": {"a": "b"}}}


def test_under_our_own_fence_it_is_written() -> None:
    cluster = fenced()
    assert change(cluster).replicas == 0
    assert replicas(cluster) == 0


def test_under_our_own_fence_the_lock_is_not_asked() -> None:
    cluster = fenced()
    change(cluster, confirm=not_ours)
    assert replicas(cluster) == 0


def test_without_a_fence_of_ours_another_is_replaced() -> None:
    cluster = fenced("run-1/1")
    mark = {"metadata": {"annotations": {"certlag.dev/run": "run-1/2"}}}
    assert change(cluster, make=lambda view: fence.patch(view, "fence", mark), fence=None).fence == "run-1/2"


def test_what_is_so_already_is_not_written() -> None:
    cluster = fenced()
    change(cluster)
    driver = Driver(cluster)
    uid = cluster.workload(WORKER)["metadata"]["uid"]
    steps = fence.change(WORKER, to_zero, uid=uid, fence="run-1/1", lock=NoLock(), confirm=nothing)
    assert driver.drive(steps).replicas == 0
    assert not any(isinstance(effect, Change) for effect in driver.effects)


@pytest.mark.parametrize("mark", ["run-1/2", "run-2/1"])
def test_r13_under_another_epoch_or_run_nothing_is_written(mark: str) -> None:
    cluster = fenced(mark)
    with pytest.raises(LockLostError, match=f"now belongs to run {mark}"):
        change(cluster)
    assert replicas(cluster) == 2


def test_r13_a_fence_that_moved_between_read_and_write_stops_the_write() -> None:
    """SIGSTOP between check and write, a take-over, SIGCONT."""
    cluster = fenced()

    def taken_over(perform: Perform, effect: Effect) -> Any:
        cluster.api.edit(PATH, {"metadata": {"annotations": {"certlag.dev/run": "run-1/2"}}})
        return perform(effect)

    with pytest.raises(LockLostError):
        change(cluster, _plain, taken_over)
    assert replicas(cluster) == 2


def _plain(perform: Perform, effect: Effect) -> Any:
    return perform(effect)


def test_after_a_conflict_record_and_lock_are_read_again_before_another_try() -> None:
    cluster = fenced()

    def labelled(perform: Perform, effect: Effect) -> Any:
        cluster.api.edit(PATH, {"metadata": {"labels": {"seen": "yes"}}})
        return perform(effect)

    with pytest.raises(LockLostError, match="taken over"):
        change(cluster, _plain, labelled, confirm=not_ours)
    assert replicas(cluster) == 2
    cluster = fenced()
    change(cluster, _plain, labelled)
    assert replicas(cluster) == 0, "ours still, so it is tried again from the read"


def test_a_fence_that_somebody_took_off_is_contested() -> None:
    cluster = MemoryCluster()
    with pytest.raises(fence.ContestedError, match=r"its annotation certlag.dev/run was removed") as raised:
        change(cluster)
    assert raised.value.external_change.workload == WORKER
    with pytest.raises(LockLostError, match="taken over"):
        change(cluster, confirm=not_ours)


def test_an_object_that_is_gone_or_another_is_contested() -> None:
    cluster = fenced()
    with pytest.raises(fence.ContestedError, match="deleted and created again"):
        change(cluster, uid="another")
    uid = cluster.workload(WORKER)["metadata"]["uid"]
    cluster.api.delete(PATH)
    with pytest.raises(fence.ContestedError, match="was deleted"):
        change(cluster, uid=uid)


def test_a_write_whose_answer_was_lost_is_found_done() -> None:
    cluster = fenced()

    def lost(perform: Perform, effect: Effect) -> Any:
        perform(effect)
        raise failure(None)

    assert change(cluster, _plain, lost).replicas == 0


def test_a_write_that_is_refused_for_good_is_an_error() -> None:
    cluster, refused = fenced(), {"spec": {"replicas": -1}}
    with pytest.raises(ClusterError, match="negative"):
        change(cluster, make=lambda view: fence.patch(view, "x", refused), confirm=not_ours)


def test_the_first_fence_is_put_on_only_after_the_lock_was_confirmed() -> None:
    cluster = MemoryCluster()
    mark = {"metadata": {"annotations": {"certlag.dev/run": "run-1/1"}}}
    with pytest.raises(LockLostError):
        change(cluster, make=lambda view: fence.patch(view, "fence", mark), fence=None, confirm=not_ours)
    assert cluster.marks() == set()
    change(cluster, make=lambda view: fence.patch(view, "fence", mark), fence=None)
    assert cluster.marks() == {"certlag.dev/run"}


def test_namespaces_do_not_mix() -> None:
    assert fence.workload_path(WORKER).startswith(f"/apis/apps/v1/namespaces/{NAMESPACE}/")


def mark_other(cluster: MemoryCluster, mark: str | None, confirm: Any = nothing) -> list[Change]:
    """Mark an object as one that is no workload; return what was written."""
    driver = Driver(cluster)
    driver.drive(fence.mark_other(PATH, mark, lock=NoLock(), confirm=confirm))
    return [effect for effect in driver.effects if isinstance(effect, Change)]


@pytest.mark.parametrize("annotations", [{}, None])
def test_any_object_is_fenced_once_at_the_version_that_was_read(annotations: dict[str, str] | None) -> None:
    cluster = MemoryCluster()
    cluster.api.edit(PATH, {"metadata": {"annotations": annotations}})
    version = cluster.workload(WORKER)["metadata"]["resourceVersion"]
    (written,) = mark_other(cluster, "run-1/1")
    assert written.what == f"fence deployments/{WORKER.name}"
    assert written.body["metadata"]["resourceVersion"] == version
    assert cluster.workload(WORKER)["metadata"]["annotations"]["certlag.dev/run"] == "run-1/1"
    assert mark_other(cluster, "run-1/1") == []


def test_the_mark_is_taken_off_again() -> None:
    cluster = fenced()
    (written,) = mark_other(cluster, None)
    assert written.what == f"take the mark off deployments/{WORKER.name}"
    assert cluster.marks() == set()
    assert mark_other(cluster, None) == []


def test_what_is_gone_needs_no_fence() -> None:
    cluster = MemoryCluster()
    cluster.api.delete(PATH)
    assert mark_other(cluster, "run-1/1") == []


def test_no_object_is_fenced_without_the_lock() -> None:
    cluster = MemoryCluster()
    with pytest.raises(LockLostError, match="taken over"):
        mark_other(cluster, "run-1/1", confirm=not_ours)
    assert cluster.marks() == set()
