"""What a workload's pods keep data on, and what of it scaling to 0 or a restart destroys. Pure.

A claim that a pod template names outlives every pod. One that a StatefulSet makes by its `volumeClaimTemplates`
outlives a scale-down unless `persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete` (KEP-1847: the controller
makes the pod the claim's owner, and garbage collection does the rest); `whenDeleted` is about the StatefulSet itself,
which no run deletes. An `emptyDir`, and the claim of a generic ephemeral volume, last as long as their pod by design.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OF_THE_POD = ("emptyDir", "ephemeral")
"""Sources of volumes that begin empty with each pod. Those that are filled again (Secrets, CSI inline) hold no data."""


@dataclass(frozen=True, slots=True)
class Volumes:
    """The volumes of a workload's pods.

    `named` are the claims that its template names; `deleted_when_scaled` those that scaling it to 0 deletes, as
    `first to last` of each claim template; `of_the_pod` the volumes, as `name (source)`, that each new pod starts
    without.
    """

    named: tuple[str, ...] = ()
    deleted_when_scaled: tuple[str, ...] = ()
    of_the_pod: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim of a workload's pods; `pod` is the pod that owns it, and takes it along when it goes."""

    name: str
    access_modes: tuple[str, ...]
    pod: str | None = None

    @property
    def is_exclusive(self) -> bool:
        """Whether pods of two nodes, or any two pods, cannot use it at once."""
        return not {"ReadWriteOnce", "ReadWriteOncePod"}.isdisjoint(self.access_modes)


def volumes(name: str, spec: Mapping[str, Any]) -> Volumes:
    """Read the volumes of a workload of apps/v1 of this name from its `spec`."""
    sources = spec["template"]["spec"].get("volumes") or ()
    return Volumes(
        named=tuple(each["persistentVolumeClaim"]["claimName"] for each in sources if "persistentVolumeClaim" in each),
        deleted_when_scaled=tuple(_deleted_when_scaled(name, spec)),
        of_the_pod=tuple(f"{each['name']} ({kind})" for each in sources for kind in _OF_THE_POD if kind in each),
    )


def claim(document: Mapping[str, Any]) -> Claim:
    """Read a core/v1 PersistentVolumeClaim."""
    metadata = document["metadata"]
    pods = (owner["name"] for owner in metadata.get("ownerReferences") or () if owner.get("kind") == "Pod")
    return Claim(metadata["name"], tuple(document["spec"].get("accessModes") or ()), next(pods, None))


def _deleted_when_scaled(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    if (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get("whenScaled") != "Delete":
        return
    first, replicas = (spec.get("ordinals") or {}).get("start") or 0, spec.get("replicas", 1)
    for template in (spec.get("volumeClaimTemplates") or ()) if replicas else ():
        each = f"{template['metadata']['name']}-{name}"
        yield f"{each}-{first}" if replicas == 1 else f"{each}-{first} to {each}-{first + replicas - 1}"
