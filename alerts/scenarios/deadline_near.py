"""CertlagRestartDeadlineNear: what is presented expires, measured by the certificate's own restart window."""

from alerts.scenario import DAY, HOUR, MINUTE, STALE, Check, Firing, Scenario, World, fires, quiet
from alerts.scenarios.contact import another_without_contact, of_contact
from alerts.scenarios.worlds import (
    DAYS_90,
    EXPORTER,
    HOUR_1,
    HOURS_24,
    RUN,
    RUN_STATES,
    USE,
    always,
    discovered,
    exporter_restarted,
    healthy,
    paced,
    renewed,
    restarted_at,
    running,
    steps,
)

ALERT = "CertlagRestartDeadlineNear"
AT_30 = 30 * MINUTE
DEADLINE = "certlag_restart_deadline_timestamp_seconds"


def said(left: str, severity: str = "warning") -> Firing:
    """The alert of the build service."""
    return Firing(
        {
            "namespace": "opschain",
            "workload": "opschain-build-service",
            "workload_type": "deployment",
            "certificate": "opschain-build-service",
            "target": "build-service",
            "severity": severity,
        },
        "The certificate that a workload presents soon expires.",
        f"What deployment/opschain-build-service in opschain presents for opschain-build-service {left}: afterwards"
        " every connection fails. A renewal does not help. Run `runbook restart-build-service -n opschain`.",
        "var-namespace=opschain&var-workload=opschain-build-service",
    )


def both(left: str) -> tuple[Firing, Firing]:
    """Warning and critical."""
    return said(left), said(left, "critical")


DISCOVERED = Firing(
    {
        "namespace": "opschain",
        "workload": "opschain-vault",
        "workload_type": "statefulset",
        "certificate": "opschain-build-service",
        "severity": "warning",
    },
    "The certificate that a workload presents soon expires.",
    "What statefulset/opschain-vault in opschain presents for opschain-build-service is accepted for 13d 23h 58m 0s"
    " more: afterwards every connection fails. A renewal does not help. Run `runbook restart"
    " --workload statefulset/opschain-vault -n opschain`, with --worker KIND/NAME for what must be drained first.",
    "var-namespace=opschain&var-workload=opschain-vault",
)
WARNED = "is accepted for 13d 23h 58m 0s more"
URGENT = "is accepted for 2d 23h 58m 0s more"
LONG_RUN = always(65 * MINUTE)
LONG_WINDOW = renewed(left=10 * DAY)
SHORT_WINDOW = LONG_WINDOW.with_series("certlag_restart_window_seconds", always(DAY), **USE)
SHORT_BUDGET = renewed(HOURS_24, left=130 * MINUTE + AT_30)
LONG_BUDGET = SHORT_BUDGET.with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN)

STEP, WEEK, DAYS = 30, 360, 150
"""Minutes, and how many steps more than seven days have, and more than three."""
SIX_DAYS = renewed(left=6 * DAY, minutes=DAYS)
OF_USE = ("certlag_needs_restart", DEADLINE, "certlag_restart_window_seconds")
CERTIFICATES = {"resource": "certificates", "watch_namespace": "opschain", "name": "", **EXPORTER}
SYNCED = "certlag_watch_synced"


def forgotten(world: World, at: int) -> World:
    """Return a world in which an exporter does not mention its uses from a step on, because they are gone."""
    return World(
        {
            (name, labels): (*points[:at], STALE, *[None] * (len(points) - at - 1)) if name in OF_USE else points
            for (name, labels), points in world.series.items()
        }
    )


def unmentioned(world: World, begin: int, end: int) -> World:
    """Return a world in which an exporter has not yet looked at its uses between two steps."""
    return World(
        {
            (name, labels): (*points[:begin], *[None] * (end - begin), *points[end:]) if name in OF_USE else points
            for (name, labels), points in world.series.items()
        }
    )


def at_step(step: int, *firing: Firing) -> tuple[Check, ...]:
    """Just these fire at a step."""
    return fires(ALERT, step * STEP, *firing)


def of_days(name: str, world: World, *checks: tuple[Check, ...]) -> Scenario:
    """A scenario that takes days."""
    return Scenario(name, paced(world, STEP), tuple(each for of_step in checks for each in of_step), step=STEP)


