"""A GitOps tool that puts a workload back to what its repository says: Argo CD's self-heal, Flux's reconciliation."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, Resource
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs

MANAGER = "argocd-controller"


class GitOps:
    """Applies what was declared for workloads again and again, so long `after` a difference was seen first."""

    watches = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)

    def __init__(self, api: Verbs, *, after: timedelta = timedelta(seconds=3)) -> None:
        self._api = api
        self.after = after
        self._declared: dict[tuple[Resource, Key], Mapping[str, Any]] = {}
        self._since: dict[tuple[Resource, Key], datetime] = {}

    def declare(self, resource: Resource, key: Key, patch: Mapping[str, Any]) -> None:
        """Have a workload kept so that this merge patch changes nothing in it; an empty one ends that."""
        if patch:
            self._declared[resource, key] = patch
        else:
            self._declared.pop((resource, key), None)

    def run(self, now: datetime) -> datetime | None:
        """Put back what has differed for long enough."""
        due: list[datetime] = []
        for (resource, key), patch in self._declared.items():
            found = self._api.storage.get(resource, key)
            if found is None or _holds(patch, found):
                self._since.pop((resource, key), None)
                continue
            at = self._since.setdefault((resource, key), now) + self.after
            if at <= now:
                try:
                    self._api.patch(resource, key, patch, MERGE_PATCH, MANAGER)
                except Refusal:  # it reports that, and tries again
                    self._since[resource, key] = now
                    due.append(now + self.after)
            else:
                due.append(at)
        return min(due, default=None)


def _holds(patch: Any, document: Any) -> bool:
    """Tell whether a merge patch would change nothing."""
    if not isinstance(patch, Mapping):
        return bool(patch == document)
    found = document if isinstance(document, Mapping) else {}
    return all(_holds(value, found.get(name)) for name, value in patch.items())
