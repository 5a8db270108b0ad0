"""Whether something grows: a line through what was seen of it, and how sure that line is. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
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
    stretches.

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
    error = sqrt(sum(b**2 for b in beside) / (STRETCHES - 2) / sum((hour - middle) ** 2 for hour in hours))
    return Trend(slope, 2 * error)
