"""Plain HTTPS JSON calls to the API server, from outside its network namespace.

A kubectl start costs a tenth of a second on a small machine; such a call costs a few milliseconds. Nothing in the
cluster's network can be reached from outside: a thread enters the namespace, connects and ends, and the
connected socket goes on living in the namespace in which it was made.
"""

import ctypes
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connection import HTTPSConnection

CLONE_NEWNET = 0x40000000
MERGE_PATCH = "application/merge-patch+json"
SERVER_SIDE_APPLY = "application/apply-patch+yaml"


class ApiError(AssertionError):
    """The API server refused: `status` is the HTTP status, `answer` the Status object or text."""

    def __init__(self, method: str, path: str, status: int, answer: Any) -> None:
        message = answer.get("message", answer) if isinstance(answer, dict) else answer
        super().__init__(f"{method} {path}: {status}: {message}")
        self.status = status
        self.answer = answer


def connect(netns: Path | None, host: str, port: int, timeout: float | None = 10) -> socket.socket:
    """Connect to an address as it is meant inside a network namespace; without one, plainly."""
    if netns is None:
        return socket.create_connection((host, port), timeout)
    outcome: list[socket.socket | OSError] = []

    def enter_and_connect() -> None:
        # setns changes this thread only, and the thread ends here: the process's other threads stay outside.
        try:
            descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(descriptor, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, f"entering {netns}: {os.strerror(number)}")
            finally:
                os.close(descriptor)
            outcome.append(socket.create_connection((host, port), timeout))
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=enter_and_connect, name=f"connect in {netns.name}")
    thread.start()
    thread.join()
    if isinstance(outcome[0], OSError):
        raise outcome[0]
    return outcome[0]


def _connections_in(netns: Path | None) -> type[HTTPSConnection]:
    class InNamespace(HTTPSConnection):
        """A connection of urllib3's pool whose socket is made inside the namespace."""

        def _new_conn(self) -> socket.socket:
            try:
                return connect(netns, self.host, self.port or 443)
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
            timeout=urllib3.Timeout(connect=10, read=60),
            retries=False,
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
        """The events of a watch, one by one, until the server ends it after so many seconds."""
        separator = "&" if "?" in path else "?"
        path = f"{path}{separator}watch=true&timeoutSeconds={seconds}"
        answer = self._request("GET", path, None, "application/json", preload=False)
        try:
            if answer.status >= 400:
                raise ApiError("GET", path, answer.status, answer.read().decode())
            unfinished = b""
            for piece in answer.stream(None):
                *lines, unfinished = (unfinished + piece).split(b"\n")
                yield from (json.loads(line) for line in lines if line)
        finally:
            answer.close()

    def _request(
        self, method: str, path: str, body: Any, content_type: str, *, preload: bool = True
    ) -> urllib3.BaseHTTPResponse:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
            "Content-Type": content_type,
        }
        content = None if body is None else json.dumps(body)
        try:
            return self._pool.urlopen(method, path, body=content, headers=headers, preload_content=preload)
        except urllib3.exceptions.HTTPError as error:
            # As any failed connection: callers that wait for a server look for OSError.
            raise ConnectionError(f"{method} https://{self.host}:{self.port}{path}: {error}") from error
