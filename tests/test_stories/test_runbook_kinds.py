"""Every kind of workload as target or worker, and any number of workers: a whole run ends the same."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.bench.cluster import Object
from tests.test_stories.drained_ground import TARGET, WORKER, drained_ground, serving, working
from tests.test_stories.ground import Ground

pytestmark = pytest.mark.cluster

SECOND = "second"


@dataclass(frozen=True)
class Case:
    """A target and its workers: the workers' names with the replicas that they have before and after."""

    made: Callable[[], list[Object]]
    workers: dict[str, int]


CASES = {
    "statefulset-target": Case(lambda: [serving("StatefulSet", replicas=2), working()], {WORKER: 2}),
    "daemonset-target": Case(lambda: [serving("DaemonSet"), working()], {WORKER: 2}),
    "statefulset-worker": Case(lambda: [serving(), working(kind="StatefulSet", replicas=3)], {WORKER: 3}),
    "no-workers": Case(lambda: [serving(replicas=2)], {}),
    "two-workers": Case(
        lambda: [serving(), working(replicas=1), working(SECOND, "StatefulSet", replicas=2)], {WORKER: 1, SECOND: 2}
    ),
}


@pytest.mark.fault("R27")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.matrix(2)
def test_a_target_of_any_kind_is_restarted_with_its_workers_drained(case: Case, ground: Ground) -> None:
    deployed = case.made()
    kinds = {each["metadata"]["name"]: each["kind"] for each in deployed}
    with drained_ground(ground, deployed) as drained:
        before = {pod["metadata"]["uid"] for name in kinds for pod in ground.pods(name)}
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        drained.assert_settled()
        after = {name: [pod for pod in ground.pods(name) if not _is_ending(pod)] for name in kinds}
        assert {name: len(after[name]) for name in case.workers} == case.workers
        assert before.isdisjoint(pod["metadata"]["uid"] for pods in after.values() for pod in pods)
        causes = drained.get(TARGET, kinds[TARGET])["metadata"]["annotations"]
        assert f"certificate revision {drained.revision}" in causes["kubernetes.io/change-cause"]


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
