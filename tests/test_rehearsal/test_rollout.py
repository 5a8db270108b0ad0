"""The arithmetic of rolling updates, over many sizes."""

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.controllers.rollout import Bounds, Size, bounds, next_new, next_old

SIZES = st.builds(lambda wanted, unavailable: Size(wanted, max(0, wanted - unavailable)), *[st.integers(0, 6)] * 2)
LIMITS = st.builds(Bounds, st.integers(0, 3), st.integers(0, 3)).filter(lambda limits: limits != Bounds(0, 0))


@given(st.integers(1, 6), LIMITS, SIZES, st.lists(SIZES, max_size=3))
def test_never_more_pods_are_asked_for_than_replicas_and_surge(
    replicas: int, limits: Bounds, new: Size, old: list[Size]
) -> None:
    others = sum(size.wanted for size in old)
    grown = next_new(replicas, limits, new, tuple(old))
    assert grown <= max(new.wanted, replicas)
    if grown > new.wanted:
        assert grown + others <= replicas + limits.surge


@given(st.integers(1, 6), LIMITS, SIZES, st.lists(SIZES, max_size=3))
def test_no_available_pod_goes_that_is_needed(replicas: int, limits: Bounds, new: Size, old: list[Size]) -> None:
    sizes = next_old(replicas, limits, new, tuple(old))
    before = new.available + sum(size.available for size in old)
    # Those that are not available go first, so no more than what is left of the others is gone.
    after = new.available + sum(min(size.available, left) for size, left in zip(old, sizes, strict=True))
    assert all(0 <= left <= size.wanted for size, left in zip(old, sizes, strict=True))
    assert after >= min(before, replicas - limits.unavailable)


@given(st.integers(1, 6), LIMITS)
def test_every_rollout_comes_to_its_end(replicas: int, limits: Bounds) -> None:
    new, old = Size(0, 0), Size(replicas, replicas)
    for _ in range(100):
        wanted = next_new(replicas, limits, new, (old,))
        new = Size(wanted, wanted)  # what is asked for becomes available
        (left,) = next_old(replicas, limits, new, (old,))
        old = Size(left, left)
    assert (new.wanted, old.wanted) == (replicas, 0)


def test_percentages_are_rounded_as_kubernetes_does() -> None:
    def of(replicas: int, surge: object, unavailable: object) -> Bounds:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        return bounds({"replicas": replicas, "strategy": {"rollingUpdate": rolling}})

    assert of(1, "25%", "25%") == Bounds(1, 0)
    assert of(4, "25%", "25%") == Bounds(1, 1)
    assert of(3, 0, 0) == Bounds(0, 1)


def test_old_pods_stay_while_the_new_one_is_not_available() -> None:
    limits = Bounds(surge=1, unavailable=0)
    assert next_old(2, limits, Size(1, 0), (Size(2, 1),)) == (2,)
    assert next_old(2, limits, Size(1, 1), (Size(2, 1),)) == (1,)
