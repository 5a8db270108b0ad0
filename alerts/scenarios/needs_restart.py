"""CertlagNeedsRestart: an hour after a renewal that nobody followed by a restart."""

from alerts.scenario import DAY, HOUR, MINUTE, Firing, Scenario, World, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import (
    CERTIFICATE,
    DAYS_90,
    HOUR_1,
    HOURS_24,
    RENEWED,
    RUN_STATES,
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

ALERT = "CertlagNeedsRestart"
SUMMARY = "A workload presents an older certificate than the one issued."


def said(left: str, window: str = "long") -> Firing:
    """The alert of the build service."""
    return Firing(
        {
            "namespace": "opschain",
            "workload": "opschain-build-service",
            "workload_type": "deployment",
            "certificate": "opschain-build-service",
            "target": "build-service",
            "severity": "warning",
            "window": window,
        },
        SUMMARY,
        "deployment/opschain-build-service in opschain still presents an older certificate than cert-manager issued for"
        f" opschain-build-service; it {left}. Run `runbook restart-build-service -n opschain`.",
        "var-namespace=opschain&var-workload=opschain-build-service",
    )


DISCOVERED = Firing(
    {
        "namespace": "opschain",
        "workload": "opschain-vault",
        "workload_type": "statefulset",
        "certificate": "opschain-build-service",
        "severity": "warning",
        "window": "long",
    },
    SUMMARY,
    "statefulset/opschain-vault in opschain still presents an older certificate than cert-manager issued for"
    " opschain-build-service; it is accepted for 29d 23h 0m 0s more. Run `runbook restart --workload"
    " statefulset/opschain-vault -n opschain`, with --worker KIND/NAME for what must be drained first.",
    "var-namespace=opschain&var-workload=opschain-vault",
)
AT_70 = said("is accepted for 29d 23h 0m 0s more")
AT_75 = said("is accepted for 29d 22h 55m 0s more")


def renewed_again(world: World, at: int) -> World:
    """Return a world whose certificate is renewed once more, while the first renewal is not yet loaded."""
    for name, value in (("not_before", at * MINUTE), ("not_after", at * MINUTE + 90 * DAY)):
        metric = f"certlag_certificate_{name}_timestamp_seconds"
        before = world.series[metric, tuple(sorted(CERTIFICATE.items()))][at - 1]
        world = world.with_series(metric, steps((before, 0), (value, at)), **CERTIFICATE)
    return world


SCENARIOS = (
    Scenario(
        "fires an hour after a renewal that nobody followed by a restart",
        renewed(),
        quiet(ALERT, 10, 69) + fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "clears in the evaluation after the restart",
        restarted_at(renewed(), 90),
        fires(ALERT, 89, said("is accepted for 29d 22h 41m 0s more")) + quiet(ALERT, 90, 91, 120),
    ),
    Scenario(
        "does not come back when nothing is scraped after the restart",
        restarted_at(renewed(), 90).unscraped(92),
        fires(ALERT, 89, said("is accepted for 29d 22h 41m 0s more")) + quiet(ALERT, 90, 97, 99, 101, 103),
    ),
    Scenario(
        "stays quiet if the restart comes within the hour", restarted_at(renewed(), 60), quiet(ALERT, 59, 70, 130)
    ),
    Scenario("tells what to do where there is no target", discovered(renewed()), fires(ALERT, 70, DISCOVERED)),
    Scenario(
        "says so when the old certificate has expired",
        renewed(left=30 * MINUTE),
        fires(ALERT, 70, said("is no longer accepted")),
    ),
    *(
        Scenario(
            f"is muted by a run that is {state}, and waits again after it",
            running(renewed(), state, 60, 90),
            quiet(ALERT, 70, 89, 90, 149) + fires(ALERT, 150, said("is accepted for 29d 21h 40m 0s more")),
        )
        for state in RUN_STATES[1:]
    ),
    Scenario(
        "is muted by a run through a restart of the exporter",
        exporter_restarted(running(renewed(), "draining", 20, 155), 100, away=10),
        quiet(ALERT, 80, 101, 109, 111),
    ),
    Scenario(
        "is not delayed by probes that fail",
        renewed().with_series("certlag_probe_success", always(0), pod="p", container="buildkitd", port="1234", **USE),
        fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(renewed(), 40, away=8),
        quiet(ALERT, 69) + fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "holds while the exporter is restarted",
        exporter_restarted(renewed(), 74, away=12),
        fires(ALERT, 75, AT_75) + fires(ALERT, 85, said("is accepted for 29d 22h 45m 0s more")),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        renewed().unscraped(66),
        quiet(ALERT, 69) + fires(ALERT, 70, AT_70) + fires(ALERT, 75, AT_75),
    ),
    Scenario(
        "ends when nothing has been told for longer",
        renewed().unscraped(72, 60),
        fires(ALERT, 85, said("is accepted for 29d 22h 45m 0s more")) + quiet(ALERT, 87, 120),
    ),
    Scenario("is quiet without a verdict", renewed().without("certlag_needs_restart"), quiet(ALERT, 70, 75)),
    Scenario(
        "is quiet while the deadline is no date",
        renewed().with_series("certlag_restart_deadline_timestamp_seconds", always(0), **USE),
        quiet(ALERT, 70, 75),
    ),
    Scenario("is one alert for two replicas of the exporter", renewed().with_replica(), fires(ALERT, 70, AT_70)),
    Scenario(
        "is one alert while one of two replicas is behind",
        renewed().and_also(healthy().told_by_another()),
        fires(ALERT, 70, AT_70),
    ),
    Scenario("is neither delayed nor moved by a second renewal", renewed_again(renewed(), 40), fires(ALERT, 70, AT_70)),
    Scenario(
        "is one for each workload",
        renewed().and_also(discovered(renewed())),
        fires(ALERT, 70, AT_70, DISCOVERED),
    ),
    Scenario(
        "waits a tenth of the window of a certificate of 24 h",
        renewed(HOURS_24),
        quiet(ALERT, 10, 56)
        + fires(ALERT, 57, said("is accepted for 7h 13m 0s more", "short"))
        + fires(ALERT, 75, said("is accepted for 6h 55m 0s more", "short")),
    ),
    Scenario(
        "waits a tenth of the window of a certificate of 1 h",
        renewed(HOUR_1),
        quiet(ALERT, 10) + fires(ALERT, 11, said("is accepted for 19m 0s more", "short")),
    ),
    Scenario(
        "of a short window is muted by a run",
        running(renewed(HOURS_24), "draining", 40, 100),
        quiet(ALERT, 60, 99) + fires(ALERT, 100, said("is accepted for 6h 30m 0s more", "short")),
    ),
    Scenario(
        "of a short window holds where the only exporter has lost contact",
        renewed(HOURS_24).out_of_contact(),
        fires(ALERT, 57, said("is accepted for 7h 13m 0s more", "short"))
        + fires(ALERT, 75, said("is accepted for 6h 55m 0s more", "short")),
    ),
    Scenario("of a short window clears at once", restarted_at(renewed(HOUR_1), 20), quiet(ALERT, 20, 21, 75)),
    Scenario(
        "of a short window is not delayed by a restart of the exporter",
        exporter_restarted(renewed(HOURS_24), 30, away=12),
        quiet(ALERT, 56) + fires(ALERT, 57, said("is accepted for 7h 13m 0s more", "short")),
    ),
    Scenario(
        "takes a window of ten hours as a long one",
        renewed(HOURS_24).with_series("certlag_restart_window_seconds", always(10 * HOUR), **USE),
        quiet(ALERT, 57, 69) + fires(ALERT, 70, said("is accepted for 7h 0m 0s more")),
    ),
    Scenario(
        "is not muted by a run of which one of two replicas knows nothing",
        renewed().and_also(running(renewed(), "draining", 20, 150).told_by_another()),
        fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "is not muted by a run that was open when a replica lost contact",
        renewed().and_also(running(renewed(), "draining", 20, 150).out_of_contact().told_by_another()),
        fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "is muted by a run of which a replica without contact knows nothing",
        running(renewed(), "draining", 20, 150).and_also(renewed().out_of_contact().told_by_another()),
        quiet(ALERT, 70, 149),
    ),
    Scenario(
        "is not muted by a run of the same target in another namespace",
        renewed().and_also(running(renewed(), "draining", 20, 150).elsewhere()),
        fires(ALERT, 70, AT_70),
    ),
    Scenario(
        "of a short window is not muted by a run of the same target in another namespace",
        renewed(HOURS_24).and_also(running(healthy(HOURS_24), "draining", 20, 150).elsewhere()),
        fires(ALERT, 57, said("is accepted for 7h 13m 0s more", "short")),
    ),
    Scenario(
        "of a short window is muted by a run through ten minutes without a scrape",
        running(renewed(HOURS_24), "draining", 20, 150).unscraped(80),
        quiet(ALERT, 79, 85, 89, 90, 91),
    ),
    Scenario(
        "of a short window holds through ten minutes without a scrape",
        renewed(HOURS_24).unscraped(60),
        fires(ALERT, 69, said("is accepted for 7h 1m 0s more", "short")),
    ),
    Scenario(
        "goes by what is told now, not by what was remembered of the exporter before",
        renewed().succeeded_by(renewed().with_series("certlag_needs_restart", always(0), **USE), 80),
        fires(ALERT, 79, said("is accepted for 29d 22h 51m 0s more")) + quiet(ALERT, 82, 90),
    ),
    *of_contact(ALERT, renewed(), healthy(), (70, (AT_70,)), (75, (AT_75,))),
    Scenario("is quiet while all is well", healthy(DAYS_90), quiet(ALERT, RENEWED, 70, 75)),
)
