"""Basic authentication (RFC 7617): who is admitted, and how much work a stranger can make of asking.

A password is checked by bcrypt, which is slow on purpose, and anybody may send one. So one is checked at a time, in a
thread of its own, and `WAITING` may wait; of more, the address with the most loses its oldest one. Addresses take
turns, and the newest of an address comes first: who sends many holds up himself.

What was admitted is remembered by user, password and the hash that it was held against: a scraper is checked once, and
a user who was taken out of the configuration, or has another password now, is not admitted by what is remembered.
"""

import asyncio
import base64
import hashlib
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from exporter import memory
from exporter.http.web_config import WebConfig

WAITING = 32
"""Passwords that may wait to be checked."""
REMEMBERED = 256
"""Credentials that were admitted."""


class Admission(Enum):
    """What becomes of a request."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    BUSY = "busy"
    """Too many passwords wait; it may come again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """A password that is to be checked, and who waits for what comes of it."""

    config: WebConfig
    user: str
    password: str
    is_gone: Callable[[], bool]
    admission: "asyncio.Future[Admission]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def digest(self) -> bytes:
        """What is remembered of it: nobody can read the password from that."""
        parts = (self.user.encode(), self.password.encode(), self.config.users.get(self.user, b""))
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()


class BasicAuth:
    """Who is admitted. Belongs to one event loop; `close` ends its thread."""

    def __init__(self) -> None:
        self._admitted: set[bytes] = set()
        self._waiting: dict[str, list[_Attempt]] = {}
        """By address, the one whose turn it is first; of each the oldest first."""
        self._checking: threading.Thread | None = None
        self._current: _Attempt | None = None
        self._to_check: queue.SimpleQueue[_Attempt | None] = queue.SimpleQueue()

    async def admission(
        self, headers: Mapping[str, str], address: str, config: WebConfig, is_gone: Callable[[], bool]
    ) -> Admission:
        """Say what becomes of a request from an address, by the configuration that is in force.

        `is_gone` tells whether the client went before its turn came.
        """
        if not config.users:
            return Admission.ADMITTED
        credential = _credential(headers.get("authorization", ""))
        if credential is None:
            return Admission.REFUSED
        attempt = _Attempt(config, *credential, is_gone)
        if attempt.digest in self._admitted:
            return Admission.ADMITTED
        self._put(address, attempt)
        return await attempt.admission

    def close(self) -> None:
        """Answer anyone who waits, and have the thread end with the check that it is at."""
        waiting = [attempt for attempts in self._waiting.values() for attempt in attempts]
        self._waiting.clear()
        for attempt in (*waiting, *([self._current] if self._current else [])):
            _answer(attempt, Admission.BUSY)
        self._to_check.put(None)

    def _put(self, address: str, attempt: _Attempt) -> None:
        self._waiting.setdefault(address, []).append(attempt)
        if sum(map(len, self._waiting.values())) > WAITING:
            most = max(self._waiting, key=lambda each: len(self._waiting[each]))
            _answer(self._waiting[most].pop(0), Admission.BUSY)
            if not self._waiting[most]:
                del self._waiting[most]
        self._check_next()

    def _check_next(self) -> None:
        while self._waiting and self._current is None:
            address = next(iter(self._waiting))
            attempts = self._waiting.pop(address)
            attempt = attempts.pop()
            if attempts:
                self._waiting[address] = attempts  # after all others
            if attempt.is_gone() or attempt.admission.done():  # nobody waits for it any longer
                _answer(attempt, Admission.BUSY)
                continue
            self._current = attempt
            self._to_check.put(attempt)
            if self._checking is None:
                run = (asyncio.get_running_loop(),)
                self._checking = threading.Thread(target=self._check, args=run, name="passwords", daemon=True)
                self._checking.start()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check what is handed over, in the thread that is for that."""
        try:
            while (attempt := self._to_check.get()) is not None:
                admitted = attempt.config.authenticate(attempt.user, attempt.password)
                with suppress(RuntimeError):  # the loop was closed
                    loop.call_soon_threadsafe(self._checked, attempt, admitted)
        except MemoryError:
            memory.abort_out_of_memory()

    def _checked(self, attempt: _Attempt, admitted: bool) -> None:  # noqa: FBT001 - as the loop calls it
        if admitted:
            if len(self._admitted) >= REMEMBERED:
                self._admitted.clear()
            self._admitted.add(attempt.digest)
        _answer(attempt, Admission.ADMITTED if admitted else Admission.REFUSED)
        self._current = None
        self._check_next()


def _answer(attempt: _Attempt, admission: Admission) -> None:
    if not attempt.admission.done():
        attempt.admission.set_result(admission)


def _credential(authorization: str) -> tuple[str, str] | None:
    """Read user and password, None if there are none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user, password
