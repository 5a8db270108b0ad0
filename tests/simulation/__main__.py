"""Walk by hand: `python -m tests.simulation --seed 7 --pace busy --days 60`, one seed after the other with `--walks`.

Exits with 1 at the first walk that fails, and says what it found and what had happened before.
"""

import argparse
import sys
import traceback
from datetime import timedelta

from tests.simulation.walk import BUSY, CALM, Walk

PACES = {"calm": CALM, "busy": BUSY}


def main() -> int:
    """Walk as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, required=True, help="of the first walk; the next has the next number")
    parser.add_argument("--walks", type=int, default=1, help="how many")
    parser.add_argument("--pace", choices=PACES, default="calm")
    parser.add_argument("--days", type=float, default=365.0, help="how long each is")
    asked = parser.parse_args()
    for seed in range(asked.seed, asked.seed + asked.walks):
        try:
            figures = Walk(seed, PACES[asked.pace]).live(timedelta(days=asked.days))
        except Exception:  # noqa: BLE001 - whatever a walk finds is told
            traceback.print_exc()
            return 1
        print(f"seed {seed}: {figures}")
    return 0


sys.exit(main())
