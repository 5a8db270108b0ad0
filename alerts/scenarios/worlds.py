"""What an exporter tells of OpsChain's build service, through a renewal and a restart. Pure.

`renewed` is the ordinary world: a certificate is renewed at minute `RENEWED`, and nobody has restarted anything yet.
Every scenario changes something of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.scenario import DAY, HOUR, MINUTE, STALE, Point, World

MINUTES = 160
RENEWED = 10
SERVICE = "opschain-build-service"
EXPORTER = {"instance": "a", "job": "certlag-exporter"}
CERTIFICATE = {"namespace": "opschain", "certificate": SERVICE, **EXPORTER}
RUN = {
    "namespace": "opschain",
    "workload": SERVICE,
    "workload_type": "deployment",
    "target": "build-service",
    **EXPORTER,
}
USE = {**RUN, "certificate": SERVICE}
RUN_STATES = ("idle", "draining", "restarting", "verifying", "restoring", "left_drained")
CONTACT = "certlag_watch_last_contact_timestamp_seconds"
LEASE = f"certlag-deployment-{SERVICE}"
WATCHES = (
    ("certificates", ""),
    ("pods", ""),
    ("configmaps", "certlag-run-build-service"),
    ("deployments", SERVICE),
    ("leases", LEASE),
)
"""Of each group of resources that something is assessed by, one: its name, and that of the object."""
HEARTBEAT = "certlag_runbook_heartbeat_timestamp_seconds"
AWAITED = "certlag_runbook_heartbeat_awaited_timestamp_seconds"
DISCOVERED = "opschain-vault"
"""A workload that no target names."""


@dataclass(frozen=True)
class Lifetime:
    """A certificate's lifetime and its restart window, in seconds."""

    whole: int
    window: int


DAYS_90, HOURS_24, HOUR_1 = Lifetime(90 * DAY, 30 * DAY), Lifetime(24 * HOUR, 8 * HOUR), Lifetime(HOUR, 20 * MINUTE)


def steps(*values: tuple[Point, int], minutes: int = MINUTES) -> tuple[Point, ...]:
    """Return each value from its minute on, to the end."""
    points: list[Point] = []
    for (value, begin), end in zip(values, [*(begin for _, begin in values[1:]), minutes], strict=True):
        points += [value] * (end - begin)
    return tuple(points)


def always(value: Point, minutes: int = MINUTES) -> tuple[Point, ...]:
    """Return one value for all minutes."""
    return steps((value, 0), minutes=minutes)


def clock(*, offset: int = 0, until: int | None = None, minutes: int = MINUTES) -> tuple[Point, ...]:
    """Return an instant that moves with the time, up to a minute."""
    last = minutes if until is None else until
    return tuple(min(minute, last) * MINUTE + offset for minute in range(minutes))


def healthy(lifetime: Lifetime = DAYS_90, *, age: int | None = None, minutes: int = MINUTES) -> World:
    """Return the world in which what is loaded is what was issued, at minute 0 `age` seconds ago (default: just)."""
    began = -(age or 0)
    ends, renews = began + lifetime.whole, began + lifetime.whole - lifetime.window
    world = World({})
    for name, value in (("not_before", max(1, began)), ("not_after", ends), ("renewal", renews)):
        world = world.with_series(
            f"certlag_certificate_{name}_timestamp_seconds", always(value, minutes), **CERTIFICATE
        )
    for name, value in (("needs_restart", 0), ("restart_window_seconds", lifetime.window), ("issuer_changed", 0)):
        world = world.with_series(f"certlag_{name}", always(value, minutes), **USE)
    for state in ("current", "stale", "unknown", "unprobed"):
        world = world.with_series("certlag_pods", always(float(state == "current"), minutes), state=state, **USE)
    for state in ("renewal_disabled", "expired"):
        world = world.with_series("certlag_renewal_window_state", always(0, minutes), state=state, **USE)
    world = world.with_series(
        "certlag_probe_success", always(1, minutes), pod="p", container="buildkitd", port="1234", **USE
    )
    budget = 65 * MINUTE if lifetime is DAYS_90 else MINUTE
    for name, value in (("restart_budget_seconds", budget), ("target_client_auth", 1)):
        world = world.with_series(f"certlag_{name}", always(value, minutes), **RUN)
    world = world.with_series(
        "certlag_target_found", always(1, minutes), target="build-service", namespace="opschain", **EXPORTER
    )
    for state in RUN_STATES:
        world = world.with_series("certlag_runbook_state", always(float(state == "idle"), minutes), state=state, **RUN)
    return with_watches(world.with_series("up", always(1, minutes), **EXPORTER), minutes)


def with_watches(world: World, minutes: int = MINUTES) -> World:
    """Return a world whose exporter hears of everything that it assesses by."""
    for resource, name in WATCHES:
        watch = {"resource": resource, "watch_namespace": "opschain", "name": name, **EXPORTER}
        world = world.with_series(CONTACT, clock(offset=-20, minutes=minutes), **watch)
        world = world.with_series("certlag_watch_synced", always(1, minutes), **watch)
    return world


def heard_before(world: World, seconds: int) -> World:
    """Return a world whose exporter always heard something last this many seconds ago."""
    return World(
        {
            (name, labels): clock(offset=-seconds, minutes=len(points)) if name == CONTACT else points
            for (name, labels), points in world.series.items()
        }
    )


def paced(world: World, step: int) -> World:
    """Return a world of minutes as one of longer steps: what an exporter hears, it hears in each."""

    def heard(point: Point) -> Point:
        return point + round(point / MINUTE) * (step - 1) * MINUTE if isinstance(point, int | float) else point

    return World(
        {
            (name, labels): tuple(map(heard, points)) if name == CONTACT else points
            for (name, labels), points in world.series.items()
        }
    )


