"""The proxy that stands between a program under test and a real API server: it carries, records and interferes."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from runbook.kube.write import send
from tests.answer_body import AS_IT_CAME, Body
from tests.api_proxy import Answer, ApiProxy, Delay, Drop, HoldBack, Pass, Reaction, Request, api_proxy
from tests.bench import waiting
from tests.bench.cluster import Cluster

pytestmark = pytest.mark.small_bench


@pytest.fixture
def proxy(small_bench: Cluster) -> Iterator[ApiProxy]:
    with api_proxy(small_bench) as made:
        yield made


@pytest.fixture
def connection(proxy: ApiProxy, small_bench: Cluster, small_namespace: str, tmp_path: Path) -> Connection:
    return connected(proxy, small_bench, small_namespace, tmp_path)


def connected(proxy: ApiProxy, cluster: Cluster, namespace: str, directory: Path) -> Connection:
    return Connection.find(kubeconfig=str(proxy.kubeconfig(directory, cluster.client.token, namespace)))


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}".rstrip("/")


def make(connection: Connection, name: str, **parameters: str) -> Any:
    body = {"metadata": {"name": name}}
    address = path(connection.namespace)
    return send(connection, "POST", address, body=body, content_type="application/json", parameters=parameters)


def exists(cluster: Cluster, namespace: str, name: str) -> bool:
    listed = cluster.api("GET", path(namespace))["items"]
    return name in {item["metadata"]["name"] for item in listed}


def failing(connection: Connection, name: str) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        make(connection, name)
    return caught.value


def test_it_carries_requests_as_the_bearer_of_the_clients_own_token(
    proxy: ApiProxy, small_bench: Cluster, small_namespace: str, tmp_path: Path
) -> None:
    administrator = connected(proxy, small_bench, small_namespace, tmp_path)
    assert make(administrator, "made")["metadata"]["name"] == "made"
    assert exists(small_bench, small_namespace, "made")
    token = small_bench.token(small_namespace, "default")
    guest = Connection.find(kubeconfig=str(proxy.kubeconfig(tmp_path, token, small_namespace)))
    assert failing(guest, "forbidden").reason is ClusterErrorReason.FORBIDDEN


def test_it_records_what_was_asked_and_what_was_answered(
    proxy: ApiProxy, connection: Connection, small_namespace: str
) -> None:
    make(connection, "twice")
    assert failing(connection, "twice").status == 409
    first, second = proxy.requests
    assert (first.method, first.path, first.status) == ("POST", path(small_namespace), 201)
    assert first.document == {"metadata": {"name": "twice"}}
    assert first.user_agent.startswith("certlag/")
    assert first.answered is not None
    assert first.began < first.answered < second.began
    assert second.status == 409


def test_writes_are_what_would_change_something(proxy: ApiProxy, connection: Connection) -> None:
    make(connection, "dry", dryRun="All")
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
    address = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    send(connection, "POST", address, body=review, content_type="application/json")
    ClusterClient(connection).get(path(connection.namespace), {})
    assert proxy.writes == []
    make(connection, "real")
    assert [request.document["metadata"]["name"] for request in proxy.writes] == ["real"]
    assert len(proxy.requests) == 4


def test_a_watch_gets_each_event_at_once(connection: Connection, small_bench: Cluster, small_namespace: str) -> None:
    client, address = ClusterClient(connection), path(small_namespace)
    # From a known version: a watch from "now" may end with a 504 where the API server's cache lags behind etcd.
    version = client.get(address, {})["metadata"]["resourceVersion"]
    selected = {"watch": "1", "fieldSelector": "metadata.name=a", "resourceVersion": version}
    with client.stream(address, selected) as events:
        for _ in range(3):
            small_bench.api("POST", address, {"metadata": {"name": "a"}})
            assert b'"ADDED"' in next(events)
            small_bench.api("DELETE", path(small_namespace, "a"))
            assert b'"DELETED"' in next(events)


def test_a_long_answer_is_carried_whole(connection: Connection, small_bench: Cluster, small_namespace: str) -> None:
    for number in range(5):
        body = {"metadata": {"name": f"big-{number}"}, "data": {"text": str(number) * 1_000_000}}
        small_bench.api("POST", path(small_namespace), body)
    listed = ClusterClient(connection).get(path(small_namespace), {})
    texts = [item["data"]["text"] for item in listed["items"] if item["metadata"]["name"].startswith("big-")]
    assert [(text[0], len(text)) for text in texts] == [(str(number), 1_000_000) for number in range(5)]


# --- interference ---------------------------------------------------------------------------------


def test_what_is_dropped_before_never_reaches_the_api_server(
    proxy: ApiProxy, connection: Connection, small_bench: Cluster, small_namespace: str
) -> None:
    proxy.before = lambda _: Drop()
    error = failing(connection, "never")
    assert (error.reason, error.status, error.refused) == (ClusterErrorReason.UNREACHABLE, None, False)
    assert not exists(small_bench, small_namespace, "never")
    assert [(request.reached, request.status) for request in proxy.writes] == [(False, None)]


def test_what_is_dropped_after_was_done_and_the_client_does_not_know(
    proxy: ApiProxy, connection: Connection, small_bench: Cluster, small_namespace: str
) -> None:
    proxy.after = lambda _: Drop()
    error = failing(connection, "done")
    assert (error.reason, error.status, error.refused) == (ClusterErrorReason.UNREACHABLE, None, False)
    assert exists(small_bench, small_namespace, "done")
    assert [(request.reached, request.status) for request in proxy.writes] == [(True, 201)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_can_be_given_instead(
    proxy: ApiProxy, connection: Connection, small_bench: Cluster, small_namespace: str, when: str
) -> None:
    setattr(proxy, when, lambda _: Answer(503, {"message": "Mahlzeit"}, {"Retry-After": "7"}))
    error = failing(connection, "other")
    assert (error.status, error.retry_after, error.refused) == (503, 7.0, False)
    assert "Mahlzeit" in str(error)
    assert exists(small_bench, small_namespace, "other") == (when == "after")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_held_request_goes_on_once_it_is_released(
    proxy: ApiProxy, connection: Connection, small_bench: Cluster, small_namespace: str, when: str
) -> None:
    held, released = threading.Event(), threading.Event()

    def hold(_: Request) -> Reaction:
        held.set()
        return HoldBack(released)

    setattr(proxy, when, hold)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make, connection, "held")
        assert held.wait(20)
        assert exists(small_bench, small_namespace, "held") == (when == "after")
        assert not made.done()
        released.set()
        assert made.result(20)["metadata"]["name"] == "held"


def test_a_delayed_answer_is_late(proxy: ApiProxy, connection: Connection) -> None:
    proxy.after = lambda _: Delay(30)
    with pytest.raises(ClusterError) as caught:
        ClusterClient(connection).get("/version", {}, timeout=0.2)
    assert caught.value.reason is ClusterErrorReason.TIMEOUT


# --- the body of an answer ------------------------------------------------------------------------


BOOKMARK = b'{"type":"BOOKMARK","object":{}}\n'
LINES = (b"first\n", BOOKMARK, b"second\n", b"third")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (AS_IT_CAME, [*LINES]),
        (Body(bookmarks=False), [b"first\n", b"second\n", b"third"]),
        (Body(garbage=b"?\n"), [b"first\n?\n", BOOKMARK + b"?\n", b"second\n?\n", b"third?\n"]),
        (Body(silent_after=1), [b"first\n"]),
        (Body(piece=3, silent_after=1), [b"fir", b"st\n"]),
        (Body(piece=1, bookmarks=False), [bytes([byte]) for byte in b"first\nsecond\nthird"]),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_body_is_treated_line_by_line_however_it_comes(body: Body, expected: list[bytes], size: int) -> None:
    whole = b"".join(LINES)
    assert [*body.pieces(whole[start : start + size] for start in range(0, len(whole), size))] == expected


def test_a_body_is_cut_in_the_middle_of_a_line() -> None:
    pieces = Body(cut_within=3).pieces(LINES)
    assert [next(pieces) for _ in range(3)] == [b"first\n", BOOKMARK, b"sec"]
    with pytest.raises(ConnectionAbortedError):
        next(pieces)


def test_an_answer_in_a_chunk_for_each_byte_is_the_same_answer(
    proxy: ApiProxy, connection: Connection, small_bench: Cluster, small_namespace: str
) -> None:
    small_bench.api("POST", path(small_namespace), {"metadata": {"name": "long"}, "data": {"text": "x" * 20_000}})
    client, address = ClusterClient(connection), path(small_namespace, "long")
    with client.page(address, {}) as as_it_is:
        pass
    proxy.after = lambda _: Pass(Body(piece=1))
    with client.page(address, {}) as in_pieces:
        assert in_pieces == as_it_is


def test_an_answer_that_is_cut_is_no_answer(proxy: ApiProxy, connection: Connection, small_namespace: str) -> None:
    proxy.after = lambda _: Pass(Body(cut_within=1))
    with pytest.raises(ClusterError) as caught, ClusterClient(connection).page(path(small_namespace), {}):
        pass
    assert caught.value.reason is ClusterErrorReason.UNREACHABLE


def test_a_slow_answer_takes_its_time(proxy: ApiProxy, connection: Connection, small_namespace: str) -> None:
    proxy.after = lambda _: Pass(Body(piece=100, pause=0.02))
    began = time.monotonic()
    with ClusterClient(connection).page(path(small_namespace), {}) as read:
        assert time.monotonic() - began > 0.02 * len(read) / 100


def test_a_watch_that_is_idle_is_cut_if_that_is_asked_for(
    proxy: ApiProxy, connection: Connection, small_namespace: str
) -> None:
    proxy.idle = 0.2
    asked = {"watch": "1", "resourceVersion": "0"}
    with (
        pytest.raises(ClusterError) as caught,
        ClusterClient(connection).stream(path(small_namespace), asked) as lines,
    ):
        list(lines)
    assert caught.value.reason is ClusterErrorReason.UNREACHABLE


def test_an_answer_that_falls_silent_does_not_end(
    proxy: ApiProxy, connection: Connection, small_namespace: str
) -> None:
    proxy.after = lambda _: Pass(Body(silent_after=0))
    with pytest.raises(ClusterError) as caught:
        ClusterClient(connection).get(path(small_namespace), {}, timeout=0.3)
    assert caught.value.reason is ClusterErrorReason.TIMEOUT


CREATE = """
import sys
from certlag.kube.transport import Connection
from runbook.kube.write import send
connection = Connection.find(kubeconfig=sys.argv[1])
body = {"metadata": {"name": sys.argv[2]}}
send(connection, "POST", sys.argv[3], body=body, content_type="application/json")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_can_be_killed_in_the_midst_of_its_request(
    proxy: ApiProxy, small_bench: Cluster, small_namespace: str, tmp_path: Path, when: str
) -> None:
    """What it has sent is on its way, whether or not it lives."""
    kubeconfig = proxy.kubeconfig(tmp_path, small_bench.client.token, small_namespace)
    started: list[subprocess.Popen[bytes]] = []

    def kill(_: Request) -> Reaction:
        waiting.until("the client to be known", lambda: started)
        started[0].kill()
        started[0].wait()
        return Pass()

    setattr(proxy, when, kill)
    argv = [sys.executable, "-c", CREATE, str(kubeconfig), "orphan", path(small_namespace)]
    started.append(subprocess.Popen(argv, cwd=Path(__file__).parents[2]))
    assert started[0].wait(30) == -9
    waiting.until("the API server to have answered", lambda: proxy.writes[0].status == 201)
    assert exists(small_bench, small_namespace, "orphan")


