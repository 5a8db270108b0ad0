"""CertlagExporterDown: no exporter is scraped."""

from alerts.scenarios.model import Firing, Scenario, World, fires, quiet
from alerts.scenarios.worlds import EXPORTER, always, healthy, renewed, steps

ALERT = "CertlagExporterDown"


def said(*, needed: str = "1", **labels: str) -> Firing:
    """The alert."""
    return Firing(
        {"namespace": "certlag", "severity": "warning", **labels},
        "The exporter is down: certificates are not watched.",
        f"Too few exporters are scraped under the job certlag-exporter (needed: {needed}): not everything is"
        " watched. Alerts keep what was known for a while and then end without their cause being gone. Run"
        " `kubectl -n certlag get pods -l app.kubernetes.io/name=certlag-exporter`.",
    )


FIRING = said(job="certlag-exporter")
DOWN = World({}).with_series("up", steps((1, 0), (0, 20)), **EXPORTER)
GONE = World({}).with_series("up", steps((1, 0), ("stale", 20), (None, 21)), **EXPORTER)

SCENARIOS = (
    Scenario("fires after ten minutes of failed scrapes", DOWN, quiet(ALERT, 29) + fires(ALERT, 30, FIRING)),
    Scenario("fires ten minutes after there is nothing to scrape", GONE, quiet(ALERT, 29) + fires(ALERT, 30, FIRING)),
    Scenario(
        "fires where there never was one",
        World({}).with_series("up", always(1), job="another", instance="a"),
        quiet(ALERT, 9) + fires(ALERT, 10, FIRING),
    ),
    Scenario(
        "does not start anew when a failed scrape becomes none",
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
)
