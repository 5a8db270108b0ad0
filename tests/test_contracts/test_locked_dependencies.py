"""What is installed is what was locked: each dependency is compared with its hash, wherever it comes from."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lock_check import LOCKS
from tests.locks import altered, hashes

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")
INSTALLERS = ("Makefile", "Dockerfile", "release/kubectl-certlag", "release/files.py", "tests/pythons.py")
INSTALLS = re.compile(r"""pip\W+(?:install|sync|download)\b|(?:\buv|\$\(UV\))\W+build["\s]|\buvx\b""")
COMPARES = ("--require-hashes", "--build-constraints", "--no-build-isolation")
"""What is installed; what builds certlag itself; or that is installed already."""
OF_A_WHEEL = re.compile(r"--no-deps.*\bwheel\W*$")
"""One of our own, and nothing else."""
UNHASHED = {"build/uv/bin/pip install --quiet uv"}
"""The installer is the beginning: where uv is not there, pip fetches it by name."""


def commands(file: str) -> Iterator[str]:
    """Yield each command of a file that installs or builds something, on one line."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / file).read_text(encoding="utf-8"))
    yield from (
        line.strip() for line in text.splitlines() if INSTALLS.search(line) and not line.lstrip().startswith("#")
    )


@pytest.mark.fault("P5")
@pytest.mark.parametrize("file", INSTALLERS)
def test_whatever_installs_compares_with_hashes(file: str) -> None:
    found = [each for each in commands(file) if each not in UNHASHED]
    assert found, "this is no longer where something is installed"
    unchecked = [each for each in found if not any(option in each for option in COMPARES)]
    assert [each for each in unchecked if not OF_A_WHEEL.search(each)] == []


@pytest.mark.fault("P5")
def test_every_requirement_of_every_lock_has_its_hashes() -> None:
    listed = subprocess.run(("git", "ls-files", "*.lock"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) == set(LOCKS)
    for lock in LOCKS:
        found = hashes((ROOT / lock).read_text(encoding="utf-8"))
        assert found, lock
        assert [requirement for requirement, known in found.items() if "==" not in requirement or not known] == [], lock


def made(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run `make env` in a tree that has what it reads."""
    return subprocess.run(("make", "env", f"UV={UV}"), cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one dependency, with the rules by which the environment is made."""
    for file in ("Makefile", "pyproject.toml", "image/build.lock"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (one,) = re.findall(r"^h11==(?:.*\\\n)+.*\n", locked, re.MULTILINE)
    (tmp_path / "requirements.lock").write_text(one)
    return tmp_path


@pytest.mark.fault("P5")
@pytest.mark.parametrize(("lock", "name"), [("requirements.lock", "h11"), ("image/build.lock", "setuptools")])
@pytest.mark.thorough
def test_the_environment_is_not_made_of_a_dependency_of_another_content(lock: str, name: str, tree: Path) -> None:
    (tree / lock).write_text(altered((tree / lock).read_text(encoding="utf-8"), name))
    ran = made(tree)
    assert ran.returncode != 0
    assert f"Hash mismatch for `{name}==" in ran.stderr


@pytest.mark.fault("P5")
def test_nor_is_it_of_one_without_a_hash(tree: Path) -> None:
    lock = tree / "requirements.lock"
    (requirement,) = hashes(lock.read_text(encoding="utf-8"))
    lock.write_text(f"{requirement}\n")
    ran = made(tree)
    assert ran.returncode != 0
    assert "must have a hash" in ran.stderr
