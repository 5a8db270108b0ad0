"""`make test`: the checks, then the tests in tiers, as far as this machine goes.

`checks` and `quick` need only Python. `thorough` needs only Python too; it is left out unless all is required or it is
asked for by name. `tools` needs promtool, helm, Chromium and the small bench, `cluster` the whole one and root. With
CERTLAG_REQUIRE=all leaving anything out is a failure. The output of each tier goes into a file; what failed is shown.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import needs, parts
from tests.bench.needs import Kind

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LOGS = ROOT / "build" / "test"
"""The output of each tier when it last ran."""
TAKEN = ROOT / "docs" / "minutes.json"
"""How long each tier takes on two idle cores, as `make figures` took it."""
TAKEN_HERE = ROOT / "build" / "minutes.json"
"""How long each took when it last ran on this machine."""
PYTHON_ONLY = "not tools and not browser and not small_bench and not cluster"
MARKERS = {Kind.TOOLS: "tools", Kind.BROWSER: "browser", Kind.SMALL: "small_bench", Kind.WHOLE: "cluster"}
NO_TESTS = 5
"""pytest's exit code if there was none to run: not every tier has a full matrix."""
FAILURES = re.compile(r"^=+ (FAILURES|ERRORS) =+$", re.MULTILINE)
OUTCOMES = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s", re.MULTILINE)
"""How pytest's last line counts, as in `3 failed, 712 passed`."""


@dataclass(frozen=True)
class Tier:
    """One step of `make test`: commands, or the tests of an expression of markers, or those of benches."""

    name: str
    what: str
    commands: tuple[tuple[str, ...], ...] = ()
    expression: str = ""
    benches: tuple[Kind, ...] = ()
    processes: int = 2
    if_asked: bool = False


@dataclass(frozen=True)
class Ended:
    """How a tier ended: its tests by outcome, as in `712 passed`, and what is shown of its failures."""

    tier: Tier
    minutes: float
    failed: bool
    counts: str = ""
    failures: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        how = f"FAILED {self.counts}".rstrip() if self.failed else self.counts or "passed"
        return f"{self.tier.name:9} {self.minutes:5.1f} min  {how}"


CHECKS = Tier(
    "checks",
    "lint, format, types, imports, locks",
    commands=(
        (str(BIN / "ruff"), "check", "."),
        (str(BIN / "ruff"), "format", "--check", "."),
        (str(BIN / "mypy"),),
        (str(BIN / "lint-imports"),),
        (sys.executable, "-m", "tests.lock_check"),
    ),
)
TESTS = (
    Tier(
        "quick",
        "tests that need only Python and take a moment",
        expression=f"{PYTHON_ONLY} and not thorough",
    ),
    Tier(
        "thorough",
        "whole commands, simulations and samples of matrices that need only Python",
        expression=f"{PYTHON_ONLY} and thorough",
        processes=3,
        if_asked=True,
    ),
    Tier(
        "tools",
        "promtool, helm, a browser, a real API server with cert-manager",
        benches=(Kind.TOOLS, Kind.BROWSER, Kind.SMALL),
    ),
    Tier("cluster", "a whole Kubernetes", benches=(Kind.WHOLE,), processes=4),
)


def main() -> int:
    """Run what was asked for; 0 if all of it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[tier.name for tier in (CHECKS, *TESTS)], help="one tier")
    parser.add_argument("--proof", action="store_true", help="the full matrices")
    asked = parser.parse_args()
    required = os.environ.get("CERTLAG_REQUIRE") == "all"
    tiers, left_out = chosen(everything=required or asked.proof, required=required)
    if asked.only:
        tiers, left_out = [tier for tier in (CHECKS, *TESTS) if tier.name == asked.only], []
    elif asked.proof:
        tiers.remove(CHECKS)
    for line in announced(tiers, {} if asked.proof else minutes()):
        print(line, flush=True)
    ended = []
    for tier in tiers:
        ended.append(run(tier, proof=asked.proof, required=required))
        print(ended[-1].failures, end="")
        print(ended[-1], flush=True)
    if not asked.proof:
        remember(ended)
    for line in left_out:
        print(line)
    return 1 if any(each.failed for each in ended) else 0


def chosen(*, everything: bool, required: bool) -> tuple[list[Tier], list[str]]:
    """Return the tiers that are run here, and lines about what is left out, each with the remedy."""
    tiers, left_out = [CHECKS], []
    for tier in TESTS:
        missing = {kind: lacking for kind in tier.benches if (lacking := parts.missing(kind)) and not required}
        left_out += [f"left out: {MARKERS[kind]}: {needs.explain(lacking)}" for kind, lacking in missing.items()]
        if tier.if_asked and not everything:
            left_out.append(f"left out: {tier.name} ({tier.what}): make test-{tier.name}")
        elif not tier.benches or len(missing) < len(tier.benches):
            tiers.append(tier)
    return tiers, left_out


def announced(tiers: Sequence[Tier], expected: Mapping[str, float]) -> Iterator[str]:
    """Say what will run, and about how long it takes; `expected` are minutes by tier."""
    for tier in tiers:
        about = f"about {expected[tier.name]:.1f} min" if tier.name in expected else ""
        yield f"{tier.name:9} {about:14}  {tier.what}"
    if expected:
        total = sum(expected.get(tier.name, 0.0) for tier in tiers)
        yield f"about {total:.0f} minutes in all; output goes to {LOGS.relative_to(ROOT)}/\n"


def run(tier: Tier, *, proof: bool, required: bool, logs: Path = LOGS) -> Ended:
    """Run a tier, each command also after another has failed: it should say all that it can."""
    logs.mkdir(parents=True, exist_ok=True)
    file = logs / f"{tier.name}.log"
    started = time.monotonic()
    commands = tier.commands or (pytest(tier, proof=proof, required=required),)
    with file.open("w", encoding="utf-8") as log:
        codes = [subprocess.run(each, cwd=ROOT, stdout=log, stderr=log, check=False).returncode for each in commands]
    said = file.read_text(encoding="utf-8")
    failed = any(code != 0 and not (proof and code == NO_TESTS) for code in codes)
    counts = OUTCOMES.findall(said)
    shown = failures(said) if failed else ""
    return Ended(tier, (time.monotonic() - started) / 60, failed, counts[-1] if counts else "", shown)


def pytest(tier: Tier, *, proof: bool, required: bool) -> tuple[str, ...]:
    """Return the command for the tests of a tier; of benches that this machine lacks only if they are required."""
    benches = [MARKERS[kind] for kind in tier.benches if required or not parts.missing(kind)]
    expression = f"({tier.expression or ' or '.join(benches)}) and {'proof' if proof else 'not proof'}"
    return (sys.executable, "-m", "pytest", "-q", "--durations=20", f"-n{tier.processes}", "-m", expression)


def failures(said: str) -> str:
    """Return what a failed tier said of its failures: all of it if that was not pytest."""
    began = FAILURES.search(said)
    return said[began.start() if began else 0 :]


def minutes() -> Mapping[str, float]:
    """Return how long each tier took when it last ran, here or where the committed figures were taken."""
    file = TAKEN_HERE if TAKEN_HERE.exists() else TAKEN
    taken: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8"))
    return taken


def remember(ended: Iterable[Ended]) -> None:
    """Keep how long each took that passed, for the next run's announcement."""
    before = json.loads(TAKEN_HERE.read_text(encoding="utf-8")) if TAKEN_HERE.exists() else {}
    taken = before | {each.tier.name: round(each.minutes, 1) for each in ended if not each.failed}
    TAKEN_HERE.write_text(json.dumps(taken, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
