"""R7: an API server that does not answer, or refuses, while the workers drain. It is never taken for an answer."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.api_proxy import Answer, Delay, Drop, Pass, Reaction, Request, let_pass
from tests.bench import waiting
from tests.test_stories.drained_ground import WORKER, DrainedGround, Fault, drained_ground
from tests.test_stories.ground import Ground

pytestmark = pytest.mark.cluster

LOOKS = 2

Failure = Callable[[], Reaction]


@pytest.fixture
def drained(ground: Ground) -> Iterator[DrainedGround]:
    with drained_ground(ground) as made:
        yield made


def refusal(status: int, reason: str) -> Failure:
    """What the API server says when it refuses."""
    return lambda: Answer(status, {"kind": "Status", "code": status, "reason": reason, "message": "not now"})


FAILURES: dict[str, Failure] = {
    "forbidden": refusal(403, "Forbidden"),
    "broken": refusal(500, "InternalError"),
    "silent": lambda: Delay(11, Drop()),
}


@pytest.mark.fault("F41")
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.promise("P2")
def test_r7_reads_that_fail_during_the_drain_are_waited_out_and_never_taken_for_no_pods(
    failure: str, drained: DrainedGround
) -> None:
    busy = drained.fault(Fault.BUSY)
    failed: list[Request] = []

    def fail(request: Request) -> Reaction:
        if request.method == "GET" and "watch" not in request.query:
            failed.append(request)
            return FAILURES[failure]()
        return Pass()

    process = drained.runbook.start(*drained.words("restart"))
    process.wait_for("progress", phase="draining")
    drained.proxy.before = fail
    waiting.until("several looks to have failed", lambda: looks(failed) >= LOOKS, 90)
    assert process.is_running, process.output
    drained.proxy.before, failures = let_pass, len(drained.proxy.requests)
    waiting.until("it to look again", lambda: looks(answered(drained.proxy.requests[failures:])) >= LOOKS)
    assert drained.get("one")["spec"]["template"]["metadata"].get("annotations") is None, "not restarted"
    busy.unlink()
    ran = process.wait()
    assert ran.code == 0, ran
    drained.assert_settled(worker=2)


@pytest.mark.fault("F41")
@pytest.mark.parametrize("seconds", [45, pytest.param(90, marks=pytest.mark.proof)])
@pytest.mark.promise("P7")
def test_r11_a_network_that_is_lost_for_longer_than_the_lock_lasts_is_waited_out(
    seconds: int, drained: DrainedGround
) -> None:
    busy = drained.fault(Fault.BUSY)
    process = drained.runbook.start(*drained.words("restart"))
    process.wait_for("progress", phase="draining")
    drained.proxy.before = lambda _: Drop()
    back = time.monotonic() + seconds
    # The workers finish while nobody can see it.
    busy.unlink()
    waiting.until("the network to come back", lambda: time.monotonic() >= back, seconds + 5, interval=0.5)
    assert process.is_running, process.output
    drained.proxy.before = let_pass
    ran = process.wait()
    assert ran.code == 0, ran
    drained.assert_settled(worker=2)


def looks(requests: list[Request]) -> int:
    """How often the drain was looked at: each look begins with the worker; watches read collections."""
    return sum(request.path.endswith(f"/deployments/{WORKER}") for request in requests)


def answered(requests: list[Request]) -> list[Request]:
    """Those that the API server granted."""
    return [request for request in requests if request.status == 200]
