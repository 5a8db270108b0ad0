"""Jobs, as far as a run in the cluster needs them here: each has a pod, unless it is suspended or that is refused.

What such a pod runs is none of this cluster's programs, so no Job is ever over.
"""

from collections.abc import Iterable
from datetime import datetime

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import JOBS, PODS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Verbs
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import MANAGER, RETRY, by_owner, is_active, try_to_create_pod
from rehearsal.objects import Document, condition, is_ending, name_of, namespace_of, uid_of, with_condition


class JobController:
    """Gives every Job a pod."""

    watches = (JOBS, PODS)

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._retry_at: dict[str, datetime] = {}

    def run(self, now: datetime) -> datetime | None:
        """Take each Job one step further."""
        pods = by_owner(self._api.storage.all(PODS).values())
        jobs = tuple(self._api.storage.all(JOBS).values())
        return earliest(*(self._sync(each, pods.get(uid_of(each), ()), now) for each in jobs if not is_ending(each)))

    def _sync(self, job: Document, pods: Iterable[Document], now: datetime) -> datetime | None:
        active, suspended = sum(map(is_active, pods)), bool(job["spec"].get("suspend"))
        self._report(job, active, now, suspended=suspended)
        retry_at = self._retry_at.get(uid_of(job), now)
        if active or suspended:
            return None
        if retry_at > now:
            return retry_at
        labels = {"batch.kubernetes.io/job-name": name_of(job), "batch.kubernetes.io/controller-uid": uid_of(job)}
        if not try_to_create_pod(self._api, job, now, labels=labels):
            return None
        self._retry_at[uid_of(job)] = now + RETRY
        return now + RETRY

    def _report(self, job: Document, active: int, now: datetime, *, suspended: bool) -> None:
        status: Document = {"active": active or None}
        if suspended or condition(job, "Suspended"):
            held, done = ("True", "suspended") if suspended else ("False", "resumed")
            said = {"type": "Suspended", "status": held, "reason": f"Job{done.title()}", "message": f"Job {done}"}
            status["conditions"] = with_condition(job["status"].get("conditions") or (), said, now)
        key = Key(namespace_of(job), name_of(job))
        self._api.patch(JOBS, key, {"status": status}, MERGE_PATCH, MANAGER, subresource="status")
