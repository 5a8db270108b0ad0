"""Runs scenarios with promtool; touches a folder and one process.

promtool evaluates every rule of a file at every step, whatever is asked for: `only` leaves out the rules on which an
alert does not depend, which is several times as fast.
"""

import json
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Test(Protocol):
    """What promtool is to run: a test group, and how many minutes there are between two of its evaluations."""

    @property
    def step(self) -> int:
        """Minutes."""

    def promtool(self) -> dict[str, object]:
        """Return the test group."""


@dataclass(frozen=True)
class Outcome:
    """What promtool made of scenarios: it failed one if the alerts were not as they should be."""

    passed: bool
    output: str


def run(rules: Mapping[str, Any], scenarios: Iterable[Test], folder: Path) -> Outcome:
    """Run scenarios against a rule file's content, in a folder for what promtool reads. JSON is YAML too."""
    (folder / "rules.json").write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
    by_step: dict[int, list[Test]] = {}
    for scenario in scenarios:
        by_step.setdefault(scenario.step, []).append(scenario)
    files = []
    for step, group in by_step.items():
        document = {
            "rule_files": ["rules.json"],
            "evaluation_interval": f"{step}m",
            "tests": [scenario.promtool() for scenario in group],
        }
        files.append(f"scenarios-{step}m.json")
        (folder / files[-1]).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    argv = ("promtool", "test", "rules", *files)
    ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    return Outcome(ended.returncode == 0, ended.stdout + ended.stderr)


def only(rules: Mapping[str, Any], alerts: Collection[str]) -> dict[str, Any]:
    """Return a rule file's content with just these alerts, and what they depend on."""
    groups = []
    for group in rules["groups"]:
        kept: list[dict[str, Any]] = []
        for rule in reversed(group["rules"]):
            used = any(rule.get("record", " ") in each["expr"] for each in kept)
            if rule.get("alert") in alerts or ("record" in rule and used):
                kept.insert(0, rule)
        groups.append({**group, "rules": kept})
    return {"groups": groups}
