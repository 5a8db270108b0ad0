"""Runs mutants against the tests that concern their module, each in a process of its own.

pytest collects those tests once, and is forked for each mutant: so a mutant takes little more than what its tests take
until one fails. The tree on disk is not touched. In the forked process only the damaged statement is executed again,
and what it defines takes the place of what was there.
"""

import ast
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType, ModuleType

import hypothesis
import pytest

from tests.mutants.core import LISTED, TESTS
from tests.mutants.damage import Mutant, mutants

ROOT = Path(__file__).parents[2]
PROCESSES = 2
OPTIONS = (
    # No cache, no summary and no figures of damaged code.
    *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:xdist", "--capture=no"),
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
    """A mutant that was run, and the seconds of a processor that it took."""

    mutant: Mutant
    verdict: Verdict
    seconds: float


class TestsFailError(Exception):
    """The tests of a module fail, or cannot be collected, without any damage: they would kill every mutant."""


def of_core(modules: Iterable[str] = LISTED) -> list[Mutant]:
    """Return the mutants of modules of the pure core."""
    return [each for module in modules for each in mutants(module, (ROOT / module).read_text(encoding="utf-8"))]


def tried(chosen: Iterable[Mutant]) -> Iterator[Tried]:
    """Run mutants, some at once, and yield each as it ends.

    Raises:
        TestsFailError: the tests of one of the modules fail as it is.
    """
    fresh = multiprocessing.get_context("spawn")
    for module, its in groupby(sorted(chosen, key=lambda mutant: mutant.module), key=lambda mutant: mutant.module):
        these = list(its)
        here, there = fresh.Pipe(duplex=False)
        process = fresh.Process(target=_try_all, args=(TESTS[module], these, there))
        process.start()
        there.close()
        ended = 0
        while (each := _received(here)) is not None:
            ended += 1
            yield each
        process.join()
        if ended < len(these):
            raise TestsFailError(f"{module} undamaged: do all pass? {' '.join(TESTS[module])}")


def _received(results: "Connection[None, Tried]") -> Tried | None:
    try:
        return results.recv()
    except EOFError:
        return None


def _try_all(tests: Sequence[str], chosen: Sequence[Mutant], results: "Connection[Tried, None]") -> None:
    """Collect tests, and run them for each mutant; all that is by chance is so by one seed."""

    class Forked:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            _fork_each(session, chosen, results)
            return True

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.chdir(ROOT)
    os.environ["CERTLAG_SEED"] = "1"
    without = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # what fails need not be made smaller
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=without)
    pytest.main([*OPTIONS, *tests], plugins=[Forked()])


def _fork_each(session: pytest.Session, chosen: Sequence[Mutant], results: "Connection[Tried, None]") -> None:
    """Run the tests of a session once undamaged, then for each mutant."""
    if session.testsfailed:  # to be collected
        return
    _forked(session, None, resource.RLIM_INFINITY)
    _, undamaged, seconds = _ended()
    if undamaged is not Verdict.SURVIVED:
        return
    limit = 2 + ceil(3 * seconds)  # a loop without end is noticed too
    running: dict[int, Mutant] = {}
    waiting = [*reversed(chosen)]
    while waiting or running:
        while waiting and len(running) < PROCESSES:
            mutant = waiting.pop()
            running[_forked(session, mutant, limit)] = mutant
        pid, verdict, seconds = _ended()
        results.send(Tried(running.pop(pid), verdict, seconds))


def _forked(session: pytest.Session, mutant: Mutant | None, limit: int) -> int:
    """Run the tests in a process of their own, with at most this many seconds of a processor; return its id."""
    if (pid := os.fork()) != 0:
        return pid
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        if mutant is not None:
            damage(sys.modules[mutant.module.removesuffix(".py").replace("/", ".")], mutant)
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                break
        code = 1 if session.testsfailed else 0
    finally:
        os._exit(code)  # nothing of the session is to be ended twice


def _ended() -> tuple[int, Verdict, float]:
    """Wait for one of the processes; return its id, what came of it, and its seconds of a processor."""
    pid, status, used = os.wait4(-1, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        verdict = Verdict.TIMED_OUT
    else:
        verdict = Verdict.KILLED if status else Verdict.SURVIVED
    return pid, verdict, used.ru_utime + used.ru_stime


def damage(module: ModuleType, mutant: Mutant) -> None:
    """Damage a module that is imported already, also for those who have imported names of it.

    Functions and methods get other code, so that they stay the same objects. Constants are put into every module that
    has the old one by its name. What the module makes of constants further down is made again.
    """
    tree = mutant.damaged(Path(str(module.__file__)).read_text(encoding="utf-8"))
    _, index = mutant.place[0]
    below = tree.body[index or 0 :]
    again = [below[0], *(statement for statement in below[1:] if isinstance(statement, ast.Assign))]
    names = dict(vars(module))
    exec(compile(ast.Module(again, []), str(module.__file__), "exec", dont_inherit=True), names)  # noqa: S102 - the damaged statement, in its own module
    for name, new in names.items():
        old = vars(module).get(name)
        if new is old or name == "__builtins__":
            continue
        if isinstance(old, FunctionType) and isinstance(new, FunctionType):
            _recode(old, new)
        elif isinstance(old, type) and isinstance(new, type):
            _recode_class(old, new)
        else:
            for other in list(sys.modules.values()):
                if getattr(other, "__dict__", {}).get(name) is old:
                    vars(other)[name] = new


def _recode(old: FunctionType, new: FunctionType) -> None:
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _recode_class(old: type, new: type) -> None:
    for name, its in vars(new).items():
        was = vars(old).get(name)
        if isinstance(its, property) and isinstance(was, property):
            its, was = its.fget, was.fget  # noqa: PLW2901 - the functions behind properties
        if isinstance(its, FunctionType) and isinstance(was, FunctionType):
            _recode(was, its)
