"""Keys of objects, grouped by something that they have in common. Pure bookkeeping."""

from typing import Generic, TypeVar

from certlag.model import ObjectKey

Of = TypeVar("Of")


class MultiMap(Generic[Of]):
    """Groups of keys. Most have one member, and a tuple of one takes a fifth of the memory of such a set."""

    def __init__(self) -> None:
        self._members: dict[Of, tuple[ObjectKey, ...]] = {}

    def get(self, what: Of) -> tuple[ObjectKey, ...]:
        """Return the members of a group."""
        return self._members.get(what, ())

    def add(self, what: Of, key: ObjectKey) -> None:
        """Take a key into a group, if it is not in it."""
        if key not in self.get(what):
            self._members[what] = (*self.get(what), key)

    def discard(self, what: Of, key: ObjectKey) -> None:
        """Take a key out of a group; one that is empty then is forgotten."""
        others = tuple(member for member in self.get(what) if member != key)
        if others:
            self._members[what] = others
        else:
            self._members.pop(what, None)
