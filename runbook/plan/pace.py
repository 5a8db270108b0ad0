"""How a workload's pods end, start and are replaced: how many at a time, and how long that may take. Pure.

Lengths of time are what its own spec and its live pods allow, not what they usually take: a pod may use all of its
grace period, a container all the time that its startup probe gives it, and a new pod counts as available only when it
was Ready for `minReadySeconds`. Rounding of percentages is each controller's own
(k8s.io/kubernetes/pkg/controller/{deployment,daemon,statefulset}).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from runbook.kube.views import PodState, StartupProbe, WorkloadView

GRACE = "terminationGracePeriodSeconds"
DEPLOYMENT_DEFAULT = "25%"
"""maxSurge and maxUnavailable of a Deployment that names none."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How pods are replaced: `count` turns, one after another, each of up to `size` pods.

    `unavailable` is how many of them are away at the same time; `overlapping`: new pods start while old ones end.
    """

    count: int
    size: int
    unavailable: int
    overlapping: bool


@dataclass(frozen=True, slots=True)
class Share:
    """A length of time that one field allows, and how many times it may pass."""

    field: str
    value: str
    length: timedelta
    times: int = 1

    def __str__(self) -> str:
        """Name field and value, as a spec has them."""
        return f"{self.field} {self.value}" + (f", {self.times} times" if self.times > 1 else "")


@dataclass(frozen=True, slots=True)
class Span:
    """How long something may take, and which fields say so."""

    shares: tuple[Share, ...] = ()

    @property
    def length(self) -> timedelta:
        """All of it together."""
        return sum((share.length * share.times for share in self.shares), timedelta(0))

    def __str__(self) -> str:
        """Name all fields with their values."""
        return "; ".join(map(str, self.shares))


def turns_of(view: WorkloadView) -> Turns:
    """Return how a restart replaces a workload's pods."""
    count = max(view.replicas, 1)
    if view.workload.type == "statefulset":
        size = _resolved(view.pace.unavailable, count, math.ceil, default=1)
        return _turns(count, size, unavailable=size, overlapping=False)
    if view.workload.type == "daemonset":
        surge = _resolved(view.pace.surge, count, math.ceil, default=0)
        size = surge or _resolved(view.pace.unavailable, count, math.ceil, default=1)
        return _turns(count, size, unavailable=0 if surge else size, overlapping=surge > 0)
    if view.strategy == "Recreate":
        return _turns(count, count, unavailable=count, overlapping=False)
    surge = _resolved(view.pace.surge, count, math.ceil, default=DEPLOYMENT_DEFAULT)
    unavailable = _resolved(view.pace.unavailable, count, math.floor, default=DEPLOYMENT_DEFAULT)
    unavailable = unavailable if surge else max(unavailable, 1)
    return _turns(count, surge + unavailable, unavailable=unavailable, overlapping=True)


def drain_span(view: WorkloadView, pods: Sequence[PodState]) -> Span:
    """Return how long a workload's live pods may take to end when it is scaled to 0; its template does not count."""
    if not pods:
        return Span()
    if view.pace.in_order and len({pod.grace for pod in pods}) > 1:
        return Span(tuple(_grace(pod.grace) for pod in pods))
    return Span((_grace(max(pod.grace for pod in pods), len(pods) if view.pace.in_order else 1),))


def restart_span(view: WorkloadView, pods: Iterable[PodState]) -> Span:
    """Return how long a restart may take, from the first pod that ends to the last new one that is available."""
    turns = turns_of(view)
    grace = max((pod.grace for pod in pods), default=view.grace_period)
    return Span((*_starting(view, turns.count), _grace(grace, 1 if turns.overlapping else turns.count)))


def return_span(view: WorkloadView, replicas: int) -> Span:
    """Return how long a workload may take to be available again when it is scaled up from 0."""
    return Span(tuple(_starting(view, max(replicas, 1) if view.pace.in_order else 1)))


def exact(length: timedelta) -> str:
    """Write a length of time as an option takes it: `5m`, `1h30m`, `90s` as `1m30s`."""
    minutes, seconds = divmod(_seconds(length), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def in_words(turns: Turns, pods: int) -> str:
    """Say how that many pods are replaced: `one after another`, `all at once`; empty for a single one."""
    if pods < 2:
        return ""
    if turns.size >= pods:
        return "all at once"
    return "one after another" if turns.size == 1 else f"up to {turns.size} at a time"


def _turns(pods: int, size: int, *, unavailable: int, overlapping: bool) -> Turns:
    size = max(1, min(size, pods))
    return Turns(math.ceil(pods / size), size, min(unavailable, pods), overlapping)


def _starting(view: WorkloadView, times: int) -> Iterable[Share]:
    """Yield what a new pod may take until it is available: its sidecars in turn, then the slowest container."""
    probes = view.pace.startup_probes
    together = [max((each for each in probes if not each.in_turn), key=lambda each: each.longest, default=None)]
    for probe in (*(each for each in probes if each.in_turn), *filter(None, together)):
        yield Share(f"startupProbe of container {probe.container}:", _probe_value(probe), probe.longest, times)
    if view.pace.min_ready:
        yield Share("minReadySeconds", str(_seconds(view.pace.min_ready)), view.pace.min_ready, times)


def _probe_value(probe: StartupProbe) -> str:
    delay = f"initialDelaySeconds {probe.initial_delay} + " if probe.initial_delay else ""
    return f"{delay}failureThreshold {probe.failures} of periodSeconds {probe.period}"


def _grace(grace: timedelta, times: int = 1) -> Share:
    return Share(GRACE, str(_seconds(grace)), grace, times)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def _resolved(value: int | str | None, of: int, rounded: Callable[[float], int], *, default: int | str) -> int:
    """Read an int-or-percent; other text, which the API server does not accept, counts as 1."""
    value = default if value is None else value
    if isinstance(value, int):
        return value
    share = value.removesuffix("%")
    return rounded(int(share) * of / 100) if share.isdecimal() else 1
