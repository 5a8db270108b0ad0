"""What somebody else did to an object that a run works on. Pure."""

from dataclasses import dataclass
from datetime import datetime

from certlag.model import Workload
from runbook.kube.views import FieldManager, WorkloadView, reference


@dataclass(frozen=True, slots=True)
class ExternalChange:
    """A change that is not ours. managedFields name the field manager and the time, not the user."""

    workload: Workload
    what: str
    manager: str | None = None
    at: datetime | None = None

    def __str__(self) -> str:
        """Say it in one sentence."""
        by = f", by {self.manager}" if self.manager else ""
        when = f" at {self.at:%Y-%m-%d %H:%M:%S}Z" if self.at else ""
        return f"{reference(self.workload)}: {self.what}{by}{when}"

    def seen(self, now: datetime) -> str:
        """Say it with a time: managedFields have none for a deletion, nor for a write through `scale`."""
        return str(self) if self.at else f"{self}, seen at {now:%Y-%m-%d %H:%M:%S}Z"


def external_change(view: WorkloadView, what: str, *path: str) -> ExternalChange:
    """Say what was done to an object, and who wrote the field at this path last."""
    return _by(view, what, view.last_writer(*path))


def replaced(view: WorkloadView) -> ExternalChange:
    """Say that the object is another one than it was."""
    return ExternalChange(view.workload, "was deleted and created again")


def _by(view: WorkloadView, what: str, manager: FieldManager | None) -> ExternalChange:
    if manager is None:
        return ExternalChange(view.workload, what)
    return ExternalChange(view.workload, what, f"{manager.name} ({manager.operation})", manager.at)
