"""From a renewal to a page on call: real Prometheus and Alertmanager, and the command that the page brings."""

import os
import re
import subprocess

import pytest

from tests.bench import parts, servers
from tests.bench.cluster import Cluster
from tests.figures import Figures, distribution
from tests.monitoring import EVALUATION, GROUP_WAIT, HOLD, SCRAPE, Delivery, monitoring
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.test_run_seen import RUN, write_record

REQUIRED, NEAR, DOWN = "CertlagRestartRequired", "CertlagRestartDeadlineNear", "CertlagExporterDown"
WITHIN = SCRAPE + 2 * EVALUATION + HOLD + GROUP_WAIT + 2.0
"""Seconds from `status.revision` to the page."""
EVERY_STALE_ONE_IS_URGENT = {
    f"restartDeadlineNear.{tier}.{limit}": value
    for tier in ("warning", "critical")
    for limit, value in (("windowFraction", 10), ("maximumDays", 1000))
}


def run_the_command(cluster: Cluster, delivery: Delivery) -> None:
    """Run the last command that stands in an alert's description, as it stands there."""
    command = re.findall(r"`([^`]+)`", delivery.annotations["description"])[-1]
    path = f"{parts.binary('kubectl').parent}:{os.environ['PATH']}"
    subprocess.run(cluster.inside(["sh", "-ec", command]), env={**cluster.environment, "PATH": path}, check=True)


@pytest.mark.cluster
@pytest.mark.serial
@pytest.mark.parametrize("runs", [2, pytest.param(20, marks=pytest.mark.proof)])
def test_a_renewal_pages_somebody_in_time_and_the_command_of_the_page_resolves_it(
    runs: int, ground: Ground, figures: Figures
) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    until_paged, until_resolved = [], []
    with (
        ground.watched(discover=True) as exporter,
        monitoring(ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}") as watch,
    ):
        for _ in range(runs):
            announced = ground.announced_renewal("one")
            paged = watch.pager.wait(REQUIRED, "firing", after=announced)
            until_paged.append(paged.at - announced)
            assert watch.was_pending(REQUIRED)
            assert paged.labels["namespace"] == ground.namespace
            run_the_command(ground.cluster, paged)
            resolved = watch.pager.wait(REQUIRED, "resolved", after=paged.at)
            until_resolved.append(resolved.at - paged.at)
            watch.wait("nothing to fire", lambda: not watch.firing())
    figures(distribution(f"status.revision → page (at most {WITHIN:g} s)", until_paged))
    figures(distribution("page → its command → resolved", until_resolved))
    assert max(until_paged) <= WITHIN


@pytest.mark.cluster
def test_critical_inhibits_warning_and_a_run_mutes_only_what_it_is_about_to_mend(ground: Ground) -> None:
    worker = servers.Server(("/bin/sh", "-c", "exec sleep 1000000"), (), (), name="worker")
    ground.apply(
        servers.certificate("one"),
        servers.deployment("one", [servers.go("one")]),
        servers.deployment("worker", [worker], replicas=0),
    )
    ground.wait_available("one")
    target = a_target("one", workers=["deployment/worker"])
    with (
        ground.watched([target]) as exporter,
        monitoring(
            ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}", EVERY_STALE_ONE_IS_URGENT
        ) as watch,
    ):
        ground.renew("one")
        urgent = {(NEAR, "warning"), (NEAR, "critical")}
        watch.wait("both tiers to fire", lambda: watch.firing() == {*urgent, (REQUIRED, "warning")})
        watch.pager.wait(NEAR, "firing", severity="critical")
        required = watch.pager.wait(REQUIRED, "firing")
        assert watch.pager.status(NEAR, severity="warning") is None, "critical inhibits warning of the same name"
        assert f"`runbook restart-one -n {ground.namespace}`" in required.annotations["description"]

        write_record(ground, {"schema": 1, "run": {**RUN, "workers": {"deployment/worker": 0}}, "finished": []})
        muted = watch.pager.wait(REQUIRED, "resolved", after=required.at)
        assert urgent <= watch.firing()
        assert watch.pager.status(NEAR, severity="critical") == "firing", "no run mutes the critical tier"

        write_record(ground, {"schema": 1, "run": None, "finished": []})
        watch.pager.wait(REQUIRED, "firing", after=muted.at)


@pytest.mark.cluster
def test_an_exporter_that_is_killed_is_told_of_and_what_it_said_last_is_not_taken_back(ground: Ground) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with (
        ground.watched([a_target("one")]) as exporter,
        monitoring(ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}") as watch,
    ):
        ground.renew("one")
        watch.pager.wait(REQUIRED, "firing")
        exporter.process.kill()
        exporter.process.wait()
        down = watch.pager.wait(DOWN, "firing")
        assert down.labels["severity"] == "warning"
        watch.wait("no sample to be left", lambda: not watch.query("certlag_needs_restart"))
        assert (REQUIRED, "warning") in watch.firing()
        assert watch.pager.status(REQUIRED) == "firing"
