"""CertlagWorkersLeftDrained: a restart was begun, nobody is finishing it, and workers are missing."""

from alerts.scenarios.model import MINUTE, Firing, Scenario, World, fires, quiet
from alerts.scenarios.worlds import (
    EXPORTER,
    MINUTES,
    RUN,
    always,
    clock,
    exporter_restarted,
    healthy,
    renewed,
    running,
    steps,
)

ALERT = "CertlagWorkersLeftDrained"
FIRING = Firing(
    {
        "namespace": "opschain",
        "workload": "opschain-build-service",
        "workload_type": "deployment",
        "target": "build-service",
        "severity": "critical",
    },
    "A restart was begun and nobody is finishing it: workers are missing.",
    "The workers of deployment/opschain-build-service in opschain were drained for a restart that has stopped."
    " Run `runbook resume-build-service -n opschain` to go on with it, or `runbook abort-build-service -n opschain` to"
    " put the workers back.",
    "var-namespace=opschain&var-workload=opschain-build-service",
)
WORKER = {**RUN, "worker": "deployment/opschain-api-worker"}
OTHER = {**RUN, "worker": "deployment/opschain-other-worker"}
EXPECTED, REPLICAS = "certlag_workers_expected_replicas", "certlag_workers_replicas"
HEARTBEAT = "certlag_runbook_heartbeat_timestamp_seconds"
STARTED = "process_start_time_seconds"
SECOND = {**EXPORTER, "instance": "b"}
SECOND_RUN = {**RUN, "instance": "b"}
"""As a second exporter tells it."""

ALIVE = running(renewed(), "draining", 20, 150)
DEAD = running(renewed(), "draining", 20, 150, dead_at=40)
"""Its last heartbeat is of a few seconds before minute 40: at 45 it is five minutes old."""
LEFT = running(renewed(), "left_drained", 20, 100)


def restarted_amid(world: World, at: int, *, alive: bool) -> World:
    """Return a world whose exporter restarts: the first that it sees of the Lease, it takes for a change."""
    back = at + 2
    beats = clock(offset=-5) if alive else always(back * MINUTE + 1)
    seen = tuple(
        None if minute < back else back * MINUTE + 1 if minute == back else beats[minute] for minute in range(150)
    )
    return exporter_restarted(world, at).with_series(
        HEARTBEAT, (*seen, "stale", *[None] * (MINUTES - 151)), **{**RUN, "instance": "b"}
    )


def beating_only(at: int) -> World:
    """Return a world whose dead run beats once more, while the exporter is restarted at minute 60."""
    beats = steps((None, 0), (at, 61), ("stale", 150), (None, 151))
    return (
        DEAD.succeeded_by(DEAD.without(HEARTBEAT), 58)
        .with_series(HEARTBEAT, beats, **SECOND_RUN)
        .with_series(STARTED, steps((None, 0), (60 * MINUTE, 60)), **SECOND)
    )


