"""Tests notice a damaged core: a sample of its mutants here, all of them in `make proof`."""

import pytest

from tests.figures import Figures
from tests.mutants.core import known_survivors
from tests.mutants.run import Verdict, of_core, tried
from tests.sampling import Dice

SAMPLE = 40
SLOW = "certlag/run_record.py"
"""Its tests take seconds before the first mutant: `make proof` has it."""


@pytest.mark.thorough
def test_of_damage_to_the_core_no_more_survives_than_is_known(figures: Figures) -> None:
    dice = Dice()
    every = [each for each in of_core() if each.module != SLOW]
    module = dice.source.choice(sorted({each.module for each in every}))  # one, since each has its tests to collect
    chosen = dice.sample([each for each in every if each.module == module], SAMPLE)
    survivors = {str(each.mutant) for each in tried(chosen) if each.verdict is Verdict.SURVIVED}
    figures(f"mutants of {module} killed: {len(chosen) - len(survivors)}/{len(chosen)} ({dice})")
    assert survivors <= known_survivors()


@pytest.mark.proof
@pytest.mark.long
def test_all_that_survives_is_known_and_what_is_known_survives(figures: Figures) -> None:
    every = of_core()
    survivors = {str(each.mutant) for each in tried(every) if each.verdict is Verdict.SURVIVED}
    figures(f"mutants of the core killed: {len(every) - len(survivors)}/{len(every)}")
    assert survivors == known_survivors()


def test_each_known_survivor_still_exists() -> None:
    assert known_survivors() <= {str(each) for each in of_core()}


def test_no_two_mutants_have_the_same_name() -> None:
    names = [str(each) for each in of_core()]
    assert len(names) == len(set(names))
