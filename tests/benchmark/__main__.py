"""`make bench`: measure sizes one after another, print a table, write build/bench.json.

python -m tests.benchmark --sizes 1000/100,10000/1000
"""

import argparse
import os
import platform
import re
import sys
import tempfile
from datetime import UTC, datetime
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
DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> int:
    """Measure; 0 if everything could be."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("--sizes", default=SIZES, type=_sizes, help="certificates/pods, separated by commas")
    parser.add_argument("--scrapes", default=Effort.scrapes, type=int, help="of each kind")
    parser.add_argument("--events", default=Effort.events, type=int, help="single renewals")
    parser.add_argument("--quiet", default=Effort.quiet, type=float, help="seconds of quiet")
    parser.add_argument("--publish", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    asked = parser.parse_args()
    if lacking := parts.missing(Kind.SMALL):
        sys.stderr.write(f"the benchmark lacks {needs.explain(lacking)}\n")
        return 1
    effort = Effort(asked.scrapes, asked.events, asked.quiet)
    measured = [measure_one(population, effort) for population in asked.sizes]
    console = Console(width=200 if not sys.stdout.isatty() else None)
    console.print(report.table(measured))
    for line in report.exponents(measured):
        console.print(f"grows with the size to the power of — {line}", highlight=False)
    if asked.publish:
        _publish(measured)
    asked.output.parent.mkdir(exist_ok=True)
    asked.output.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2))
    return 0


def measure_one(population: Population, effort: Effort) -> Figures:
    """Measure one size on an API server of its own."""
    with (
        ground.control_plane() as cluster,
        tempfile.TemporaryDirectory(prefix="certlag-bench-") as scratch,
        ground.populated(cluster, population, Path(scratch)) as filled,
    ):
        return measure(filled, effort)


def _publish(measured: list[Figures]) -> None:
    """Replace the tables in docs/performance.md; the first with the day and the machine that it is from."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    where = f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), Python {platform.python_version()}"
    today = datetime.now(UTC).date().isoformat()
    text = DOCUMENT.read_text(encoding="utf-8")
    text = _replaced(text, "measured", f"Measured on {today}, {where}:\n\n{report.markdown(measured)}")
    DOCUMENT.write_text(_replaced(text, "shards", report.shards(measured)), encoding="utf-8")


def _replaced(text: str, part: str, content: str) -> str:
    before, rest = text.split(f"<!-- {part}: begin -->\n")
    after = rest.partition(f"<!-- {part}: end -->\n")[2]
    return f"{before}<!-- {part}: begin -->\n{content}<!-- {part}: end -->\n{after}"


_SIZE = re.compile(r"([1-9]\d*)/([1-9]\d*)")


def _sizes(text: str) -> list[Population]:
    found = [_SIZE.fullmatch(size) for size in text.split(",")]
    sizes = [Population(int(match[1]), int(match[2])) for match in found if match]
    if len(sizes) < len(found) or any(size.served > size.certificates for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list like {SIZES}, certificates and fewer pods")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
