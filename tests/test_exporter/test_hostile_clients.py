"""The HTTP server under hostile clients, measured: it, they and a scraper are a process each."""

import http.client
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import bcrypt
import pytest

from exporter.http import server as server_module
from exporter.http.server import MAX_CONNECTIONS, SEND_BUFFER, Server
from exporter.http.web_config import WebConfigFile
from tests import page_server
from tests.bench import waiting
from tests.benchmark import outside
from tests.benchmark.outside import MIB, Usage
from tests.figures import Figures
from tests.hostile_clients import CROWDS, READY
from tests.page_server import GZIPPED, PATH, PLAIN
from tests.tls_servers import HOST
from tests.web_server import PASSWORD, a_leaf, authorization, client, write, write_pair

pytestmark = pytest.mark.thorough

SCRAPES = 200
EVERY = 0.01
"""Seconds between two scrapes."""
FLOOR = 0.025
"""Seconds below which the slowest scrapes are quick enough, whatever they take in quiet."""
FEW = 8
"""The same for a slower machine, in scrapes that take as long as usual there."""
WAVES = 3
"""A machine that is busy with other things makes scrapes slower, never quicker: one wave of three is enough."""
MOST_MEMORY = 8 * MIB
"""What a wave may leave behind, once there was one before it."""


@dataclass(frozen=True)
class Served:
    """A server with a page of a real scrape's size."""

    process: subprocess.Popen[bytes]
    port: int
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]

    @property
    def usage(self) -> Usage:
        return outside.usage(self.process.pid)

    def connect(self) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=self.tls)
        return http.client.HTTPConnection("localhost", self.port, timeout=20)

    def scrape(self, *, gzip: bool) -> float:
        """Take the page over a connection of its own; return how long that took."""
        started = perf_counter()
        with closing(self.connect()) as connection:
            connection.request("GET", PATH, headers={**self.headers, **({"Accept-Encoding": "gzip"} if gzip else {})})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, GZIPPED if gzip else PLAIN)
        return perf_counter() - started

    def scrapes(self) -> Sequence[float]:
        """Scrape now and then, and return how long each took, in order of that."""
        pause = threading.Event()
        return sorted(self.scrape(gzip=bool(number % 2)) for number in range(SCRAPES) if not pause.wait(EVERY))


@contextmanager
def serving(
    web_config: Path | None = None, tls: ssl.SSLContext | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Served]:
    argv = (sys.executable, "-m", "tests.page_server", *([str(web_config)] if web_config else []))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Served(process, int(process.stdout.readline()), tls, headers)
        process.communicate()
        assert process.returncode == 0


@contextmanager
def attacked(served: Served, kind: str) -> Iterator[list[int]]:
    """Have a crowd come; gives, once it has gone, how often one of it came."""
    argv = (sys.executable, "-m", "tests.hostile_clients", kind, str(served.port))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == READY
        came: list[int] = []
        yield came
        came.append(json.loads(crowd.communicate()[0]))


def p99(ordered: Sequence[float]) -> float:
    return ordered[int(len(ordered) * 0.99)]


def told(ordered: Sequence[float]) -> str:
    return f"{statistics.median(ordered) * 1000:.1f}/{p99(ordered) * 1000:.1f} ms"


@dataclass(frozen=True)
class Wave:
    """An attack, and what was seen of it."""

    quiet: Sequence[float]
    under: Sequence[float]
    came: int
    before: Usage
    meanwhile: Usage
    after: Usage

    @property
    def is_borne(self) -> bool:
        return p99(self.under) <= max(2 * p99(self.quiet), FLOOR, FEW * statistics.median(self.quiet))

    def __str__(self) -> str:
        before, meanwhile, after = (
            f"{usage.resident / MIB:.0f}" for usage in (self.before, self.meanwhile, self.after)
        )
        return (
            f"scrapes' p50/p99 {told(self.quiet)}, attacked {self.came} times {told(self.under)}; "
            f"{before}, {meanwhile}, then {after} MiB"
        )


def wave(served: Served, kind: str) -> Wave:
    """Attack once; all must have been let go of soon afterwards."""
    quiet, before = served.scrapes(), served.usage
    with attacked(served, kind) as came:
        under, meanwhile = served.scrapes(), served.usage
    waiting.until("its descriptors to be back", lambda: served.usage.descriptors <= before.descriptors, 20)
    return Wave(quiet, under, came[0], before, meanwhile, served.usage)


