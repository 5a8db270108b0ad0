"""What the soak says of growth."""

import pytest

from tests.sampling import Dice
from tests.soak.trend import trend


def noisy(slope: float) -> list[tuple[float, float]]:
    """Return half an hour of looks, one each second, that scatter by 1."""
    chance = Dice(7).source
    return [(second, 90 + slope * second / 3600 + chance.gauss(0, 1)) for second in range(1800)]


def test_noise_is_no_growth() -> None:
    assert not trend(noisy(0)).is_rising


@pytest.mark.parametrize(("slope", "rising"), [(-5.0, False), (5.0, True)])
def test_growth_is_told_from_noise(slope: float, rising: bool) -> None:  # noqa: FBT001
    found = trend(noisy(slope))
    assert found.is_rising is rising
    assert found.slope == pytest.approx(slope, abs=1)


def test_a_short_peak_is_no_growth() -> None:
    looks = noisy(0)
    looks[1700:1710] = [(at, value + 50) for at, value in looks[1700:1710]]
    assert not trend(looks).is_rising


def stepping(*steps: int) -> list[tuple[float, float]]:
    """Return half an hour of looks, of which each is 2 higher from this many seconds on."""
    return [(second, 90.0 + 2 * sum(second >= step for step in steps)) for second in range(1800)]


@pytest.mark.parametrize("steps", [(400,), (900,), (1300,), (300, 1000)])
def test_a_step_or_two_are_no_growth(steps: tuple[int, ...]) -> None:
    assert not trend(stepping(*steps)).is_rising


@pytest.mark.parametrize("every", [60, 180, 240])
def test_step_after_step_is_growth(every: int) -> None:
    assert trend(stepping(*range(0, 1800, every))).is_rising


def test_too_few_looks_are_an_error() -> None:
    with pytest.raises(ValueError, match="9 looks show no trend; 10 would"):
        trend(noisy(0)[:9])
