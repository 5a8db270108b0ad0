"""The lock: one Lease for each object that a run changes, taken in sorted order. Pure: yields requests.

A Lease is the agreement of programs that ask; the fence (`runbook.guard.fence`) is what stops one that does not. Age is
never read from a Lease's timestamps, which are another machine's: a Lease is abandoned when it was seen unchanged for
its whole duration on our own clock, which runs through suspend (client-go's leaderelection does the same).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.model import Workload
from certlag.run_record import lease_key
from runbook.effects import Change, Document, Emit, Get, Steps, Verb, Wait
from runbook.events import Level, Notice
from runbook.kube.views import PodState
from runbook.retry_policy import CONFLICT, MINUTE, RetriesExhaustedError, with_retries

DURATION = 60
"""Seconds: a Lease that was not seen to change for so long is abandoned."""
RENEW_AFTER = 15.0
"""Seconds after which a Lease of ours is renewed."""
STOP_AFTER = 40.0
"""Seconds without a renewal after which nothing may be written any more."""
PIECE = 5.0
"""Seconds of a wait after which it is looked whether the lock is to be renewed."""
MOMENT = 0.001
"""Seconds that are not worth a wait: what is left of one by the rounding of clocks."""
RETRY = 2.0
"""Seconds between two attempts to renew."""
ATTEMPTS = 1800
"""Tries to renew, an hour of them, before it makes no sense to go on."""
LONGEST = 600
"""Seconds for which somebody else's Lease is watched at most: how long it says that it lasts is anybody's to write."""
MOST_TRANSITIONS = 2**31 - 1
"""The API takes no larger number: a Lease that was written full could never be taken."""


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A Lease as one read showed it."""

    path: str
    resource_version: str
    holder: str
    acquired: str
    renewed: str
    duration: int
    transitions: int


class LockHeldError(Exception):
    """Somebody else holds a Lease that is needed."""

    def __init__(self, lease: LeaseView) -> None:
        super().__init__(f"{lease.path.rpartition('/')[2]} is held by {lease.holder} since {lease.acquired}")
        self.lease = lease


class LockLostError(Exception):
    """The lock was ours and is no longer: nothing may be written any more."""


