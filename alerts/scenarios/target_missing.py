"""CertlagTargetMissing: the configuration names what does not exist."""

from alerts.scenario import Firing, Scenario, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import EXPORTER, always, exporter_restarted, healthy, heard_before, renewed, running, steps

ALERT = "CertlagTargetMissing"
FOUND = "certlag_target_found"
WHERE = {"target": "build-service", "namespace": "opschain", **EXPORTER}
WORLD = healthy().with_series(FOUND, steps((1, 0), (0, 20)), **WHERE)


def said(target: str) -> Firing:
    """The alert of a target."""
    return Firing(
        {"target": target, "namespace": "opschain", "severity": "warning"},
        "No certificate is watched for a configured target.",
        f"Target {target} in opschain is not watched: its workload does not exist, or the Certificate that it names"
        " does not, or no Certificate was found for the Secrets that its pods use. Run"
        f" `runbook check-{target} -n opschain`: it says which. Then correct the target in the configuration.",
        "var-namespace=opschain",
    )


FIRING = said("build-service")

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
        "fires when one of two replicas does not find it",
        WORLD.and_also(healthy().told_by_another()),
        fires(ALERT, 35, FIRING),
    ),
    *of_contact(ALERT, WORLD, healthy(), (35, (FIRING,)), (45, (FIRING,))),
    Scenario(
        "is one for each target",
        WORLD.with_series(FOUND, always(0), **{**WHERE, "target": "vault"}).with_series(
            FOUND, always(1), **{**WHERE, "target": "etcd"}
        ),
        fires(ALERT, 35, FIRING, said("vault")),
    ),
    *(
        Scenario(
            f"{'goes' if has_say else 'does not go'} by a replica that heard something {seconds} seconds ago",
            heard_before(WORLD, seconds).and_also(healthy().told_by_another()),
            fires(ALERT, 35, FIRING) if has_say else quiet(ALERT, 35, 75),
        )
        for seconds, has_say in ((110, True), (130, False))
    ),
)
