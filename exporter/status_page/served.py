"""The page's bytes: made when somebody asks, at most twice a second, however many do. Holds the last of them.

The more there is to show, the less often: a page that takes long to make is kept for as long as makes it a tenth of a
core, however many look.
"""

import gzip
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from exporter.status import Status

SECONDS = 0.5
REST = 9
"""How many times as long as it took to make the page nothing is made."""
GZIP_LEVEL = 5


@dataclass(frozen=True, slots=True)
class Served:
    """The page as it stands, and the ETag (weak: the same for both encodings) by which a browser knows it again."""

    etag: str
    plain: bytes
    gzip: bytes


class ServedPage:
    """The page, from a function that returns the status."""

    def __init__(self, status: Callable[[], Status], monotonic: Callable[[], float]) -> None:
        self._status = status
        self._monotonic = monotonic
        self._making = threading.Lock()
        self._until = float("-inf")
        self._render: Callable[[Status], str] | None = None
        self._served = Served("", b"", b"")

    def get(self) -> Served:
        """Return the page, as it was half a second ago at most, or a little more if it is large."""
        with self._making:  # who comes meanwhile gets what the first has made
            began = self._monotonic()
            if began >= self._until:
                self._take(self._html(self._status()))
                ended = self._monotonic()
                self._until = ended + max(SECONDS, REST * (ended - began))
            return self._served

    def _html(self, status: Status) -> bytes:
        """Render; Jinja is loaded when the first visitor comes: 5 MiB that an exporter without any need not have."""
        if self._render is None:
            from exporter.status_page.render import Renderer  # noqa: PLC0415 - see above

            self._render = Renderer().page
        return self._render(status).encode()

    def _take(self, plain: bytes) -> None:
        etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'
        if etag != self._served.etag:
            self._served = Served(etag, plain, gzip.compress(plain, GZIP_LEVEL, mtime=0))
