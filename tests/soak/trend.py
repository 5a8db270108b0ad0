"""Whether something grows: a line through what was seen of it, and how sure that line is. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

STRETCHES = 10


@dataclass(frozen=True)
class Trend:
    """The slope for an hour, and twice its standard error."""

    slope: float
    error: float

    def __str__(self) -> str:
        return f"{self.slope:+.1f} ± {self.error:.1f}"

    @property
    def is_rising(self) -> bool:
        """Tell whether it rises, and not by chance."""
        return self.slope > self.error


def trend(looks: Sequence[tuple[float, float]]) -> Trend:
    """Return the trend of values over seconds.

    Looks that follow one another are much alike, and some see a peak; so the line goes through the medians of ten
    stretches. A process takes memory by steps and seldom gives it back: after a single step all looks are higher, which
    scatters little about a line, and yet is no trend. So the error is the larger of two: by what lies beside the line,
    and by how unequal the rises from one stretch to the next are (that of a random walk's drift).

    Raises:
        ValueError: there are fewer than ten looks.
    """
    length = len(looks) // STRETCHES
    if not length:
        raise ValueError(f"{len(looks)} looks show no trend; {STRETCHES} would")
    stretches = [looks[start : start + length] for start in range(0, length * STRETCHES, length)]
    hours = [statistics.median(at for at, _ in stretch) / 3600 for stretch in stretches]
    values = [statistics.median(value for _, value in stretch) for stretch in stretches]
    slope, start = statistics.linear_regression(hours, values)
    beside = [value - (start + slope * hour) for hour, value in zip(hours, values, strict=True)]
    middle = statistics.fmean(hours)
    of_the_line = sqrt(sum(b**2 for b in beside) / (STRETCHES - 2) / sum((hour - middle) ** 2 for hour in hours))
    rises = [after - before for before, after in pairwise(values)]
    of_the_steps = statistics.stdev(rises) * sqrt(len(rises)) / (hours[-1] - hours[0])
    return Trend(slope, 2 * max(of_the_line, of_the_steps))