def test_a_rule_that_raises_fails_the_test(small_bench: Cluster, small_namespace: str, tmp_path: Path) -> None:
    def wrong(_: Request) -> Reaction:
        raise ValueError("a test's own mistake")

    def ask() -> None:
        with api_proxy(small_bench) as proxy:
            proxy.before = wrong
            failing(connected(proxy, small_bench, small_namespace, tmp_path), "unmade")

    with pytest.raises(ExceptionGroup) as caught:
        ask()
    assert caught.group_contains(ValueError, match="own mistake")


def test_it_ends_with_held_requests_and_open_watches_and_leaves_nothing(
    small_bench: Cluster, small_namespace: str, tmp_path: Path
) -> None:
    end_of_time = threading.Event()

    def hold_version(request: Request) -> Reaction:
        return HoldBack(end_of_time) if request.path == "/version" else Pass()

    def once() -> None:
        with ThreadPoolExecutor(2) as pool:
            with api_proxy(small_bench) as proxy:
                proxy.before = hold_version
                connection = connected(proxy, small_bench, small_namespace, tmp_path)
                reads = [pool.submit(watch, connection), pool.submit(ClusterClient(connection).get, "/version", {})]
                waiting.until("both to be on their way", lambda: len(proxy.requests) == 2)
            assert isinstance(reads[1].exception(20), ClusterError)
            reads[0].exception(20)

    def watch(connection: Connection) -> None:
        with ClusterClient(connection).stream(path(small_namespace), {"watch": "1"}) as lines:
            list(lines)

    once()
    threads, files = threading.active_count(), open_files()
    for _ in range(30):
        once()
    assert threading.active_count() <= threads
    gc.collect()  # urllib3 closes the connections of a pool with the pool
    assert open_files() <= files


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
