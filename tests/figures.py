"""Measured figures: a test states them, and they are printed together at the end of the run, also under xdist.

Loaded as a pytest plugin. A figure travels with the test's report, so that it is shown whether the test passed. What
is tallied is counted over all tests that passed.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

PROPERTY = "figure"
TALLIED = "tallied"

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
    """Print what was measured."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for report in reports
        for name, text in report.user_properties
        if name == PROPERTY and report.when == "call"
    ]
    counted = Counter(
        tuple(value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == TALLIED and report.when == "call"
    )
    totals = [f"{what}: {count}/{of}" for (what, of), count in counted.items()]
    if lines or totals:
        terminalreporter.section("measured")
        for line in sorted(lines) + sorted(totals):
            terminalreporter.line(line)


def distribution(what: str, seconds: Sequence[float]) -> str:
    """Describe measured durations in one line."""
    ordered = sorted(seconds)
    rank = min(len(ordered) - 1, int(len(ordered) * 0.99))
    return (
        f"{what}: n={len(ordered)} min={ordered[0]:.3f} median={statistics.median(ordered):.3f} "
        f"p99={ordered[rank]:.3f} max={ordered[-1]:.3f} s"
    )
