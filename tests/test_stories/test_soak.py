"""Three minutes of the soak at its full size; `make soak` takes an hour."""

from pathlib import Path

import pytest

from tests.benchmark.outside import MIB
from tests.benchmark.population import Population
from tests.figures import Figures
from tests.sampling import Dice
from tests.soak.deeds import DEEDS, ONCE
from tests.soak.run import soak

MINUTES = 3.0
MOST_GROWTH = 0.25
"""Of the memory when it had warmed up. In three minutes it still grows to its size; an hour tells a leak."""
MOST_DESCRIPTORS = 60


@pytest.mark.small_bench
@pytest.mark.long
@pytest.mark.fault("F43", "F2", "F19", "F22", "N2", "N3", "N4", "F31")
def test_after_minutes_of_faults_by_chance_the_gauges_are_the_truth_and_nothing_was_wrong_meanwhile(
    tmp_path: Path, figures: Figures
) -> None:
    dice = Dice()
    report = soak(Population(2000, 200), MINUTES, dice.seed, tmp_path)
    for figure in report.figures:
        figures(f"{figure} ({dice})")
    assert report.troubles == []
    assert report.course.verdicts > report.course.scrapes
    assert all(report.deeds[deed.__name__] for deed in (*ONCE, *DEEDS))
    first, last = report.second_half[0][1], report.second_half[-1][1]
    assert last.resident < first.resident * (1 + MOST_GROWTH) + 4 * MIB
    assert report.quiet.descriptors < MOST_DESCRIPTORS
