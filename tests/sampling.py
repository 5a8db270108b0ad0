"""Samples of full matrices: drawn anew at each run, printed with their seed, repeated with `CERTLAG_SEED`."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

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
