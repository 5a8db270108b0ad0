"""Reading from the API server: documents and watches. Touches it by `transport`; changes nothing."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.paging import MAX_PAGE, PAGES_AT_ONCE
from certlag.kube.transport import MAX_BODY, Answer, Connection, body, document

READ_TIMEOUT = 75.0
"""Seconds without a byte, and without an event, before a watch is given up: bookmarks come about once a minute."""

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one watch event: etcd's own limit of an object is 1.5 MiB."""


class ClusterClient:
    """GET requests to one API server, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pages = threading.BoundedSemaphore(PAGES_AT_ONCE)
        self.server = connection.server
        self.namespace = connection.namespace

    @classmethod
    def connect(cls, *, kubeconfig: str | None = None, context: str | None = None) -> "ClusterClient":
        """Find the cluster as kubectl does, and read from it; see `Connection.find`.

        Raises:
            ClusterConfigError: there is no way to a cluster.
        """
        return cls(Connection.find(kubeconfig=kubeconfig, context=context))

    def get(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        timeout: float | None = None,
        most: int = MAX_BODY,
    ) -> Any:
        """Return the JSON answer to one GET.

        Args:
            path: on the server.
            parameters: the query.
            accept: the media type that is wanted.
            timeout: seconds without a byte before it is given up; default: as for a watch.
            most: bytes; of more, no more is read.

        Raises:
            ClusterError: there is none.
        """
        with self._request(path, parameters, accept, timeout) as answer:
            return document(answer, most)

    @contextmanager
    def page(self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json") -> Iterator[bytes]:
        """Yield the text of a page of a list. Of those that others read, `PAGES_AT_ONCE` are there at once.

        It is waited for until its answer has begun: a server that does not answer holds up nobody else.

        Raises:
            ClusterError: there is none, or it has more than `MAX_PAGE` bytes (`TOO_LARGE`).
        """
        with self._request(path, parameters, accept, None) as answer, self._pages:
            yield body(answer, MAX_PAGE)

    @contextmanager
    def stream(
        self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json"
    ) -> Iterator[Iterator[bytes]]:
        """Open a watch: yields an iterator over its lines, which ends when the server ends the watch.

        Raises:
            ClusterError: it cannot be opened; or, while iterating, it broke or said nothing for `READ_TIMEOUT`.
        """
        with self._request(path, parameters, accept, None) as answer:
            yield _lines(answer)

    def close(self) -> None:
        """End every answer that is being read: anyone who waits for it gets a `ClusterError` now."""
        self._connection.close()

    def _request(
        self, path: str, parameters: Mapping[str, str], accept: str, timeout: float | None
    ) -> AbstractContextManager[Answer]:
        seconds = READ_TIMEOUT if timeout is None else timeout
        return self._connection.request("GET", path, parameters, accept=accept, timeout=seconds)


def _lines(answer: Answer) -> Iterator[bytes]:
    """Split a stream into lines, in time linear in its length however it is cut into pieces.

    Blank lines and a line that does not end are no life: something between may send them for a server that is gone.
    """
    late = f"a watch without an event for {READ_TIMEOUT:g} s"
    answer.deadline.extend(READ_TIMEOUT, late)
    pending: list[bytes] = []
    size = 0
    while data := answer.response.read1(65536):
        *complete, rest = data.split(b"\n")
        for piece in complete:
            line = b"".join((*pending, piece))
            pending, size = [], 0
            yield line
            if line.strip():
                answer.deadline.extend(READ_TIMEOUT, late)
        pending.append(rest)
        size += len(rest)
        if size > MAX_LINE:
            raise ClusterError(ClusterErrorReason.GARBLED, f"a watch event of more than {MAX_LINE} bytes")
    if size:
        raise ClusterError(ClusterErrorReason.GARBLED, "the watch ended within an event")
