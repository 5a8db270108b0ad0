"""The operator's way to the cluster, and the runbook's to a pod: tokens that run out, a server of TLS 1.2."""

import json
import sys
from pathlib import Path

import pytest

from certlag.run_record import Step
from tests.api_proxy import Answer, Pass, Reaction, Request
from tests.bench import servers
from tests.runbook_process import of
from tests.test_stories.drained_ground import TARGET, DrainedGround, drained_ground, working
from tests.test_stories.ground import Ground
from tests.test_stories.test_runbook_cases import assert_refused, check

pytestmark = pytest.mark.cluster

RECORDED = 2
PLUGIN = """
import json, pathlib
token = {second!r} if pathlib.Path({over!r}).exists() else {first!r}
status = {{"token": token}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


def test_r8_a_token_that_runs_out_before_the_run_may_end_is_refused_beforehand(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        (token,) = _tokens(drained, 1)
        drained.runbook.kubeconfig = drained.proxy.kubeconfig(ground.folder, token, ground.namespace)
        ran = drained.run("restart")
        assert_refused(drained, ran, "before the run may have ended")
        assert "log in again" in check(ran, "credential")["remedy"]


def test_r8_a_token_of_an_exec_plugin_that_is_refused_in_the_drain_is_fetched_anew(ground: Ground) -> None:
    with drained_ground(ground) as drained:
        first, second = _tokens(drained, 2)
        over = ground.folder / "over"
        drained.runbook.kubeconfig = _with_plugin(drained, first, second, over)
        drained.once_at(Step.SCALED_DOWN, over.touch)

        def refuse_the_first(request: Request) -> Reaction:
            is_first = request.headers.get("authorization", "") == f"Bearer {first}"
            return Answer(401, {"kind": "Status", "code": 401}) if over.exists() and is_first else Pass()

        drained.proxy.before = refuse_the_first
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        assert check(ran, "credential")["text"] == "exec: refreshed by itself"
        bearers = [request.headers["authorization"].removeprefix("Bearer ") for request in drained.proxy.writes]
        assert (bearers[0], bearers[-1]) == (first, second)
        drained.assert_settled(worker=RECORDED)


def test_r23_a_server_of_tls_1_2_that_asks_for_a_client_certificate_is_verified_all_the_same(ground: Ground) -> None:
    old = servers.deployment(TARGET, [servers.go(TARGET, versions="1.2")])
    with drained_ground(ground, [old, working()]) as drained:
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        assert of(ran.events, "step_reached", step="verified")
        drained.assert_settled(worker=RECORDED)


def _tokens(drained: DrainedGround, count: int) -> list[str]:
    """Return tokens of an hour, of an account that may do everything."""
    namespace = drained.ground.namespace
    account = f"--serviceaccount={namespace}:default"
    drained.kubectl("create", "rolebinding", "everything", "--clusterrole=cluster-admin", account)
    return [drained.cluster.token(namespace, "default") for _ in range(count)]


def _with_plugin(drained: DrainedGround, first: str, second: str, over: Path) -> Path:
    """Return a kubeconfig whose plugin gives the first token, and the second as soon as there is a file."""
    plugin = drained.ground.folder / "plugin.py"
    plugin.write_text(PLUGIN.format(first=first, second=second, over=str(over)))
    version = "client.authentication.k8s.io/v1"
    command = {"apiVersion": version, "command": sys.executable, "args": [str(plugin)], "interactiveMode": "Never"}
    kubeconfig = json.loads(drained.runbook.kubeconfig.read_text())
    kubeconfig["users"] = [{"name": "operator", "user": {"exec": command}}]
    file = drained.ground.folder / "plugin.kubeconfig"
    file.write_text(json.dumps(kubeconfig))
    return file
