"""A matrix is run in part by `make test`, and in full by `make proof`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MATRICES = """
import pytest

@pytest.mark.parametrize("number", range(20))
@pytest.mark.matrix(3)
def test_a_function(number): print(f"ran {number}")
"""
OF_A_FILE = """
import pytest

pytestmark = pytest.mark.matrix(2)

def test_one(): print("ran one")
def test_two(): print("ran two")
def test_three(): print("ran three")
"""
MARKERS = "[pytest]\nmarkers =\n    matrix(size): drawn\n    proof: all\n"


def ran(folder: Path, *options: str, seed: str = "") -> set[str]:
    """Run pytest there, and return what was run."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CERTLAG_SEED": seed}
    argv = (sys.executable, "-m", "pytest", "-q", "-rP", "-p", "tests.sampling", *options)
    done = subprocess.run(argv, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return set(re.findall(r"ran \w+", done.stdout))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(MARKERS)
    (tmp_path / "test_function.py").write_text(MATRICES)
    (tmp_path / "test_file.py").write_text(OF_A_FILE)
    return tmp_path


@pytest.mark.thorough
def test_a_sample_is_drawn_by_seed_and_the_full_matrix_is_proof(folder: Path) -> None:
    sample = ran(folder, "-m", "not proof", seed="1")
    assert len([each for each in sample if re.search(r"\d", each)]) == 3
    assert len(sample) == 3 + 2
    assert ran(folder, "-m", "not proof", seed="1") == sample
    assert ran(folder, "-m", "not proof", "-n2", seed="1") == sample, "each worker draws the same"
    assert ran(folder, "-m", "not proof", seed="2") != sample
    assert len(ran(folder, "-m", "proof")) == 20 + 3
    assert len(ran(folder)) == 20 + 3
