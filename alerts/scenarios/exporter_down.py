"""CertlagExporterDown: no exporter is scraped."""

from alerts.scenario import DAY, Firing, Scenario, World, fires, quiet
from alerts.scenarios.worlds import EXPORTER, always, healthy, paced, renewed, restarted_at, steps

ALERT = "CertlagExporterDown"


KEPT = (
    "Deadlines that were known stay known for some days; every other alert keeps what was known for a while and then"
    " ends without its cause being gone."
)
NEAR = (
    "A deadline is near: CertlagRestartDeadlineNear names the workload, by what was last known; nobody can tell whether"
    " it was restarted since."
)


def said(*, needed: str = "1", severity: str = "warning", **labels: str) -> Firing:
    """The alert."""
    return Firing(
        {"namespace": "certlag", "severity": severity, **labels},
        "The exporter is down: certificates are not watched.",
        f"Too few exporters are scraped under the job certlag-exporter (needed: {needed}): not everything is"
        f" watched. {NEAR if severity == 'critical' else KEPT} Run"
        " `kubectl -n certlag get pods -l app.kubernetes.io/part-of=certlag,app.kubernetes.io/component=exporter`, then"
        " `runbook page CertlagExporterDown`: it says what to do.",
    )


FIRING = said(job="certlag-exporter")
CRITICAL = said(job="certlag-exporter", severity="critical")
DOWN = World({}).with_series("up", steps((1, 0), (0, 20)), **EXPORTER)
GONE = World({}).with_series("up", steps((1, 0), ("stale", 20), (None, 21)), **EXPORTER)

SCENARIOS = (
    Scenario("fires after ten minutes of failed scrapes", DOWN, quiet(ALERT, 29) + fires(ALERT, 30, FIRING)),
    Scenario("fires ten minutes after there is nothing to scrape", GONE, quiet(ALERT, 29) + fires(ALERT, 30, FIRING)),
    Scenario(
        "fires where there never was one",
        World({}).with_series("up", always(1), job="another", instance="a"),
        quiet(ALERT, 9) + fires(ALERT, 10, FIRING),
        of_defaults=True,
    ),
    Scenario(
        "does not start again when a failed scrape becomes none",
        World({}).with_series("up", steps((1, 0), (0, 20), ("stale", 25), (None, 26)), **EXPORTER),
        fires(ALERT, 30, FIRING),
    ),
    Scenario(
        "clears at once when it is back",
        World({}).with_series("up", steps((1, 0), (0, 20), (1, 50)), **EXPORTER),
        fires(ALERT, 49, FIRING) + quiet(ALERT, 50, 60),
    ),
    Scenario(
        "is quiet while one of two replicas answers",
        DOWN.with_series("up", always(1), **{**EXPORTER, "instance": "b"}),
        quiet(ALERT, 30, 75),
    ),
    Scenario(
        "is quiet while what another job scrapes is down",
        World({}).with_series("up", always(1), **EXPORTER).with_series("up", always(0), job="another", instance="a"),
        quiet(ALERT, 30, 75),
    ),
    Scenario("is one alert when both are down", DOWN.with_replica(), fires(ALERT, 30, FIRING)),
    Scenario(
        "is quiet while the exporter restarts",
        World({}).with_series("up", steps((1, 0), (0, 20), (1, 24)), **EXPORTER),
        quiet(ALERT, 23, 30),
    ),
    Scenario("is quiet through ten minutes without a scrape", healthy().unscraped(30), quiet(ALERT, 39, 40, 45)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 10, 75)),
    Scenario("is quiet after a renewal", renewed(), quiet(ALERT, 10, 75)),
    Scenario(
        "comes before the memory of a restart that is needed ends",
        renewed().unscraped(80, 60).with_series("up", steps((1, 0), (0, 80)), **EXPORTER),
        quiet(ALERT, 89) + fires(ALERT, 90, FIRING),
    ),
    Scenario(
        "is critical while a deadline is near",
        renewed(left=2 * DAY).with_series("up", steps((1, 0), (0, 20)), **EXPORTER),
        quiet(ALERT, 29) + fires(ALERT, 30, FIRING, CRITICAL),
    ),
    Scenario(
        "is critical once a deadline comes near that was known when the exporter went",
        paced(renewed(left=16 * DAY, minutes=100).ended(20), 30),
        quiet(ALERT, 20 * 30)
        + fires(ALERT, 21 * 30, FIRING)
        + fires(ALERT, 97 * 30, FIRING)
        + fires(ALERT, 98 * 30, FIRING, CRITICAL),
        step=30,
    ),
    Scenario(
        "goes on when the exporter has been gone for longer than anything is remembered",
        paced(renewed(left=4 * DAY, minutes=360).ended(20), 30),
        fires(ALERT, 240 * 30, FIRING, CRITICAL)
        + fires(ALERT, 355 * 30, FIRING, CRITICAL)
        + fires(ALERT, 356 * 30, FIRING)
        + fires(ALERT, 359 * 30, FIRING),
        step=30,
        of_defaults=True,
    ),
    Scenario(
        "is no more than a warning when the workload was restarted before the exporter went",
        restarted_at(renewed(left=2 * DAY), 15).ended(20),
        quiet(ALERT, 29) + fires(ALERT, 30, FIRING) + fires(ALERT, 60, FIRING),
    ),
)
