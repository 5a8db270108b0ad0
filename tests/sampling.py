"""Samples of full matrices: drawn at each run, printed with their seed, repeated with `CERTLAG_SEED`.

A test draws for itself with `Dice`. Of what shares one `pytest.mark.matrix(3)`, a function's parameters or a file's
tests, each run of `make test` draws three, the same in every xdist worker; `make proof` runs all. Loaded as a pytest
plugin.
"""

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def _seed() -> int:
    said = os.environ.get("CERTLAG_SEED")
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


DICE = pytest.StashKey[Dice]()
SAMPLED = "not proof"
"""What the expression of markers says where samples are enough."""


def pytest_configure(config: pytest.Config) -> None:
    """Throw once for the whole run: an xdist worker takes the seed of its controller."""
    thrown = getattr(config, "workerinput", {}).get("certlag_seed")
    config.stash[DICE] = Dice() if thrown is None else Dice(thrown)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give an xdist worker the seed."""
    node.workerinput["certlag_seed"] = node.config.stash[DICE].seed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to draw the same samples again."""
    terminalreporter.line(f"samples were drawn with CERTLAG_SEED={config.stash[DICE].seed}")


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
        drawn = config.stash[DICE].sample(matrix, sizes[which])
        for item in matrix:
            if item not in drawn:
                item.add_marker("proof")
