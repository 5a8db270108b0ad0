"""From a renewal to a page on call: real Prometheus and Alertmanager, and the command that the page brings."""

import re

import pytest

from tests.bench import servers
from tests.figures import Figures, distribution
from tests.monitoring import EVALUATION, EVERY_STALE_ONE_IS_URGENT, GROUP_WAIT, HOLD, SCRAPE, Delivery, monitoring
from tests.on_call import on_call
from tests.test_stories.drained_ground import Fault, drained_ground
from tests.test_stories.ground import Ground, a_target

REQUIRED, NEAR, DOWN = "CertlagNeedsRestart", "CertlagRestartDeadlineNear", "CertlagExporterDown"
WITHIN = SCRAPE + 2 * EVALUATION + HOLD + GROUP_WAIT + 2.0
"""Seconds from `status.revision` to the page."""


def told_to_run(delivery: Delivery) -> str:
    """The last command that stands in an alert's description."""
    found: str = re.findall(r"`([^`]+)`", delivery.annotations["description"])[-1]
    return found


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
        on_call(ground.cluster, ground.folder / "on-call") as shell,
    ):
        for _ in range(runs):
            announced = ground.announced_renewal("one")
            paged = watch.pager.wait(REQUIRED, "firing", after=announced)
            until_paged.append(paged.at - announced)
            assert watch.was_pending(REQUIRED)
            assert paged.labels["namespace"] == ground.namespace
            assert shell.run(told_to_run(paged)).code == 0
            resolved = watch.pager.wait(REQUIRED, "resolved", after=paged.at)
            until_resolved.append(resolved.at - paged.at)
            watch.wait("nothing to fire", lambda: not watch.firing())
    figures(distribution(f"status.revision → page (at most {WITHIN:g} s)", until_paged))
    figures(distribution("page → its command → resolved", until_resolved))
    assert max(until_paged) <= WITHIN


@pytest.mark.cluster
def test_critical_inhibits_warning_a_run_mutes_only_what_it_mends_and_the_command_of_the_page_resolves_all(
    ground: Ground,
) -> None:
    with (
        drained_ground(ground, renewed=False) as drained,
        ground.watched([drained.target]) as exporter,
        monitoring(
            ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}", EVERY_STALE_ONE_IS_URGENT
        ) as watch,
        on_call(ground.cluster, ground.folder / "on-call", CERTLAG_CONFIG=str(ground.folder / "certlag.yaml")) as shell,
    ):
        ground.renew("one")
        urgent = {(NEAR, "warning"), (NEAR, "critical")}
        watch.wait("both tiers to fire", lambda: watch.firing() == {*urgent, (REQUIRED, "warning")})
        critical = watch.pager.wait(NEAR, "firing", severity="critical")
        required = watch.pager.wait(REQUIRED, "firing")
        assert watch.pager.status(NEAR, severity="warning") is None, "critical inhibits warning of the same name"

        busy = drained.fault(Fault.BUSY)
        given_up = drained.runbook.start(*drained.words("restart"))
        muted = watch.pager.wait(REQUIRED, "resolved", after=required.at)
        assert given_up.is_running
        assert urgent <= watch.firing()
        assert watch.pager.status(NEAR, severity="critical") == "firing", "no run mutes the critical tier"
        given_up.kill()
        busy.unlink()
        assert drained.run("abort").code == 0
        again = watch.pager.wait(REQUIRED, "firing", after=muted.at)

        assert told_to_run(again) == told_to_run(critical) == f"runbook restart-one -n {ground.namespace}"
        ran = shell.run(told_to_run(again))
        assert ran.code == 0, ran
        watch.pager.wait(NEAR, "resolved", after=again.at, severity="critical")
        watch.pager.wait(REQUIRED, "resolved", after=again.at)
        watch.wait("nothing to fire", lambda: not watch.firing())
        drained.assert_settled(worker=2)


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