def bears(served: Served, kind: str, figures: Figures) -> None:
    waves = [wave(served, kind), wave(served, kind)]
    while len(waves) < WAVES and not any(it.is_borne for it in waves):
        waves.append(wave(served, kind))
    if CROWDS[kind].contends:
        assert all(it.came > CROWDS[kind].size for it in waves), [str(it) for it in waves]
    best = min(waves, key=lambda it: p99(it.under))
    figures(f"{CROWDS[kind].size} {kind}: {best}")
    assert any(it.is_borne for it in waves), [str(it) for it in waves]
    assert waves[-1].after.resident - waves[0].after.resident < MOST_MEMORY, [str(it) for it in waves]


@pytest.mark.serial
@pytest.mark.fault("F31")
@pytest.mark.parametrize("kind", ["slow loris", "idle", "never read"])
@pytest.mark.matrix(1)
def test_a_crowd_that_says_or_takes_next_to_nothing_slows_no_scrape(kind: str, figures: Figures) -> None:
    with serving() as served:
        bears(served, kind, figures)


@pytest.mark.serial
@pytest.mark.fault("F34")
@pytest.mark.parametrize("kind", ["oversized headers", "malformed requests"])
@pytest.mark.matrix(1)
def test_what_is_no_request_again_and_again_slows_no_scrape(kind: str, figures: Figures) -> None:
    with serving() as served:
        bears(served, kind, figures)


@pytest.mark.serial
@pytest.mark.fault("F32")
def test_a_crowd_that_never_begins_tls_slows_no_scrape(tmp_path: Path, figures: Figures) -> None:
    with serving(write(tmp_path, tls_server_config=write_pair(tmp_path, a_leaf())), client()) as served:
        bears(served, "silent before TLS", figures)


@pytest.mark.serial
@pytest.mark.field_case("E2")
def test_a_crowd_that_guesses_passwords_slows_no_scrape(tmp_path: Path, figures: Figures) -> None:
    """At the cost that `htpasswd` and exporter-toolkit's documentation name."""
    known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    file = write(tmp_path, basic_auth_users={"prometheus": known})
    with serving(file, headers=authorization(f"prometheus:{PASSWORD}")) as served:
        bears(served, "wrong passwords", figures)


def queued(port: int) -> int:
    """Return the bytes that the kernel keeps for the clients of a port (proc(5): /proc/net/tcp)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].partition(":")[0], 16) for line in lines if line[1].endswith(f":{port:04X}"))


@pytest.mark.fault("F31")
def test_of_answers_that_nobody_reads_the_kernel_keeps_little(figures: Figures) -> None:
    """It is counted among the pod's memory, of which there is little."""
    with serving() as served, attacked(served, "never read"):
        looks = []
        for _ in range(20):  # while they are there: after ten seconds the server gives them up
            served.scrape(gzip=True)
            looks.append(queued(served.port))
    kept = max(looks)
    figures(f"{CROWDS['never read'].size} never read: the kernel keeps {kept / MIB:.0f} MiB for them")
    assert 0 < kept < MAX_CONNECTIONS * 2 * SEND_BUFFER


@pytest.mark.fault("F43")
def test_who_came_and_went_is_forgotten(figures: Figures) -> None:
    with serving() as served:

        def come_and_go(times: int) -> int:
            for _ in range(times):
                for _ in range(50):  # of more the kernel would take no notice until some are accepted
                    socket.create_connection((HOST, served.port)).close()
                served.scrape(gzip=True)
            return served.usage.resident

        before, after = come_and_go(10), come_and_go(90)
    figures(f"{(after - before) / MIB:+.1f} MiB after 4,500 connections")
    assert after - before < 2 * MIB


@pytest.mark.fault("F31")
def test_who_stops_anywhere_near_the_end_of_the_last_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is sent as far as the server is concerned; what nobody takes of it must not stay for ever."""
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 2.0)
    server = Server({PATH: page_server.scrape}, WebConfigFile(None))
    host, port = server.start(HOST, 0)
    with closing(server), ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(100)]
        before = outside.usage(os.getpid()).descriptors
        for number, client in enumerate(clients):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, port))
            client.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" % PATH.encode())
            wanted = len(PLAIN) - 4096 * number
            while wanted > 0:
                received = client.recv(min(wanted, 65536))
                assert received, "given up while it took what came"
                wanted -= len(received)
        waiting.until("all to be let go of", lambda: outside.usage(os.getpid()).descriptors <= before, 20)
