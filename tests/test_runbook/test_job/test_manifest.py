"""A Job is the CronJob's template with what was asked for, and what is seen of it says how it ended."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from runbook.cli import main
from runbook.effects import Document
from runbook.job.manifest import (
    JobView,
    arguments,
    creation,
    has_ended,
    is_pod_of,
    is_there,
    job_view,
    last_words,
    outcome_of,
    why_idle,
)
from runbook.kube.containers import ContainerEnd
from runbook.kube.obstacles import WarningEvent
from runbook.kube.views import pod_state
from runbook.outcomes import Outcome
from runbook.plan.model import CheckResult
from runbook.session.options import Options, UsageError
from tests.builders import NAMESPACE, a_target
from tests.workload_documents import a_pod as a_workers_pod

CRON_JOB = {
    "metadata": {"name": "certlag-run-build-service", "uid": "cron-uid"},
    "spec": {
        "suspend": True,
        "jobTemplate": {
            "metadata": {"labels": {"certlag.dev/target": "build-service"}, "annotations": {"team": "ci"}},
            "spec": {
                "backoffLimit": 6,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {"name": "runbook", "args": ["restart-build-service", "--yes"]},
                            {"name": "sidecar", "args": ["--as-it-is"]},
                        ],
                    }
                },
            },
        },
    },
}
ASKED = Options(
    force=True,
    take_over=True,
    pause=True,
    silence=True,
    verify=False,
    settle=False,
    drain_timeout=timedelta(hours=1, milliseconds=500),
    routing_delay=timedelta(seconds=3),
    accepted=frozenset({"grace", "owner"}),
    ignored_pods=frozenset({"lost"}),
    gate=("Watchdog",),
    alertmanager="http://alerts:9093",
    reason="before the release",
)


def made(*more: str) -> Document:
    return creation(a_target(), CRON_JOB, "f00d", more).body


def test_a_job_is_the_cron_jobs_template_and_belongs_to_it() -> None:
    change = creation(a_target(), CRON_JOB, "f00d", ())
    assert change.path == f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    metadata = change.body["metadata"]
    assert metadata["name"] == "certlag-run-build-service-f00d"
    assert metadata["labels"] == {"certlag.dev/target": "build-service"}
    assert metadata["annotations"] == {"team": "ci", "cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("CronJob", "cron-uid")
    assert "blockOwnerDeletion" not in owner
    assert change.body["spec"] == CRON_JOB["spec"]["jobTemplate"]["spec"]  # type: ignore[index]


def test_what_was_asked_for_is_added_to_the_commands_arguments_and_to_nothing_else() -> None:
    command, sidecar = made("--force")["spec"]["template"]["spec"]["containers"]
    assert command["args"] == ["restart-build-service", "--yes", "--force"]
    assert sidecar["args"] == ["--as-it-is"]


def test_a_job_of_the_longest_name_that_a_cron_job_may_have_is_one_that_pods_can_be_labelled_with() -> None:
    longest = {**CRON_JOB, "metadata": {"name": "n" * 52, "uid": "u"}}
    assert len(creation(a_target(), longest, "0123456789", ()).body["metadata"]["name"]) == 63


def test_the_job_is_asked_for_all_that_the_operator_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    got = []

    def no_further(options: Options, *_: object) -> NoReturn:
        got.append(options)
        raise UsageError("no further")

    monkeypatch.setattr(main, "open_session", no_further)
    assert CliRunner().invoke(main.main, ["restart-build-service", *arguments(ASKED, "ann")]).exit_code == 2
    assert got == [replace(ASKED, reason="before the release (started by ann)")]


def test_the_way_to_the_cluster_is_not_passed_on_and_who_started_it_is() -> None:
    from_here = Options(config="/here.yaml", kubeconfig="/here", context="here", namespace="here", yes=True)
    assert list(arguments(from_here, "ann")) == ["--reason=started by ann"]


def test_without_a_cron_job_it_is_refused_with_how_to_have_one() -> None:
    check = is_there("/apis/batch/v1/namespaces/ns/cronjobs/certlag-run-x", None)
    assert check.result is CheckResult.REFUSED
    assert "certlag-run-x" in check.text
    assert "--set runbook.inCluster.enabled=true" in check.remedy


def condition(kind: str, **more: str) -> Document:
    return {"metadata": {"name": "job"}, "status": {"conditions": [{"type": kind, "status": "True", **more}]}}


def test_a_job_is_over_when_its_controller_says_so() -> None:
    assert job_view({"metadata": {"name": "job"}}) == JobView("job", over=False)
    assert job_view(condition("FailureTarget", message="soon")) == JobView("job", over=False)
    assert job_view(condition("Complete")).over
    failed = condition("Failed", reason="BackoffLimitExceeded", message="too many")
    assert job_view(failed) == JobView("job", over=True, why="too many")


def a_pod(**state: Any) -> Document:
    return {"metadata": {"name": "pod"}, "status": {"containerStatuses": [{"state": state}]}}


def test_the_last_line_of_the_latest_pod_says_how_it_ended() -> None:
    log = "\n".join((" …cut off}", json.dumps({"event": "ended", "message": "replicas are 0"})))
    first = a_pod(terminated={"exitCode": 137, "finishedAt": "2026-01-01T00:00:00Z"})
    second = a_pod(terminated={"exitCode": 3, "finishedAt": "2026-01-01T00:05:00Z", "message": log})
    words = last_words([second, first])
    assert words is not None
    assert (words.code, words.message) == (3, "replicas are 0")
    assert outcome_of(words.code) is Outcome.REFUSED
    assert last_words([a_pod(running={})]) is None


@pytest.mark.parametrize("message", ["", "Traceback", "[]", '{"event"', '"text"'])
def test_a_last_line_that_is_none_of_ours_says_nothing(message: str) -> None:
    words = last_words([a_pod(terminated={"exitCode": 1, "message": message})])
    assert words is not None
    assert words.message == ""


IDLE = JobView("run", over=False, uid="job-uid")


def idle(job: JobView, *pods: Document, events: Sequence[WarningEvent] = ()) -> tuple[str, str] | None:
    """Why no pod of a Job runs, and what shows more of it."""
    found = why_idle(job, pods, events, namespace="ns")
    return None if found is None else (found.text, " ".join(found.shows))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "pod one: container main: ErrImagePull",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "pod one cannot be placed: 0/3 nodes",
        ),
    ],
)
def test_why_no_pod_of_a_job_runs_is_read_from_the_pod_itself(status: dict[str, Any], text: str) -> None:
    pod = {"metadata": {"name": "one", "namespace": "ns"}, "status": {"phase": "Pending", **status}}
    assert idle(IDLE, pod) == (text, "describe pod one -n ns")


def test_why_a_job_has_no_pod_is_read_from_its_events_or_that_it_is_suspended() -> None:
    refused = WarningEvent("job-uid", "FailedCreate", "Error creating: exceeded quota", "2026-01-01T00:00:00Z")
    events = "get events -n ns --field-selector=reason=FailedCreate"
    assert idle(IDLE, events=[refused]) == ("no pod is made: Error creating: exceeded quota", events)
    assert idle(IDLE) == ("Job run has no pod yet", "describe job run -n ns")
    (text, shows) = idle(replace(IDLE, suspended=True)) or ("", "")
    assert ("is suspended" in text, shows) == (True, "describe job run -n ns")


def test_a_job_whose_pod_runs_or_that_is_over_is_not_idle() -> None:
    running = {"metadata": {"name": "pod"}, "status": {"phase": "Running"}}
    assert idle(IDLE, running) is None
    assert idle(replace(IDLE, over=True)) is None


@pytest.mark.parametrize("job", ["certlag-run-x-f00d", "n" * 63])
def test_the_pods_of_a_job_are_known_by_their_host(job: str) -> None:
    host = f"{job}-"[:58] + "abcde"
    assert is_pod_of(f"system:serviceaccount:ns:runner@{host}/machine/1/run", job)
    assert not is_pod_of(f"ann@laptop/{host}/1/run", job)
    assert not is_pod_of(f"ann@{host}/machine/1/run", "")
    assert not is_pod_of(f"ann@other-{host}/machine/1/run", job)


ENDED = (ContainerEnd("run", 137, works=True),)


@pytest.mark.parametrize(
    ("changes", "is_dead"),
    [
        ({"phase": "Failed", "ends": ENDED}, True),
        ({"phase": "Running", "ends": ENDED}, False),
        ({"phase": "Failed", "ends": ()}, False),
        ({"phase": "Failed", "ends": ENDED, "name": "job-other"}, False),
    ],
    ids=["reported by its kubelet", "another container runs", "its node is lost", "another pod"],
)
def test_a_pod_has_surely_ended_when_its_kubelet_says_so(changes: dict[str, Any], *, is_dead: bool) -> None:
    pod = replace(pod_state(a_workers_pod("job-abcde", "job")), **changes)
    assert has_ended("runner@job-abcde/machine/1/run", "job", [pod]) is is_dead
    assert not has_ended("runner@job-abcde/machine/1/run", "", [pod])
