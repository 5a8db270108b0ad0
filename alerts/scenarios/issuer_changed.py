"""CertlagIssuerChanged: a daemon that checks its clients refuses those with new certificates, now."""

from alerts.scenario import Firing, Scenario, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import (
    RUN,
    USE,
    always,
    discovered,
    exporter_restarted,
    healthy,
    renewed,
    running,
    steps,
)

ALERT = "CertlagIssuerChanged"
CHANGED = "certlag_issuer_changed"
SINCE_20 = steps((0, 0), (1, 20))
WORLD = renewed().with_series(CHANGED, SINCE_20, **USE)
FIRING = Firing(
    {
        "namespace": "opschain",
        "workload": "opschain-build-service",
        "workload_type": "deployment",
        "certificate": "opschain-build-service",
        "target": "build-service",
        "severity": "critical",
    },
    "The issuer of a workload's certificate changed: it refuses new clients.",
    "deployment/opschain-build-service in opschain checks its clients by the CA that it read when it started, and"
    " opschain-build-service is now signed by another one: clients with new certificates are refused already."
    " Run `runbook restart-build-service -n opschain`.",
    "var-namespace=opschain&var-workload=opschain-build-service",
)

SCENARIOS = (
    Scenario("fires after five minutes", WORLD, quiet(ALERT, 24) + fires(ALERT, 25, FIRING)),
    Scenario(
        "clears in the evaluation after the restart",
        WORLD.with_series(CHANGED, steps((0, 0), (1, 20), (0, 60)), **USE),
        fires(ALERT, 59, FIRING) + quiet(ALERT, 60, 90),
    ),
    Scenario(
        "is quiet where clients are not checked",
        WORLD.with_series("certlag_target_client_auth", always(0), **RUN),
        quiet(ALERT, 25, 75),
    ),
    Scenario("is quiet where no target says whether they are", discovered(WORLD), quiet(ALERT, 25, 75)),
    Scenario("is not muted by a run", running(WORLD, "draining", 15, 150), fires(ALERT, 25, FIRING)),
    Scenario("is quiet after an ordinary renewal", renewed(), quiet(ALERT, 15, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 15, 75)),
    Scenario("is quiet while it is not known", WORLD.without(CHANGED), quiet(ALERT, 25, 75)),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(WORLD, 22, away=8),
        quiet(ALERT, 24) + fires(ALERT, 25, FIRING) + fires(ALERT, 31, FIRING),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        WORLD.unscraped(30),
        fires(ALERT, 35, FIRING) + fires(ALERT, 39, FIRING),
    ),
    Scenario(
        "fires when one of two replicas tells it", WORLD.and_also(healthy().told_by_another()), fires(ALERT, 25, FIRING)
    ),
    Scenario(
        "fires when one of two replicas knows that clients are checked",
        WORLD.and_also(WORLD.with_series("certlag_target_client_auth", always(0), **RUN).told_by_another()),
        fires(ALERT, 25, FIRING),
    ),
    Scenario(
        "goes by what the exporter now says of clients",
        WORLD.succeeded_by(WORLD.with_series("certlag_target_client_auth", always(0), **RUN), 40),
        fires(ALERT, 39, FIRING) + quiet(ALERT, 42, 50),
    ),
    Scenario(
        "is quiet where the same target of another namespace checks clients",
        WORLD.with_series("certlag_target_client_auth", always(0), **RUN).and_also(healthy().elsewhere()),
        quiet(ALERT, 25, 75),
    ),
    Scenario(
        "is quiet where one replica sees another issuer and the other one that clients are checked",
        WORLD.with_series("certlag_target_client_auth", always(0), **RUN).and_also(renewed().told_by_another()),
        quiet(ALERT, 25, 75),
    ),
    *of_contact(ALERT, WORLD, renewed(), (25, (FIRING,)), (35, (FIRING,))),
    Scenario("is one alert for two replicas", WORLD.with_replica(), fires(ALERT, 25, FIRING)),
    Scenario(
        "holds through probes that fail",
        WORLD.with_series("certlag_probe_success", always(0), pod="p", container="buildkitd", port="1234", **USE),
        fires(ALERT, 25, FIRING),
    ),
)
