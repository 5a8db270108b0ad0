"""The pure core: its modules, the tests that run for each mutant of one, and the mutants that are no damage."""

from collections.abc import Mapping, Sequence

_SERVED = "tests/field/test_who_serves_a_certificate.py"
TESTS: Mapping[str, Sequence[str]] = {
    "exporter/assess.py": ("tests/test_exporter/test_assess.py", "tests/test_exporter/test_state.py", _SERVED),
    "exporter/compare.py": ("tests/test_exporter/test_assess.py", _SERVED),
    "exporter/issued.py": ("tests/test_exporter/test_issued.py", "tests/test_exporter/test_assess.py", _SERVED),
    "exporter/run_record.py": ("tests/test_runbook/test_record.py", "tests/test_exporter/test_runs.py"),
    "runbook/drain.py": ("tests/test_runbook/test_drain.py",),
    "runbook/rollout.py": ("tests/test_runbook/test_rollout.py",),
    "runbook/fence.py": ("tests/test_runbook/test_fence.py",),
    "runbook/engine.py": ("tests/test_runbook/test_endings.py",),
}
"""Below the root; from the quickest."""

EQUIVALENT: Mapping[str, str] = {}
"""The names of mutants that are no damage, each with the reason."""
