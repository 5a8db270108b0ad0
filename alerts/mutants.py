"""`make mutants`: damages the rules one piece at a time, and says whether the scenarios notice.

A mutant that survives is a part of a rule that no scenario needs: either one is missing, or the part is. Each mutant
is run against the scenarios of the alerts that depend on the damaged rule, until one notices.
"""

import argparse
import copy
import random
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alerts import promtool
from alerts.scenario import Scenario, rules_with_links
from alerts.scenario_catalogue import OF_ALERT, OF_ALL

PROCESSES = 2
MEMORY = "[15m]"
"""One setting: what it means for a rule is damaged as a whole."""


@dataclass(frozen=True)
class Damage:
    """A kind of damage to an expression: what is found, and what stands in its place."""

    what: str
    pattern: str
    replacement: str


_COMPARISONS = ((">=", "<"), (">", "<="), ("<=", ">"), ("<", ">="), ("==", "!="), ("!=", "=="))
DAMAGES = (
    *(Damage("comparison", rf"(?<= ){re.escape(old)}(?= |$)", new) for old, new in _COMPARISONS),
    Damage("state", r'state!="idle"', 'state="idle"'),
    Damage("state", r'state="(idle|unknown|left_drained)"', 'state="draining"'),
    Damage("aggregation", r"\bmin by\b", "max by"),
    Damage("aggregation", r"\bmax by\b", "min by"),
    Damage("aggregation: a label more", r"\bby \((?!job)", "by (instance, "),
    Damage("aggregation: a label less", r"(?<=by \()\w+, ", ""),
    Damage("join: a label less", r"(?<=on \()namespace, workload, workload_type, ", ""),
    Damage("set operator", r"\bunless\b", "and"),
    Damage("set operator", r"\band\b", "unless"),
    Damage("set operator", r"\bor\b", "and"),
    Damage("arithmetic", r" - ", " + "),
    Damage("arithmetic", r" \* (?!0)", " / "),
    Damage("arithmetic: instant for age", r"timestamp\((?=certlag)", "abs("),
    Damage("limit", r"clamp_max", "clamp_min"),
    Damage("metric", r"\bcertlag_\w+", "certlag_nothing"),
    Damage("memory of deadlines", r"\[7d\](?!\) \* 0)", "[1d]"),
    Damage("memory of deadlines: no time to answer", r" offset 15m", ""),
    Damage("namespace", r'exported_namespace!=""', 'exported_namespace=""'),
    Damage("captured label", r'"\$1"', '"$2"'),
    Damage("job", r'job="certlag-exporter"', 'job=~".+"'),
)
_NUMBER = re.compile(r"(?<![\w.\[:$])\d+(?:\.\d+)?(?![\w.\]])")
_DURATION = re.compile(r"^(\d+)([smhd])$")


@dataclass(frozen=True)
class Mutant:
    """A damaged rule file: which rule, how, and the alerts that depend on it."""

    rule: str
    damage: str
    rules: Mapping[str, Any]
    alerts: tuple[str, ...]


def mutants(rules: Mapping[str, Any]) -> Iterator[Mutant]:
    """Yield every rule file with one piece damaged."""
    (group,) = rules["groups"]
    for index, rule in enumerate(group["rules"]):
        name = rule.get("alert") or rule["record"]
        dependent = (name,) if "alert" in rule else tuple(_dependents(group["rules"], name))
        for what, damaged in _damaged(rule):
            changed = copy.deepcopy(dict(rules))
            changed["groups"][0]["rules"][index] = damaged
            yield Mutant(f"{name}#{index}", what, changed, dependent)


def _dependents(rules: list[dict[str, Any]], record: str) -> Iterator[str]:
    """Yield the alerts that use a recorded series, directly or by another one."""
    records = {record}
    for rule in rules:
        if any(each in rule["expr"] for each in records):
            if "record" in rule:
                records.add(rule["record"])
            else:
                yield rule["alert"]


