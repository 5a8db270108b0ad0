"""The simulation finds bugs: each of these is planted in a copy of the tree, and the walk there ends with its promise.

The seeds are fixed, so a bug is found in the same walk each time. Where it takes several, it is because the bug shows
only when one thing happens at one moment of a run.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.figures import Figures

pytestmark = pytest.mark.thorough

TREE = Path(__file__).parents[2]
PARTS = ("certlag", "exporter", "runbook", "rehearsal", "tests")
SEED = 1
MOST_WALKS = 30
DAYS = 20
TIMEOUT = 60.0 * MOST_WALKS


@dataclass(frozen=True)
class Bug:
    """A mistake that somebody might make: what is written instead of what, and how it must be found."""

    name: str
    module: str
    right: str
    wrong: str
    found: str
    seed: int = SEED
    """Of the first walk: those before the one that finds it take minutes."""


BUGS = (
    Bug(
        "assess: a stale pod needs no restart",
        "certlag/assess.py",
        "        return None if in_grace else True\n",
        "        return None if in_grace else False\n",
        "gauges of",
    ),
    Bug(
        "assess: the deadline of what was issued, not of what is loaded",
        "certlag/assess.py",
        "deadline=min((end or chain.leaf.not_after for",
        "deadline=min((issued.chain.leaf.not_after if issued and issued.chain else end or chain.leaf.not_after for",
        "gauges of",
    ),
    Bug(
        "issued: a request counts whatever its dates",
        "certlag/issued.py",
        "    return not_before in (None, leaf.not_before) and not_after in (None, leaf.not_after)\n",
        "    return True\n",
        "gauges of",
    ),
    Bug(
        "drain: a worker whose count is 0 is drained, though its pods still end",
        "runbook/kube/drained.py",
        """    if live:
        return f"{len(live)} {'pod' if len(live) == 1 else 'pods'} not ended"
    if worker.current or worker.terminating:
        return "its status still counts pods"
""",
        "",
        "promise 2: restarted while",
    ),
    Bug(
        "fence: a take-over is not written into the record",
        "runbook/guard/guarded_run.py",
        "                operator=self.approved.operator,\n                workload_uid=uid,\n",
        "                workload_uid=uid,\n",
        "promise 4:",
    ),
    Bug(
        "verification: the old certificate will do while it is valid",
        "runbook/check/status.py",
        "        return believed and (self.streak is None or self.streak >= CONFIRMATIONS)\n",
        "        return believed or self.verdict is Verdict.STALE\n",
        "promise 5:",
    ),
    Bug(
        "ending: a run that stopped half-way is closed, whatever it had done",
        "runbook/run/engine.py",
        """            if run.step in BEFORE_DRAIN and not _may_have_scaled(run):
                yield from self._unpause_all""",
        """            if True:
                yield from self._unpause_all""",
        "promise 3:",
    ),
    Bug(
        "restore: workers that were scaled up are back, Ready or not",
        "runbook/run/phases.py",
        "        yield from _rolled_out(guarded, Phase.RESTORING, uids, Wanted.READY)\n",
        "        yield from observe(uids)\n",
        "promise 3:",
        seed=6,
    ),
    Bug(
        "KEDA: held at 0 while the workers are drained",
        "runbook/guard/controllers.py",
        'during = {KEDA_PAUSED: "true", KEDA_PAUSED_REPLICAS: None}',
        'during = {KEDA_PAUSED: "true", KEDA_PAUSED_REPLICAS: "0"}',
        "promise 3: KEDA",
    ),
)


@dataclass(frozen=True)
class Walked:
    """How walks in a copy of the tree ended."""

    walks: int
    failed: bool
    text: str


def copy(to: Path) -> Path:
    """Copy what a walk consists of."""
    for part in PARTS:
        shutil.copytree(TREE / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def walk(tree: Path, most: int, seed: int = SEED) -> Walked:
    """Walk in a copy, seed after seed, until one fails."""
    options = ("--seed", str(seed), "--walks", str(most), "--pace", "busy", "--days", str(DAYS))
    command = (sys.executable, "-m", "tests.simulation", *options)
    ended = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return Walked(ended.stdout.count("seed "), ended.returncode == 1, ended.stderr)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.partition(":")[0])
def test_what_a_bug_replaces_is_there(bug: Bug) -> None:
    assert (TREE / bug.module).read_text(encoding="utf-8").count(bug.right) == 1, "plant it again"


@pytest.mark.proof
def test_without_a_bug_the_walk_in_a_copy_passes(tmp_path: Path) -> None:
    walked = walk(copy(tmp_path), 1)
    assert (walked.walks, walked.failed) == (1, False), walked.text


@pytest.mark.matrix(1)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.partition(":")[0])
def test_a_planted_bug_is_found_and_its_promise_is_named(bug: Bug, tmp_path: Path, figures: Figures) -> None:
    module = copy(tmp_path) / bug.module
    text = module.read_text()
    module.write_text(text.replace(bug.right, bug.wrong))
    walked = walk(tmp_path, MOST_WALKS, bug.seed)
    assert walked.failed, f"not found in {walked.walks} walks"
    assert f"AssertionError: {bug.found}" in walked.text, walked.text
    figures(f"{bug.name}: found in walk {walked.walks + 1}")