AT_100 = said("is accepted for 3d 22h 0m 0s more")
AT_146 = both("is accepted for 2d 23h 0m 0s more")
REMEMBERED = (
    of_days(
        "comes near, and passes, while no exporter is scraped for a week",
        renewed(left=6 * DAY, minutes=WEEK).ended(20),
        at_step(100, AT_100),
        at_step(145, said("is accepted for 2d 23h 30m 0s more")),
        at_step(146, *AT_146),
        at_step(290, *both("is no longer accepted")),
        at_step(355, *both("is no longer accepted")),
        at_step(356),
    ),
    of_days(
        "comes near by the budget that was known when the exporter went",
        SIX_DAYS.with_series("certlag_restart_budget_seconds", always(2 * DAY, DAYS), **RUN).ended(20),
        at_step(97, said("is accepted for 3d 23h 30m 0s more")),
        at_step(98, *both("is accepted for 3d 23h 0m 0s more")),
    ),
    of_days(
        "is remembered although an exporter of another namespace is scraped",
        SIX_DAYS.ended(20).and_also(
            healthy(minutes=DAYS)
            .elsewhere()
            .told_by_another()
            .relabelled("watch_namespace", value="staging", was="opschain")
        ),
        at_step(100, AT_100),
        at_step(146, *AT_146),
    ),
    *(
        of_days(
            f"does not come back when the exporter goes {when} the restart",
            restarted_at(SIX_DAYS, 30).ended(end),
            at_step(29, said("is accepted for 5d 9h 30m 0s more")),
            *(at_step(step) for step in (30, 31, end, end + 1, end + 2, 100, 146)),
        )
        for when, end in (("at once after", 31), ("some time after", 60))
    ),
    *(
        of_days(
            f"ends when an exporter{where} no longer mentions it, and does not come back when that goes",
            forgotten(world, 30).ended(70),
            at_step(30, said("is accepted for 5d 9h 0m 0s more")),
            *(at_step(step) for step in (31, 60, 69, 70, 71, 100, 130, 146)),
        )
        for where, world in (("", SIX_DAYS), (" that sees everywhere", SIX_DAYS.watched_everywhere()))
    ),
    *(
        of_days(
            f"goes on while the exporter cannot tell: {why}",
            world,
            at_step(60, said("is accepted for 4d 18h 0m 0s more")),
            at_step(146, *AT_146),
        )
        for why, world in (
            (
                "it has no list of certificates",
                forgotten(SIX_DAYS, 30).with_series(SYNCED, steps((1, 0), (0, 29), minutes=DAYS), **CERTIFICATES),
            ),
            ("it has no contact", forgotten(SIX_DAYS.out_of_contact(29), 30)),
            ("it has no contact, and sees everywhere", forgotten(SIX_DAYS.out_of_contact(29).watched_everywhere(), 30)),
        )
    ),
    of_days(
        "is one alert, from before to after, when the exporter moves and is away for a day",
        SIX_DAYS.succeeded_by(SIX_DAYS, 50, away=48),
        at_step(49, said("is accepted for 4d 23h 30m 0s more")),
        at_step(51, said("is accepted for 4d 22h 30m 0s more")),
        at_step(97, said("is accepted for 3d 23h 30m 0s more")),
        at_step(98, said("is accepted for 3d 23h 0m 0s more")),
        at_step(100, AT_100),
        at_step(146, *AT_146),
    ),
    of_days(
        "goes on while an exporter that is back has not looked at the workload yet",
        SIX_DAYS.succeeded_by(unmentioned(SIX_DAYS, 98, 99), 50, away=48),
        at_step(97, said("is accepted for 3d 23h 30m 0s more")),
        at_step(98, said("is accepted for 3d 23h 0m 0s more")),
        at_step(99, said("is accepted for 3d 22h 30m 0s more")),
        at_step(100, AT_100),
    ),
    of_days(
        "ends when an exporter that is back says that the workload was restarted",
        SIX_DAYS.succeeded_by(restarted_at(SIX_DAYS, 60), 50, away=48),
        at_step(97, said("is accepted for 3d 23h 30m 0s more")),
        *(at_step(step) for step in (98, 99, 100, 146)),
    ),
    of_days(
        "ends when neither of two replicas mentions it any more",
        forgotten(SIX_DAYS, 30).with_replica(),
        at_step(30, said("is accepted for 5d 9h 0m 0s more")),
        at_step(31),
    ),
    Scenario(
        "is remembered by a Prometheus that is away for hours, before and after the exporter goes",
        paced(renewed(left=4 * DAY, minutes=100).ended(14), 180),
        fires(ALERT, 13 * 180, *both("is accepted for 2d 9h 0m 0s more"))
        + fires(ALERT, 20 * 180, *both("is accepted for 1d 12h 0m 0s more"))
        + fires(ALERT, 31 * 180, *both("is accepted for 3h 0m 0s more")),
        step=180,
    ),
)

