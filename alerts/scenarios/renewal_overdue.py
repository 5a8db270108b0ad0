"""CertlagRenewalOverdue: cert-manager should have renewed, and has not."""

from alerts.scenario import DAY, HOUR, MINUTE, Firing, Scenario, World, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import (
    CERTIFICATE,
    USE,
    always,
    exporter_restarted,
    healthy,
    renewed,
    running,
    steps,
    with_watches,
)

ALERT = "CertlagRenewalOverdue"
NAME = "certlag_certificate_{}_timestamp_seconds"


def said(how: str, severity: str = "warning") -> Firing:
    """The alert of the build service's Certificate."""
    return Firing(
        {"namespace": "opschain", "certificate": "opschain-build-service", "severity": severity},
        "A certificate was not renewed when it was due.",
        f"cert-manager has not renewed Certificate opschain-build-service in opschain: {how}. A restart does not help."
        " Run `kubectl -n opschain describe certificate opschain-build-service`: its events name what fails.",
        "var-namespace=opschain",
    )


def dates(renewal: float | None, not_after: float, not_before: float = 1, minutes: int = 160) -> World:
    """A Certificate with these dates; without a renewal time, if it is None."""
    world = World({})
    for name, value in (("renewal", renewal), ("not_after", not_after), ("not_before", not_before)):
        if value is not None:
            world = world.with_series(NAME.format(name), always(value, minutes), **CERTIFICATE)
    return world


DUE_AT_10 = 10 * MINUTE
HOUR_1 = dates(DUE_AT_10, DUE_AT_10 + 20 * MINUTE)
"""A certificate of an hour that is due at minute 10 and expires at minute 30."""
HOURS_24 = dates(DUE_AT_10, DUE_AT_10 + 8 * HOUR, minutes=500)
STATE = "certlag_renewal_window_state"
RENEWED_AT_14 = HOUR_1
for what, old, new in (("renewal", DUE_AT_10, 54 * MINUTE), ("not_after", 30 * MINUTE, 74 * MINUTE)):
    RENEWED_AT_14 = RENEWED_AT_14.with_series(NAME.format(what), steps((old, 0), (new, 14)), **CERTIFICATE)

SCENARIOS = (
    Scenario(
        "of 90 days: warns a day after it was due",
        dates(8 * MINUTE, 8 * MINUTE + 30 * DAY, minutes=400),
        quiet(ALERT, 12, 1452) + fires(ALERT, 1456, said("it is late by 1d 0h 8m 0s")),
        step=4,
    ),
    Scenario(
        "is critical when less than seven days are left",
        dates(HOUR, HOUR + 15 * DAY, minutes=200),
        fires(ALERT, 11640, said("it is late by 8d 1h 0m 0s"))
        + fires(ALERT, 11700, said("it is late by 8d 2h 0m 0s"), said("it expires in 6d 22h 0m 0s", "critical")),
        step=60,
    ),
    Scenario(
        "of 24 h: warns after 2 h and is critical 4 h before the end",
        HOURS_24,
        quiet(ALERT, 131)
        + fires(ALERT, 132, said("it is late by 2h 2m 0s"))
        + fires(ALERT, 251, said("it is late by 4h 1m 0s"))
        + fires(ALERT, 252, said("it is late by 4h 2m 0s"), said("it expires in 3h 58m 0s", "critical")),
    ),
    Scenario(
        "of 1 h: warns after 5 minutes and is critical 10 minutes before the end",
        HOUR_1,
        quiet(ALERT, 16)
        + fires(ALERT, 17, said("it is late by 7m 0s"))
        + fires(ALERT, 21, said("it is late by 11m 0s"))
        + fires(ALERT, 22, said("it is late by 12m 0s"), said("it expires in 8m 0s", "critical"))
        + fires(ALERT, 31, said("it is late by 21m 0s"), said("it has expired", "critical")),
    ),
    Scenario(
        "is quiet without a renewal time: nothing says that a renewal is late",
        HOUR_1.without(NAME.format("renewal")),
        quiet(ALERT, 17, 22, 31, 75),
    ),
    Scenario(
        "is quiet while renewal is disabled",
        HOUR_1.with_series(STATE, always(1), state="renewal_disabled", **USE),
        quiet(ALERT, 17, 22, 31, 75),
    ),
    Scenario(
        "clears at once when renewal is disabled",
        HOUR_1.with_series(STATE, steps((0, 0), (1, 20)), state="renewal_disabled", **USE),
        fires(ALERT, 19, said("it is late by 9m 0s")) + quiet(ALERT, 20, 22, 31),
    ),
    Scenario(
        "is not silenced where renewal of another certificate is disabled",
        HOUR_1.with_series(STATE, always(1), state="renewal_disabled", **{**USE, "certificate": "another"}),
        fires(ALERT, 17, said("it is late by 7m 0s")),
    ),
    Scenario("clears at once when it is renewed", RENEWED_AT_14, quiet(ALERT, 14, 17, 22, 58)),
    Scenario("is quiet after a fresh renewal", renewed(), quiet(ALERT, 10, 12, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 12, 75)),
    Scenario("takes a date of zero for none", dates(0, 0, 0), quiet(ALERT, 2, 75)),
    Scenario("takes a renewal time of zero for none", dates(0, MINUTE + HOUR, MINUTE), quiet(ALERT, 2, 42, 75)),
    Scenario("knows nothing without the dates", World({}), quiet(ALERT, 2, 75)),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(HOUR_1, 12, away=6),
        quiet(ALERT, 16) + fires(ALERT, 17, said("it is late by 7m 0s")),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        HOUR_1.unscraped(18),
        fires(ALERT, 27, said("it is late by 17m 0s"), said("it expires in 3m 0s", "critical")),
    ),
    Scenario(
        "goes by the earlier dates of two replicas",
        RENEWED_AT_14.and_also(HOUR_1.told_by_another()),
        fires(ALERT, 17, said("it is late by 7m 0s")),
    ),
    *of_contact(
        ALERT,
        with_watches(HOUR_1),
        with_watches(RENEWED_AT_14.with_series(NAME.format("renewal"), always(54 * MINUTE), **CERTIFICATE)),
        (17, (said("it is late by 7m 0s"),)),
        (21, (said("it is late by 11m 0s"),)),
    ),
    Scenario("is one alert for two replicas", HOUR_1.with_replica(), fires(ALERT, 17, said("it is late by 7m 0s"))),
    Scenario(
        "is not muted by a run",
        running(HOUR_1, "draining", 5, 100),
        fires(ALERT, 17, said("it is late by 7m 0s")),
    ),
)
