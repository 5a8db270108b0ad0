"""Full matrices under the marker `proof`, of which the ordinary run has a seeded sample."""

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

Cell = TypeVar("Cell")

SEED = 20230113
"""Of every sample: what is drawn stays the same from run to run, until the matrix changes."""


def sampled(cells: Sequence[Cell], size: int, *, always: Iterable[Cell] = ()) -> list[ParameterSet]:
    """Return all cells as parameters; those that are not drawn are marked `proof`.

    Args:
        cells: the whole matrix; a cell's `str` is its test's id.
        size: how many are drawn, besides those of `always`.
        always: cells of the ordinary run in any case.
    """
    kept = list(always)
    others = [cell for cell in cells if cell not in kept]
    drawn = [*kept, *random.Random(SEED).sample(others, size)]  # noqa: S311 - draws tests
    return [pytest.param(cell, id=str(cell), marks=() if cell in drawn else pytest.mark.proof) for cell in cells]
