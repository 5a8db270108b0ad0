"""What cannot be seen is not known, and no reason to restart again."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from rehearsal.node.programs import Program
from tests.field import runbook, workloads
from tests.field.record import case
from tests.field.runbook import Cluster, Ran
from tests.field.workloads import SERVICE, WORKERS

pytestmark = pytest.mark.thorough


def is_restarted(shop: Cluster) -> bool:
    template = shop.get("Deployment", "svc")["spec"]["template"]["metadata"]
    return "certlag.dev/restart-id" in (template.get("annotations") or {})


def replicas(shop: Cluster) -> int:
    return int(shop.get("Deployment", "worker")["spec"]["replicas"])


def restarts(ran: Ran) -> int:
    """How often a restart was asked for."""
    templates = (write.body.get("spec", {}).get("template") for write in ran.written("deployments"))
    return sum("certlag.dev/restart-id" in str(template) for template in templates)


def no_port_forward(shop: Cluster, code: int = 503) -> Callable[[Request], Refusal | None]:
    """Refuse every port-forward once the restart was asked for."""

    def refusal(request: Request) -> Refusal | None:
        if request.path.endswith("/portforward") and is_restarted(shop):
            return Refusal(code, "ServiceUnavailable", "error dialing backend: no agent available")
        return None

    return refusal


@case(
    "D4",
    situation="the port-forward breaks after the restart, so no pod can be seen; the old certificate is still valid",
    says="restarted, not verified: one restart, workers restored, exit code 10",
    found_by="reader",
)
@pytest.mark.parametrize("code", [403, 503])
@pytest.mark.promise("P5", "verifying: not known")
def test_pods_that_cannot_be_reached_after_the_restart_are_not_restarted_again(code: int) -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(no_port_forward(shop, code))
        ran = shop.run("restart-svc --yes --restart-timeout 2m")
        assert ran.code == 10, ran
        assert "Restarted, not verified: workers restored (exit code 10)" in ran.text
        assert "could not be seen" in ran.text
        assert restarts(ran) == 1
        assert replicas(shop) == 3
        shop.refuse(lambda _: None)
        assert shop.run("check-svc").code == 0


@case(
    "D4",
    situation="no pod can be seen after the restart, and the old certificate has expired",
    says="the workers are left drained, exit code 6; resuming looks again and restarts nothing",
    found_by="reader",
)
def test_where_the_old_certificate_is_no_longer_accepted_the_workers_are_left_drained() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.wait(timedelta(days=21).total_seconds())
        shop.refuse(no_port_forward(shop))
        ran = shop.run("restart-svc --yes --restart-timeout 2m")
        assert ran.code == 6, ran
        assert "could not be seen" in ran.text
        assert replicas(shop) == 0
        again = shop.run("resume-svc --yes --restart-timeout 2m")
        assert again.code == 6, again
        shop.refuse(lambda _: None)
        ended = shop.run("resume-svc --yes")
        assert ended.code == 0, ended
        assert restarts(again) + restarts(ended) == 0
        assert replicas(shop) == 3


@case(
    "D4",
    situation="the restarted pod answers one connection in ten with the old certificate: an old process goes on in it",
    says="seen by 30 connections in a row: one more restart while the workers are drained, then exit code 8",
    found_by="reader",
)
def test_one_connection_in_ten_that_shows_the_old_certificate_is_no_success() -> None:
    with runbook.cluster(SERVICE, WORKERS, programs={"server": Program(serves_tls=True, old_process=True)}) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 8, ran
        assert restarts(ran) == 2
        assert "mixed" in ran.text
        assert replicas(shop) == 3
        assert shop.run("check-svc").code == 1


@case(
    "D4",
    situation="everything is as it should be after the restart",
    says="the issued certificate was seen in 30 separate connections to each container before it says so",
    found_by="reader",
)
def test_success_is_said_after_thirty_connections_in_a_row_to_each_container() -> None:
    with runbook.cluster(workloads.deployment("svc", replicas=2), WORKERS) as shop:
        connections: Counter[str] = Counter()

        def count(request: Request) -> None:
            if request.path.endswith("/portforward") and is_restarted(shop):
                connections[request.path.split("/")[-2]] += 1

        shop.refuse(count)
        assert shop.run("restart-svc --yes").code == 0
        pods = {pod["metadata"]["name"] for pod in shop.pods("svc")}
        assert {name: count for name, count in connections.items() if name in pods} == dict.fromkeys(pods, 30)