class Leases:
    """The Leases of one run; `holder` names its process."""

    def __init__(self, workloads: Iterable[Workload], holder: str, clock: Clock) -> None:
        self.holder = holder
        self._clock = clock
        keys = sorted({lease_key(workload) for workload in workloads})
        self._paths = [_path(namespace, name) for namespace, name in keys]
        self._held: dict[str, LeaseView] = {}
        self._seen: dict[LeaseView, float] = {}
        self._renewed_at = 0.0

    def take(self, *, may_take_over: Callable[[str], bool], is_dead: Callable[[str], bool]) -> Steps[None]:
        """Take all of them, or none.

        Args:
            may_take_over: whether a holder's Lease may be taken once it was seen unchanged for its whole duration.
            is_dead: whether a holder is known not to run any more, so that nothing need be waited for.

        Raises:
            LockHeldError: one of them is held, and alive or not to be taken over.
            ClusterError: the API server refused it for good.
            RetriesExhaustedError: a minute of tries was in vain.
            LockLostError: somebody took one of them while another was watched.
        """
        self._renewed_at = self._clock.monotonic()
        try:
            for path in self._paths:
                take = partial(self._take, path, may_take_over, is_dead)
                self._held[path] = yield from with_retries(f"taking {_name(path)}", take, self, MINUTE)
        except LockHeldError:
            yield from self.release()
            raise

    def renew_if_due(self) -> Steps[None]:
        """Renew them if it is time. Returns only while they are ours.

        Raises:
            LockLostError: one is another's now.
            RetriesExhaustedError: they could not be renewed in time, for very long.
        """
        for tried in range(ATTEMPTS):
            age = self._clock.monotonic() - self._renewed_at
            if age < RENEW_AFTER:
                return
            try:
                yield from self._renew()
            except ClusterError as error:
                if age < STOP_AFTER:
                    return
                if tried in (0, 30, 300):
                    text = f"the lock cannot be renewed, nothing is changed meanwhile: {error}"
                    yield Emit(Notice(Level.WARNING, text))
                yield Wait(RETRY, early=False)
        raise RetriesExhaustedError("the lock could not be renewed")

    def confirm(self) -> Steps[None]:
        """Renew them now, whatever their age: after a conflict, before anything is tried again."""
        self._renewed_at = min(self._renewed_at, self._clock.monotonic() - RENEW_AFTER)
        yield from self.renew_if_due()

    def wait(self, seconds: float, *, early: bool = False) -> Steps[tuple[PodState, ...]]:
        """Wait, and renew the lock whenever it is time: the one way in which a run waits.

        Args:
            seconds: how long; the lock is renewed before and within.
            early: whether a change ends the wait; then it may last `PIECE` at most.

        Returns:
            The pods that a watch has shown in that time.

        Raises:
            LockLostError: the lock is another's now.
        """
        ends = self._clock.monotonic() + seconds
        pods: list[PodState] = []
        while (left := ends - self._clock.monotonic()) > MOMENT:
            yield from self.renew_if_due()
            pods += (yield Wait(min(left, PIECE), early)) or ()
            if early:
                break
        return tuple(pods)

    def release(self) -> Steps[None]:
        """Give back what is held, so that the next one need not wait; failing to is no matter."""
        for path, lease in list(self._held.items()):
            body = _spec(lease, "", self._clock.now())
            try:
                yield Change(f"release {_name(path)}", Verb.PATCH, path, body)
            except ClusterError as error:
                yield Emit(
                    Notice(Level.WARNING, f"{_name(path)} is not released, it runs out in {DURATION} s: {error}")
                )
            del self._held[path]

    # --- one of them -----------------------------------------------------------------------------------

    def _take(
        self, path: str, may_take_over: Callable[[str], bool], is_dead: Callable[[str], bool]
    ) -> Steps[LeaseView]:
        """Take one Lease: free, our own, or abandoned.

        Raises:
            ClusterError: it was not taken; a conflict (409) says to look again.
        """
        while True:
            document = yield Get(path)
            if document is None:
                return (yield from self._create(path))
            lease: LeaseView | None = lease_view(path, document)
            if lease and lease.holder not in ("", self.holder) and not is_dead(lease.holder):
                if not may_take_over(lease.holder):
                    raise LockHeldError(lease)
                lease = yield from self._outlive(lease)
            if lease is not None:
                return (yield from self._seize(lease))

    def _outlive(self, lease: LeaseView) -> Steps[LeaseView | None]:
        """Return a Lease that may be seized: unchanged for its duration, or given back. None if it is gone.

        Raises:
            LockHeldError: its holder renewed it, so it is alive.
        """
        lasts = min(max(lease.duration, DURATION), LONGEST)
        deadline = (yield from self._seen_since(lease)) + lasts
        if (left := deadline - self._clock.monotonic()) > 0:
            text = f"{lease.holder} holds {_name(lease.path)}: watching {left:.0f} s whether it is alive"
            yield Emit(Notice(Level.INFO, text))
        while (left := deadline - self._clock.monotonic()) > 0:
            yield from self.wait(min(RETRY, left))
            document = yield Get(lease.path)
            if document is None:
                return None
            seen = lease_view(lease.path, document)
            if not seen.holder:
                return seen
            if seen != lease:
                raise LockHeldError(seen)
        return lease

    def _seen_since(self, lease: LeaseView) -> Steps[float]:
        """Return since when a Lease was seen as it is: all are looked at with the first, so that all are watched."""
        if not self._seen:
            views = []
            for path in self._paths:
                document = yield Get(path)
                views += [] if document is None else [lease_view(path, document)]
            # Not before they were read: one may have been renewed until then.
            self._seen = dict.fromkeys(views, self._clock.monotonic())
        return self._seen.get(lease, self._clock.monotonic())

    def _create(self, path: str) -> Steps[LeaseView]:
        return lease_view(path, (yield creation(path, self.holder, self._clock.now())))

    def _seize(self, lease: LeaseView) -> Steps[LeaseView]:
        return lease_view(lease.path, (yield seizure(lease, self.holder, self._clock.now())))

    def _renew(self) -> Steps[None]:
        """Renew all; one whose version has moved is read again, and is ours as long as it names us.

        Raises:
            ClusterError: one could not be renewed now.
            LockLostError: one is another's now.
        """
        started = self._clock.monotonic()
        for path, lease in self._held.items():
            try:
                self._held[path] = yield from self._seize(lease)
            except ClusterError as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
                document = yield Get(path)
                seen = lease_view(path, document) if document is not None else None
                if seen is None or seen.holder != self.holder:
                    raise LockLostError(f"{_name(path)} is now held by {seen.holder if seen else 'nobody'}") from error
                self._held[path] = yield from self._seize(seen)
        self._renewed_at = started


NOT_FOUND = 404


def lease_view(path: str, document: Document) -> LeaseView:
    """Read a Lease of coordination.k8s.io/v1."""
    spec = document.get("spec") or {}
    return LeaseView(
        path=path,
        resource_version=document["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        duration=spec.get("leaseDurationSeconds") or DURATION,
        transitions=spec.get("leaseTransitions") or 0,
    )


def creation(path: str, holder: str, now: datetime) -> Change:
    """Return what creates a Lease at a path, held."""
    _, _, _, _, _, namespace, _, name = path.split("/")
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        **_spec(None, holder, now),
    }
    return Change(f"create {name}", Verb.CREATE, path.rpartition("/")[0], body)


def seizure(lease: LeaseView, holder: str, now: datetime) -> Change:
    """Return what makes somebody hold a Lease that exists, or renews it."""
    return Change(f"take {_name(lease.path)}", Verb.PATCH, lease.path, _spec(lease, holder, now))


def _spec(lease: LeaseView | None, holder: str, now: datetime) -> dict[str, Any]:
    """Return the content of a Lease that is to be held by `holder`, as client-go writes it."""
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    new = lease is None or lease.holder != holder
    transitions = 0 if lease is None else min(lease.transitions + (new and bool(holder)), MOST_TRANSITIONS)
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": DURATION if holder else 1,
        "acquireTime": at if lease is None or new else lease.acquired,
        "renewTime": at,
        "leaseTransitions": transitions,
    }
    return {"spec": spec} if lease is None else {"metadata": {"resourceVersion": lease.resource_version}, "spec": spec}


def lease_path(workload: Workload) -> str:
    """Return where the API has the Lease that guards a workload."""
    return _path(*lease_key(workload))


def _path(namespace: str, name: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


def _name(path: str) -> str:
    return f"Lease {path.rpartition('/')[2]}"
