"""`--attach` follows the run that is open and ends as it does; none is begun, nothing is written."""

import json
import os
import queue
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certlag.kube.reflector import Change
from certlag.run_record import Step
from runbook.cli import main
from runbook.guard.record import Operator, Record, Run, WorkerRecord, config_map
from runbook.kube.change_waiter import Changes
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.session.session import Time
from tests import output_lines
from tests.scripted_api import Answer, answer, page, refusal, scripted_api

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "certlag-run-build-service-f00d"
LAPTOP = Operator("bob", "desk", 7, "1")
OPEN = Run("one", 1, Step.SCALED_DOWN, BEGUN, BEGUN, LAPTOP, "deployment/opschain-build-service", "uid", {})
IN_JOB = replace(OPEN, operator=Operator("runner", f"{JOB}-abcde", 1, "1", job=JOB))
NO_PODS = page([], "1")


class NoPatience:
    """Looks again at once."""

    def take(self, changes: Changes, seconds: float, *, early: bool) -> Change | None:
        """Wait for nothing."""
        raise queue.Empty


def holding(record: Record) -> Answer:
    document = config_map("build-service", record)
    document["metadata"]["resourceVersion"] = "1"
    return answer(json.dumps(document).encode())


def closed(outcome: Outcome, run: Run = OPEN) -> Record:
    return Record(run).closed(outcome, BEGUN, "as it was")


def job(condition: str = "") -> Answer:
    conditions = [{"type": condition, "status": "True", "message": "too many pods died"}] if condition else []
    return answer(json.dumps({"metadata": {"name": JOB}, "status": {"conditions": conditions}}).encode())


def jobs(condition: str = "") -> Answer:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return page([{"metadata": {"name": JOB}, "status": {"conditions": conditions}}], "1")


def attached(folder: Path, *script: Answer, output: str = "text") -> Result:
    """Attach to what an API server tells by this script; it is only ever read."""
    empty = {"KUBECONFIG": os.devnull, "CERTLAG_CONFIG": "", "KUBERNETES_SERVICE_HOST": ""}
    with scripted_api(*script) as api:
        words = ["restart-build-service", "--attach", "--output", output, "--kubeconfig", api.kubeconfig(folder)]
        result = CliRunner().invoke(main.main, words, env=empty, obj=Time(waiter=NoPatience()))
        for _ in script:
            assert api.next_request().method == "GET"
    return result


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.DRAIN_TIMED_OUT, Outcome.CONTESTED])
def test_a_run_from_a_laptop_is_followed_to_its_end(outcome: Outcome, tmp_path: Path) -> None:
    is_open = holding(Record(OPEN))
    result = attached(tmp_path, is_open, NO_PODS, is_open, NO_PODS, holding(closed(outcome)))
    assert result.exit_code == EXIT_CODES[outcome], result.stderr
    assert "run one of bob on desk" in result.stderr


def test_what_does_not_change_is_told_once(tmp_path: Path) -> None:
    draining = replace(OPEN, workers={"deployment/worker": WorkerRecord(2, "uid")})
    is_open, ended = holding(Record(draining)), holding(closed(Outcome.DONE, draining))
    looks = (NO_PODS, is_open) * 3
    result = attached(tmp_path, is_open, *looks, NO_PODS, ended, output="json")
    told = [line["event"] for line in output_lines.read(result.stdout)]
    assert told == ["remark", "progress", "ended"]


def test_a_run_in_the_cluster_is_followed_through_an_error_of_the_api(tmp_path: Path) -> None:
    is_open = holding(Record(IN_JOB))
    ended = holding(closed(Outcome.DONE, IN_JOB))
    result = attached(tmp_path, is_open, job(), NO_PODS, is_open, refusal(503), job(), NO_PODS, ended)
    assert result.exit_code == 0, result.stderr
    assert "the run goes on anyway" in result.stderr


def test_a_job_that_gives_up_leaves_its_run_to_be_resumed(tmp_path: Path) -> None:
    is_open = holding(Record(IN_JOB))
    result = attached(tmp_path, is_open, job("Failed"), NO_PODS, is_open)
    assert result.exit_code == EXIT_CODES[Outcome.UNEXPECTED]
    assert "too many pods died" in result.stdout
    assert "runbook resume-build-service" in result.stdout


def test_who_may_not_see_the_job_sees_its_run_all_the_same(tmp_path: Path) -> None:
    is_open = holding(Record(IN_JOB))
    ended = holding(closed(Outcome.DONE, IN_JOB))
    assert attached(tmp_path, is_open, refusal(403), NO_PODS, is_open, refusal(403), NO_PODS, ended).exit_code == 0


def test_a_job_that_has_not_begun_its_run_is_waited_for(tmp_path: Path) -> None:
    before = holding(closed(Outcome.ABORTED))
    done = holding(closed(Outcome.DONE, IN_JOB))
    result = attached(tmp_path, before, jobs(), job(), NO_PODS, before, job("Complete"), NO_PODS, done)
    assert result.exit_code == 0, result.stderr
    assert "aborted" not in result.stderr


@pytest.mark.parametrize("seen", [jobs("Complete"), refusal(403)], ids=["no Job is under way", "Jobs may not be seen"])
def test_where_no_run_is_open_it_is_told_how_the_last_one_ended(seen: Answer, tmp_path: Path) -> None:
    result = attached(tmp_path, holding(closed(Outcome.DRAIN_TIMED_OUT)), seen)
    assert result.exit_code == EXIT_CODES[Outcome.DRAIN_TIMED_OUT]
    assert "no run is open: this is how run one ended" in result.stderr


def test_where_there_never_was_a_run_there_is_none_to_follow(tmp_path: Path) -> None:
    result = attached(tmp_path, refusal(404), page([], "1"))
    assert result.exit_code == EXIT_CODES[Outcome.REFUSED]
    assert "there is no run to follow" in result.stdout
