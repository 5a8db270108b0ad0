"""Ctrl-C before a plan is there, while the API server accepts requests and answers none."""

import json
from pathlib import Path

import pytest

from tests.runbook_process import operator
from tests.scripted_api import Answer, answer, scripted_api, silence

INTERRUPTED = 130
SECONDS = 10.0
"""Far less than any request's timeouts add up to, and more than a busy machine needs to end a process."""


def document(**fields: object) -> Answer:
    return answer(json.dumps(fields).encode())


WHO = document(status={"userInfo": {"username": "ann"}})
API_GROUPS = document(groups=[])
ALLOWED = document(status={"allowed": True})


@pytest.mark.parametrize(
    "answered",
    [(), (WHO, API_GROUPS), (WHO, API_GROUPS, *[ALLOWED] * 20)],
    ids=["asking who we are", "looking for objects", "asking for permissions"],
)
def test_ctrl_c_ends_a_restart_whose_api_server_hangs(answered: tuple[Answer, ...], tmp_path: Path) -> None:
    with scripted_api(*answered, silence) as api, operator(Path(api.kubeconfig(tmp_path)), tmp_path) as runbook:
        process = runbook.start("restart-build-service", "--yes")
        for _ in range(len(answered) + 1):
            api.next_request()
        process.interrupt()
        ran = process.wait(SECONDS)
    assert (ran.code, ran.ended["message"]) == (INTERRUPTED, "nothing was changed"), ran


def test_ctrl_c_ends_a_check_whose_api_server_hangs(tmp_path: Path) -> None:
    with scripted_api() as api, operator(Path(api.kubeconfig(tmp_path)), tmp_path) as runbook:
        process = runbook.start("check-build-service", output="text")
        api.next_request()
        process.interrupt()
        ran = process.wait(SECONDS)
    assert (ran.code, ran.stderr) == (INTERRUPTED, "runbook: interrupted\n"), ran