SCENARIOS = (
    *REMEMBERED,
    Scenario(
        "warns when less than 14 days are left of 30",
        renewed(left=14 * DAY + AT_30),
        quiet(ALERT, 12, 31) + fires(ALERT, 32, said(WARNED)),
    ),
    Scenario(
        "is critical when less than 3 days are left of 30",
        renewed(left=3 * DAY + AT_30),
        fires(ALERT, 31, said("is accepted for 2d 23h 59m 0s more")) + fires(ALERT, 32, *both(URGENT)),
    ),
    Scenario(
        "of 24 h: warns below 4 h",
        renewed(HOURS_24, left=4 * HOUR + AT_30),
        quiet(ALERT, 31) + fires(ALERT, 32, said("is accepted for 3h 58m 0s more")),
    ),
    Scenario(
        "of 24 h: is critical below 2 h",
        renewed(HOURS_24, left=2 * HOUR + AT_30),
        fires(ALERT, 31, said("is accepted for 1h 59m 0s more"))
        + fires(ALERT, 32, *both("is accepted for 1h 58m 0s more")),
    ),
    Scenario(
        "of 1 h: warns below 10 minutes and is critical below 5",
        renewed(HOUR_1),
        quiet(ALERT, 11, 21)
        + fires(ALERT, 22, said("is accepted for 8m 0s more"))
        + fires(ALERT, 26, said("is accepted for 4m 0s more"))
        + fires(ALERT, 27, *both("is accepted for 3m 0s more")),
    ),
    Scenario(
        "is critical when less is left than two runs may take",
        renewed(HOURS_24, left=130 * MINUTE + AT_30).with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN),
        fires(ALERT, 31, said("is accepted for 2h 9m 0s more"))
        + fires(ALERT, 32, *both("is accepted for 2h 8m 0s more")),
    ),
    Scenario(
        "stays critical when it has expired, whatever else is known",
        renewed(left=AT_30).without("certlag_restart_window_seconds", "certlag_restart_budget_seconds"),
        quiet(ALERT, 31) + fires(ALERT, 32, said("is no longer accepted", "critical")),
    ),
    Scenario(
        "clears in the evaluation after the restart",
        restarted_at(renewed(left=2 * DAY), 60),
        fires(ALERT, 59, *both("is accepted for 1d 23h 1m 0s more")) + quiet(ALERT, 60, 61, 75),
    ),
    Scenario(
        "does not come back when nothing is scraped after the restart",
        restarted_at(renewed(left=2 * DAY), 60).unscraped(62),
        quiet(ALERT, 60, 67, 69, 71, 73),
    ),
    *(
        Scenario(
            f"is not muted by a run that is {state}",
            running(renewed(left=3 * DAY + AT_30), state, 20, 150),
            fires(ALERT, 32, *both(URGENT)),
        )
        for state in RUN_STATES[1:]
    ),
    Scenario(
        "tells what to do without a target", discovered(renewed(left=14 * DAY + AT_30)), fires(ALERT, 32, DISCOVERED)
    ),
    Scenario("is quiet after a fresh renewal", renewed(), quiet(ALERT, 10, 12, 75)),
    Scenario("of 24 h is quiet after a fresh renewal", renewed(HOURS_24), quiet(ALERT, 10, 12, 75)),
    Scenario(
        "holds through probes that fail",
        renewed(left=3 * DAY + AT_30).with_series(
            "certlag_probe_success", always(0), pod="p", container="buildkitd", port="1234", **USE
        ),
        fires(ALERT, 32, *both(URGENT)),
    ),
    Scenario(
        "holds while the exporter is restarted",
        exporter_restarted(renewed(left=3 * DAY + AT_30), 20, away=13),
        fires(ALERT, 32, *both(URGENT)) + fires(ALERT, 33, *both("is accepted for 2d 23h 57m 0s more")),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        renewed(left=3 * DAY + AT_30).unscraped(23),
        quiet(ALERT, 3)
        + fires(ALERT, 32, *both(URGENT))
        + fires(ALERT, 33, *both("is accepted for 2d 23h 57m 0s more")),
    ),
    Scenario(
        "is quiet where no restart is needed, whatever deadline is told",
        renewed(left=DAY).with_series("certlag_needs_restart", always(0), **USE),
        quiet(ALERT, 32, 75),
    ),
    Scenario("is quiet without a deadline", renewed(left=DAY).without(DEADLINE), quiet(ALERT, 32, 75)),
    Scenario(
        "is quiet while the deadline is no date",
        renewed(left=DAY).with_series(DEADLINE, always(0), **USE),
        quiet(ALERT, 32, 75),
    ),
    Scenario(
        "is one alert for two replicas, by the earlier deadline",
        renewed(left=14 * DAY + AT_30).and_also(renewed(left=20 * DAY).told_by_another()),
        fires(ALERT, 32, said(WARNED)),
    ),
    Scenario(
        "holds through ten minutes without a scrape of two replicas, by the earlier deadline",
        renewed(left=14 * DAY + AT_30).and_also(renewed(left=20 * DAY).told_by_another()).unscraped(25),
        fires(ALERT, 32, said(WARNED)),
    ),
    Scenario(
        "goes by the deadline of the replica that has contact",
        renewed(left=14 * DAY + AT_30).and_also(renewed(left=10 * DAY).out_of_contact().told_by_another()),
        quiet(ALERT, 12, 31) + fires(ALERT, 32, said(WARNED)),
    ),
    Scenario(
        "goes by the earlier deadline and the longer budget of two replicas, neither of which has contact",
        SHORT_BUDGET.and_also(
            renewed(HOURS_24, left=150 * MINUTE)
            .with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN)
            .told_by_another()
        ).out_of_contact(),
        fires(ALERT, 21, said("is accepted for 2h 9m 0s more"))
        + fires(ALERT, 22, *both("is accepted for 2h 8m 0s more")),
    ),
    Scenario(
        "goes by the longer of two windows that replicas tell, neither of which has contact",
        LONG_WINDOW.and_also(SHORT_WINDOW.told_by_another()).out_of_contact(),
        fires(ALERT, 12, said("is accepted for 9d 23h 48m 0s more")),
    ),
    Scenario(
        "goes by the longer of two windows that replicas tell",
        renewed(left=10 * DAY).and_also(
            renewed(left=10 * DAY).with_series("certlag_restart_window_seconds", always(DAY), **USE).told_by_another()
        ),
        fires(ALERT, 11, said("is accepted for 9d 23h 49m 0s more")),
    ),
    Scenario(
        "goes by the longer of two budgets that replicas tell",
        renewed(HOURS_24, left=130 * MINUTE + AT_30)
        .with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN)
        .and_also(renewed(HOURS_24, left=130 * MINUTE + AT_30).told_by_another()),
        fires(ALERT, 32, *both("is accepted for 2h 8m 0s more")),
    ),
    Scenario(
        "remembers the budget through ten minutes without a scrape",
        renewed(HOURS_24, left=130 * MINUTE + AT_30)
        .with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN)
        .unscraped(23),
        fires(ALERT, 32, *both("is accepted for 2h 8m 0s more")),
    ),
    Scenario(
        "does not go by the budget of the same target in another namespace",
        renewed(HOURS_24, left=130 * MINUTE + AT_30).and_also(
            healthy(HOURS_24).with_series("certlag_restart_budget_seconds", LONG_RUN, **RUN).elsewhere()
        ),
        fires(ALERT, 32, said("is accepted for 2h 8m 0s more")),
    ),
    *of_contact(
        ALERT,
        renewed(left=3 * DAY + AT_30),
        healthy(),
        (32, both(URGENT)),
        (40, both("is accepted for 2d 23h 50m 0s more")),
    ),
    *(
        Scenario(
            f"does not go by the window that a replica tells which has lost contact{where}",
            SHORT_WINDOW.and_also(other),
            quiet(ALERT, 12, 75),
        )
        for where, other in another_without_contact(LONG_WINDOW)
    ),
    *(
        Scenario(
            f"does not go by the budget that a replica tells which has lost contact{where}",
            SHORT_BUDGET.and_also(other),
            fires(ALERT, 32, said("is accepted for 2h 8m 0s more")),
        )
        for where, other in another_without_contact(LONG_BUDGET)
    ),
    Scenario(
        "goes by the budget that the only exporter tells, without contact",
        LONG_BUDGET.out_of_contact(),
        fires(ALERT, 32, *both("is accepted for 2h 8m 0s more")),
    ),
    Scenario("is quiet while all is well", healthy(DAYS_90), quiet(ALERT, 12, 75)),
)
