"""A reporter on a real terminal, steered line by line over a pipe: the program that tests of the live view run.

`python -m tests.steered_reporter READ WRITE` (descriptors). A number plays the scripted run up to that second and
lets the reporter's clock stand there; `plan`, `pause`, `resume` and `close` are the reporter's own; every line is
answered.
"""

import os
import sys
from datetime import timedelta

from runbook.report.choice import Output, reporter_for
from tests.fake_clock import FakeClock
from tests.scripted_run import BEGUN, a_plan, a_run


def main() -> None:
    """Do what comes until nothing does."""
    clock = FakeClock(BEGUN)
    reporter = reporter_for(Output.TEXT, stdout=sys.stdout, stderr=sys.stderr, environment=os.environ, clock=clock)
    script = list(a_run())
    with os.fdopen(int(sys.argv[1])) as orders, os.fdopen(int(sys.argv[2]), "w") as answers:
        for order in map(str.strip, orders):
            match order:
                case "plan":
                    reporter.plan(a_plan())
                case "pause" | "resume" | "close":
                    getattr(reporter, order)()
                case seconds:
                    until = float(seconds)
                    while script and script[0][0] <= until:
                        at, event = script.pop(0)
                        clock.set(BEGUN + timedelta(seconds=at))
                        reporter.tell(event)
                    clock.set(BEGUN + timedelta(seconds=until))
            print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