SCENARIOS = (
    Scenario(
        "fires two minutes after a run has given up, workers drained",
        LEFT,
        quiet(ALERT, 19, 21) + fires(ALERT, 22, FIRING) + fires(ALERT, 99, FIRING) + quiet(ALERT, 100, 130),
    ),
    Scenario(
        "fires when a run has died, its workers drained",
        DEAD,
        quiet(ALERT, 40, 46) + fires(ALERT, 47, FIRING) + fires(ALERT, 149, FIRING) + quiet(ALERT, 150),
    ),
    Scenario("is quiet while a run lives", ALIVE, quiet(ALERT, 22, 60, 149, 151)),
    Scenario(
        "is quiet when a run has died after its workers were put back",
        DEAD.with_series(REPLICAS, always(3), **WORKER),
        quiet(ALERT, 47, 149),
    ),
    Scenario(
        "clears at once when somebody puts the workers back by hand",
        DEAD.with_series(REPLICAS, steps((None, 0), (0, 20), (3, 80)), **WORKER),
        fires(ALERT, 79, FIRING) + quiet(ALERT, 80, 90),
    ),
    Scenario(
        "fires when one of two workers is below",
        DEAD.with_series(REPLICAS, always(3), **WORKER)
        .with_series(EXPECTED, always(2), **OTHER)
        .with_series(REPLICAS, always(1), **OTHER),
        fires(ALERT, 47, FIRING),
    ),
    Scenario(
        "is quiet for a worker that was at 0 before",
        DEAD.with_series(EXPECTED, always(0), **WORKER),
        quiet(ALERT, 47, 149),
    ),
    Scenario("fires for a worker that no longer exists", DEAD.without(REPLICAS), fires(ALERT, 47, FIRING)),
    Scenario("fires when nothing was ever seen of its Lease", DEAD.without(HEARTBEAT), fires(ALERT, 22, FIRING)),
    Scenario("is quiet without a run", renewed(), quiet(ALERT, 22, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 22, 75)),
    Scenario(
        "is quiet without series",
        LEFT.without("certlag_runbook_state").without(EXPECTED, REPLICAS, HEARTBEAT),
        quiet(ALERT, 22, 75),
    ),
    Scenario(
        "a run that lives is not taken for dead when the exporter restarts",
        restarted_amid(ALIVE, 60, alive=True),
        quiet(ALERT, 61, 63, 64, 65, 66, 70, 90),
    ),
    Scenario(
        "a run that is dead is not taken for alive when the exporter restarts",
        restarted_amid(DEAD, 60, alive=False),
        fires(ALERT, 59, FIRING) + fires(ALERT, 61, FIRING) + fires(ALERT, 63, FIRING) + fires(ALERT, 66, FIRING),
    ),
    Scenario(
        "holds while the exporter is restarted",
        exporter_restarted(LEFT, 40, away=10),
        fires(ALERT, 41, FIRING) + fires(ALERT, 49, FIRING) + fires(ALERT, 51, FIRING),
    ),
    Scenario(
        "a run that lives is not taken for dead while nothing is scraped",
        ALIVE.unscraped(60),
        quiet(ALERT, 62, 66, 69, 70, 72),
    ),
    Scenario(
        "a run that is dead stays so while nothing is scraped",
        DEAD.unscraped(60),
        fires(ALERT, 64, FIRING) + fires(ALERT, 69, FIRING) + fires(ALERT, 71, FIRING),
    ),
    Scenario(
        "does not outlive a run that ends while the exporter restarts",
        exporter_restarted(running(renewed(), "draining", 20, 61, dead_at=40), 60),
        fires(ALERT, 59, FIRING) + quiet(ALERT, 62, 63),
    ),
    Scenario(
        "does not come back when nothing is scraped after the run",
        LEFT.unscraped(102),
        fires(ALERT, 99, FIRING) + quiet(ALERT, 100, 107, 109, 111, 113),
    ),
    Scenario(
        "of a run that died does not come back when nothing is scraped after it",
        running(renewed(), "draining", 20, 100, dead_at=40).unscraped(102),
        fires(ALERT, 99, FIRING) + quiet(ALERT, 100, 107, 109, 111, 113),
    ),
    Scenario(
        "is not hidden by the same target of another namespace",
        LEFT.and_also(renewed().elsewhere()),
        fires(ALERT, 22, FIRING),
    ),
    Scenario(
        "is quiet for a run that lives while one of two replicas restarts",
        ALIVE.with_series(HEARTBEAT, (*[None] * 60, *always(60 * MINUTE + 1, 50), "stale"), **SECOND_RUN).with_series(
            STARTED, steps((None, 0), (60 * MINUTE, 60)), **SECOND
        ),
        quiet(ALERT, 61, 62, 63, 64, 65),
    ),
    Scenario(
        "a beat within half a minute of the exporter's start is none",
        beating_only(60 * MINUTE + 20),
        fires(ALERT, 59, FIRING) + fires(ALERT, 63, FIRING) + fires(ALERT, 66, FIRING),
    ),
    Scenario(
        "a beat later than half a minute after the exporter's start is one",
        beating_only(60 * MINUTE + 45),
        fires(ALERT, 59, FIRING) + quiet(ALERT, 63, 65, 66),
    ),
    Scenario("is one alert for two replicas", DEAD.with_replica(), fires(ALERT, 47, FIRING)),
    Scenario(
        "is quiet for a run that one of two replicas sees alive",
        ALIVE.and_also(
            World({key: points for key, points in DEAD.series.items() if key[0] == HEARTBEAT}).told_by_another()
        ).with_series("process_start_time_seconds", always(-MINUTE), **{**EXPORTER, "instance": "b"}),
        quiet(ALERT, 47, 149),
    ),
)
