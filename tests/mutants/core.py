"""The pure core: its modules, the tests that run for each mutant of one, and the mutants that none of them notices."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_JUDGED = (
    "tests/test_certlag/test_assess.py",
    "tests/field/test_which_certificate_was_issued.py",
    "tests/field/test_who_serves_a_certificate.py",
)
TESTS: Mapping[str, Sequence[str]] = {
    "certlag/assess.py": (*_JUDGED, "tests/test_certlag/test_store/test_world.py"),
    "certlag/compare.py": _JUDGED,
    "certlag/issued.py": ("tests/test_certlag/test_issued.py", *_JUDGED),
    "certlag/run_record.py": (
        "tests/test_runbook/test_guard/test_record.py",
        "tests/test_certlag/test_target_assessment.py",
    ),
    "runbook/kube/drained.py": ("tests/test_runbook/test_kube/test_drained.py",),
    "runbook/kube/rolled_out.py": ("tests/test_runbook/test_kube/test_rolled_out.py",),
    "runbook/guard/fence.py": ("tests/test_runbook/test_guard/test_fence.py",),
    "runbook/run/engine.py": (
        "tests/test_runbook/test_run/test_endings.py",
        "tests/test_runbook/test_run/test_engine.py",
    ),
}
"""Below the root; from the quickest."""
LISTED = tuple(module for module in TESTS if module != "runbook/run/engine.py")
"""The modules all of whose survivors are known. One of the engine takes a minute of a processor, all of them hours."""

SURVIVORS = Path(__file__).parent / "survivors.txt"
"""The names of mutants that no test noticed when all were run: some are no damage, others want a test."""


def known_survivors() -> frozenset[str]:
    """Return the names in `SURVIVORS`."""
    return frozenset(SURVIVORS.read_text(encoding="utf-8").splitlines())


def write_survivors(names: Iterable[str], modules: Iterable[str]) -> None:
    """Take the survivors of a full run of some modules for the known ones; those of other modules stay."""
    run = tuple(f"{module} " for module in modules)
    others = {name for name in known_survivors() if not name.startswith(run)}
    SURVIVORS.write_text("".join(f"{name}\n" for name in sorted({*others, *names})), encoding="utf-8")
