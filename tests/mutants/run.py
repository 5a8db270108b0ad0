"""Runs mutants, each in a process of its own, against the tests that concern its module.

The tree on disk is not touched: the process imports the damaged module from memory. It is forked from one that has
imported pytest and what others wrote, and nothing of ours, which saves most of the time of a start.
"""

import ast
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

from tests.mutants.core import TESTS
from tests.mutants.damage import Mutant, mutants

ROOT = Path(__file__).parents[2]
PROCESSES = 2
DEADLINE = 60.0
"""Seconds for the tests of a mutant, of which whole they take at most a few: a loop without end is noticed too."""
IMPORTED = (
    "bcrypt",
    "click",
    "cryptography.x509",
    "h11",
    "hypothesis",
    "isal.isal_zlib",
    "jinja2",
    "kubernetes.client",
    "kubernetes.config",
    "msgspec",
    "prometheus_client",
    "pydantic",
    "pytest",
    "rich.live",
    "urllib3",
    "websocket",
    "wsproto",
    "yaml",
)
"""What tests and modules import of others."""
OPTIONS = (
    # No cache, no summary and no figures of damaged code.
    *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:xdist"),
    *("--override-ini", "addopts=--import-mode=importlib --strict-markers"),
    *("--exitfirst", "--hypothesis-profile", "mutants", "-m", "not proof"),
    # Hypothesis is imported before pytest could rewrite its asserts, which are not of interest.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Verdict(Enum):
    """What the tests said of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Tried:
    """A mutant that was run, and the seconds that it took."""

    mutant: Mutant
    verdict: Verdict
    seconds: float


class TestsFailError(Exception):
    """The tests of a module fail without any damage, so that they would kill every mutant."""


def of_core(modules: Iterable[str] = TESTS) -> list[Mutant]:
    """Return the mutants of modules of the pure core."""
    return [each for module in modules for each in mutants(module, (ROOT / module).read_text(encoding="utf-8"))]


def tried(chosen: Sequence[Mutant]) -> Iterator[Tried]:
    """Run mutants, some at once, and yield them in their order.

    Raises:
        TestsFailError: the tests of one of the modules fail as it is.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))

    def run(module: str, mutant: Mutant | None) -> tuple[Verdict, float]:
        started = time.monotonic()
        process = context.Process(target=_run_tests, args=(TESTS[module], mutant))
        process.start()
        process.join(DEADLINE)
        if process.exitcode is None:
            process.kill()
            process.join()
            return Verdict.TIMED_OUT, time.monotonic() - started
        verdict = Verdict.KILLED if process.exitcode else Verdict.SURVIVED
        return verdict, time.monotonic() - started

    def one(mutant: Mutant) -> Tried:
        return Tried(mutant, *run(mutant.module, mutant))

    with ThreadPoolExecutor(PROCESSES) as pool:
        modules = sorted({mutant.module for mutant in chosen})
        for module, (verdict, _) in zip(modules, pool.map(lambda module: run(module, None), modules), strict=True):
            if verdict is not Verdict.SURVIVED:
                raise TestsFailError(f"undamaged, {module} fails: {' '.join(TESTS[module])}")
        yield from pool.map(one, chosen)


def _run_tests(tests: Sequence[str], mutant: Mutant | None) -> None:
    """Run tests in this process, which ends with pytest's exit code; all that is by chance is so by one seed."""
    import hypothesis  # noqa: PLC0415 - not by whoever only lists mutants
    import pytest  # noqa: PLC0415

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.chdir(ROOT)
    os.environ["CERTLAG_SEED"] = "1"
    if mutant is not None:
        sys.meta_path.insert(0, _Damaged(mutant))
    without = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # what fails need not be made smaller
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=without)
    sys.exit(pytest.main([*OPTIONS, *tests]))


class _Damaged(MetaPathFinder):
    """Finds one module damaged."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.module.removesuffix(".py").replace("/", ".")
        if self._name in sys.modules:
            raise RuntimeError(f"{self._name} is imported already: it would not be damaged")

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        file = str(ROOT / self._mutant.module)
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self._mutant))


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """Compile the damaged source, past what bytecode there is."""
        source = Path(self.path).read_text(encoding="utf-8")
        return compile(self._mutant.damaged(source), self.path, "exec", dont_inherit=True)
