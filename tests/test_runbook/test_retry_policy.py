"""Going on when the API server does not answer: tried again with patience, but not what would get the same answer."""

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from runbook.effects import Emit, Get, Steps, Wait
from runbook.events import Notice
from runbook.retry_policy import DELAYS, FINAL, Keeper, RetriesExhaustedError, with_retries
from tests.memory_api import failure
from tests.memory_cluster import NoLock

NO_LOCK = NoLock()


def ask() -> Steps[str]:
    answer: str = yield Get("/x")
    return answer


def play(errors: list[ClusterError], lock: Keeper = NO_LOCK) -> tuple[str, list[float], list[str]]:
    """Answer with these errors, then with `here`; return the result, the waits and what was told."""
    steps, waits, told = with_retries("asking", ask, lock), [], []
    left = iter(errors)
    effect = next(steps)
    while True:
        try:
            match effect:
                case Wait(seconds):
                    waits.append(seconds)
                    effect = steps.send(None)
                case Emit(Notice(text=text)):
                    told.append(text)
                    effect = steps.send(None)
                case _:
                    error = next(left, None)
                    effect = steps.throw(error) if error else steps.send("here")
        except StopIteration as ended:
            return ended.value, waits, told


def test_an_answer_is_returned_at_once() -> None:
    assert play([]) == ("here", [], [])


@pytest.mark.parametrize("status", [None, 401, 403, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_a_while(status: int | None) -> None:
    answer, waits, _ = play([failure(status)] * 3)
    assert answer == "here"
    assert waits == list(DELAYS[:3])


@pytest.mark.parametrize("status", sorted(FINAL))
def test_what_time_does_not_mend_is_raised_at_once(status: int) -> None:
    with pytest.raises(ClusterError) as caught:
        play([failure(status)])
    assert caught.value.status == status


def test_a_conflict_is_tried_again_without_a_wait() -> None:
    assert play([failure(409)]) == ("here", [], [])


def test_the_servers_own_wish_to_be_left_alone_is_heeded_up_to_half_a_minute() -> None:
    def throttled(seconds: float) -> ClusterError:
        return ClusterError(ClusterErrorReason.THROTTLED, "x", status=429, retry_after=seconds)

    assert play([throttled(7), throttled(3600)])[1] == [7, 30]


def test_long_trouble_is_told_now_and_then() -> None:
    _, waits, told = play([failure(503)] * 30)
    assert len(waits) == 30
    assert len(told) == 2
    assert all(text.startswith("asking: ") for text in told)


@pytest.mark.parametrize("status", [None, 403, 503])
def test_an_hour_in_vain_is_given_up_with_what_the_last_try_got(status: int | None) -> None:
    last = failure(status, "the last one")
    with pytest.raises(RetriesExhaustedError) as caught:
        play([*[failure(status)] * (len(DELAYS) - 1), last])
    assert str(caught.value) == f"asking: tried {len(DELAYS)} times in vain, the last time: {last}"
    assert 3000 < sum(DELAYS) < 4000


def test_no_try_is_made_without_the_lock() -> None:
    held: list[int] = []

    class Counting(NoLock):
        def renew_if_due(self) -> Steps[None]:
            held.append(1)
            yield from ()

    play([failure(503)] * 2, Counting())
    assert len(held) == 3


DENIALS = [
    (403, 'deployments.apps "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'),
    (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'),
    (400, 'admission webhook "deny.example.com" denied the request: no'),
    (403, 'admission webhook "deny.example.com" denied the request: no'),
    (500, 'admission webhook "deny.example.com" denied the request without explanation'),
    (409, 'admission webhook "deny.example.com" denied the request: no'),
    (422, "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no"),
    (401, "deployments.apps \"x\" is forbidden: ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no"),
]


@pytest.mark.parametrize(("status", "message"), DENIALS)
def test_what_admission_denies_is_final_whatever_its_status(status: int, message: str) -> None:
    with pytest.raises(ClusterError) as caught:
        play([denial(status, message)])
    assert caught.value.denied


TRANSIENT = [
    (403, 'deployments.apps "x" is forbidden: User "jane" cannot patch resource "deployments" in API group "apps"'),
    (403, ""),
    (500, 'Internal error occurred: failed calling webhook "deny.example.com": context deadline exceeded'),
]


@pytest.mark.parametrize(("status", "message"), TRANSIENT)
def test_what_may_pass_is_no_denial(status: int, message: str) -> None:
    answer, waits, _ = play([denial(status, message)])
    assert (answer, len(waits)) == ("here", 1)


def denial(status: int, message: str) -> ClusterError:
    return ClusterError(ClusterErrorReason.SERVER_ERROR, "x", status=status, message=message)
