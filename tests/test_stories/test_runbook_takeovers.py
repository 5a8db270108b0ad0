"""R13: a run that sleeps between its check and its write, is taken over, and wakes up, changes nothing any more."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.api_proxy import HoldBack, Pass, Reaction, Request, let_pass
from tests.figures import Figures
from tests.runbook_process import RunbookProcess
from tests.test_stories.ground import Ground
from tests.test_stories.working_ground import WorkingGround, working_ground

pytestmark = pytest.mark.cluster

LOCKED = 4


@pytest.fixture
def working(ground: Ground) -> Iterator[WorkingGround]:
    with working_ground(ground) as made:
        yield made


def changed(request: Request, part: str) -> dict[str, Any]:
    """What a request changes in a part of a workload; nothing if it is another request."""
    patches = request.is_write and request.method == "PATCH" and "/apis/apps/" in request.path
    patched = request.document if patches else {}
    found: dict[str, Any] = patched.get(part, {})
    return found


POINTS: dict[str, Callable[[Request], bool]] = {
    "fence": lambda request: "annotations" in changed(request, "metadata"),
    "record": lambda request: request.is_write and "/configmaps" in request.path,
    "scale down": lambda request: changed(request, "spec").get("replicas") == 0,
    "restart": lambda request: "template" in changed(request, "spec"),
    "scale up": lambda request: bool(changed(request, "spec").get("replicas")),
}
"""The first write of each kind; before the scaling down nothing is recorded, and the other begins again."""


@pytest.mark.parametrize(
    "point", ["scale down", *(pytest.param(each, marks=pytest.mark.proof) for each in POINTS if each != "scale down")]
)
@pytest.mark.promise("P4")
def test_r13_who_sleeps_before_a_write_and_was_taken_over_changes_nothing_and_says_so(
    point: str, working: WorkingGround, figures: Figures
) -> None:
    since = working.revision()
    asleep, woken = threading.Event(), threading.Event()
    victim: Future[RunbookProcess] = Future()
    late: list[Request] = []

    def sleep_before(request: Request) -> Reaction:
        if not asleep.is_set() and POINTS[point](request):
            late.append(request)
            victim.result().stop()
            asleep.set()
            return HoldBack(woken)
        return Pass()

    working.proxy.before = working.promised(sleep_before)
    victim.set_result(working.start("restart"))
    assert asleep.wait(60), victim.result().output
    working.proxy.before = working.promised(let_pass)

    ran = working.go_on("--take-over", seconds=300)  # a minute of them the Lease is watched
    assert ran.code == 0, ran
    working.assert_caught_up(restarts=1, since=since)

    slept = len(working.proxy.writes)
    woken.set()
    victim.result().go_on()
    old = victim.result().wait()
    assert old.code == LOCKED, old
    assert old.ended["next_commands"], old
    working.assert_caught_up(restarts=1, since=since)
    landed = [request for request in (*late, *working.proxy.writes[slept:]) if request.status in (200, 201)]
    assert [request.path for request in landed if "/leases/" not in request.path] == []
    figures(f"asleep before the {point}: taken over in {ran.seconds:.0f} s, then refused with {late[0].status}")
