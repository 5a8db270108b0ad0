"""The fence: no write lands on a workload unless our own epoch stood on it in the read that it was decided on. Pure.

A run writes `certlag.dev/run: <id>/<epoch>` on each workload before anything else; a take-over writes a later epoch,
which changes the resourceVersion. So whatever an older holder decided before, even if it slept between its check and
its write, is refused by the API server.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from certlag.errors import ClusterError
from certlag.model import Workload
from runbook.effects import Change, Document, Get, Steps, Verb
from runbook.guard.lock import LockLostError
from runbook.kube.external_change import ExternalChange, external_change, replaced
from runbook.kube.views import RUN_ANNOTATION, WorkloadView, reference, workload_view
from runbook.retry_policy import CONFLICT, DELAYS, Keeper, with_retries


class ContestedError(Exception):
    """Somebody else changed what the run works on."""

    def __init__(self, external_change: ExternalChange) -> None:
        super().__init__(str(external_change))
        self.external_change = external_change


Make = Callable[[WorkloadView], Change | None]
"""Decides on a write by what was read; None if it is so already. May raise ContestedError."""
Confirm = Callable[[], Steps[None]]
"""Looks whether lock and record still are ours, and raises LockLostError if they are not."""


def workload_path(workload: Workload) -> str:
    """Return the API path of a workload of apps/v1."""
    return f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.type}s/{workload.name}"


def patch(view: WorkloadView, what: str, content: Mapping[str, Any]) -> Change:
    """Return a patch of a workload that lands only if nothing has changed since this view of it."""
    metadata = {"resourceVersion": view.resource_version, **content.get("metadata", {})}
    return Change(what, Verb.PATCH, workload_path(view.workload), {**content, "metadata": metadata})


def mark_other(path: str, mark: str | None, *, lock: Keeper, confirm: Confirm) -> Steps[None]:
    """Put the fence on an object that is no workload, or take it off (None); one that is gone needs none.

    Raises:
        ClusterError: it was refused for good.
    """
    what = f"{'fence' if mark else 'take the mark off'} {name_of(path)}"

    def attempt() -> Steps[None]:
        document: Document | None = yield Get(path)
        if document is None or (document["metadata"].get("annotations") or {}).get(RUN_ANNOTATION) == mark:
            return
        yield from confirm()
        metadata = {"resourceVersion": document["metadata"]["resourceVersion"], "annotations": {RUN_ANNOTATION: mark}}
        yield Change(what, Verb.PATCH, path, {"metadata": metadata})

    yield from with_retries(what, attempt, lock)


def name_of(path: str) -> str:
    """Return `resource/name` of an object's path."""
    return "/".join(path.split("/")[-2:])


def read(workload: Workload) -> Steps[WorkloadView]:
    """Read a workload once.

    Raises:
        ContestedError: it is gone.
    """
    document: Document | None = yield Get(workload_path(workload))
    if document is None:
        raise ContestedError(ExternalChange(workload, "was deleted"))
    return workload_view(workload, document)


def change(
    workload: Workload,
    make: Make,
    *,
    uid: str,
    fence: str | None,
    lock: Keeper,
    confirm: Confirm,
    delays: Sequence[float] = DELAYS,
) -> Steps[WorkloadView]:
    """Read a workload, decide, and write; again from the read when anything came between.

    Args:
        workload: what to change.
        make: decides on the write.
        uid: what it must be.
        fence: what must stand on it; None to write it, which the lock alone must allow: then it is confirmed between
            the read and the write, so that a take-over is either seen or has changed the resourceVersion.
        lock: is kept before each try.
        confirm: reads record and lock again after a conflict, and raises LockLostError if they are not ours.
        delays: seconds between tries.

    Returns:
        The workload after it.

    Raises:
        ContestedError: it is gone, or another one, or `make` says so.
        LockLostError: another epoch stands on it.
    """

    def attempt() -> Steps[WorkloadView]:
        view = yield from read(workload)
        if view.uid != uid:
            raise ContestedError(replaced(view))
        if fence is not None and view.fence != fence:
            yield from confirm()
            raise _fence_gone(view)
        wanted = make(view)
        if wanted is None:
            return view
        if fence is None:
            yield from confirm()
        try:
            return workload_view(workload, (yield wanted))
        except ClusterError as error:
            if error.status == CONFLICT:
                yield from confirm()
            raise

    return (yield from with_retries(f"changing {reference(workload)}", attempt, lock, delays))


def _fence_gone(view: WorkloadView) -> Exception:
    """Say whose it is now: another run's, or nobody's because somebody removed the annotation."""
    if view.fence is not None:
        return LockLostError(f"{reference(view.workload)} now belongs to run {view.fence}")
    what = f"its annotation {RUN_ANNOTATION} was removed"
    return ContestedError(external_change(view, what, "metadata", "annotations"))
