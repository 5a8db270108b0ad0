"""Who is due to be probed, and when."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.model import Endpoint, ObjectKey
from exporter.probe_schedule import FAILING_AT_ONCE, INTERVAL, NOT_READY_DELAY, RETRY_FIRST, SPREAD, Schedule
from tests.field.record import case

A, B, C = (Endpoint(ObjectKey("ns", name), "uid", "10.0.0.1", "main", "id", 443, None) for name in "abc")
EVERYTHING = 1000


def schedule(interval: float = INTERVAL) -> Schedule[str]:
    return Schedule(interval=interval, jitter=random.Random(1))  # noqa: S311 - spreads probes


def due(planned: Schedule[str], now: float) -> set[Endpoint]:
    """Everything that is due, taken."""
    return set(planned.take(now, EVERYTHING))


def test_nobody_is_due_when_nothing_is_wanted() -> None:
    planned = schedule()
    assert due(planned, 1e9) == set()
    assert planned.next_due is None
    assert planned.first_round_ended


def test_what_is_ready_is_due_at_once() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True, B: True}, now=5.0)
    assert planned.next_due == 5.0
    assert due(planned, 4.9) == set()
    assert due(planned, 5.0) == {A, B}


def test_what_is_not_ready_gets_ten_seconds() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: False}, now=0.0)
    assert due(planned, NOT_READY_DELAY - 0.1) == set()
    assert due(planned, NOT_READY_DELAY) == {A}


def test_what_becomes_ready_is_due_at_once() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: False}, now=0.0)
    planned.set_endpoints("x", {A: True}, now=3.0)
    assert due(planned, 3.0) == {A}


def test_what_becomes_ready_after_failures_does_not_wait_for_the_next_try() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: False}, now=0.0)
    now = NOT_READY_DELAY
    for _ in range(8):
        assert due(planned, now) == {A}
        planned.done(A, now, success=False)
        assert planned.next_due is not None
        now = planned.next_due
    planned.set_endpoints("x", {A: True}, now=now - 1)
    assert due(planned, now - 1) == {A}


def test_what_is_in_flight_is_not_taken_again() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True}, now=0.0)
    assert due(planned, 0.0) == {A}
    planned.set_endpoints("x", {A: True}, now=1.0)
    assert due(planned, 1e6) == set()


def test_no_more_than_there_is_room_for_are_taken_and_the_others_stay_due() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True, B: True, C: True}, now=0.0)
    assert planned.take(0.0, 0) == []
    first, second = planned.take(0.0, 2), planned.take(0.0, 2)
    assert (len(first), len(second)) == (2, 1)
    assert {*first, *second} == {A, B, C}


def test_after_a_success_it_is_due_an_interval_later_give_or_take_a_tenth() -> None:
    planned = schedule(interval=100.0)
    planned.set_endpoints("x", {A: True}, now=0.0)
    planned.take(0.0, 1)
    planned.done(A, 10.0, success=True)
    assert due(planned, 10 + 100 * (1 - SPREAD) - 0.1) == set()
    assert due(planned, 10 + 100 * (1 + SPREAD) + 0.1) == {A}


def test_a_thousand_that_were_due_together_are_spread_out() -> None:
    planned = schedule()
    endpoints = [A._replace(port=port) for port in range(1, 1001)]
    planned.set_endpoints("x", dict.fromkeys(endpoints, True), now=0.0)
    for endpoint in planned.take(0.0, EVERYTHING):
        planned.done(endpoint, 0.0, success=True)
    assert len(planned.take(INTERVAL - INTERVAL * SPREAD, EVERYTHING)) < 20
    assert 400 < len(planned.take(INTERVAL, EVERYTHING)) < 600
    assert planned.take(INTERVAL + INTERVAL * SPREAD, EVERYTHING)


def test_after_failures_it_is_due_after_a_second_then_two_up_to_the_interval() -> None:
    planned = schedule(interval=60.0)
    planned.set_endpoints("x", {A: True}, now=0.0)
    now = 0.0
    for attempt in range(50):
        assert due(planned, now) == {A}
        planned.done(A, now, success=False)
        assert planned.next_due is not None
        nominal = min(60.0, RETRY_FIRST * 2**attempt)
        assert nominal * (1 - SPREAD) <= planned.next_due - now <= nominal * (1 + SPREAD)
        now = planned.next_due


def test_a_success_ends_a_series_of_failures() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True}, now=0.0)
    for success in (False, False, False, True, False):
        planned.take(1e6, 1)
        planned.done(A, 1e6, success=success)
        planned.take(2e6, 1)
    planned.done(A, 0.0, success=True)
    planned.expedite("x", 0.0)
    planned.take(0.0, 1)
    planned.done(A, 0.0, success=False)
    assert planned.next_due is not None
    assert planned.next_due <= RETRY_FIRST * (1 + SPREAD)


def test_a_new_certificate_makes_all_its_endpoints_due() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True, B: True}, now=0.0)
    planned.set_endpoints("y", {C: True}, now=0.0)
    for endpoint in planned.take(0.0, EVERYTHING):
        planned.done(endpoint, 0.0, success=True)
    planned.expedite("x", 5.0)
    planned.expedite("nobody", 5.0)
    assert due(planned, 5.0) == {A, B}


def test_what_is_hurried_while_in_flight_is_due_again_when_it_ends() -> None:
    """The attempt may have begun before the certificate was issued."""
    planned = schedule()
    planned.set_endpoints("x", {A: True}, now=0.0)
    planned.take(0.0, 1)
    planned.expedite("x", 1.0)
    assert due(planned, 1.0) == set()
    planned.done(A, 2.0, success=True)
    assert due(planned, 2.0) == {A}
    planned.done(A, 3.0, success=True)
    assert due(planned, 4.0) == set()


def test_what_is_no_longer_wanted_is_never_due() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True, B: True}, now=0.0)
    planned.set_endpoints("x", {B: True}, now=0.0)
    assert due(planned, 1e6) == {B}
    planned.set_endpoints("x", {}, now=0.0)
    planned.done(B, 0.0, success=True)
    assert due(planned, 1e9) == set()


def test_what_two_certificates_want_stays_until_neither_does() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True}, now=0.0)
    planned.set_endpoints("y", {A: True}, now=0.0)
    planned.set_endpoints("x", {}, now=0.0)
    assert due(planned, 0.0) == {A}
    planned.set_endpoints("y", {}, now=0.0)
    planned.done(A, 0.0, success=True)
    assert due(planned, 1e9) == set()


def test_an_answer_of_what_was_withdrawn_and_is_wanted_again_does_no_harm() -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True}, now=0.0)
    planned.take(0.0, 1)
    planned.set_endpoints("x", {}, now=1.0)
    planned.set_endpoints("x", {A: True}, now=2.0)
    assert due(planned, 2.0) == {A}
    planned.done(A, 3.0, success=True)
    planned.done(A, 4.0, success=True)
    assert due(planned, 4 + INTERVAL * (1 + SPREAD)) == {A}
    assert due(planned, 1e9) == set()


@pytest.mark.parametrize("success", [True, False])
def test_the_first_round_has_ended_when_all_that_is_ready_was_tried(*, success: bool) -> None:
    planned = schedule()
    planned.set_endpoints("x", {A: True, B: True, C: False}, now=0.0)
    assert not planned.first_round_ended
    for endpoint in planned.take(0.0, EVERYTHING):
        assert not planned.first_round_ended
        planned.done(endpoint, 0.0, success=success)
    assert planned.first_round_ended


steps = st.lists(
    st.tuples(
        st.sampled_from(["set_endpoints", "take", "done", "expedite"]),
        st.sampled_from("xy"),
        st.dictionaries(st.sampled_from([A, B, C]), st.booleans()),
        st.booleans(),
        st.floats(0, 400),
    ),
    max_size=40,
)


@given(steps)
def test_whatever_happens_all_that_is_wanted_is_probed_again_and_nothing_else(
    happened: list[tuple[str, str, dict[Endpoint, bool], bool, float]],
) -> None:
    planned, now = schedule(), 0.0
    wanted: dict[str, dict[Endpoint, bool]] = {}
    flying: list[Endpoint] = []
    for what, owner, endpoints, success, passed in happened:
        now += passed
        if what == "set_endpoints":
            planned.set_endpoints(owner, endpoints, now)
            wanted[owner] = endpoints
        elif what == "take":
            taken = planned.take(now, 2)
            assert set(taken) <= set().union(*wanted.values())
            flying += taken
        elif what == "expedite":
            planned.expedite(owner, now)
        elif flying:
            planned.done(flying.pop(), now, success=success)
    for endpoint in flying:
        planned.done(endpoint, now, success=True)
    assert set(planned.take(now + 2 * INTERVAL, EVERYTHING)) == set().union(*wanted.values())


@case(
    "W9",
    kind="Found by tests: wrong answers of the exporter",
    situation="1,000 new pods accept connections and say nothing.",
    says="An endpoint that answered last keeps its interval. Before: it was probed minutes late.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("F29")
def test_one_that_answers_keeps_its_interval_beside_a_thousand_new_ones_that_never_do() -> None:
    interval, timeout, probers, now = 60.0, 3.0, 16, 0.0
    planned = schedule(interval)
    planned.set_endpoints("alive", {B: True}, now)
    asked: list[float] = []
    waiting: list[tuple[float, Endpoint]] = []
    while now < 10 * interval:
        for endpoint in planned.take(now, probers - len(waiting)):
            if endpoint == B:
                asked.append(now)
                planned.done(B, now, success=True)
                planned.set_endpoints("dead", {A._replace(port=number): True for number in range(1, 1001)}, now)
            else:
                waiting.append((now + timeout, endpoint))
        ends = [waiting[0][0]] if waiting else []
        due_at = planned.next_due if len(waiting) < probers else None
        now = min(each for each in (*ends, due_at) if each is not None)
        while waiting and waiting[0][0] <= now:
            planned.done(waiting.pop(0)[1], now, success=False)
    assert len(asked) >= 9
    assert max(later - before for before, later in pairwise(asked)) <= interval * (1 + SPREAD) + timeout


@pytest.mark.fault("F29")
def test_a_thousand_dead_endpoints_do_not_keep_a_living_one_waiting() -> None:
    planned = schedule()
    dead = [A._replace(port=number) for number in range(1, 1001)]
    planned.set_endpoints("dead", dict.fromkeys(dead, True), now=0.0)
    for endpoint in planned.take(0.0, EVERYTHING):
        planned.done(endpoint, 0.0, success=False)
    planned.set_endpoints("alive", {B: True}, now=5.0)
    taken = planned.take(5.0, 16)
    assert taken[0] == B
    assert len(taken) == 1 + FAILING_AT_ONCE
    planned.set_endpoints("alive", {B: True, C: True}, now=5.0)
    assert planned.take(5.0, 16) == [C]
    assert planned.next_due is None, "no dead one may be taken before another has ended"
    planned.done(taken[1], 8.0, success=False)
    assert len(planned.take(8.0, 16)) == 1
