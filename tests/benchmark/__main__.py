"""`make bench`: measure sizes one after another, print a table, write build/bench.json.

python -m tests.benchmark --sizes 1000/100,10000/1000
"""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from tests.bench import needs, parts
from tests.bench.needs import Kind
from tests.benchmark import ground, report
from tests.benchmark.measurement import Effort, Figures, measure
from tests.benchmark.population import Population

ROOT = Path(__file__).parents[2]
SIZES = "1000/100,10000/1000,50000/2000"


def main() -> int:
    """Measure; 0 if everything could be."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--sizes", default=SIZES, type=_sizes, help="certificates/pods, separated by commas")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    asked = parser.parse_args()
    if lacking := parts.missing(Kind.SMALL):
        sys.stderr.write(f"the benchmark lacks {needs.explain(lacking)}\n")
        return 1
    measured = [measure_one(population) for population in asked.sizes]
    console = Console(width=200 if not sys.stdout.isatty() else None)
    console.print(report.table(measured))
    for line in report.exponents(measured):
        console.print(f"grows with the size to the power of — {line}", highlight=False)
    asked.output.parent.mkdir(exist_ok=True)
    asked.output.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2))
    return 0


def measure_one(population: Population, effort: Effort | None = None) -> Figures:
    """Measure one size on an API server of its own."""
    with (
        ground.control_plane() as cluster,
        tempfile.TemporaryDirectory(prefix="certlag-bench-") as scratch,
        ground.populated(cluster, population, Path(scratch)) as filled,
    ):
        return measure(filled, effort or Effort())


def _sizes(text: str) -> list[Population]:
    try:
        pairs = [tuple(map(int, size.split("/"))) for size in text.split(",")]
        return [Population(certificates, served) for certificates, served in pairs if 0 < served <= certificates]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list like {SIZES}") from error


if __name__ == "__main__":
    sys.exit(main())
