"""Watches in which nothing happens, on a way that cuts what is idle: contact anyway, and none by mistake.

The clock moves only while a watch is read, so that each lives exactly as long as its script says.
"""

import json
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.reflector import CUT_AFTER, RELIST_AFTER, WATCH_SECONDS, Reflector
from certlag.kube.resources import ALL_NAMESPACES, CERTIFICATES, Watch
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.scripted_api import bookmark


@dataclass
class IdleCut:
    """An API server behind something that cuts, or ends, a connection that was idle for this many seconds."""

    clock: FakeClock
    watches: int
    idle: float = 1000.0
    ends_well: bool = False
    bookmarks: bool = True
    obeys: bool = True
    """Whether the server ends a watch when it was asked to."""
    blank: bytes = b""
    """What comes instead of events, if anything."""
    stop: threading.Event = field(default_factory=threading.Event)
    asked: list[int] = field(default_factory=list)

    @contextmanager
    def page(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> Iterator[bytes]:
        """Yield an empty list."""
        del path, parameters, accept
        yield json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()

    @contextmanager
    def stream(self, path: str, parameters: Mapping[str, str], *, accept: str = "") -> Iterator[Iterator[bytes]]:
        """Open a watch."""
        del path, accept
        self.asked.append(int(parameters["timeoutSeconds"]))
        yield self._lines(self.asked[-1])

    def _lines(self, seconds: int) -> Iterator[bytes]:
        idle = 0
        for second in range(1, 601):
            self.clock.advance(1)
            idle += 1
            if idle >= self.idle:
                self._last()
                if self.ends_well:
                    return
                raise ClusterError(ClusterErrorReason.UNREACHABLE, "cut")
            if self.blank:
                yield self.blank
            if self.bookmarks and (second % 60 == 0 or second == seconds - 2):
                idle = 0
                yield bookmark(str(second))
            if self.obeys and second == seconds:
                self._last()
                return

    def _last(self) -> None:
        if len(self.asked) == self.watches:
            self.stop.set()


class NoWait(threading.Event):
    """The stop event of a reflector whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


def lived(watches: int = 5, **ways: object) -> tuple[Sequence[int], float]:
    """Watch so often; return how many seconds were asked for each time, and those since the last contact."""
    clock = FakeClock()
    server = IdleCut(clock, watches, stop=NoWait(), **ways)  # type: ignore[arg-type]
    watched = Watch(CERTIFICATES, ALL_NAMESPACES)
    jitter = random.Random(1)  # noqa: S311 - spreads load
    reflector = Reflector(watched, server, lambda _: None, clock, server.stop, jitter=jitter, log=lambda *_: None)
    reflector.run()
    contact = reflector.health.last_contact_at
    assert contact is not None
    return server.asked, (clock.now() - contact).total_seconds()


LONG = range(WATCH_SECONDS[0], WATCH_SECONDS[1] + 1)


@case(
    "W7",
    kind="Found by tests: wrong answers of the exporter",
    situation="A load balancer cuts connections that are idle for less than a minute.",
    says="A quiet watch stays in contact. Before: the alert on silent watches fired as long as it was quiet.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("N11")
@pytest.mark.parametrize("ends_well", [False, True])
@pytest.mark.parametrize("idle", [CUT_AFTER, 30, 50, 59])
def test_behind_what_cuts_idle_connections_a_shorter_watch_is_asked_for_and_its_bookmark_heard(
    idle: float, *, ends_well: bool
) -> None:
    asked, silence = lived(idle=idle, ends_well=ends_well)
    assert asked[0] in LONG
    assert asked[1:] == [idle - 5] * 4
    assert silence == 2


@pytest.mark.fault("N11")
def test_where_a_bookmark_comes_in_time_long_watches_are_asked_for() -> None:
    asked, silence = lived(idle=61)
    assert set(asked) <= set(LONG)
    assert silence <= 60


@pytest.mark.fault("N11")
def test_a_watch_that_broke_after_a_few_seconds_says_nothing_of_idle_connections() -> None:
    asked, _ = lived(idle=CUT_AFTER - 1)
    assert set(asked) <= set(LONG)


@pytest.mark.fault("N11")
def test_a_server_without_bookmarks_is_heard_when_it_keeps_to_the_end_that_was_asked_for() -> None:
    asked, silence = lived(idle=75, bookmarks=False)
    assert asked[1:] == [70] * 4
    assert silence == 0


@pytest.mark.fault("N11")
@pytest.mark.parametrize("blank", [b"", b"\n"], ids=["nothing", "blank lines"])
@pytest.mark.parametrize("ends_well", [False, True])
@pytest.mark.parametrize("idle", [CUT_AFTER - 1, CUT_AFTER, 30, 50, 75])
def test_what_cuts_connections_without_a_server_behind_it_is_no_contact(
    idle: float, blank: bytes, *, ends_well: bool
) -> None:
    asked, silence = lived(idle=idle, ends_well=ends_well, bookmarks=False, obeys=False, blank=blank)
    assert silence == len(asked) * idle


@pytest.mark.fault("N11")
def test_after_the_next_list_a_long_watch_is_tried_again() -> None:
    asked, _ = lived(watches=int(RELIST_AFTER[1]) // 45 + 3, idle=50)
    assert asked[1] == 45
    assert set(asked[2:]) & set(LONG)
