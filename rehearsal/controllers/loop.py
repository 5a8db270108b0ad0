"""The loop over the controllers: run whom a change or the time concerns, until nobody has anything to do. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from certlag.clock import Clock
from rehearsal.api.resources import Resource
from rehearsal.api.storage import Storage

MOST_ROUNDS = 2000
"""More rounds than that in one instant are two controllers that undo each other's work: a fault of ours."""


class Controller(Protocol):
    """Brings what is stored nearer to what is wanted."""

    @property
    def watches(self) -> tuple[Resource, ...]:
        """The resources whose changes concern it."""
        ...

    def run(self, now: datetime) -> datetime | None:
        """Do what is due; return when time alone will make more of it due, None if it will not."""
        ...


class Loop:
    """The controllers of one cluster."""

    def __init__(
        self,
        controllers: Iterable[Controller],
        storage: Storage,
        clock: Clock,
        is_down: Callable[[Controller], bool] = lambda _controller: False,
    ) -> None:
        """Run controllers; those that are down do nothing until they are up again and somebody nudges."""
        self._controllers = tuple(controllers)
        self._is_down = is_down
        self._storage = storage
        self._clock = clock
        self._seen = dict.fromkeys(self._controllers, -1)
        self._due: dict[Controller, datetime | None] = dict.fromkeys(self._controllers)

    @property
    def due_at(self) -> datetime | None:
        """When there will be something to do if nothing changes before."""
        due = (due for controller, due in self._due.items() if not self._is_down(controller))
        return min((at for at in due if at is not None), default=None)

    def settle(self) -> None:
        """Run controllers until none has anything to do now."""
        for _ in range(MOST_ROUNDS):
            now = self._clock.now()
            concerned = [controller for controller in self._controllers if self._concerns(controller, now)]
            if not concerned:
                return
            for controller in concerned:
                self._seen[controller] = self._storage.version
                self._due[controller] = controller.run(now)
        raise RuntimeError(f"the controllers do not come to rest: {concerned}")

    def nudge(self) -> None:
        """Have every controller look again: something outside of what is stored has changed."""
        self._seen = dict.fromkeys(self._controllers, -1)

    def _concerns(self, controller: Controller, now: datetime) -> bool:
        due, seen = self._due[controller], self._seen[controller]
        if self._is_down(controller):
            return False
        if due is not None and due <= now:
            return True
        return any(self._storage.changed(resource) > seen for resource in controller.watches) or seen < 0


def earliest(*instants: datetime | None) -> datetime | None:
    """Return the first of those instants that are known."""
    return min((at for at in instants if at is not None), default=None)
