"""Scenarios notice damaged rules: a seeded sample here, all of them by `make mutants`."""

import pytest

from alerts import mutants
from alerts.scenario import rules_with_links
from tests.figures import Figures

SAMPLE, SEED = 5, 7


@pytest.mark.tools
@pytest.mark.parametrize("sample", [SAMPLE, pytest.param(None, marks=pytest.mark.proof)])
def test_a_damaged_rule_is_noticed(sample: int | None, figures: Figures) -> None:
    every = list(mutants.mutants(rules_with_links()))
    chosen = every if sample is None else mutants.sampled(every, sample, SEED)
    survivors = mutants.survivors(chosen)
    figures(f"mutants killed: {len(chosen) - len(survivors)}/{len(chosen)} (of {len(every)})")
    assert [(mutant.rule, mutant.damage) for mutant in survivors] == []


def test_every_rule_is_damaged() -> None:
    damaged: dict[str, int] = {}
    for mutant in mutants.mutants(rules_with_links()):
        damaged[mutant.rule] = damaged.get(mutant.rule, 0) + 1
    assert len(damaged) == len(rules_with_links()["groups"][0]["rules"])
    assert min(damaged.values()) >= 1, damaged
