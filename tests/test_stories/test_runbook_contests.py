"""Somebody else at work during a run: contested, with who and when, nothing made worse, and a way to go on.

Each deed is done at each step at which it can be: right after the record says the step, before the runbook hears that.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import pytest

from certlag.run_record import Step
from tests.api_proxy import Answer, Pass, Reaction, Request
from tests.bench import waiting
from tests.bench.cluster import Object
from tests.field.record import case
from tests.runbook_process import Ran
from tests.test_stories.drained_ground import TARGET, WORKER, DrainedGround, Fault, drained_ground
from tests.test_stories.ground import Ground

pytestmark = pytest.mark.cluster

CONTESTED, REFUSED = 9, 3
RECORDED = 2
"""Replicas of the worker before a run."""
SCALED = 3
"""What somebody scales it to."""
AT = r"at \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
SEEN = rf"seen {AT}"
"""Where the API server does not say when: of a deletion, and of a write through the subresource `scale`."""
BY_KUBECTL = rf"by kubectl\S* \(Update\)(, seen)? {AT}"


class Deed(StrEnum):
    """What somebody does."""

    SCALE = "the-worker-scaled"
    UNDO = "the-restart-undone"
    DELETE_WORKER = "the-worker-deleted"
    RECREATE_WORKER = "the-worker-recreated"
    DELETE_TARGET = "the-target-deleted"
    RECREATE_TARGET = "the-target-recreated"


def undo(drained: DrainedGround) -> None:
    """Undo the restart, once its controller has made of it what can be undone."""
    sets = f"/apis/apps/v1/namespaces/{drained.ground.namespace}/replicasets?labelSelector=app%3D{TARGET}"
    waiting.until("the restart's ReplicaSet", lambda: len(drained.cluster.api("GET", sets)["items"]) > 1)
    drained.kubectl("rollout", "undo", f"deployment/{TARGET}")


DOINGS: dict[Deed, Callable[[DrainedGround], object]] = {
    Deed.SCALE: lambda drained: drained.scale(SCALED),
    Deed.UNDO: undo,
    Deed.DELETE_WORKER: lambda drained: drained.delete(WORKER),
    Deed.RECREATE_WORKER: lambda drained: drained.recreate(WORKER),
    Deed.DELETE_TARGET: lambda drained: drained.delete(TARGET),
    Deed.RECREATE_TARGET: lambda drained: drained.recreate(TARGET),
}
TOLD = {
    Deed.SCALE: rf"deployment/worker: was scaled .*to {SCALED}.*, {BY_KUBECTL}",
    Deed.UNDO: rf"deployment/one: the restart was reverted or superseded, {BY_KUBECTL}",
    Deed.DELETE_WORKER: rf"deployment/worker: was deleted, {SEEN}",
    Deed.RECREATE_WORKER: rf"deployment/worker: was deleted and created again, {SEEN}",
    Deed.DELETE_TARGET: rf"deployment/one: was deleted, {SEEN}",
    Deed.RECREATE_TARGET: rf"deployment/one: was deleted and created again, {SEEN}",
}
DRAINED = (Step.SCALED_DOWN, Step.DRAINED, Step.RESTARTING, Step.RESTARTED)
"""From the drain to the verification."""
STEPS = {
    Deed.SCALE: (*DRAINED, Step.VERIFIED),
    Deed.UNDO: (Step.RESTARTING, Step.RESTARTED),
    Deed.DELETE_WORKER: (*DRAINED, Step.VERIFIED, Step.SCALED_UP),
    Deed.RECREATE_WORKER: (*DRAINED, Step.VERIFIED, Step.SCALED_UP),
    Deed.DELETE_TARGET: DRAINED,
    Deed.RECREATE_TARGET: DRAINED,
}


class Next(StrEnum):
    """What the operator types then."""

    RESUME = "resume"
    ABORT = "abort"


@dataclass(frozen=True)
class Cell:
    """A deed at a step of a run, and the command after it."""

    deed: Deed
    step: Step
    then: Next

    def __str__(self) -> str:
        """As the test's id."""
        return f"{self.deed}-at-{self.step}-then-{self.then}"


CELLS = [Cell(deed, step, then) for deed, steps in STEPS.items() for step in steps for then in Next]


