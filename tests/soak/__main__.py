"""`make soak`: soak an exporter and print what came of it; exit code 1 if anything was wrong."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests import figures
from tests.bench import needs, parts
from tests.bench.needs import Kind
from tests.benchmark.population import Population
from tests.fault_matrix import SOAK
from tests.sampling import Dice
from tests.soak.run import LONG_ENOUGH, soak


def main() -> int:
    """Soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--certificates", type=int, default=2000)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--seed", type=int, help="default: another one each time")
    asked = parser.parse_args()
    if lacking := parts.missing(Kind.SMALL):
        sys.stderr.write(f"the soak lacks {needs.explain(lacking)}\n")
        return 1
    dice = Dice() if asked.seed is None else Dice(asked.seed)
    print(f"soaking, {dice}", flush=True)
    with tempfile.TemporaryDirectory(prefix="certlag-soak-") as scratch:
        report = soak(Population(asked.certificates, asked.pods), asked.minutes, dice.seed, Path(scratch))
    for figure in report.figures:
        print(figure)
    for trouble in report.troubles:
        print(f"  {trouble}")
    if asked.minutes >= LONG_ENOUGH:
        figures.leave({SOAK: [f"{figure} ({dice})" for figure in report.figures]}, figures.FOLDER)
    return 1 if report.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
