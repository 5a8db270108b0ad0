"""`python -m tests.mutants`: damages the pure core one piece at a time, and says whether its tests notice.

Those that no test noticed when all were last run are known (`tests/mutants/survivors.txt`); another one is a failure.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.mutants.core import LISTED, TESTS, known_survivors, write_survivors
from tests.mutants.run import Tried, Verdict, of_core, tried
from tests.sampling import Dice


def main() -> int:
    """Run mutants, of the listed modules unless others are asked for; 0 if each but the known survivors was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of these: {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by CERTLAG_SEED")
    parser.add_argument("--survivors", action="store_true", help="only those that are known for survivors")
    parser.add_argument("--write", action="store_true", help="take those that survive for the known ones")
    parser.add_argument("--list", action="store_true", help="only name them")
    asked = parser.parse_args()
    if asked.write and asked.sample is not None:
        parser.error("--write takes the survivors of a full run, so without --sample")
    modules, known, dice = asked.modules or [*LISTED], known_survivors(), Dice()
    every = [each for each in of_core(modules) if not asked.survivors or str(each) in known]
    chosen = every if asked.sample is None else dice.sample(every, asked.sample)
    if asked.list:
        print(*chosen, sep="\n")
        return 0
    started, results = time.monotonic(), []
    for each in tried(chosen):
        results.append(each)
        if each.verdict is Verdict.SURVIVED:
            print(f"survived{'' if str(each.mutant) in known else ', new'}: {each.mutant}", flush=True)
    print(table(results))
    survived = {str(each.mutant) for each in results if each.verdict is Verdict.SURVIVED}
    minutes = (time.monotonic() - started) / 60
    by = f", {dice}" if asked.sample is not None else ""
    killed = len(results) - len(survived)
    print(f"mutants killed: {killed}/{len(results)} (of {len(every)}{by}) in {minutes:.1f} minutes")
    if asked.write:
        write_survivors(survived, modules)
        return 0
    return 0 if survived <= known else 1


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
