"""A short run of the fuzzer over each subject, with a seed that is told; and that it finds what it is for."""

import time

import pytest

from tests.field.record import case
from tests.figures import Figures
from tests.fuzz import campaign
from tests.fuzz.__main__ import told
from tests.fuzz.campaign import Result
from tests.fuzz.subjects import SUBJECTS, Subject
from tests.sampling import Dice

pytestmark = pytest.mark.thorough

SECONDS = 3.0
"""For each subject: less than half a minute together. `make fuzz` takes an hour."""


@case(
    "W37",
    kind="Found by tests: an input that stopped a program",
    situation="The texts of a run's record are numbers, or one of its dates is outside the calendar.",
    says="Neither program takes it for a record. Before: the runbook read it, or ended with a traceback.",
    found_by="fuzzing",
    since="2026-11-24",
)
@pytest.mark.fault("F44", "H5")
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("name", SUBJECTS)
def test_whatever_comes_is_read_or_refused_in_one_way(name: str, figures: Figures) -> None:
    dice = Dice()
    end = time.monotonic() + SECONDS
    result = campaign.run(SUBJECTS[name], dice.seed, lambda _: time.monotonic() >= end)
    figures(told(name, dice.seed, result))
    assert result.findings == [], dice


def test_a_bug_behind_three_conditions_is_found() -> None:
    def buggy(data: bytes) -> str:
        depth = next((place for place, byte in enumerate(b"abc") if data[place : place + 1] != bytes([byte])), 3)
        if depth == len(b"abc"):
            raise ZeroDivisionError
        return str(depth)

    def enough(result: Result) -> bool:
        return bool(result.findings) or result.executions > 500_000

    result = campaign.run(Subject("no corpus", buggy, lambda: [b"xyz"]), 1, enough)
    assert [finding.data[:3] for finding in result.findings] == [b"abc"]


def test_what_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MOST_SECONDS", 0.0)
    slow = Subject("no corpus", lambda data: str(sum(range(10_000))), lambda: [b"x"])
    result = campaign.run(slow, 1, lambda _: True)
    assert [finding.outcome for finding in result.findings] == ["slow"]
