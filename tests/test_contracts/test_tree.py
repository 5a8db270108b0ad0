"""Habits of the tree that no linter knows."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

VAGUE = re.compile(r"(^|/)(utils?|helpers?|common|misc|base|manager)(\.py|/)")
REGISTRIES = re.compile(r"(pypi|pythonhosted|npmjs|crates|proxy\.golang|maven|debian)\.(org|com|io)")
MACHINE_PATH = re.compile(r"(^|[\s\"'=(:])/(work|root|home/[a-z]+)/")


def tracked() -> Iterator[Path]:
    listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / name for name in listed.splitlines() if (ROOT / name).is_file())


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [file for file in tracked() if VAGUE.search(str(file.relative_to(ROOT)))] == []


def test_no_file_names_a_registrys_host_or_a_path_of_one_machine() -> None:
    found = []
    for file in tracked():
        if file == Path(__file__):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if REGISTRIES.search(line) or MACHINE_PATH.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line[:100]}")
    assert found == []


def test_tests_patch_nothing_with_unittest_mock() -> None:
    mocking = re.compile(r"^\s*(from|import) unittest", re.MULTILINE)
    assert [file for file in tracked() if file.suffix == ".py" and mocking.search(file.read_text())] == []


def test_every_module_says_what_it_is_for() -> None:
    modules = [file for file in tracked() if file.suffix == ".py" and file.stat().st_size]
    assert [file for file in modules if not file.read_text().startswith('"""')] == []
