"""CertlagLoadedCertificateUnknown: a pod should be known and is not."""

from alerts.scenario import Firing, Scenario, fires, quiet
from alerts.scenarios.contact import of_contact
from alerts.scenarios.worlds import (
    HOUR_1,
    USE,
    always,
    discovered,
    exporter_restarted,
    healthy,
    renewed,
    running,
    steps,
)

ALERT = "CertlagLoadedCertificateUnknown"
PODS = "certlag_pods"
WORLD = healthy().with_series(PODS, steps((0, 0), (2, 20)), state="unknown", **USE)


def said(labels: dict[str, str], who: str, remedy: str) -> Firing:
    """The alert of a workload."""
    return Firing(
        {"namespace": "opschain", "certificate": "opschain-build-service", "severity": "warning", **labels},
        "What a workload presents is not known.",
        f"Of 2 pods of {who} in opschain it is not known what they present for opschain-build-service, nor whether it"
        f" is the one issued. {remedy}",
        f"var-namespace=opschain&var-workload={labels['workload']}",
    )


FIRING = said(
    {"workload": "opschain-build-service", "workload_type": "deployment", "target": "build-service"},
    "deployment/opschain-build-service",
    "Run `runbook check-build-service -n opschain`: it says why.",
)
DISCOVERED = said(
    {"workload": "opschain-vault", "workload_type": "statefulset"},
    "statefulset/opschain-vault",
    "Run `runbook page CertlagLoadedCertificateUnknown`: it says how to ask the exporter.",
)

SCENARIOS = (
    Scenario("fires after half an hour", WORLD, quiet(ALERT, 20, 49) + fires(ALERT, 50, FIRING)),
    Scenario("tells what to do without a target", discovered(WORLD), fires(ALERT, 50, DISCOVERED)),
    Scenario(
        "clears in the evaluation after the pod is known",
        WORLD.with_series(PODS, steps((0, 0), (2, 20), (0, 60)), state="unknown", **USE),
        fires(ALERT, 59, FIRING) + quiet(ALERT, 60, 100),
    ),
    Scenario(
        "is quiet for pods that start",
        WORLD.with_series(PODS, steps((0, 0), (1, 20), (0, 45)), state="unknown", **USE),
        quiet(ALERT, 44, 50, 75),
    ),
    Scenario(
        "is quiet for pods that cannot be probed, or are stale",
        WORLD.with_series(PODS, always(0), state="unknown", **USE)
        .with_series(PODS, always(2), state="unprobed", **USE)
        .with_series(PODS, always(2), state="stale", **USE),
        quiet(ALERT, 50, 75),
    ),
    Scenario(
        "is quiet when probes of what was known fail",
        healthy().with_series("certlag_probe_success", always(0), pod="p", container="c", port="1", **USE),
        quiet(ALERT, 50, 75),
    ),
    Scenario("is quiet after a renewal", renewed(), quiet(ALERT, 50, 75)),
    Scenario("is quiet after a renewal of a certificate of 1 h", renewed(HOUR_1), quiet(ALERT, 50, 75)),
    Scenario("is not muted by a run", running(WORLD, "verifying", 15, 150), fires(ALERT, 50, FIRING)),
    Scenario("is quiet without the series", WORLD.without(PODS), quiet(ALERT, 50, 75)),
    Scenario(
        "is not delayed by a restart of the exporter",
        exporter_restarted(WORLD, 45, away=10),
        quiet(ALERT, 49) + fires(ALERT, 50, FIRING) + fires(ALERT, 56, FIRING),
    ),
    Scenario(
        "holds through ten minutes without a scrape",
        WORLD.unscraped(46),
        fires(ALERT, 50, FIRING) + fires(ALERT, 55, FIRING),
    ),
    Scenario(
        "fires when one of two replicas tells it", WORLD.and_also(healthy().told_by_another()), fires(ALERT, 50, FIRING)
    ),
    *of_contact(ALERT, WORLD, healthy(), (50, (FIRING,)), (60, (FIRING,))),
    Scenario("is one alert for two replicas", WORLD.with_replica(), fires(ALERT, 50, FIRING)),
)
