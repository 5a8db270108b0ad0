"""Plain HTTPS JSON calls to the API server, from outside its network namespace.

A kubectl start costs a tenth of a second on a small machine; such a call costs a few milliseconds.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPSConnection

from tests.bench import network

MERGE_PATCH = "application/merge-patch+json"


class ApiError(AssertionError):
    """The API server refused: `status` is the HTTP status, `answer` the Status object or text."""

    def __init__(self, method: str, path: str, status: int, answer: Any) -> None:
        message = answer.get("message", answer) if isinstance(answer, dict) else answer
        super().__init__(f"{method} {path}: {status}: {message}")
        self.status = status
        self.answer = answer


def _connections_in(netns: Path | None) -> type[HTTPSConnection]:
    class InNamespace(HTTPSConnection):
        """A connection of urllib3's pool whose socket is made inside the namespace."""

        def _new_conn(self) -> socket.socket:
            try:
                return network.connect(netns, self.host, self.port or 443)
            except OSError as error:
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error

    return InNamespace


@dataclass(frozen=True)
class Api:
    """The API server of one cluster, asked with one token."""

    host: str
    port: int
    token: str
    authority: Path
    netns: Path | None = None

    @cached_property
    def _pool(self) -> urllib3.HTTPSConnectionPool:
        pool = urllib3.HTTPSConnectionPool(
            self.host,
            self.port,
            ca_certs=str(self.authority),
            maxsize=8,
            # A server that has just started fills its caches, and says when to ask again (KEP-4568).
            retries=urllib3.Retry(20, connect=0, read=0, redirect=0, other=0, allowed_methods={"GET"}),
        )
        pool.ConnectionCls = _connections_in(self.netns)
        return pool

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Ask, and return the decoded JSON answer (or its text); `ApiError` for any status from 400."""
        answer = self._request(method, path, body, content_type)
        text = answer.data.decode()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        decoded = json.loads(text) if is_json else text
        if answer.status >= 400:
            raise ApiError(method, path, answer.status, decoded)
        return decoded

    def watch(self, path: str, seconds: int = 60) -> Iterator[dict[str, Any]]:
        """The events of a watch, one by one, until the server ends it after this many seconds."""
        return (json.loads(line) for line in self.lines(path, seconds))

    def lines(self, path: str, seconds: int = 60) -> Iterator[bytes]:
        """The same, as they come: for those who measure when."""
        separator = "&" if "?" in path else "?"
        path = f"{path}{separator}watch=true&timeoutSeconds={seconds}"
        answer = self._request("GET", path, stream_seconds=seconds)
        try:
            if answer.status >= 400:
                raise ApiError("GET", path, answer.status, answer.read().decode())
            unfinished = b""
            for piece in answer.stream(None):
                *lines, unfinished = (unfinished + piece).split(b"\n")
                yield from (line for line in lines if line)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"watching {path}: {error}") from error
        finally:
            # Not given back to the pool: much may still be on its way.
            answer.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        stream_seconds: int | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
            "Content-Type": content_type,
        }
        try:
            return self._pool.urlopen(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers=headers,
                preload_content=stream_seconds is None,
                # A stream may be quiet for as long as it lasts.
                timeout=urllib3.Timeout(connect=10, read=30 + (stream_seconds or 0)),
            )
        except urllib3.exceptions.HTTPError as error:
            # As any failed connection: callers that wait for a server look for OSError.
            raise ConnectionError(f"{method} https://{self.host}:{self.port}{path}: {error}") from error
