"""What every reporter does: one small protocol. Pure."""

from typing import Protocol

from runbook.events import Event
from runbook.plan.model import Plan


class Reporter(Protocol):
    """Shows a command's plan and what happens in its run. Called from one thread; no method raises."""

    def plan(self, plan: Plan) -> None:
        """Show what is about to be done."""
        ...

    def tell(self, event: Event) -> None:
        """Show what has happened."""
        ...

    def pause(self) -> None:
        """Leave the terminal alone: a question is about to be asked on it."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found. Called at every end, however it came; may be called twice."""
        ...
