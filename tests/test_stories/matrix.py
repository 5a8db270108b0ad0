"""Full matrices under the marker `proof`, of which the ordinary run has a seeded sample."""

import random
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import pytest
from _pytest.mark import ParameterSet

from tests.figures import Figures

Cell = TypeVar("Cell")

SEED = 20230113
"""Of every sample: what is drawn stays the same from run to run, until the matrix changes."""


class Matrix(Generic[Cell]):
    """Cells, each a parameter of one test; a cell's `str` is that test's id."""

    def __init__(self, cells: Iterable[Cell], sample: int, *, always: Iterable[Cell] = ()) -> None:
        """Draw `sample` cells for the ordinary run, besides those that are `always` in it."""
        self.cells: Sequence[Cell] = tuple(cells)
        kept = tuple(always)
        others = [cell for cell in self.cells if cell not in kept]
        self.drawn: Sequence[Cell] = (*kept, *random.Random(SEED).sample(others, sample))  # noqa: S311 - draws tests

    @property
    def parameters(self) -> list[ParameterSet]:
        """All cells; those that were not drawn are marked `proof`."""
        proof = pytest.mark.proof
        return [pytest.param(cell, id=str(cell), marks=() if cell in self.drawn else proof) for cell in self.cells]

    def state(self, cell: Cell, figures: Figures) -> None:
        """State the sample's size and seed as a figure: once, by the first that was drawn."""
        if cell == self.drawn[0]:
            figures(f"{len(self.drawn)} of {len(self.cells)} drawn with seed {SEED}, the others by `make proof`")
