"""The driver: each effect of the engine becomes one request, and an error of the API is raised where it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from certlag.clock import SystemClock
from certlag.errors import ClusterError
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from certlag.tls.handshake import probe
from runbook.alertmanager import Alertmanager, Silences
from runbook.check.inspector import CertificateInspector
from runbook.effects import (
    AfterInterrupt,
    Change,
    Confirm,
    Emit,
    EndSilence,
    Get,
    Inspect,
    Interrupted,
    List,
    Silence,
    Steps,
    Verb,
    Wait,
)
from runbook.events import Event, Level, Notice
from runbook.kube.change_waiter import ChangeWaiter
from runbook.run.driver import Driver
from tests.builders import a_target
from tests.scripted_api import Answer, ScriptedApi, answer, page, refusal, scripted_api

UNTIL = datetime(2026, 6, 1, tzinfo=UTC)
PATCH = Change("scale", Verb.PATCH, "/x", {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 0}})


@dataclass
class Bench:
    """A driver, what it asked of the server, and what it told."""

    driver: Driver
    api: ScriptedApi
    told: list[Event] = field(default_factory=list)
    asked: list[Confirm] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


@contextmanager
def bench(
    directory: Path, *script: Answer, says: AfterInterrupt = AfterInterrupt.LEAVE, silences: bool = False
) -> Iterator[Bench]:
    with scripted_api(*script) as api:
        connection = Connection.find(kubeconfig=api.kubeconfig(directory))
        client, clock = ClusterClient(connection), SystemClock()
        found = Bench.__new__(Bench)
        told: list[Event] = []
        asked: list[Confirm] = []
        warned: list[str] = []

        def ask(question: Confirm) -> AfterInterrupt:
            asked.append(question)
            return says

        alerts = ("A",)
        alertmanager = Alertmanager(api.url, clock) if silences else None
        silencing = Silences(alertmanager, clock, namespace="n", alerts=alerts, by="ann", warn=warned.append)
        wakeup = ChangeWaiter([], client, clock)
        driver = Driver(
            connection,
            CertificateInspector(a_target(), client, clock, partial(probe, clock=clock)),
            wakeup,
            tell=told.append,
            ask=ask,
            silences=silencing,
        )
        found.__init__(driver, api, told, asked, warned)  # type: ignore[misc]
        yield found
        wakeup.close()


def one(effect: Any) -> Steps[Any]:
    """Ask for one effect and return its answer."""
    return (yield effect)


def test_a_read_is_one_get_and_404_is_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, answer(b'{"kind": "Lease"}'), refusal(404)) as here:
        assert here.driver.drive(one(Get("/x"))) == {"kind": "Lease"}
        assert here.driver.drive(one(Get("/x"))) is None
        assert here.api.next_request().method == "GET"


@pytest.mark.parametrize("status", [403, 409, 500, 503])
def test_any_other_refusal_is_raised_where_it_was_asked(tmp_path: Path, status: int) -> None:
    def steps() -> Steps[int | None]:
        try:
            yield Get("/x")
        except ClusterError as error:
            return error.status
        return None

    with bench(tmp_path, refusal(status)) as here:
        assert here.driver.drive(steps()) == status


def test_an_error_that_nobody_catches_comes_out(tmp_path: Path) -> None:
    with bench(tmp_path, refusal(500)) as here, pytest.raises(ClusterError):
        here.driver.drive(one(Get("/x")))


def test_r9_a_collection_is_read_whole_and_consistently(tmp_path: Path) -> None:
    with bench(tmp_path, page([{"a": 1}], "5", following="more"), page([{"a": 2}], "5")) as here:
        assert here.driver.drive(one(List("/pods", itemgetter("a")))) == [1, 2]
        first, second = here.api.next_request(), here.api.next_request()
    assert "resourceVersion" not in {**first.query, **second.query}
    assert second.query["continue"] == "more"


def test_a_change_is_sent_once_with_its_body(tmp_path: Path) -> None:
    with bench(tmp_path, answer(b'{"spec": {"replicas": 0}}')) as here:
        assert here.driver.drive(one(PATCH)) == {"spec": {"replicas": 0}}
        request = here.api.next_request()
        assert here.api.requests.empty()
    assert json.loads(request.body) == PATCH.body


def test_events_are_told_and_need_no_answer(tmp_path: Path) -> None:
    remark = Notice(Level.INFO, "hello")
    with bench(tmp_path) as here:
        here.driver.drive(one(Emit(remark)))
        assert here.told == [remark]


@pytest.mark.parametrize("says", AfterInterrupt)
def test_a_question_gets_the_operators_answer(tmp_path: Path, says: AfterInterrupt) -> None:
    question = Confirm(((AfterInterrupt.WAIT, "go on"), (AfterInterrupt.LEAVE, "leave")))
    with bench(tmp_path, says=says) as here:
        assert here.driver.drive(one(question)) is says
        assert here.asked == [question]


def test_silences_are_made_and_ended_where_there_is_an_alertmanager(tmp_path: Path) -> None:
    with bench(tmp_path, answer(b'{"silenceID": "s-1"}'), answer(b""), silences=True) as here:
        here.driver.drive(one(EndSilence(here.driver.drive(one(Silence(UNTIL))))))
        assert [here.api.next_request().method for _ in range(2)] == ["POST", "DELETE"]


def test_without_an_alertmanager_there_are_none(tmp_path: Path) -> None:
    with bench(tmp_path) as here:
        assert here.driver.drive(one(Silence(UNTIL))) is None
        assert here.api.requests.empty()


def test_a_look_that_fails_is_raised_like_any_request(tmp_path: Path) -> None:
    with bench(tmp_path, refusal(503)) as here, pytest.raises(ClusterError):
        here.driver.drive(one(Inspect()))


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_ctrl_c_is_raised_once_at_the_next_effect_which_is_not_performed(tmp_path: Path) -> None:
    def steps() -> Steps[str]:
        yield Emit(Notice(Level.INFO, "before"))
        try:
            yield PATCH
        except Interrupted:
            yield Get("/x")
            return "interrupted once"
        return "not interrupted"

    with bench(tmp_path, answer(b"{}")) as here:
        here.driver.interrupt()
        assert here.driver.drive(steps()) == "interrupted once"
        assert here.api.next_request().method == "GET", "the write was not sent"
    assert len(here.told) == 1, "what was to be told was told"


def test_ctrl_c_ends_a_wait(tmp_path: Path) -> None:
    def steps() -> Steps[str]:
        yield Wait(60.0, early=False)
        try:
            yield PATCH
        except Interrupted:
            return "interrupted"
        return "not interrupted"

    with bench(tmp_path) as here:
        threading.Timer(0.1, here.driver.interrupt).start()
        assert here.driver.drive(steps()) == "interrupted"
