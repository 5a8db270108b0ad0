"""CertlagRunbookStalled: a run is open half an hour after the latest end that its own timeouts allow."""

from alerts.scenario import Firing, Scenario, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import RUN, RUN_STATES, always, exporter_restarted, healthy, renewed, running

ALERT = "CertlagRunbookStalled"
DEADLINE = "certlag_runbook_deadline_timestamp_seconds"


def said(late: str) -> Firing:
    """The alert of the build service's run."""
    return Firing(
        {
            "namespace": "opschain",
            "workload": "opschain-build-service",
            "workload_type": "deployment",
            "target": "build-service",
            "severity": "warning",
        },
        "A restart is open long past its own deadline.",
        f"The restart of deployment/opschain-build-service in opschain should have ended {late} ago and is still open;"
        " while it is, no other can begin. Run `runbook history build-service -n opschain` to see where it stands, then"
        " `runbook resume-build-service -n opschain` or `runbook abort-build-service -n opschain`.",
        "var-namespace=opschain&var-workload=opschain-build-service",
    )


OPEN = running(renewed(), "restarting", 10, 100, overdue=20)
"""Its deadline is at minute 30."""

SCENARIOS = (
    *(
        Scenario(
            f"fires half an hour past the deadline of a run that is {state}",
            running(renewed(), state, 10, 100, overdue=20),
            quiet(ALERT, 31, 61) + fires(ALERT, 62, said("32m 0s")),
        )
        for state in RUN_STATES[1:]
    ),
    Scenario("clears when the run ends", OPEN, fires(ALERT, 99, said("1h 9m 0s")) + quiet(ALERT, 100, 101, 120)),
    Scenario("is quiet for a run within its time", running(renewed(), "draining", 10, 100), quiet(ALERT, 62, 99, 130)),
    Scenario("is quiet without a run", renewed(), quiet(ALERT, 62, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 62, 75)),
    Scenario("is quiet while the deadline is no date", OPEN.with_series(DEADLINE, always(0), **RUN), quiet(ALERT, 62)),
    Scenario("is quiet without a deadline", OPEN.without(DEADLINE), quiet(ALERT, 62, 99)),
    Scenario(
        "holds while the exporter is restarted",
        exporter_restarted(OPEN, 58, away=10),
        quiet(ALERT, 61) + fires(ALERT, 62, said("32m 0s")) + fires(ALERT, 69, said("39m 0s")),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        OPEN.unscraped(60),
        fires(ALERT, 62, said("32m 0s")) + fires(ALERT, 69, said("39m 0s")),
    ),
    Scenario(
        "does not outlive a run that ends while the exporter restarts",
        exporter_restarted(OPEN, 99),
        fires(ALERT, 100, said("1h 10m 0s")) + quiet(ALERT, 101, 102),
    ),
    Scenario(
        "does not come back when nothing is scraped after the run",
        OPEN.unscraped(102),
        fires(ALERT, 99, said("1h 9m 0s")) + quiet(ALERT, 100, 107, 109, 111, 113),
    ),
    Scenario(
        "goes by the earlier of two deadlines that replicas tell",
        OPEN.and_also(running(renewed(), "restarting", 10, 100, overdue=80).told_by_another()),
        fires(ALERT, 62, said("32m 0s")),
    ),
    Scenario(
        "is not silenced by a replica that knows of no run",
        OPEN.and_also(renewed().told_by_another()),
        fires(ALERT, 62, said("32m 0s")),
    ),
    *of_contact(ALERT, OPEN, renewed(), (62, (said("32m 0s"),)), (70, (said("40m 0s"),))),
    Scenario(
        "is not hidden by the same target of another namespace",
        OPEN.and_also(renewed().elsewhere()),
        fires(ALERT, 62, said("32m 0s")),
    ),
    Scenario("is one alert for two replicas", OPEN.with_replica(), fires(ALERT, 62, said("32m 0s"))),
)
