"""R28: an operator's wrong clock decides nothing, and a right one is not moved by whole seconds."""

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from runbook.guard.server_clock import ServerClock
from tests.fake_clock import FakeClock
from tests.scripted_api import answer, scripted_api


def told(directory: Path, ahead: timedelta, clock: FakeClock) -> ServerClock:
    """Ask an API server whose clock is so much ahead of ours."""
    date = format_datetime(clock.now() + ahead, usegmt=True)
    with scripted_api(answer(b"{}", Date=date)) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(directory), clock=clock)
        ClusterClient(connection).get("/x", {}, timeout=10)
    return ServerClock(clock, connection)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=6)])
def test_r28_where_the_clocks_differ_it_is_the_servers_time(tmp_path: Path, ahead: timedelta) -> None:
    clock = FakeClock()
    server = told(tmp_path, ahead, clock)
    assert server.now() == clock.now() + ahead
    clock.advance(10)
    assert server.now() == clock.now() + ahead


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=4), timedelta(seconds=-4)])
def test_a_difference_that_a_slow_answer_explains_says_nothing(tmp_path: Path, ahead: timedelta) -> None:
    clock = FakeClock()
    assert told(tmp_path, ahead, clock).now() == clock.now()


def test_before_the_first_answer_it_is_our_own_time(tmp_path: Path) -> None:
    clock = FakeClock()
    with scripted_api() as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(tmp_path), clock=clock)
    assert ServerClock(clock, connection).now() == clock.now()


@pytest.mark.fault("F20")
def test_intervals_stay_our_own(tmp_path: Path) -> None:
    clock = FakeClock()
    server = told(tmp_path, timedelta(hours=1), clock)
    assert server.monotonic() == clock.monotonic()