def renewed(lifetime: Lifetime = DAYS_90, *, left: int | None = None, minutes: int = MINUTES) -> World:
    """Return the world in which the certificate is renewed at `RENEWED`: what is loaded is from then on stale.

    `left` is how many seconds what is loaded is still good for at minute 0; by default as long as it ordinarily is.
    """
    ends = left if left is not None else RENEWED * MINUTE + lifetime.window
    world = healthy(lifetime, age=lifetime.whole - ends, minutes=minutes)
    at = RENEWED * MINUTE
    issued = {"not_before": at, "not_after": at + lifetime.whole, "renewal": at + lifetime.whole - lifetime.window}
    for name, value in issued.items():
        metric = f"certlag_certificate_{name}_timestamp_seconds"
        before = world.series[metric, tuple(sorted(CERTIFICATE.items()))][0]
        world = world.with_series(metric, steps((before, 0), (value, RENEWED), minutes=minutes), **CERTIFICATE)
    world = world.with_series("certlag_needs_restart", steps((0, 0), (1, RENEWED), minutes=minutes), **USE)
    for state, first, then in (("current", 1, 0), ("stale", 0, 1)):
        points = steps((first, 0), (then, RENEWED), minutes=minutes)
        world = world.with_series("certlag_pods", points, state=state, **USE)
    deadline = steps((None, 0), (ends, RENEWED), minutes=minutes)
    return world.with_series("certlag_restart_deadline_timestamp_seconds", deadline, **USE)


def restarted_at(world: World, minute: int) -> World:
    """Return a renewed world in which the workload is restarted at a minute."""
    deadline = world.series["certlag_restart_deadline_timestamp_seconds", tuple(sorted(USE.items()))][RENEWED]
    minutes = len(next(iter(world.series.values())))
    needs = steps((0, 0), (1, RENEWED), (0, minute), minutes=minutes)
    ended = steps((None, 0), (deadline, RENEWED), ("stale", minute), (None, minute + 1), minutes=minutes)
    world = world.with_series("certlag_needs_restart", needs, **USE)
    return world.with_series("certlag_restart_deadline_timestamp_seconds", ended, **USE)


def running(world: World, state: str, begin: int, end: int, *, dead_at: int | None = None, overdue: int = 0) -> World:
    """Return a world in which a run is open between two minutes, its three workers drained all the while.

    Args:
        world: the world without it.
        state: what the run is doing.
        begin: the minute of its begin.
        end: the minute of its end.
        dead_at: the minute after which its Lease no longer changes.
        overdue: how many minutes after its begin its deadline is; by default 65.
    """
    span = [(None, 0), (1.0, begin), ("stale", end), (None, end + 1)]

    def while_open(value: Point) -> Iterable[Point]:
        return steps(*((value if each == 1.0 else each, at) for each, at in span))

    for name in RUN_STATES:
        idle, busy = float(name == "idle"), float(name == state)
        points = steps((idle, 0), (busy, begin), (idle, end))
        world = world.with_series("certlag_runbook_state", points, state=name, **RUN)
    deadline = (begin + (overdue or 65)) * MINUTE
    world = world.with_series("certlag_runbook_deadline_timestamp_seconds", while_open(deadline), **RUN)
    beats = clock(offset=-5, until=dead_at)
    heartbeat = tuple(beat if mark == 1.0 else mark for beat, mark in zip(beats, while_open(1.0), strict=True))
    world = world.with_series(HEARTBEAT, heartbeat, **RUN)
    worker = {**RUN, "worker": "deployment/opschain-api-worker"}
    world = world.with_series("certlag_workers_expected_replicas", while_open(3), **worker)
    return world.with_series("certlag_workers_replicas", while_open(0), **worker)


def exporter_restarted(world: World, at: int, *, away: int = 2) -> World:
    """Return a world in which the exporter ends at a minute; its successor has not seen a heartbeat when it begins."""
    return world.succeeded_by(without_heartbeat(world, since=at + away), at, away=away)


def without_heartbeat(world: World, *, since: int) -> World:
    """Return a world as an exporter tells it that begins at a minute: the first that it sees of a Lease is no beat."""
    beats = world.series.get((HEARTBEAT, tuple(sorted(RUN.items()))))
    if beats is None or not isinstance(beats[since], int | float):
        return world
    is_seen = [isinstance(beat, int | float) and beat != beats[since] for beat in beats]
    is_awaited = [isinstance(beat, int | float) and beat == beats[since] for beat in beats]
    heartbeat = tuple(beat if seen else None for beat, seen in zip(beats, is_seen, strict=True))
    awaited = tuple(float(since * MINUTE) if each else None for each in is_awaited)
    return world.with_series(HEARTBEAT, _ended(heartbeat), **RUN).with_series(AWAITED, _ended(awaited), **RUN)


def _ended(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Mark where a series ends, as a scrape without it does."""
    before = (None, *points[:-1])
    return tuple(
        STALE if point is None and last is not None else point for last, point in zip(before, points, strict=True)
    )


def discovered(world: World) -> World:
    """Return a world of a workload that no target names: it has no command, budget or run."""
    kept = {key: points for key, points in world.series.items() if "worker" not in key[0] and "runbook" not in key[0]}
    gone = World(kept).without("certlag_restart_budget_seconds", "certlag_target_client_auth", "certlag_target_found")
    return (
        gone.relabelled("target", value="", was="build-service")
        .relabelled("workload", value=DISCOVERED, was=SERVICE)
        .relabelled("workload_type", value="statefulset", was="deployment")
    )
