"""Tests notice a damaged core: a sample of its mutants here, all of them in `make proof`."""

import pytest

from tests.figures import Figures
from tests.mutants.core import EQUIVALENT
from tests.mutants.run import Verdict, of_core, tried
from tests.sampling import Dice

SAMPLE = 12


@pytest.mark.parametrize("sample", [SAMPLE, pytest.param(None, marks=[pytest.mark.proof, pytest.mark.long], id="all")])
def test_damage_to_the_core_is_noticed(sample: int | None, figures: Figures) -> None:
    every, dice = [each for each in of_core() if str(each) not in EQUIVALENT], Dice()
    chosen = every if sample is None else dice.sample(every, sample)
    survivors = [str(each.mutant) for each in tried(chosen) if each.verdict is Verdict.SURVIVED]
    by = "" if sample is None else f", {dice}"
    figures(f"mutants of the core killed: {len(chosen) - len(survivors)}/{len(chosen)} (of {len(every)}{by})")
    assert survivors == []


def test_each_mutant_that_is_no_damage_still_exists() -> None:
    assert EQUIVALENT.keys() <= {str(each) for each in of_core()}


def test_no_two_mutants_have_the_same_name() -> None:
    names = [str(each) for each in of_core()]
    assert len(names) == len(set(names))
