"""What of a run's events is worth a line that stays, as (how much it matters, its words). Pure."""

from runbook.events import Event, Level, LostWork, Notice, Written


def lasting_line(event: Event) -> tuple[Level, str] | None:
    """Return the line of an event that happened once; None for those that show how far something is."""
    match event:
        case Written(what):
            return Level.INFO, f"done: {what}"
        case LostWork(pod, container, exit_code):
            ended = f"container {container} of pod {pod} ended with {exit_code}"
            return Level.WARNING, f"{ended}, it was killed: what it worked on may be cut off"
        case Notice(level, text):
            return level, text
    return None
