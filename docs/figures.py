"""`make figures`: takes the figures that tests stated in their last runs into docs/figures.json, which is committed.

A run leaves its figures in build/figures (tests/figures.py). Of each test those of its newest run on this Python are
taken, be it of `make test`, of `make proof` or of one file; of a test that was not run since, those of before stay.
"""

import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests import fault_matrix, figures, tiers
from tests.catalogue import TestFunction

FILE = Path(__file__).parent / "figures.json"
MOST = 8
"""Figures that are kept of one test or command."""
PYTHON = ".".join(platform.python_version_tuple()[:2])


def main() -> None:
    """Write the file, and how long the tiers of `make test` took."""
    names = {name for test in shown() for name in (str(test), str(test) + figures.IN_FULL)}
    names |= {*fault_matrix.FULL.values()}
    taken = take(fault_matrix.committed_figures(), runs(FILE.parents[1] / figures.FOLDER), names)
    FILE.write_text(json.dumps(taken, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if tiers.TAKEN_HERE.exists():
        shutil.copy(tiers.TAKEN_HERE, tiers.TAKEN)


def take(
    before: Mapping[str, Any], newer: Iterator[Mapping[str, Any]], names: set[str]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the figures of tests and commands, each with its date, by what was known before and by runs in order."""
    taken = dict(before)
    for run in newer:
        for test, texts in run["figures"].items():
            taken[test] = {"measured": run["at"][:10], "figures": texts[:MOST]}
    return {test: taken[test] for test in sorted(taken) if test in names}


def runs(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Give what runs on this Python left, the oldest first."""
    left = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]
    yield from sorted((run for run in left if run["python"] == PYTHON), key=lambda run: run["at"])


def shown() -> Iterator[TestFunction]:
    """Give every test that shows a fault."""
    for tests in fault_matrix.shown_by().values():
        yield from tests


if __name__ == "__main__":
    main()
