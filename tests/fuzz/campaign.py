"""One campaign against one subject: inputs made, run and assessed until it is enough. Touches the corpus's folder."""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutation import mutated
from tests.fuzz.subjects import Subject, came_out

CORPUS = Path(__file__).parent / "corpus"
MOST_SECONDS = 2.0
"""Of processor time for one input of at most `mutation.MOST` bytes: more is a finding."""

MOST_OUTCOMES = 2000
"""Ways to come out of one subject; more are words of the input that a subject takes for its own."""


@dataclass(frozen=True)
class Finding:
    """An input that did what none may do."""

    data: bytes
    outcome: str
    what: str


@dataclass
class Result:
    """What came of it; `fresh` are inputs that did what no input of the corpus does."""

    executions: int = 0
    findings: list[Finding] = field(default_factory=list)
    outcomes: set[str] = field(default_factory=set)
    fresh: list[bytes] = field(default_factory=list)


def corpus(subject: Subject) -> list[bytes]:
    """Return the inputs that are kept for a subject, and those that it begins with."""
    kept = sorted((CORPUS / subject.name).glob("*"))
    return [*subject.seeds(), *(file.read_bytes() for file in kept)]


def keep(subject: Subject, data: bytes, folder: Path = CORPUS) -> Path:
    """Write an input into a folder under the name of its content."""
    file = folder / subject.name / hashlib.sha256(data).hexdigest()[:16]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def run(subject: Subject, seed: int, enough: Callable[[Result], bool]) -> Result:
    """Replay the corpus, then change its inputs until it is enough."""
    chance = random.Random(seed)  # noqa: S311 - it makes inputs, no secrets
    result, inputs = Result(), corpus(subject)
    for data in inputs:
        _try(subject, data, result)
    while not enough(result):
        data = mutated(chance, chance.choice(inputs), inputs)
        if _try(subject, data, result):
            inputs.append(data)
            result.fresh.append(data)
    return result


def _try(subject: Subject, data: bytes, result: Result) -> bool:
    """Run one input; tell whether it did something new and allowed."""
    result.executions += 1
    begun = time.process_time()
    try:
        outcome = subject.run(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        if came_out(error) not in {finding.outcome for finding in result.findings}:
            result.findings.append(Finding(data, came_out(error), f"{type(error).__name__}: {error}"[:500]))
        return False
    if (took := time.process_time() - begun) > MOST_SECONDS:
        result.findings.append(Finding(data, "slow", f"{took:.1f} s of processor time for {len(data)} bytes"))
    is_new = outcome not in result.outcomes and len(result.outcomes) < MOST_OUTCOMES
    result.outcomes.add(outcome)
    return is_new
