"""Samples of full matrices: drawn by one seed in each run, which is printed; `CERTLAG_SEED` repeats them.

A test draws for itself with `Dice`. Of what shares one `pytest.mark.matrix(3)`, a function's parameters or a file's
tests, each run of `make test` draws three, the same in every xdist worker; `make proof` runs all. Loaded as a pytest
plugin.
"""

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

SEED = "CERTLAG_SEED"
T = TypeVar("T")


def _seed() -> int:
    said = os.environ.get(SEED)
    return int(said) if said else random.SystemRandom().randrange(10**6)


@dataclass(frozen=True)
class Dice:
    """Chance that can be had again: print it with the figures."""

    seed: int = field(default_factory=_seed)

    @property
    def source(self) -> random.Random:
        """A generator that begins with the seed."""
        return random.Random(self.seed)  # noqa: S311 - it chooses what is tried, it keeps no secret

    def sample(self, every: Sequence[T], size: int) -> list[T]:
        """Draw some of all."""
        return self.source.sample(every, min(size, len(every)))

    def __str__(self) -> str:
        return f"seed {self.seed}"


SAMPLED = "not proof"
"""What the expression of markers says where samples are enough."""


def pytest_configure() -> None:
    """Choose one seed for the whole run: xdist's workers inherit the environment."""
    os.environ[SEED] = str(Dice().seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to draw the same samples again."""
    terminalreporter.line(f"samples were drawn with {SEED}={Dice().seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each matrix, mark as `proof` what was not drawn; all of it where no sample is wanted."""
    matrices: defaultdict[int, list[pytest.Item]] = defaultdict(list)
    sizes: dict[int, int] = {}
    for item in items:
        if (marker := item.get_closest_marker("matrix")) is not None:
            matrices[id(marker)].append(item)
            sizes[id(marker)] = marker.args[0] if SAMPLED in config.option.markexpr else 0
    for which, matrix in matrices.items():
        drawn = Dice().sample(matrix, sizes[which])
        for item in matrix:
            if item not in drawn:
                item.add_marker("proof")
