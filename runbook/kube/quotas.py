"""Whether the ResourceQuotas of a namespace leave room for the pods that a run makes. Pure.

A dry run cannot tell: a quota is asked when a controller creates a pod. What a pod takes is read from the pod template,
as k8s.io/component-helpers/resource sums it up (`PodRequests`, `PodLimits`); what a LimitRange would add is left out,
and so are quotas with scopes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

PODS = ("pods", "count/pods")
"""What counts pods themselves."""
BARE = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Resources whose requests a quota also knows without `requests.` before them."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota: what may be used at most, and what is, as quantities (`500m`, `2Gi`) by resource."""

    name: str
    hard: Mapping[str, str]
    used: Mapping[str, str]
    scoped: bool


def quota(document: Mapping[str, Any]) -> Quota:
    """Read a core/v1 ResourceQuota."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    scoped = bool(spec.get("scopes") or spec.get("scopeSelector"))
    return Quota(document["metadata"]["name"], spec.get("hard") or {}, status.get("used") or {}, scoped)


def resources(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return those parts of a pod's spec that say what it takes."""
    return {
        "resources": spec.get("resources") or {},
        "overhead": spec.get("overhead") or {},
        "containers": [each.get("resources") or {} for each in spec.get("containers") or ()],
        "initContainers": [
            {**(each.get("resources") or {}), "stays": each.get("restartPolicy") == "Always"}
            for each in spec.get("initContainers") or ()
        ],
    }


def taken(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what one pod takes, by the names that quotas have for it; `pod` is as `resources` returns it."""
    found = dict.fromkeys(PODS, Decimal(1))
    for resource, amount in _sum_of(pod, _requests).items():
        found[f"requests.{resource}"] = amount
        if resource in BARE:
            found[resource] = amount
    return found | {f"limits.{resource}": amount for resource, amount in _sum_of(pod, _limits).items()}


def shortages(
    quotas: Iterable[Quota], takes: Mapping[str, Decimal], *, more: int, freed: Mapping[str, Decimal]
) -> Iterator[str]:
    """Yield, for each quota, what leaves no room.

    Args:
        quotas: of the namespace.
        takes: what one pod of the workload takes.
        more: how many pods there are to be beyond those that the quotas count already.
        freed: what is given back before that.
    """
    for each in quotas:
        for resource in takes.keys() & each.hard.keys() if not each.scoped else ():
            used, hard = (_amount(values.get(resource, "0")) for values in (each.used, each.hard))
            if used - freed.get(resource, Decimal(0)) + more * takes[resource] > hard:
                said = f"{resource}: {each.used.get(resource, '0')} used of {each.hard[resource]}"
                yield f"ResourceQuota {each.name} leaves no room for a new pod ({said})"


def _sum_of(pod: Mapping[str, Any], part: Callable[[Mapping[str, Any]], Mapping[str, str]]) -> dict[str, Decimal]:
    """Add up: containers beside those that stay from the start, or the largest of those before them."""
    total: dict[str, Decimal] = {}
    largest: dict[str, Decimal] = {}
    for each in pod["initContainers"]:
        for resource, amount in _amounts(part(each)).items():
            largest[resource] = max(largest.get(resource, Decimal(0)), total.get(resource, Decimal(0)) + amount)
            if each["stays"]:
                total[resource] = total.get(resource, Decimal(0)) + amount
    for each in pod["containers"]:
        for resource, amount in _amounts(part(each)).items():
            total[resource] = total.get(resource, Decimal(0)) + amount
    most = {name: max(total.get(name, Decimal(0)), largest.get(name, Decimal(0))) for name in total | largest}
    most |= _amounts(part(pod["resources"]))
    overhead = _amounts(pod["overhead"])
    return {name: amount + overhead.get(name, Decimal(0)) for name, amount in most.items()}


def _requests(resources: Mapping[str, Any]) -> Mapping[str, str]:
    """Return requests; what has only a limit requests that much."""
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def _limits(resources: Mapping[str, Any]) -> Mapping[str, str]:
    return resources.get("limits") or {}


def _amounts(quantities: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: _amount(quantity) for name, quantity in quantities.items()}


def _amount(quantity: str) -> Decimal:
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415 - 0.4 s, and few namespaces have quotas

    return Decimal(parse_quantity(quantity))
