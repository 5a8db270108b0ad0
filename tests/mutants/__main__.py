"""`python -m tests.mutants`: damages the pure core one piece at a time, and says whether its tests notice."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.core import EQUIVALENT, TESTS
from tests.mutants.run import Tried, Verdict, of_core, tried
from tests.sampling import Dice

SURVIVED = "survived: "


def main() -> int:
    """Run all mutants, or some; 0 if each was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"only of these: {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by CERTLAG_SEED")
    parser.add_argument("--again", type=Path, metavar="FILE", help="only those that survived, by an earlier output")
    parser.add_argument("--list", action="store_true", help="only name them")
    asked = parser.parse_args()
    every = [each for each in of_core(asked.modules or TESTS) if str(each) not in EQUIVALENT]
    if asked.again is not None:
        survived = {line.removeprefix(SURVIVED) for line in asked.again.read_text(encoding="utf-8").splitlines()}
        every = [each for each in every if str(each) in survived]
    dice = Dice()
    chosen = every if asked.sample is None else dice.sample(every, asked.sample)
    if asked.list:
        print(*chosen, sep="\n")
        return 0
    started, results = time.monotonic(), []
    for each in tried(chosen):
        results.append(each)
        if each.verdict is Verdict.SURVIVED:
            print(f"{SURVIVED}{each.mutant}", flush=True)
    print(table(results))
    killed = sum(each.verdict is not Verdict.SURVIVED for each in results)
    minutes = (time.monotonic() - started) / 60
    by = f", {dice}" if asked.sample is not None else ""
    print(f"mutants killed: {killed}/{len(results)} (of {len(every)}{by}) in {minutes:.1f} minutes")
    return 0 if killed == len(results) else 1


def table(results: Sequence[Tried]) -> str:
    """Say for each module how many mutants were killed, how, and the seconds that each took."""
    lines = [f"{'module':24} mutants killed late survived seconds"]
    for module in dict.fromkeys(each.mutant.module for each in results):
        of = [each for each in results if each.mutant.module == module]
        killed, late, survived = (sum(each.verdict is verdict for each in of) for verdict in Verdict)
        seconds = sum(each.seconds for each in of) / len(of)
        lines.append(f"{module:24} {len(of):7} {killed:6} {late:4} {survived:8} {seconds:7.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