@case(
    "W17",
    kind="Found by tests: wrong endings and answers of a run",
    situation="Somebody scales the workers or undoes the restart while the run verifies.",
    says="Contested, exit code 9. Before: noticed only during the drain and the rollout.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("F39")
@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.promise("P6")
@pytest.mark.matrix(5)
def test_somebody_elses_deed_during_a_run_is_contested_and_then_resumed_or_aborted(cell: Cell, ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.once_at(cell.step, lambda: DOINGS[cell.deed](drained))
        ran = drained.run("restart")

        assert_contested(ran, TOLD[cell.deed])
        run = drained.open_run
        assert run is not None, "the record is kept"
        assert run["workers"] == {f"deployment/{WORKER}": RECORDED}
        assert run["ended"]["outcome"] == "contested"
        assert_nothing_made_worse(cell, drained)

        if cell.deed is Deed.SCALE:
            wait_scaled(drained)
        then = drained.run(cell.then)
        if cell.then is Next.RESUME and cell.deed not in (Deed.SCALE, Deed.UNDO):
            assert then.code == REFUSED, str(then)
            assert re.search("created again|does not exist", then.ended["message"]), "what it was is gone"
            assert any("abort-one" in command for command in then.ended["next_commands"])
            then = drained.run(Next.ABORT)
        assert then.code == 0, str(then)
        assert drained.open_run is None
        assert_as_somebody_or_the_record_wants(cell, drained)


def wait_scaled(drained: DrainedGround) -> None:
    """Wait until all pods run: the kernel keeps a SIGTERM from a shell that has not set its trap yet."""
    drained.cluster.wait(drained.path(WORKER), lambda seen: seen["status"].get("readyReplicas") == SCALED)


def assert_contested(ran: Ran, told: str) -> None:
    """It says what was done, by whom and when, and how to go on."""
    assert ran.code == CONTESTED, str(ran)
    assert re.search(told, ran.ended["message"]), ran.ended["message"]
    assert ran.goes_on == ["resume-one", "abort-one"]


def assert_nothing_made_worse(cell: Cell, drained: DrainedGround) -> None:
    """Their deed stands as they did it."""
    match cell.deed:
        case Deed.SCALE:
            assert drained.replicas() == SCALED
        case Deed.DELETE_WORKER:
            assert not exists(drained, WORKER)
        case Deed.RECREATE_WORKER:
            assert drained.replicas() == RECORDED
        case Deed.DELETE_TARGET:
            assert not exists(drained, TARGET)
            assert drained.replicas() == 0, "left drained"
        case Deed.UNDO | Deed.RECREATE_TARGET:
            assert "certlag.dev/restart-id" not in template_annotations(drained)
            assert drained.replicas() == 0, "left drained"


def assert_as_somebody_or_the_record_wants(cell: Cell, drained: DrainedGround) -> None:
    """Workers are back, unless somebody wanted them otherwise and the operator has not said to go on anyway."""
    if cell.deed is Deed.DELETE_WORKER:
        assert not exists(drained, WORKER)
        return
    kept = cell.deed is Deed.SCALE and (cell.then is Next.ABORT or cell.step is Step.VERIFIED)
    assert drained.replicas() == (SCALED if kept else RECORDED)
    if cell.deed is Deed.DELETE_TARGET:
        assert not exists(drained, TARGET)
    elif cell.then is Next.RESUME and cell.deed in (Deed.SCALE, Deed.UNDO):
        drained.assert_settled(worker=SCALED if kept else RECORDED)


def exists(drained: DrainedGround, name: str) -> bool:
    collection = drained.path(name).rpartition("/")[0]
    return name in [each["metadata"]["name"] for each in drained.cluster.api("GET", collection)["items"]]


def template_annotations(drained: DrainedGround) -> dict[str, str]:
    annotations: dict[str, str] = drained.get(TARGET)["spec"]["template"]["metadata"].get("annotations") or {}
    return annotations


@pytest.mark.promise("P6", "before the drain: contested")
def test_what_is_contested_before_the_drain_has_changed_nothing(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.once_at(Step.PAUSED_AUTOSCALER, lambda: drained.scale(SCALED))
        ran = drained.run("restart")
        assert ran.code == CONTESTED, str(ran)
        assert "nothing was changed" in ran.ended["message"]
        assert re.search(BY_KUBECTL, ran.ended["message"])
        assert (drained.replicas(), drained.open_run, drained.marks()) == (SCALED, None, {})
        (again,) = (command for command in ran.ended["next_commands"] if "restart-one" in command)
        assert again
        wait_scaled(drained)
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=SCALED)


@pytest.mark.promise("restoring: contested")
def test_workers_scaled_to_0_while_they_are_put_back_are_not_called_restored(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        drained.once_at(Step.SCALED_UP, lambda: drained.scale(0))
        ran = drained.run("restart")
        # Who it was is not known: in the subresource `scale`, 0 is an absent field, and managedFields lose its writer.
        assert_contested(ran, rf"deployment/worker: was scaled to 0 again.*, {SEEN}")
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


# --- controllers that keep at it ------------------------------------------------------------------


@contextmanager
def kept_at(act: Callable[[], object], every: float = 0.2) -> Iterator[None]:
    """Have a controller act again and again, until the block ends."""
    stopping = threading.Event()
    failed: list[BaseException] = []

    def loop() -> None:
        try:
            while not stopping.wait(every):
                act()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    controller = threading.Thread(target=loop, name="controller")
    controller.start()
    try:
        yield
    finally:
        stopping.set()
        controller.join()
    if failed:
        raise failed[0]


def applied(drained: DrainedGround, name: str) -> Callable[[], object]:
    """Return what GitOps does: server-side apply of what stands in a repository, over whatever is there."""
    metadata = drained.get(name)["metadata"]["annotations"]
    document = metadata["kubectl.kubernetes.io/last-applied-configuration"]
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "--filename=-")
    return lambda: drained.kubectl(*words, stdin=document)


def test_r17_a_gitops_loop_that_reverts_the_restart_is_contested_and_named(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        # What it wants of the annotations is that they are as in its repository: it removes what is ours.
        sweep = [{"op": "remove", "path": "/spec/template/metadata/annotations"}]

        def revert() -> None:
            if template_annotations(drained):
                drained.kubectl(
                    *("patch", f"deployment/{TARGET}", "--type=json", f"--patch={json.dumps(sweep)}"),
                    "--field-manager=gitops",
                )

        with kept_at(revert):
            ran = drained.run("restart")
            assert_contested(ran, r"deployment/one: the restart was reverted or superseded, by \S+ \(\w+\) at \d{4}-")
            assert drained.replicas() == 0, "left drained"
            ran = drained.run("resume")
            assert_contested(ran, "deployment/one: the restart was reverted or superseded")
        ran = drained.run("resume")
        assert ran.code == 0, str(ran)
        drained.assert_settled(worker=RECORDED)


def test_r16_a_gitops_loop_that_scales_the_workers_back_is_contested_and_named(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        busy = drained.fault(Fault.BUSY)  # the drain waits for the loop
        with kept_at(applied(drained, WORKER)):
            ran = drained.run("restart")
            assert_contested(ran, r"deployment/worker: was scaled .*to 2.*, by gitops \(Apply\) at \d{4}-")
            assert template_annotations(drained) == {}, "it was not restarted with workers at work"
        busy.unlink()
        ran = drained.run("abort")
        assert ran.code == 0, str(ran)
        assert (drained.replicas(), drained.open_run, drained.marks()) == (RECORDED, None, {})


def test_r14_an_hpa_rests_while_its_worker_is_at_0_and_is_not_in_the_way(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "of-the-worker"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKER},
                "minReplicas": 2,
                "maxReplicas": 5,
            },
        }
        ground.apply(autoscaler)
        path = f"/apis/autoscaling/v2/namespaces/{ground.namespace}/horizontalpodautoscalers/of-the-worker"

        def able(seen: Object) -> bool:
            return "AbleToScale" in str(seen.get("status", {}))

        def resting(seen: Object) -> bool:
            said = {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}
            return any(said.items() <= each.items() for each in seen["status"]["conditions"])

        ground.cluster.wait(path, able)
        busy = drained.fault(Fault.BUSY)
        run = drained.runbook.start(*drained.words("restart"))
        run.wait_for("progress", phase="draining")
        ground.cluster.wait(path, resting)
        assert drained.replicas() == 0, "it has looked, and left it there"
        busy.unlink()
        ran = run.wait()
        assert ran.code == 0, str(ran)
        (check,) = (each for each in ran.events[0]["checks"] if each["name"] == "autoscaler")
        assert check["result"] == "passed"
        assert "HorizontalPodAutoscaler of-the-worker scales deployment/worker" in check["text"]
        drained.assert_settled(worker=RECORDED)


def test_r14_an_hpa_that_may_scale_from_0_is_refused_before_anything(ground: Ground) -> None:
    # Kubernetes takes minReplicas 0 with a feature gate only, so the list is answered by the proxy.
    with drained_ground(ground) as drained:
        autoscaler = {
            "metadata": {"name": "from-0"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": WORKER}, "minReplicas": 0, "maxReplicas": 5},
        }

        def answer(request: Request) -> Reaction:
            listed = {"items": [autoscaler], "metadata": {}}
            return Answer(200, listed) if request.path.endswith("/horizontalpodautoscalers") else Pass()

        drained.proxy.before = answer
        ran = drained.run("restart")
        assert ran.code == REFUSED, str(ran)
        assert "HorizontalPodAutoscaler from-0 scales deployment/worker from 0" in ran.ended["message"]
        assert drained.proxy.writes == []
