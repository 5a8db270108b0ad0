"""What a run of the runbook promises, and how it ends from each step. Tests name both: `@pytest.mark.promise("P3")`.

docs/reliability.md is the table of both, generated from the tests; a promise that no test shows fails a test.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.catalogue import TestFunction, every_test

MARKER = "promise"

PROMISES: Mapping[str, str] = {
    "P1": (
        "The workers' replica count is in the cluster before the first of them is scaled; a later run never overwrites "
        "an unfinished record; 0 is recorded only where it was 0."
    ),
    "P2": (
        "The restart is never requested while a worker pod still runs, no matter who owns it: Terminating and "
        "Unknown count as running, and an error of the API server is never “no pods”."
    ),
    "P3": (
        "However a run ends, the workers are at the recorded count again, or the record, the alert and the printed "
        "command say that they are not."
    ),
    "P4": (
        "At most one run changes an object at a time, also when an old holder of the lock wakes up after it was taken "
        "over."
    ),
    "P5": (
        "Success is said only if every ready pod was seen to serve the issued certificate, in 30 handshakes in a row "
        "for each container. Not seen is unknown: no reason for another restart, and no success."
    ),
    "P6": "A change by somebody else stops the run as contested, with who and when.",
    "P7": (
        "`resume` reaches the same end after `kill -9`, a suspended laptop or a lost network. What weakens a promise "
        "is taken from the record only after it was shown and confirmed."
    ),
    "P8": (
        "Preconditions are checked and named one by one before anything changes; nothing that the run would destroy is "
        "found out afterwards. A refusal that can be overridden names its option."
    ),
    "P9": (
        "What it says is true: “nothing was changed” only if so, a dry run never reads like a run, and a suggested "
        "command works for this target, cluster and namespace."
    ),
}

STEPS = ("before the drain", "draining", "restarting", "verifying", "restoring")
ENDINGS: Mapping[str, Sequence[str]] = {
    "abort": (
        "lock released, 130",
        "workers restored, 130",
        "waits for the rollout, then restores the workers",
        "as while restarting",
        "goes on",
    ),
    "timeout": (
        "—",
        "workers restored, not restarted, 5",
        "left drained, 6",
        "old certificate: one more restart, then 8; not valid: 6",
        "record kept, 7",
    ),
    "contested": (
        "nothing was changed, 9",
        "record kept, 9",
        "left drained, 9",
        "left drained, 9",
        "record kept, 9",
    ),
    "not known": (
        "marks removed, 1",
        "tries until the timeout, then as timeout",
        "tries, then left drained, 6",
        "workers restored, 10, while the old certificate is still accepted; else left drained, 6",
        "tries, then 7",
    ),
}
"""By what ends a run: how it ends from each of `STEPS`, with the exit code."""


def ending(step: str, why: str) -> str:
    """Return how a marker names an ending, as in `draining: timeout`."""
    return f"{step}: {why}"


def promised() -> Sequence[str]:
    """Return everything that a marker may name."""
    endings = [
        ending(step, why) for why, ends in ENDINGS.items() for step, end in zip(STEPS, ends, strict=True) if end != "—"
    ]
    return [*PROMISES, *endings]


def shown_by() -> Mapping[str, Sequence[TestFunction]]:
    """Return the tests of each promise or ending that any test names, known or not."""
    found: dict[str, list[TestFunction]] = defaultdict(list)
    for test in every_test():
        for name in test.arguments(MARKER):
            found[name].append(test)
    return found


def table() -> Iterator[str]:
    """Give docs/reliability.md's part on promises."""
    shown = shown_by()
    yield "| | promised | shown by |\n| --- | --- | --- |\n"
    for number, promise in PROMISES.items():
        yield f"| {number} | {promise} | {_links(shown.get(number, ()))} |\n"
    yield "\n| a run is ended while | by | it ends | shown by |\n| --- | --- | --- | --- |\n"
    for row, step in enumerate(STEPS):
        for why, ends in ENDINGS.items():
            if ends[row] != "—":
                yield f"| {step} | {why} | {ends[row]} | {_links(shown.get(ending(step, why), ()))} |\n"


def _links(tests: Sequence[TestFunction]) -> str:
    return "<br>".join(test.link for test in tests) or "**no test**"
