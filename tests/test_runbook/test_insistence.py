"""Going on when the API server does not answer: tried again with patience, but not what would get the same answer."""

from typing import Any

import pytest

from exporter.errors import ClusterError, ClusterErrorReason
from runbook.effects import Get, Steps, Tell, Wait
from runbook.events import Remark
from runbook.insistence import DELAYS, FINAL, insist
from runbook.leases import GivenUpError
from tests.memory_api import failure


def unguarded() -> Steps[None]:
    yield from ()


def ask() -> Steps[str]:
    answer: str = yield Get("/x")
    return answer


def play(errors: list[ClusterError], guard: Any = unguarded) -> tuple[str, list[float], list[str]]:
    """Answer with these errors, then with `here`; return the result, the waits and what was told."""
    steps, waits, told = insist("asking", ask, guard), [], []
    left = iter(errors)
    effect = next(steps)
    while True:
        try:
            match effect:
                case Wait(seconds):
                    waits.append(seconds)
                    effect = steps.send(None)
                case Tell(Remark(text=text)):
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
    with pytest.raises(GivenUpError) as caught:
        play([*[failure(status)] * (len(DELAYS) - 1), last])
    assert str(caught.value) == f"asking: tried for an hour in vain, the last time: {last}"
    assert 3000 < sum(DELAYS) < 4000


def test_no_try_is_made_without_what_guards_it() -> None:
    guarded: list[int] = []

    def guard() -> Steps[None]:
        guarded.append(1)
        yield from ()

    play([failure(503)] * 2, guard)
    assert len(guarded) == 3
