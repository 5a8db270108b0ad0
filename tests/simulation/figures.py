"""What was walked through, counted."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.incidents import DEEDS


@dataclass
class Figures:
    """What was walked through."""

    days: float = 0.0
    events: int = 0
    compared: int = 0
    promises: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    misfortunes: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        happened = self.deeds + self.misfortunes
        faults = happened.total() - sum(happened[deed.name] for deed in DEEDS if not deed.fault)
        endings = ", ".join(f"{count} {outcome}" for outcome, count in self.endings.most_common())
        return (
            f"{self.days:.0f} simulated days, {self.events} events, gauges compared {self.compared} times, "
            f"promises held {self.promises} times, {happened.total() - faults} deeds of others, {faults} faults, "
            f"{self.commands.total()} commands ({endings})"
        )
