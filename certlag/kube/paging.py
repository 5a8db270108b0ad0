"""How many objects of a list are asked for at once. Pure.

500, as kubectl does; but nothing bounds what they hold: 500 of the fattest that etcd takes are 750 MB. So a page has a
bound, and where it is too large half as many are asked for: anyone who may create a few hundred objects would else end
us.
"""

from collections.abc import Callable
from typing import TypeVar

from certlag.errors import ClusterError, ClusterErrorReason

PAGE = 500
"""Objects in a page of a list, if they fit."""
MAX_PAGE = 16 * 1024 * 1024
"""Bytes of it: 500 objects of 32 KiB. Ordinary ones have 2 to 10."""
PAGES_AT_ONCE = 4
"""How many are read and decoded at once, however many watches there are: four for each namespace."""

Page = TypeVar("Page")


class Limit:
    """The `limit` of one list, which only ever falls: neighbours of a fat object may be as fat."""

    def __init__(self) -> None:
        self._objects = PAGE

    def ask(self, read: Callable[[str], Page]) -> Page:
        """Return what `read` returns when it is given a limit of which the page is not too large.

        Raises:
            ClusterError: whatever `read` raises; also if a single object is too large.
        """
        while True:
            try:
                return read(str(self._objects))
            except ClusterError as error:
                if error.reason is not ClusterErrorReason.TOO_LARGE or self._objects == 1:
                    raise
                self._objects //= 2
