"""`--output json`: every event as one line on stdout. Touches stdout."""

import json
from typing import TextIO

from certlag.clock import Clock
from runbook.events import Event
from runbook.plan.model import Plan
from runbook.report.consoles import BrokenPipeSafe
from runbook.report.json.documents import line


class JsonReporter:
    """Writes lines for a program, each as soon as there is something to say."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = BrokenPipeSafe(stream)
        self._clock = clock

    def plan(self, plan: Plan) -> None:
        """Write the plan."""
        self._write(plan)

    def tell(self, event: Event) -> None:
        """Write an event."""
        self._write(event)

    def pause(self) -> None:
        """Nothing is written of itself."""

    def resume(self) -> None:
        """Nothing is written of itself."""

    def close(self) -> None:
        """Nothing is held: every line was flushed."""

    def _write(self, document: Plan | Event) -> None:
        self._stream.write(json.dumps(line(document, self._clock.now())) + "\n")
        self._stream.flush()
