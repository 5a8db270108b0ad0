"""CertlagWorkersLeftDrained: a restart was begun, nobody is finishing it, and workers are missing."""

from alerts.scenario import Firing, Scenario, World, fires, quiet
from alerts.scenarios.contact import another_without_contact, of_contact
from alerts.scenarios.worlds import (
    AWAITED,
    CONTACT,
    EXPORTER,
    HEARTBEAT,
    LEASE,
    RUN,
    always,
    clock,
    exporter_restarted,
    healthy,
    renewed,
    running,
    steps,
    without_heartbeat,
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
STATE, DEADLINE = "certlag_runbook_state", "certlag_runbook_deadline_timestamp_seconds"
LEASES = {"resource": "leases", "watch_namespace": "opschain", "name": LEASE, **EXPORTER}

ALIVE = running(renewed(), "draining", 20, 150)
DEAD = running(renewed(), "draining", 20, 150, dead_at=40)
"""Its last heartbeat is of a few seconds before minute 40. Of the Lease something was heard 20 s before each minute: at
46, that it has stood still for five minutes."""
LEFT = running(renewed(), "left_drained", 20, 100)


IDLE = renewed()
BEGUN_AMID = running(renewed(), "draining", 0, 150, dead_at=0, overdue=300)
"""A run that died before anybody looked: its exporter has seen no heartbeat."""
NEVER_BEATS = without_heartbeat(BEGUN_AMID, since=0)


def restarted_again_and_again(world: World, every: int = 6, minutes: int = 72) -> World:
    """Return a world whose exporter is replaced every few minutes, and has never seen a heartbeat when it begins."""
    told = World({})
    for begins in range(0, minutes, every):
        one = without_heartbeat(world, since=begins).relabelled("instance", value=f"a{begins}", was="a")
        lives = {
            key: (*[None] * begins, *points[begins : begins + every - 1], "stale")
            for key, points in one.series.items()
            if key[0] in {STATE, DEADLINE, HEARTBEAT, AWAITED, EXPECTED, REPLICAS, CONTACT}
        }
        told = told.and_also(World(lives))
    return told


def without_lease(world: World, since: int) -> World:
    """Return a world whose exporter hears nothing of the Lease after a minute."""
    return world.with_series(CONTACT, clock(offset=-20, until=since), **LEASES)


SCENARIOS = (
    Scenario(
        "fires two minutes after a run has given up, workers drained",
        LEFT,
        quiet(ALERT, 19, 21) + fires(ALERT, 22, FIRING) + fires(ALERT, 99, FIRING) + quiet(ALERT, 100, 130),
    ),
    Scenario(
        "fires when a run has died, its workers drained",
        DEAD,
        quiet(ALERT, 40, 47) + fires(ALERT, 48, FIRING) + fires(ALERT, 149, FIRING) + quiet(ALERT, 150),
    ),
    Scenario("is quiet while a run lives", ALIVE, quiet(ALERT, 22, 60, 149, 151)),
    Scenario(
        "is quiet when a run has died after its workers were put back",
        DEAD.with_series(REPLICAS, always(3), **WORKER),
        quiet(ALERT, 48, 75),
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
        fires(ALERT, 48, FIRING),
    ),
    Scenario(
        "is quiet for a worker that was at 0 before",
        DEAD.with_series(EXPECTED, always(0), **WORKER),
        quiet(ALERT, 48, 75),
    ),
    Scenario(
        "is quiet without the workers' replicas: nothing says that they are missing",
        DEAD.without(REPLICAS),
        quiet(ALERT, 48, 75),
    ),
    Scenario(
        "fires when a run was dead before the exporter began, and no heartbeat was ever seen",
        NEVER_BEATS,
        quiet(ALERT, 3) + fires(ALERT, 4, FIRING) + fires(ALERT, 60, FIRING),
    ),
    Scenario(
        "takes a run for dead that was known for 45 seconds without a heartbeat, as far as was heard",
        NEVER_BEATS.with_series(AWAITED, steps((30.0, 0), ("stale", 150), (None, 151)), **RUN),
        quiet(ALERT, 3) + fires(ALERT, 4, FIRING),
    ),
    Scenario(
        "fires when a run was dead before the exporter began, which is restarted every six minutes",
        restarted_again_and_again(BEGUN_AMID),
        fires(ALERT, 7, FIRING) + fires(ALERT, 12, FIRING) + fires(ALERT, 60, FIRING),
    ),
    Scenario(
        "fires when a run dies while the exporter is restarted every six minutes",
        restarted_again_and_again(DEAD),
        quiet(ALERT, 22, 39, 44) + fires(ALERT, 50, FIRING) + fires(ALERT, 60, FIRING),
    ),
    Scenario(
        "is quiet for a run that lives while the exporter is restarted every six minutes",
        restarted_again_and_again(ALIVE),
        quiet(ALERT, *range(20, 60)),
    ),
    Scenario(
        "is quiet for a run that lives when its exporter loses contact",
        ALIVE.out_of_contact(60),
        quiet(ALERT, 61, 66, 70, 84),
    ),
    Scenario(
        "is quiet for a run that lives when an exporter loses contact that had just begun",
        without_heartbeat(running(renewed(), "draining", 0, 150, dead_at=0, overdue=300), since=0).with_series(
            CONTACT, always(20), **LEASES
        ),
        quiet(ALERT, 4, 10, 75),
    ),
    Scenario(
        "is quiet for a run that lives when its exporter hears nothing more of the Lease",
        without_lease(ALIVE.with_series(HEARTBEAT, (*clock(offset=-5, until=60)[:150], "stale"), **RUN), 60),
        quiet(ALERT, 61, 66, 75, 91),
    ),
    Scenario(
        "fires when a run is past its deadline of which nothing is heard",
        without_lease(ALIVE.with_series(HEARTBEAT, (*clock(offset=-5, until=60)[:150], "stale"), **RUN), 60),
        quiet(ALERT, 92) + fires(ALERT, 93, FIRING),
    ),
    Scenario(
        "is quiet past the deadline of a run that lives",
        running(renewed(), "draining", 20, 150, overdue=30),
        quiet(ALERT, 60, 75),
    ),
    Scenario(
        "is quiet past the deadline where the exporter hears neither of the run nor of its workers",
        ALIVE.out_of_contact(60),
        quiet(ALERT, 91, 93, 95),
    ),
    *(
        Scenario(
            f"is quiet past the deadline where a replica has lost contact{where}",
            IDLE.and_also(other),
            quiet(ALERT, 93, 95),
        )
        for where, other in another_without_contact(ALIVE)
    ),
    Scenario(
        "takes a deadline of zero for none",
        without_lease(ALIVE.with_series(DEADLINE, always(0), **RUN), 20).without(HEARTBEAT),
        quiet(ALERT, 30, 93),
    ),
    Scenario("is quiet without a run", renewed(), quiet(ALERT, 22, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 22, 75)),
    Scenario(
        "is quiet without series",
        LEFT.without(STATE, EXPECTED, REPLICAS, HEARTBEAT),
        quiet(ALERT, 22, 75),
    ),
    Scenario(
        "a run that lives is not taken for dead when the exporter restarts",
        exporter_restarted(ALIVE, 60),
        quiet(ALERT, 61, 63, 64, 65, 66, 70, 90),
    ),
    Scenario(
        "a run that is dead is not taken for alive when the exporter restarts",
        exporter_restarted(DEAD, 60),
        fires(ALERT, 59, FIRING) + fires(ALERT, 61, FIRING) + fires(ALERT, 63, FIRING) + fires(ALERT, 66, FIRING),
    ),
    Scenario(
        "a heartbeat that the exporter before saw counts for five minutes",
        exporter_restarted(running(renewed(), "draining", 20, 150, dead_at=60), 61, away=1),
        quiet(ALERT, 61, 66) + fires(ALERT, 67, FIRING),
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
        "is not silenced by a living run of the same target in another namespace",
        exporter_restarted(DEAD, 60).and_also(exporter_restarted(ALIVE, 60).elsewhere()),
        fires(ALERT, 48, FIRING) + fires(ALERT, 61, FIRING) + fires(ALERT, 63, FIRING) + fires(ALERT, 66, FIRING),
    ),
    Scenario(
        "is quiet for a run that lives while one of two replicas restarts",
        ALIVE.and_also(
            World(
                {key: (*[None] * 60, *points[60:]) for key, points in without_heartbeat(ALIVE, since=60).series.items()}
            ).told_by_another()
        ),
        quiet(ALERT, 61, 62, 63, 64, 65),
    ),
    Scenario(
        "is not silenced by a replica that sees no run", DEAD.and_also(IDLE.told_by_another()), fires(ALERT, 48, FIRING)
    ),
    Scenario(
        "is not silenced by a replica that saw the workers there before it lost contact",
        DEAD.and_also(DEAD.with_series(REPLICAS, always(3), **WORKER).out_of_contact().told_by_another()),
        fires(ALERT, 48, FIRING),
    ),
    *of_contact(ALERT, LEFT, IDLE, (22, (FIRING,)), (32, (FIRING,))),
    Scenario(
        "of a dead run holds when its exporter loses contact",
        DEAD.out_of_contact(50),
        fires(ALERT, 49, FIRING) + fires(ALERT, 53, FIRING) + fires(ALERT, 80, FIRING),
    ),
    Scenario("is one alert for two replicas", DEAD.with_replica(), fires(ALERT, 48, FIRING)),
    Scenario(
        "is quiet for a run that one of two replicas sees alive",
        ALIVE.and_also(DEAD.told_by_another()),
        quiet(ALERT, 48, 84, 95),
    ),
)
