"""Measured figures: a test states them, and they go into a file of the run in `build/figures`, also under xdist.

Loaded as a pytest plugin. A figure travels with the test's report. What tests that passed have stated is written, and
`make figures` takes it from there (docs/figures.py); what tests that failed have stated is printed. What is tallied is
counted over all tests that passed.
"""

import json
import platform
import secrets
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "figure"
IN_FULL = " (make proof)"
"""What is put behind a test's name where it ran with cases that only `make proof` has."""
TALLIED = "tallied"
FOLDER = Path("build/figures")
"""Where each run leaves a file, below the root of the tests."""

Figures = Callable[[str], None]
Tally = Callable[[str, int], None]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """State a figure: call it with one line of text."""
    return lambda text: request.node.user_properties.append((PROPERTY, text))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Count one of so many: call it with what it is and how many there are, the same in each test."""
    return lambda what, of: request.node.user_properties.append((TALLIED, (what, of)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave what was measured in a file; print what tests that failed have measured, such as their seed."""
    passed, failed = (terminalreporter.stats.get(outcome, []) for outcome in ("passed", "failed"))
    if lines := [f"{nodeid.rpartition('::')[2]}: {text}" for nodeid, text in _stated(failed, PROPERTY)]:
        terminalreporter.section("measured by tests that failed")
        for line in sorted(lines):
            terminalreporter.line(line)
    config = terminalreporter.config
    is_worker = hasattr(config, "workerinput")  # of xdist: each has a part of the tests
    if not is_worker and (figures := by_test(passed)):
        file = leave(figures, config.rootpath / FOLDER)
        terminalreporter.line(f"measured figures: {file.relative_to(config.rootpath)}")


def by_test(passed: Sequence[pytest.TestReport]) -> Mapping[str, Sequence[str]]:
    """Return what was stated in each test, as `file::function`, whatever its parameters; by full matrices, apart."""
    found: dict[str, set[str]] = defaultdict(set)
    for test, text in _stated_by_test(passed, PROPERTY):
        found[test].add(text)
    counted = Counter((test, *value) for test, value in _stated_by_test(passed, TALLIED))
    for (test, what, of), count in counted.items():
        found[test].add(f"{what}: {count}/{of}")
    return {test: sorted(texts) for test, texts in sorted(found.items())}


def _stated_by_test(reports: Sequence[pytest.TestReport], what: str) -> Iterator[tuple[str, Any]]:
    for report in reports:
        test = report.nodeid.partition("[")[0] + (IN_FULL if "proof" in report.keywords else "")
        yield from ((test, value) for _, value in _stated([report], what))


def _stated(reports: Sequence[pytest.TestReport], what: str) -> Iterator[tuple[str, Any]]:
    for report in reports:
        yield from (
            (report.nodeid, value) for name, value in report.user_properties if name == what and _called(report)
        )


def _called(report: pytest.TestReport) -> bool:
    """Say whether it is of the test itself: reports of what comes before and after it bear the same figures."""
    return report.when == "call"


def leave(figures: Mapping[str, Sequence[str]], folder: Path) -> Path:
    """Write the figures of a run, by test or command, into a file of its own name: others may run at the same time."""
    now = datetime.now(UTC)
    run = {"at": now.isoformat(), "python": ".".join(platform.python_version_tuple()[:2]), "figures": figures}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}.json"
    file.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def distribution(what: str, seconds: Sequence[float]) -> str:
    """Describe measured durations in one line."""
    ordered = sorted(seconds)
    rank = min(len(ordered) - 1, int(len(ordered) * 0.99))
    return (
        f"{what}: n={len(ordered)} min={ordered[0]:.3f} median={statistics.median(ordered):.3f} "
        f"p99={ordered[rank]:.3f} max={ordered[-1]:.3f} s"
    )
