"""The arithmetic of a Deployment's rolling update: how many replicas each ReplicaSet may have next. Pure.

After k8s.io/kubernetes/pkg/controller/deployment/{rolling,sync}.go and its util: never more than N + maxSurge pods are
asked for, never fewer than N - maxUnavailable are left available, and old pods that are not even available go first.
"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Size:
    """A ReplicaSet: what it is asked for, and how many of its pods are available."""

    wanted: int
    available: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a rolling update may stray from the wanted number of replicas."""

    surge: int
    unavailable: int


def bounds(spec: dict[str, Any]) -> Bounds:
    """Read a Deployment's strategy; percentages count of its replicas, surge rounded up, unavailable down."""
    rolling = spec["strategy"].get("rollingUpdate")
    replicas = spec["replicas"]
    if rolling is None or replicas == 0:
        return Bounds(0, 0)
    surge = _resolved(rolling["maxSurge"], replicas, math.ceil)
    unavailable = _resolved(rolling["maxUnavailable"], replicas, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # else nothing could ever move
    return Bounds(surge, min(unavailable, replicas))


def next_new(replicas: int, limits: Bounds, new: Size, old: tuple[Size, ...]) -> int:
    """Return what the new ReplicaSet may be asked for."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + limits.surge - new.wanted - sum(size.wanted for size in old)
    return new.wanted + max(0, min(room, replicas - new.wanted))


def next_old(replicas: int, limits: Bounds, new: Size, old: tuple[Size, ...]) -> tuple[int, ...]:
    """Return what the old ReplicaSets, oldest first, are to be asked for."""
    minimum = replicas - limits.unavailable
    total = new.wanted + sum(size.wanted for size in old)
    spare = total - minimum - (new.wanted - new.available)
    sizes = [size.wanted for size in old]
    if spare <= 0:
        return tuple(sizes)
    for index, size in enumerate(old):  # those that are of no use
        unhealthy = min(spare, size.wanted - min(size.available, size.wanted))
        sizes[index] -= unhealthy
        spare -= unhealthy
    available = new.available + sum(size.available for size in old)
    spare = available - minimum
    for index in range(len(old)):
        if spare <= 0:
            break
        fewer = min(spare, sizes[index])
        sizes[index] -= fewer
        spare -= fewer
    return tuple(sizes)


def _resolved(value: Any, of: int, rounded: Any) -> int:
    """Read an int-or-percent."""
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(int(value[:-1]) * of / 100))
    return int(value)
