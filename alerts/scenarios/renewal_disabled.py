"""CertlagRenewalDisabled: a certificate expires that cert-manager was told not to renew."""

from alerts.scenario import DAY, HOUR, MINUTE, Firing, Scenario, World, fires, quiet
from alerts.scenarios.contact import another_without_contact, of_contact
from alerts.scenarios.renewal_overdue import NAME, STATE
from alerts.scenarios.worlds import (
    CERTIFICATE,
    USE,
    always,
    exporter_restarted,
    healthy,
    renewed,
    steps,
    with_watches,
)

ALERT = "CertlagRenewalDisabled"


def said(how: str, severity: str = "warning") -> Firing:
    """The alert of the build service's Certificate."""
    return Firing(
        {"namespace": "opschain", "certificate": "opschain-build-service", "severity": severity},
        "A certificate expires soon and its renewal is disabled.",
        f"Certificate opschain-build-service in opschain {how}, and cert-manager does not renew it: its renewal policy"
        " is Disabled. Run `cmctl renew -n opschain opschain-build-service`, then restart the workloads that use it.",
        "var-namespace=opschain",
    )


def both(how: str) -> tuple[Firing, Firing]:
    """Warning and critical."""
    return said(how), said(how, "critical")


def disabled(not_after: int, lifetime: int = 90 * DAY, minutes: int = 160) -> World:
    """A Certificate that is not renewed, and one workload that uses it."""
    world = World({})
    for name, value in (("not_after", not_after), ("not_before", not_after - lifetime)):
        world = world.with_series(NAME.format(name), always(value, minutes), **CERTIFICATE)
    return with_watches(world.with_series(STATE, always(1, minutes), state="renewal_disabled", **USE))


AT_30 = 30 * MINUTE
WARNED = disabled(21 * DAY + AT_30)
URGENT = disabled(7 * DAY + AT_30)
EXPIRING = (
    disabled(AT_30)
    .with_series(STATE, steps((1, 0), (0, 30)), state="renewal_disabled", **USE)
    .with_series(STATE, steps((0, 0), (1, 30)), state="expired", **USE)
)
FINE = disabled(80 * DAY)

SCENARIOS = (
    Scenario(
        "of 90 days: warns when less than 21 days are left",
        WARNED,
        quiet(ALERT, 31) + fires(ALERT, 32, said("expires in 20d 23h 58m 0s")),
    ),
    Scenario(
        "of 90 days: is critical when less than 7 days are left",
        URGENT,
        fires(ALERT, 31, said("expires in 6d 23h 59m 0s")) + fires(ALERT, 32, *both("expires in 6d 23h 58m 0s")),
    ),
    Scenario(
        "of 24 h: warns below 6 h",
        disabled(6 * HOUR + AT_30, 24 * HOUR),
        quiet(ALERT, 31) + fires(ALERT, 32, said("expires in 5h 58m 0s")),
    ),
    Scenario(
        "of 10 h: is critical below an hour",
        disabled(HOUR + AT_30, 10 * HOUR),
        fires(ALERT, 31, said("expires in 59m 0s")) + fires(ALERT, 32, *both("expires in 58m 0s")),
    ),
    Scenario(
        "stays when it has expired, whatever state its workloads are in then",
        EXPIRING,
        fires(ALERT, 29, *both("expires in 1m 0s"))
        + fires(ALERT, 30, *both("has expired"))
        + fires(ALERT, 100, *both("has expired")),
    ),
    Scenario(
        "clears at once when it is renewed by hand",
        URGENT.with_series(NAME.format("not_after"), steps((7 * DAY + AT_30, 0), (90 * DAY, 60)), **CERTIFICATE),
        fires(ALERT, 59, *both("expires in 6d 23h 31m 0s")) + quiet(ALERT, 60, 61, 75),
    ),
    Scenario(
        "clears at once when renewal is enabled",
        URGENT.with_series(STATE, steps((1, 0), (0, 60)), state="renewal_disabled", **USE),
        fires(ALERT, 59, *both("expires in 6d 23h 31m 0s")) + quiet(ALERT, 60, 61, 75),
    ),
    Scenario(
        "is one alert for several workloads, and also where one of them is in another state",
        URGENT.with_series(STATE, always(1), state="renewal_disabled", **{**USE, "workload": "opschain-vault"})
        .with_series(STATE, always(1), state="needs_restart", **{**USE, "workload": "opschain-api"})
        .with_series(STATE, always(0), state="renewal_disabled", **{**USE, "workload": "opschain-api"}),
        fires(ALERT, 32, *both("expires in 6d 23h 58m 0s")),
    ),
    Scenario(
        "is quiet where renewal of another certificate is disabled",
        disabled(7 * DAY + AT_30)
        .with_series(STATE, always(0), state="renewal_disabled", **USE)
        .with_series(STATE, always(1), state="renewal_disabled", **{**USE, "certificate": "another"}),
        quiet(ALERT, 32, 75),
    ),
    Scenario(
        "is quiet for what has expired although it is renewed: that is another alert's",
        EXPIRING.with_series(STATE, always(0), state="renewal_disabled", **USE).with_series(
            NAME.format("renewal"), always(10 * MINUTE), **CERTIFICATE
        ),
        quiet(ALERT, 29, 32, 75),
    ),
    Scenario(
        "is not silenced by the renewal time of another certificate",
        EXPIRING.with_series(NAME.format("renewal"), always(10 * MINUTE), **{**CERTIFICATE, "certificate": "another"}),
        fires(ALERT, 32, *both("has expired")),
    ),
    Scenario(
        "takes a renewal time of zero for none",
        EXPIRING.with_series(NAME.format("renewal"), always(0), **CERTIFICATE),
        fires(ALERT, 32, *both("has expired")),
    ),
    Scenario(
        "takes an expiry of zero for none",
        URGENT.with_series(NAME.format("not_after"), always(0), **CERTIFICATE),
        quiet(ALERT, 32, 75),
    ),
    Scenario("is quiet long before", FINE, quiet(ALERT, 2, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 2, 75)),
    Scenario("is quiet after a renewal", renewed(), quiet(ALERT, 12, 75)),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(WARNED, 28, away=6),
        quiet(ALERT, 31) + fires(ALERT, 32, said("expires in 20d 23h 58m 0s")),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        URGENT.unscraped(33),
        fires(ALERT, 42, *both("expires in 6d 23h 48m 0s")),
    ),
    Scenario(
        "goes by the earlier expiry that replicas tell",
        WARNED.and_also(FINE.told_by_another()),
        fires(ALERT, 32, said("expires in 20d 23h 58m 0s")),
    ),
    Scenario(
        "goes by the longer lifetime that replicas tell",
        disabled(21 * DAY + AT_30, 40 * DAY).and_also(WARNED.told_by_another()),
        fires(ALERT, 32, said("expires in 20d 23h 58m 0s")),
    ),
    *(
        Scenario(
            f"does not go by the lifetime that a replica tells which has lost contact{where}",
            disabled(21 * DAY + AT_30, 40 * DAY).and_also(other),
            quiet(ALERT, 32, 75),
        )
        for where, other in another_without_contact(WARNED)
    ),
    *of_contact(
        ALERT,
        URGENT,
        FINE,
        (32, both("expires in 6d 23h 58m 0s")),
        (42, both("expires in 6d 23h 48m 0s")),
    ),
    Scenario(
        "is one alert for two replicas", WARNED.with_replica(), fires(ALERT, 32, said("expires in 20d 23h 58m 0s"))
    ),
)
