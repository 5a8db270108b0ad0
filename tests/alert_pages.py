"""The alerts' pages as a reader takes them: sections, and the commands to copy from them."""

import re
from pathlib import Path

from alerts.alerting import ALERTS
from certlag import alert_pages

FOLDER = Path(alert_pages.__file__).parent
WITHOUT_RUNBOOK = "A restart without runbook"
"""The heading that only pages which restart a target have."""
NAMES = tuple(dict.fromkeys(alert.name for alert in ALERTS))
"""The names of all alerts: each has a page."""


def page(name: str) -> str:
    """The text of a page."""
    return alert_pages.alert_pages()[name]


def diagnosis(text: str) -> str:
    """What stands under Diagnosis."""
    return _section(text, "Diagnosis")


def mitigation(text: str) -> str:
    """What stands under Mitigation, and how to do the same without the runbook."""
    return _section(text, "Mitigation") + _section(text, WITHOUT_RUNBOOK)


def commands(text: str) -> list[str]:
    """The commands in a text, one for each block of shell."""
    return [found.strip() for found in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


def filled(command: str, values: dict[str, str]) -> str:
    """A command with its placeholders replaced.

    Raises:
        KeyError: one of them has no value.
    """
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], command)


def _section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
