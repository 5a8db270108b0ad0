"""`make test`: the checks, then the tests in tiers, as far as this machine goes; each part's minutes at the end.

Tier 0 needs Python only; tier 1 promtool, helm, Chromium and the small bench; tier 2 the whole cluster and root. What
is left out is listed by pytest at the end of its tier, with reason and remedy; with CERTLAG_REQUIRE=all leaving out
fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest", "-q")
LOCKS = {
    "requirements.lock": ("pyproject.toml", "--extra", "dev"),
    "image/requirements.lock": ("pyproject.toml", "--constraint", "requirements.lock"),
    "image/build.lock": ("image/build.in",),
    "release/sbom.lock": ("release/sbom.in",),
}
"""Each with what `make lock` makes it from."""
PYTHON_ONLY = "not tools and not browser and not small_bench and not cluster"
TIER_1 = "tools or browser or small_bench"
NO_TESTS = 5
"""pytest's exit code if there was none to run: not every tier has a full matrix."""


@dataclass(frozen=True)
class Part:
    """One command of a tier."""

    tier: str
    what: str
    argv: tuple[str, ...]
    may_be_empty: bool = False


CHECKS = (
    Part("checks", "lint", (str(BIN / "ruff"), "check", ".")),
    Part("checks", "format", (str(BIN / "ruff"), "format", "--check", ".")),
    Part("checks", "types", (str(BIN / "mypy"),)),
    Part("checks", "imports", (str(BIN / "lint-imports"),)),
    Part("checks", "lock", (sys.executable, "-m", "tests.tiers", "--lock")),
)


def tests(*, proof: bool) -> tuple[Part, ...]:
    """The parts that run pytest; a sample of the full matrices unless `proof`."""
    which = "proof" if proof else "not proof"
    return (
        Part("tier 0", "Python only", (*PYTEST, "-n2", "-m", f"{PYTHON_ONLY} and {which}"), proof),
        Part("tier 1", "tools, browser, small bench", (*PYTEST, "-n2", "-m", f"({TIER_1}) and {which}"), proof),
        Part("tier 2", "whole cluster", (*PYTEST, "-n4", "-m", f"cluster and {which}"), proof),
    )


def main() -> int:
    """Run what was asked for; 0 if all of it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a tier's name, as in 'checks' or 'tier 0'")
    parser.add_argument("--proof", action="store_true", help="the full matrices")
    parser.add_argument("--lock", action="store_true", help="only say whether the locks fit pyproject.toml")
    asked = parser.parse_args()
    if asked.lock:
        return locks_fit()
    parts = tests(proof=True) if asked.proof else (*CHECKS, *tests(proof=False))
    if asked.only:
        parts = tuple(part for part in parts if part.tier == asked.only)
    outcomes = list(run(parts))
    print("\n=== minutes", flush=True)
    for part, seconds, code in outcomes:
        print(f"{seconds / 60:6.1f}  {'passed' if code == 0 else f'FAILED ({code})':10}  {part.tier}: {part.what}")
    return 0 if all(code == 0 for _, _, code in outcomes) else 1


def run(parts: tuple[Part, ...]) -> Iterator[tuple[Part, float, int]]:
    """Run each part, also after one has failed: a run should say all that it can."""
    for part in parts:
        print(f"\n=== {part.tier}: {part.what}", flush=True)
        started = time.monotonic()
        code = subprocess.run(part.argv, cwd=ROOT, check=False).returncode
        yield part, time.monotonic() - started, 0 if part.may_be_empty and code == NO_TESTS else code


def locks_fit() -> int:
    """Say whether each lock is what its source asks for: compiling it anew changes nothing."""
    uv = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")
    outdated = [lock for lock, source in LOCKS.items() if _anew(uv, lock, source) != (ROOT / lock).read_bytes()]
    for lock in outdated:
        print(f"{lock} does not fit {LOCKS[lock][0]}; `make lock` writes it anew")
    return 1 if outdated else 0


def _anew(uv: str, lock: str, source: tuple[str, ...]) -> bytes:
    """Return what compiling a lock makes of it, which keeps the versions that fit."""
    anew = ROOT / "build" / "locks" / lock
    anew.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / lock, anew)
    options = ("--universal", "--generate-hashes", "--python-version", "3.11")
    quiet = ("--no-header", "--no-annotate", "--quiet", "--output-file", str(anew))
    subprocess.run((uv, "pip", "compile", *source, *options, *quiet), cwd=ROOT, check=True, env=os.environ)
    return anew.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