def _damaged(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if MEMORY in rule["expr"]:
        yield "memory", {**rule, "expr": rule["expr"].replace(MEMORY, "[5m]")}
    yield from ((what, {**rule, "expr": expression}) for what, expression in _damaged_expressions(rule["expr"]))
    if "for" in rule:
        yield from ((f"for: {wait}", {**rule, "for": wait}) for wait in _other_durations(rule["for"]))
    for label in rule.get("labels", {}):
        rest = {key: value for key, value in rule["labels"].items() if key != label}
        yield f"label {label} missing", {**rule, "labels": rest}
        yield f"label {label} wrong", {**rule, "labels": {**rest, label: "wrong"}}
    for name, text in rule.get("annotations", {}).items():
        rest = {key: value for key, value in rule["annotations"].items() if key != name}
        yield f"annotation {name} missing", {**rule, "annotations": rest}
        without = re.sub(r"\{\{ \$\w+(\.\w+)?[^}]*\}\}", "", text, count=1)
        if without != text:
            yield f"annotation {name}: a value less", {**rule, "annotations": {**rest, name: without}}


def _damaged_expressions(expression: str) -> Iterator[tuple[str, str]]:
    """Yield an expression with one place damaged, for each place and damage."""
    seen = {expression}
    for damage in DAMAGES:
        for found in re.finditer(damage.pattern, expression, re.MULTILINE):
            changed = expression[: found.start()] + damage.replacement + expression[found.end() :]
            if changed not in seen:
                seen.add(changed)
                yield f"{damage.what} at {found.start()}: {found[0].strip()} → {damage.replacement.strip()}", changed
    for found in _NUMBER.finditer(expression):
        at_least = expression[: found.start()].endswith(">= ")
        for other in _other_numbers(float(found[0]), at_least=at_least):
            number = f"{other:g}"
            yield (
                f"number at {found.start()}: {found[0]} → {number}",
                expression[: found.start()] + number + expression[found.end() :],
            )


def _other_numbers(value: float, *, at_least: bool) -> tuple[float, ...]:
    """Return what stands in a number's place. Half of one is no other count, and what is there is at least one."""
    if value == 1:
        return (2,) if at_least else (0, 2)
    return (value / 2, value * 2) if value else ()


def _other_durations(wait: str) -> Iterator[str]:
    found = _DURATION.match(wait)
    if found is None:
        raise ValueError(f"{wait} is no duration of one unit")
    yield "0s"
    yield f"{int(found[1]) * 2}{found[2]}"


def noticed_by(mutant: Mutant) -> str | None:
    """Return what first noticed a mutant: an alert's own scenarios, or those of all; None if it survives."""
    suites = sorted(((alert, OF_ALERT[alert]) for alert in set(mutant.alerts)), key=lambda suite: _cost(suite[1]))
    with tempfile.TemporaryDirectory() as folder:
        for alert, scenarios in suites:
            if not promtool.run(promtool.only(mutant.rules, [alert]), scenarios, Path(folder)).passed:
                return alert
        needed = promtool.only(mutant.rules, mutant.alerts)
        return None if promtool.run(needed, OF_ALL, Path(folder)).passed else "all"


def _cost(scenarios: Iterable[Scenario]) -> int:
    """Return how much there is to evaluate: the quickest are tried first."""
    return sum(len(points) for scenario in scenarios for points in scenario.world.series.values())


def survivors(chosen: Sequence[Mutant]) -> list[Mutant]:
    """Run mutants, some at once, and return those that nothing noticed."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        return [mutant for mutant, noticed in zip(chosen, pool.map(noticed_by, chosen), strict=True) if not noticed]


def sampled(every: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Choose so many of them; the same for the same seed."""
    return random.Random(seed).sample(every, min(count, len(every)))  # noqa: S311 - a choice, no secret


def main() -> int:
    """Run all mutants, or a sample; 0 if each was noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    every = list(mutants(rules_with_links()))
    chosen = every if asked.sample is None else sampled(every, asked.sample, asked.seed)
    alive = survivors(chosen)
    for mutant in alive:
        sys.stdout.write(f"survived: {mutant.rule}: {mutant.damage}\n")
    sys.stdout.write(f"mutants killed: {len(chosen) - len(alive)}/{len(chosen)} (of {len(every)})\n")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
