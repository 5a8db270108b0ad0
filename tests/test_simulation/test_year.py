"""Months and years on a clock that is moved: after every event the gauges are true, every write keeps the promises.

Each walk has a seed of its own, drawn from the run's. One that fails tells its seed and what had happened before, and
is walked again with `CERTLAG_SEED` and its test, or alone by `python -m tests.simulation`.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.figures import Figures
from tests.sampling import Dice
from tests.simulation.figures import Figures as Walked
from tests.simulation.incidents import DEEDS, MISFORTUNES
from tests.simulation.walk import BUSY, CALM, Pace, Walk

pytestmark = pytest.mark.thorough
YEARS, MONTHS, WEEKS = timedelta(days=1080), timedelta(days=180), timedelta(days=10)
WALKS_OF_A_PROOF = 10


def walk(number: int, pace: Pace, length: timedelta, figures: Figures) -> Walked:
    """Walk with the run's seed, so many further; state what was walked through."""
    dice = Dice()
    try:
        walked = Walk(dice.seed + number, pace).live(length)
    except Exception as error:
        error.add_note(f"CERTLAG_SEED={dice.seed} repeats it")
        raise
    figures(f"{walked}; {dice}")
    return walked


def test_for_months_the_gauges_are_true_and_the_promises_hold(figures: Figures) -> None:
    walked = walk(0, CALM, MONTHS, figures)
    assert walked.days >= MONTHS / timedelta(days=1)
    assert walked.compared > walked.days, "there was hardly anything to see"
    assert walked.endings["done"] > 0, "nobody restarted anything"


@pytest.mark.fault("N3")
def test_when_misfortunes_meet_the_gauges_are_true_and_the_promises_hold(figures: Figures) -> None:
    walked = walk(2, BUSY, WEEKS, figures)
    assert walked.endings["done"] > 0, "nobody restarted anything"


def test_a_seed_walks_the_same_way_again() -> None:
    dice = Dice()
    days = replace(BUSY, season=timedelta(days=2))
    first, second = Walk(dice.seed, days), Walk(dice.seed, days)
    lived = [each.live(days.season) for each in (first, second)]
    assert lived[0] == lived[1], f"{dice}"
    assert first.diary == second.diary, f"{dice}"


@pytest.mark.proof
@pytest.mark.parametrize("pace", [pytest.param(CALM, id="calm"), pytest.param(BUSY, id="busy")])
def test_of_all_that_can_happen_nothing_makes_a_gauge_wrong_or_breaks_a_promise(pace: Pace, figures: Figures) -> None:
    length = YEARS if pace is CALM else 8 * WEEKS
    walks = [walk(number, pace, length, figures) for number in range(WALKS_OF_A_PROOF)]
    happened = sum((walked.deeds + walked.misfortunes for walked in walks), Counter[str]())
    possible = {deed.name for deed in DEEDS} | {misfortune.name for misfortune in MISFORTUNES}
    assert possible <= happened.keys(), "too short to try everything"
