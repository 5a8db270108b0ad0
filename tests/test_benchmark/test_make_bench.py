"""`make bench` itself, at a size that takes seconds: the figures are no figures, but all of them are there."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.benchmark.measurement import Figures

ROOT = Path(__file__).parents[2]


@pytest.mark.small_bench
def test_a_small_size_is_measured_and_laid_out(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    effort = ("--scrapes", "20", "--events", "3", "--quiet", "1")
    argv = [sys.executable, "-m", "tests.benchmark", "--sizes", "200/20", *effort, "--output", str(output)]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "200 certificates, 20 pods" in ran.stdout
    (figures,) = msgspec.convert(json.loads(output.read_text()), list[Figures])
    assert (figures.certificates, figures.pods) == (200, 20)
    assert figures.series > 200 * 6 + 20 * 6
    assert 0 < figures.certificates_after <= figures.complete_after
    assert figures.scraping.plain.size > figures.scraping.gzip.size > 0
    assert figures.requests_at_start >= 2 * 4, "each of four resources is listed and watched"


@pytest.mark.parametrize("sizes", ["", "1000", "10/20", "a/b"])
@pytest.mark.thorough
@pytest.mark.matrix(1)
def test_sizes_that_are_none_are_refused(sizes: str) -> None:
    argv = [sys.executable, "-m", "tests.benchmark", "--sizes", sizes]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "is no list like 1000/100" in ran.stderr
