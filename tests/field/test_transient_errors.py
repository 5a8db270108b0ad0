"""An API server that fails for a moment, and locks that must outlast every wait."""

import itertools
import re
from collections import Counter
from collections.abc import Callable

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from tests.field import runbook
from tests.field.record import case
from tests.field.runbook import Cluster
from tests.field.test_admission import CRON_JOB
from tests.field.workloads import SERVICE, WORKERS

Refuse = Callable[[Request], Refusal | None]


def failing() -> Refuse:
    """Answer the first request to each path with 503, and every fifth after it."""
    requests: Counter[str] = Counter()

    def refuse(request: Request) -> Refusal | None:
        if "watch" in request.parameters or request.path.endswith("/portforward"):
            return None
        requests[request.path] += 1
        if requests[request.path] % 5 == 1:
            return Refusal(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        return None

    return refuse


@case(
    "D6",
    situation="the first request to each path and every fifth after it is answered with 503, from the plan to the end",
    says="the command takes a little longer and ends as it would have",
    found_by="reader",
)
@pytest.mark.thorough
def test_one_503_ends_no_command() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(failing())
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert shop.get("Deployment", "worker")["spec"]["replicas"] == 3
        shop.refuse(failing())
        assert shop.run("check-svc").code == 0
        assert shop.run("history").code == 0


@case(
    "D6",
    situation="the first read of each object after the plan was made is answered with 503, the fence's among them",
    says="each is read again: the run goes on, or ends with nothing left behind",
    found_by="reader",
)
@pytest.mark.parametrize("verb", ["resume", "abort"])
@pytest.mark.thorough
def test_one_503_ends_no_resume_and_no_abort(verb: str) -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.when(
            lambda shop: shop.get("Deployment", "worker")["spec"]["replicas"] == 0,
            lambda shop: shop.apply("{kind: Deployment, metadata: {name: worker}, spec: {replicas: 1}}"),
        )
        assert shop.run("restart-svc --yes").code == 9
        shop.refuse(failing())
        ran = shop.run(f"{verb}-svc --yes")
        assert ran.code == 0, ran
        assert shop.get("Deployment", "worker")["spec"]["replicas"] > 0


@case(
    "D6",
    situation="the fence of the second workload is denied by a policy",
    says="refused, nothing was changed: the annotations on the first one are taken off again",
    found_by="reader",
)
def test_a_refusal_inside_the_fencing_leaves_no_annotations() -> None:
    def deny(request: Request) -> Refusal | None:
        fences = request.method == "PATCH" and request.path.endswith("/deployments/worker") and not request.dry_run
        return Refusal(403, "Forbidden", 'admission webhook "x" denied the request: no') if fences else None

    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(deny)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "Refused, nothing was changed" in ran.text
        assert "denied the request: no" in ran.text
        assert len([write for write in ran.written("deployments") if write.path.endswith("/worker")]) == 1
        for name in ("svc", "worker"):
            assert not any("certlag.dev" in key for key in annotations(shop, name))


def annotations(shop: Cluster, name: str) -> dict[str, str]:
    found: dict[str, str] = shop.get("Deployment", name)["metadata"].get("annotations") or {}
    return found


@case(
    "D8",
    situation="a routing delay of five minutes between the rollout and the workers' return",
    says="the lock is renewed: nobody can take it over, and the alert that a run is dead keeps silent",
    found_by="reader",
)
@pytest.mark.thorough
def test_the_lock_is_renewed_during_the_routing_delay() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        renewed: list[float] = []

        def note(request: Request) -> None:
            if "/leases/" in request.path and request.method == "PATCH" and not request.dry_run:
                renewed.append(shop.clock.monotonic())

        shop.refuse(note)
        ran = shop.run("restart-svc --yes --routing-delay=5m")
        assert ran.code == 0, ran
        assert renewed[-1] - renewed[0] > 300
        assert max(after - before for before, after in itertools.pairwise(renewed)) <= 21


@case(
    "D6",
    situation="the API server does not answer whether it has created the Job of a run in the cluster",
    says="that this is not known, and the command that looks; not that nothing was changed",
    found_by="reader",
)
@pytest.mark.promise("P9")
def test_a_job_that_may_have_been_created_is_not_said_to_be_missing() -> None:
    def fault(request: Request) -> Refusal | None:
        creates = request.method == "POST" and request.path.endswith("/jobs") and not request.dry_run
        return Refusal(504, "Timeout", "the request did not complete") if creates else None

    with runbook.cluster(SERVICE, WORKERS, CRON_JOB) as shop:
        shop.refuse(fault)
        ran = shop.run("restart-svc --yes --in-cluster")
        assert ran.code == 1, ran
        assert "whether the Job was created is not known" in ran.text
        assert "nothing was changed" not in ran.text
        assert re.search("runbook restart-svc --config [^ ]+ --attach", ran.text)
