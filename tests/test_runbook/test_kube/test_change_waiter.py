"""Being woken: a watch ends a wait early, and shows pods that pass by; nothing is concluded from it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from certlag.clock import SystemClock
from certlag.kube.client import ClusterClient
from runbook.kube.change_waiter import ChangeWaiter
from runbook.kube.views import PodState
from tests.builders import DEPLOYMENT
from tests.scripted_api import Answer, Request, after, event, page, refusal, scripted_api, watch
from tests.workload_documents import ENDING, a_pod

LONG = 15.0
"""Seconds that a wait would take if nothing woke it."""


def versioned(document: dict[str, Any], version: str) -> dict[str, Any]:
    document["metadata"]["resourceVersion"] = version
    document["metadata"]["namespace"] = DEPLOYMENT.namespace
    return document


@contextmanager
def waking(directory: Path, listed: Answer, *watched: Answer) -> Iterator[tuple[ChangeWaiter, list[Request]]]:
    """A wakeup whose three watches have begun: each is answered with `listed`, and only then asks to watch."""
    gate = threading.Event()
    with scripted_api(*[after(gate, listed)] * 3, *watched) as api:
        client = ClusterClient.connect(kubeconfig=api.kubeconfig(directory))
        wakeup = ChangeWaiter([DEPLOYMENT], client, SystemClock())
        try:
            wakeup.wait(0.01, early=False)
            asked = [api.next_request() for _ in range(3)]
            gate.set()
            yield wakeup, asked
        finally:
            wakeup.close()


EMPTY = page([], "5")


@pytest.mark.thorough
def test_a_wait_for_a_time_takes_that_time(tmp_path: Path) -> None:
    with waking(tmp_path, EMPTY) as (wakeup, _):
        began = time.monotonic()
        assert wakeup.wait(0.2, early=False) == ()
        assert time.monotonic() - began >= 0.2


@pytest.mark.thorough
def test_three_collections_are_watched_and_only_the_workload_by_its_name(tmp_path: Path) -> None:
    with waking(tmp_path, EMPTY) as (_, asked):
        pass
    assert {request.path.rpartition("/")[2] for request in asked} == {"pods", "replicasets", "deployments"}
    named = [request.query.get("fieldSelector") for request in asked if request.path.endswith("deployments")]
    assert named == ["metadata.name=build-service"]


def test_a_change_ends_the_wait_and_shows_the_pod_that_passed_by(tmp_path: Path) -> None:
    gate = threading.Event()
    pod = versioned(a_pod("worker-1", **ENDING), "6")
    changed = watch(gate, event("MODIFIED", pod), hold=True)
    with waking(tmp_path, EMPTY, changed, changed, changed) as (wakeup, _):
        threading.Timer(0.1, gate.set).start()
        began = time.monotonic()
        seen: tuple[PodState, ...] = ()
        while not seen and time.monotonic() - began < LONG:
            seen = wakeup.wait(LONG, early=True)
        assert time.monotonic() - began < LONG
    assert seen[0].name == "worker-1"
    assert seen[0].terminating


def test_an_object_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    gate = threading.Event()
    broken, nested = event("MODIFIED", ["no object"]), b'{"type": "MODIFIED", "object": {"metadata": "\xff"}}\n'
    changed = watch(gate, broken, nested, event("MODIFIED", versioned(a_pod("worker-1"), "6")), hold=True)
    with waking(tmp_path, EMPTY, changed, changed, changed) as (wakeup, _):
        gate.set()
        began = time.monotonic()
        seen: tuple[PodState, ...] = ()
        while not seen and time.monotonic() - began < LONG:
            seen = wakeup.wait(LONG, early=True)
    assert [pod.name for pod in seen] == ["worker-1"]


@pytest.mark.thorough
def test_the_first_lists_alone_end_no_wait(tmp_path: Path) -> None:
    with waking(tmp_path, page([versioned(a_pod("worker-1"), "4")], "5")) as (wakeup, _):
        began = time.monotonic()
        assert wakeup.wait(0.5, early=True) == ()
        assert time.monotonic() - began >= 0.5


def test_r9_a_watch_that_may_not_be_costs_only_the_waiting(tmp_path: Path) -> None:
    with waking(tmp_path, refusal(403)) as (wakeup, _):
        began = time.monotonic()
        assert wakeup.wait(0.3, early=True) == ()
        assert 0.3 <= time.monotonic() - began < LONG


@pytest.mark.thorough
def test_being_woken_from_a_signal_ends_the_wait(tmp_path: Path) -> None:
    with waking(tmp_path, EMPTY) as (wakeup, _):
        threading.Timer(0.05, wakeup.wake).start()
        began = time.monotonic()
        wakeup.wait(LONG, early=False)
        assert time.monotonic() - began < LONG


@pytest.mark.thorough
def test_closing_holds_nobody_up_whatever_its_watches_do(tmp_path: Path) -> None:
    held = watch(hold=True)
    with waking(tmp_path, EMPTY, held, held, held) as (wakeup, _):
        began = time.monotonic()
        wakeup.close()
        assert time.monotonic() - began < LONG
