"""`make fuzz`: fuzz every subject for a share of the given minutes; exit code 1 if anything was found."""

import argparse
import sys
import time
from pathlib import Path

from tests import figures
from tests.fault_matrix import FUZZING
from tests.fuzz import campaign
from tests.fuzz.campaign import Result
from tests.fuzz.subjects import SUBJECTS
from tests.sampling import Dice

FOUND = Path("build") / "fuzz"


def main() -> int:
    """Fuzz, print what came of it, keep what was new."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="for all subjects together")
    parser.add_argument("--subject", choices=[*SUBJECTS], action="append", help="only this one")
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--keep", action="store_true", help="put inputs that did something new into the corpus")
    asked = parser.parse_args()
    seed = Dice().seed if asked.seed is None else asked.seed
    names = asked.subject or [*SUBJECTS]
    results = {}
    for name in names:
        subject = SUBJECTS[name]
        end = time.monotonic() + asked.minutes * 60 / len(names)
        result = campaign.run(subject, seed, lambda _, end=end: time.monotonic() >= end)  # type: ignore[misc]
        results[name] = result
        print(told(name, seed, result), flush=True)
        for finding in result.findings:
            print(f"  {campaign.keep(subject, finding.data, FOUND)}: {finding.what}", flush=True)
        for data in result.fresh if asked.keep else ():
            campaign.keep(subject, data)
    executions = sum(result.executions for result in results.values())
    findings = sum(len(result.findings) for result in results.values())
    together = f"{asked.minutes:g} min: {executions} executions, {findings} findings (seed {seed})"
    figures.leave({FUZZING: [together, *(told(name, seed, it) for name, it in results.items())]}, figures.FOLDER)
    return 1 if findings else 0


def told(name: str, seed: int, result: Result) -> str:
    """Say in one line what came of a campaign."""
    return (
        f"{name}: {result.executions} executions, {len(result.findings)} findings, "
        f"{len(result.outcomes)} ways to come out, {len(result.fresh)} inputs did something new (seed {seed})"
    )


if __name__ == "__main__":
    sys.exit(main())
