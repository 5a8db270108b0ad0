"""URL paths of the API: text to what is meant. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.api.resources import Resource


@dataclass(frozen=True, slots=True)
class Place:
    """A collection (no name), an object in it, or a subresource of that. `namespace` is None for all namespaces."""

    resource: Resource
    namespace: str | None
    name: str = ""
    subresource: str = ""


class Paths:
    """The paths of some resources."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = tuple(resources)
        self._by_path = {(resource.group, resource.version, resource.plural): resource for resource in self.resources}

    def place(self, path: str) -> Place | None:
        """Read a path; None if it leads to no resource."""
        match path.strip("/").split("/"):
            case ["api", version, *rest]:
                return self._place("", version, rest)
            case ["apis", group, version, *rest]:
                return self._place(group, version, rest)
        return None

    def _place(self, group: str, version: str, steps: list[str]) -> Place | None:
        namespace = None
        match steps:
            case ["namespaces", within, _, *_]:
                namespace, steps = within, steps[2:]
        if not 1 <= len(steps) <= 3:
            return None
        plural, name, subresource = (*steps, "", "")[:3]
        resource = self._by_path.get((group, version, plural))
        if resource is None:
            return None
        if resource.namespaced == (namespace is None) and (name or namespace is not None):
            return None  # objects without a namespace have none in their path, others need one
        return Place(resource, namespace if resource.namespaced else "", name, subresource)
