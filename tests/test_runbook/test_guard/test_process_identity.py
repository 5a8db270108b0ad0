"""A holder is known to be gone only where that is sure: on this machine, in this boot, under this process number."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from runbook.guard.process_identity import ProcessIdentity, this_process

ME = this_process("system:serviceaccount:opschain/runbook")


def of(pid: int, **changes: str) -> str:
    return replace(ME, pid=pid, **changes).holder("run-1")


def ended() -> int:
    """Return the number of a process that runs no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_of_this_machine_that_has_ended_is_dead() -> None:
    assert ME.is_dead(of(ended()))


def test_one_that_runs_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not ME.is_dead(of(process.pid))


def test_one_of_another_user_that_runs_is_not() -> None:
    assert not ME.is_dead(of(1))


def test_our_own_number_in_an_earlier_run_was_another_process() -> None:
    assert ME.is_dead(of(os.getpid()))


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"machine": "another boot"}])
def test_one_of_another_machine_or_boot_is_never_known_to_be_dead(changes: dict[str, str]) -> None:
    assert not ME.is_dead(of(ended(), **changes))


@pytest.mark.parametrize("holder", ["", "bob", "bob@desk", "bob@desk/m/x/run", "a/b/c/d", "bob@desk/m/-1/run"])
def test_a_holder_that_was_not_written_by_us_is_never_known_to_be_dead(holder: str) -> None:
    assert not ME.is_dead(holder)


def test_where_the_machine_cannot_be_told_nobody_is_known_to_be_dead() -> None:
    unknown = replace(ME, machine="")
    assert not unknown.is_dead(replace(unknown, pid=ended()).holder("run-1"))


def test_the_same_user_on_the_same_host_is_the_same_operator_whatever_the_run() -> None:
    assert ME.is_same_operator(of(1, machine="another boot"))
    assert not ME.is_same_operator(of(1, host="elsewhere"))
    assert not ME.is_same_operator(of(1, user="bob"))
    assert not ME.is_same_operator("")


def test_a_user_whose_name_has_slashes_is_read_back_whole() -> None:
    odd = ProcessIdentity("https://issuer/path#ann", "laptop", "m", 7)
    assert odd.is_same_operator(odd.holder("run-9"))


def test_we_are_the_same_machine_each_time() -> None:
    assert this_process("ann").machine == this_process("bob").machine != ""
