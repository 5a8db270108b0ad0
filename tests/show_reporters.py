"""Plays a run through the reporter that this terminal gets: `python -m tests.show_reporters [SPEED]`. To look at."""

import contextlib
import os
import sys
import time
from datetime import datetime, timedelta

from certlag.clock import SystemClock
from runbook.outcomes import Outcome
from runbook.report.choice import Output, reporter_for
from tests.scripted_run import BEGUN, a_plan, a_run, an_end


class FasterClock:
    """The time of the scripted run, which goes faster than ours."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._clock = SystemClock()
        self._started = self._clock.monotonic()

    def now(self) -> datetime:
        """Return the present instant of the script."""
        return BEGUN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds of the script that are over."""
        return (self._clock.monotonic() - self._started) * self._speed

    def sleep_until(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(max(0.0, (seconds - self.monotonic()) / self._speed))


def main() -> None:
    """Play it: with `json`, `quiet` or `failed` as asked for by name."""
    asked = sys.argv[1:]
    speed = next((float(each) for each in asked if each.replace(".", "").isdecimal()), 20.0)
    clock = FasterClock(speed)
    reporter = reporter_for(
        Output.JSON if "json" in asked else Output.TEXT,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environment=os.environ,
        clock=clock,
        quiet="quiet" in asked,
    )
    try:
        reporter.plan(a_plan())
        for seconds, event in a_run():
            clock.sleep_until(seconds)
            if "failed" in asked and seconds > 740:
                command = "runbook resume-build-service --context prod-eu --namespace opschain --config runbook.yaml"
                reporter.tell(an_end(Outcome.RESTART_FAILED, "not rolled out in time", command, f"{command} --abort"))
                break
            reporter.tell(event)
    finally:
        reporter.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
