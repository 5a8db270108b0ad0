"""CertlagTargetMissing: the configuration names what does not exist."""

from alerts.scenarios.model import Firing, Scenario, fires, quiet
from alerts.scenarios.worlds import EXPORTER, always, exporter_restarted, healthy, renewed, running, steps

ALERT = "CertlagTargetMissing"
FOUND = "certlag_target_found"
WHERE = {"target": "build-service", "namespace": "opschain", **EXPORTER}
WORLD = healthy().with_series(FOUND, steps((1, 0), (0, 20)), **WHERE)
FIRING = Firing(
    {"target": "build-service", "namespace": "opschain", "severity": "warning"},
    "A configured target does not exist.",
    "The workload or the Certificate of target build-service does not exist in opschain: nothing is watched."
    " Run `runbook check-build-service -n opschain`, then correct the configuration.",
    "var-namespace=opschain",
)

SCENARIOS = (
    Scenario("fires after a quarter of an hour", WORLD, quiet(ALERT, 20, 34) + fires(ALERT, 35, FIRING)),
    Scenario(
        "clears in the evaluation after it is found",
        healthy().with_series(FOUND, steps((1, 0), (0, 20), (1, 60)), **WHERE),
        fires(ALERT, 59, FIRING) + quiet(ALERT, 60, 90),
    ),
    Scenario(
        "is quiet while a workload is replaced",
        healthy().with_series(FOUND, steps((1, 0), (0, 20), (1, 30)), **WHERE),
        quiet(ALERT, 29, 35, 60),
    ),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 35, 75)),
    Scenario("is quiet after a renewal", renewed(), quiet(ALERT, 35, 75)),
    Scenario("is quiet without the series", WORLD.without(FOUND), quiet(ALERT, 35, 75)),
    Scenario("is not muted by a run", running(WORLD, "draining", 10, 150), fires(ALERT, 35, FIRING)),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(WORLD, 30, away=10),
        quiet(ALERT, 34) + fires(ALERT, 35, FIRING) + fires(ALERT, 41, FIRING),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        WORLD.unscraped(31),
        fires(ALERT, 35, FIRING) + fires(ALERT, 40, FIRING),
    ),
    Scenario("is one alert for two replicas", WORLD.with_replica(), fires(ALERT, 35, FIRING)),
    Scenario(
        "is quiet while one of two replicas finds it",
        WORLD.and_also(healthy().told_by_another()),
        quiet(ALERT, 35, 75),
    ),
    Scenario(
        "is one for each target",
        WORLD.with_series(FOUND, always(0), **{**WHERE, "target": "vault"}).with_series(
            FOUND, always(1), **{**WHERE, "target": "etcd"}
        ),
        fires(
            ALERT,
            35,
            FIRING,
            Firing(
                {"target": "vault", "namespace": "opschain", "severity": "warning"},
                "A configured target does not exist.",
                "The workload or the Certificate of target vault does not exist in opschain: nothing is watched."
                " Run `runbook check-vault -n opschain`, then correct the configuration.",
                "var-namespace=opschain",
            ),
        ),
    ),
)
