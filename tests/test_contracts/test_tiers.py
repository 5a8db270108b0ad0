"""What `make test` runs, what it leaves out, and what it says."""

import sys
from pathlib import Path

import pytest

from tests import tiers
from tests.bench.needs import Kind
from tests.tiers import CHECKS, TESTS, Ended, Tier

PASSES = (sys.executable, "-c", "print('...\\n712 passed, 3 skipped in 61.20s (0:01:01)')")
FAILURE = r".F\n=== FAILURES ===\nassert 1 == 2\n=== short test summary info ===\n1 failed, 711 passed in 9.10s"
FAILS = (sys.executable, "-c", f"print('{FAILURE}'); raise SystemExit(1)")
FINDS = (sys.executable, "-c", "print('a.py:1: unused import'); raise SystemExit(1)")
DIES = (sys.executable, "-c", "raise SystemExit(137)")


def test_where_all_is_required_all_is_run_whatever_the_machine_lacks() -> None:
    assert tiers.chosen(everything=True, required=True) == ([CHECKS, *TESTS], [])


def test_what_is_left_out_is_named_with_the_remedy() -> None:
    chosen, left_out = tiers.chosen(everything=False, required=False)
    assert [tier.name for tier in chosen[:2]] == ["checks", "quick"]
    assert "thorough" not in [tier.name for tier in chosen]
    assert left_out[0].endswith("make test-thorough")
    run = {kind for tier in chosen for kind in tier.benches}
    lacking = {kind for kind in Kind if kind not in run}
    assert all(any(f"left out: {tiers.MARKERS[kind]}: no " in line for line in left_out) for kind in lacking)


def test_each_test_is_in_just_one_tier() -> None:
    marks = {*tiers.MARKERS.values(), "thorough"}
    of_tiers = [tiers.pytest(tier, proof=False, required=True)[-1] for tier in TESTS]
    for marked in ({"tools"}, {"browser"}, {"small_bench"}, {"cluster"}, {"thorough"}, set[str]()):
        known = {mark: mark in marked for mark in marks} | {"proof": False}
        assert sum(eval(expression, {}, known) for expression in of_tiers) == 1, marked  # noqa: S307 - our own


@pytest.mark.parametrize(
    ("command", "line", "shown"),
    [
        (PASSES, "712 passed, 3 skipped", ""),
        (FAILS, "FAILED 1 failed, 711 passed", "=== FAILURES ===\nassert 1 == 2\n"),
        (FINDS, "FAILED", "a.py:1: unused import\n"),
        (DIES, "FAILED", ""),
    ],
)
def test_a_tier_ends_with_one_line_and_shows_only_what_failed(
    command: tuple[str, ...], line: str, shown: str, tmp_path: Path
) -> None:
    ended = tiers.run(Tier("sample", "", commands=(command,)), proof=False, required=False, logs=tmp_path)
    assert str(ended).endswith(line)
    assert ended.failures.startswith(shown)
    assert ended.failed == (command is not PASSES)
    assert bool(ended.failures) == bool(shown)
    assert (tmp_path / "sample.log").exists()


def test_the_announcement_says_what_runs_and_about_how_long() -> None:
    first, second, total = tiers.announced(TESTS[:2], {"quick": 1.9})
    assert first.split() == ["quick", "about", "1.9", "min", *TESTS[0].what.split()]
    assert "about" not in second
    assert "about 2 minutes in all" in total


def test_a_failure_is_seen_at_the_start_of_a_line() -> None:
    ended = Ended(TESTS[0], 1.94, failed=True, counts="3 failed, 709 passed")
    assert str(ended) == "quick       1.9 min  FAILED 3 failed, 709 passed"
