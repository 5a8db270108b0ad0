"""What must wake nobody: for every alert at once, and for those that page while a metric is missing."""

from alerts import needs
from alerts.alerting import ALERTS, CRITICAL
from alerts.scenario import Check, Scenario, World, quiet
from alerts.scenarios.worlds import (
    DAYS_90,
    EXPORTER,
    HOUR_1,
    HOURS_24,
    USE,
    always,
    discovered,
    exporter_restarted,
    healthy,
    renewed,
    restarted_at,
    running,
    steps,
)

NAMES = tuple(dict.fromkeys(alert.name for alert in ALERTS))
PAGING = tuple(dict.fromkeys(alert.name for alert in ALERTS if alert.severity == CRITICAL))
LIFETIMES = {"90 days": DAYS_90, "24 h": HOURS_24, "1 h": HOUR_1}
PLACE = {"pod": "p", "container": "buildkitd", "port": "1234", **USE}


def nobody_is_woken(*minutes: int) -> tuple[Check, ...]:
    """No alert fires at these minutes."""
    return tuple(check for name in NAMES for check in quiet(name, *minutes))


def a_failed_probe(world: World) -> World:
    """Return a world in which some probes fail; what was seen before stays known."""
    return world.with_series("certlag_probe_success", steps((1, 0), (0, 8), (1, 18)), **PLACE)


SCENARIOS = (
    *(
        Scenario(f"a certificate of {name}, just issued", healthy(lifetime), nobody_is_woken(0, 5, 30))
        for name, lifetime in LIFETIMES.items()
    ),
    *(
        Scenario(
            f"a certificate of {name}, renewed and loaded within a minute",
            restarted_at(renewed(lifetime), 11),
            nobody_is_woken(9, 10, 11, 12, 30),
        )
        for name, lifetime in LIFETIMES.items()
    ),
    Scenario("a fresh renewal", renewed(), nobody_is_woken(9, 10, 11, 30, 69)),
    Scenario("a fresh renewal of a certificate of 24 h", renewed(HOURS_24), nobody_is_woken(9, 10, 11, 30, 56)),
    *(
        Scenario(f"a run that is {state}", running(renewed(), state, 20, 80), nobody_is_woken(19, 20, 50, 79, 81, 139))
        for state in ("draining", "restarting", "verifying", "restoring")
    ),
    Scenario("probes that fail for a while", a_failed_probe(renewed()), nobody_is_woken(9, 12, 17, 18, 69)),
    Scenario("the exporter restarts", exporter_restarted(renewed(), 30), nobody_is_woken(30, 31, 32, 33, 45, 69)),
    Scenario(
        "the exporter restarts during a run",
        exporter_restarted(running(renewed(), "draining", 20, 80), 50),
        nobody_is_woken(50, 51, 52, 54, 66, 79),
    ),
    Scenario("ten minutes without a scrape", renewed().unscraped(30), nobody_is_woken(34, 35, 39, 40, 41, 69)),
    Scenario(
        "ten minutes without a scrape during a run",
        running(renewed(), "restarting", 20, 80).unscraped(40),
        nobody_is_woken(45, 49, 50, 51, 79),
    ),
    Scenario("two replicas", renewed().with_replica(), nobody_is_woken(10, 30, 69)),
    Scenario("nobody's target", discovered(renewed()), nobody_is_woken(10, 30, 69)),
    Scenario(
        "an exporter that knows nothing yet",
        World({}).with_series("up", always(1), **EXPORTER),
        nobody_is_woken(30, 75),
    ),
    Scenario(
        "every instant is zero",
        World(
            {
                key: always(0) if key[0].startswith("certlag_") and key[0].endswith("_timestamp_seconds") else points
                for key, points in healthy().series.items()
            }
        ),
        nobody_is_woken(10, 60, 75),
    ),
)

HEALTHY_RUN = exporter_restarted(running(renewed(), "draining", 20, 80), 50)
WITHOUT_A_METRIC = tuple(
    Scenario(
        f"a run that lives, and an exporter that is restarted, without {metric}",
        HEALTHY_RUN.without(metric),
        tuple(check for name in PAGING for check in quiet(name, 19, 22, 30, 49, 52, 53, 55, 60, 79, 81)),
    )
    for metric in sorted(needs.readers().keys() - needs.OF_PROMETHEUS)
)
"""Relabelling may drop any series: nobody is paged for that. Against the rules of `PAGING` only."""
