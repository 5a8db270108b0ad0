"""Workers that may not be put back: the command ends with 7, and says which are at 0, why, and what to type.

On the embedded cluster: an hour of tries is over at once.
"""

from collections.abc import Iterator

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from rehearsal.drills.drill import Deed
from rehearsal.drills.scene import WORKER, Scene
from rehearsal.drills.stage import Stage
from tests.staged_runbook import staged_cluster, typed

pytestmark = pytest.mark.thorough

HOSTILE = "only by \x1b[2Jmaria\u202e"
"""What the API server says: an admission webhook writes whatever it likes."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged_cluster() as made:
        yield made


def refuse(code: int) -> Deed:
    """Return what has the API server refuse that the workers are scaled up, by a rule that no dry run is held to."""

    def fault(request: Request) -> Refusal | None:
        patched = request.method == "PATCH" and request.path.endswith(f"/deployments/{WORKER}")
        scaled = patched and (request.body.get("spec") or {}).get("replicas", 0) > 0
        return Refusal(code, "Refused", HOSTILE) if scaled and not request.dry_run else None

    def deed(scene: Scene) -> None:
        scene.live.cluster.api.fault = fault

    return deed


def allow(scene: Scene) -> None:
    scene.live.cluster.api.fault = lambda _: None


@pytest.mark.fault("F42")
@pytest.mark.parametrize("code", [403, 422])
@pytest.mark.matrix(1)
def test_workers_that_may_not_be_put_back_end_with_7_and_are_named_with_the_reason(code: int, stage: Stage) -> None:
    stage.do(refuse(code))
    ran = typed(stage, "restart-build-service", "--yes")
    text = ran.stdout + ran.stderr
    assert ran.code == 7, text
    assert "Workers not fully put back (exit code 7)" in text
    assert f"left at 0, as far as is known: deployment/{WORKER}" in text
    assert "only by" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "did not answer" not in text
    assert "runbook resume-build-service" in text
    assert "runbook abort-build-service" in text
    stage.do(allow)
    assert typed(stage, "resume-build-service", "--yes").code == 0
    assert stage.ready_workers() == 3


@pytest.mark.fault("F42")
def test_programs_are_told_the_same(stage: Stage) -> None:
    stage.do(refuse(422))
    ran = typed(stage, "restart-build-service", "--yes", "--output", "json")
    ended = ran.ended
    assert (ran.code, ended["exit_code"], ended["outcome"]) == (7, 7, "restore_incomplete")
    assert ended["replicas"] == [{"workload": f"deployment/{WORKER}", "replicas": 3}]
    commands = [command.split()[1] for command in ended["next_commands"]]
    assert commands == ["resume-build-service", "abort-build-service"]
