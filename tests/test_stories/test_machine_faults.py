"""Faults of the exporter's own process: suspended, without descriptors or memory, asked in vain, ended within a scrape.

Real certificates on a real API server; every scrape meanwhile is held against what is true.
"""

import os
import re
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from certlag.kube.reflector import WATCH_SECONDS
from certlag.model import ProbeFailure
from certlag.tls.handshake import TIMEOUT
from exporter.probe_schedule import SPREAD
from exporter.reconciler import PROBERS
from tests.api_proxy import ApiProxy, every_watch_expired_once
from tests.bench import network, waiting
from tests.benchmark import outside
from tests.benchmark.etcd import Delete, Put
from tests.benchmark.outside import MIB, Usage
from tests.exporter_process import ExporterProcess
from tests.field.record import case
from tests.figures import Figures
from tests.hostile_peers import answering, peers
from tests.metrics import Metrics
from tests.test_stories.test_outages import watch_closely
from tests.test_stories.watched_population import WatchedPopulation, watched_population
from tests.tls_servers import listening

pytestmark = pytest.mark.small_bench

SILENT, ENDED = 90.0, 600.0
"""Seconds: longer than a watch may be silent, and longer than any watch was asked for (`WATCH_SECONDS`)."""
CAUGHT_UP_WITHIN = 15.0
"""A connection that is cut, one 410, and the waits after both."""
GOES_ON_WITHIN = 90.0
"""Three waits of the watches' longest."""
MORE_SCRAPES = 50
MOST_OF_A_CORE = 0.3
"""Beside 30 probes a second and ten scrapes."""
MOST_LINES_A_SECOND = 10.0
LEAST_ERRORS = 4
"""Of each watch, before it is believed to go on in vain."""
MARGIN = 1.0
"""MiB that a burst does not fit into."""
BURST = 1500
FAT, LEFT = 1000 * 1000, 4
"""Bytes of an object, of which etcd takes 1.5 MiB; and MiB that are left, where a page of such needs sixteen."""
FAILED, OF_EACH, PODS = 300, 10, 3
"""Probes that are to fail, how many of them for each reason, and in how many pods."""
BLACK_HOLES, LOOKED_AT = 1000, 20.0
"""Pods that take a connection and say nothing, and for how many seconds the living are looked at beside them."""
OUTAGE = 10.0
ENDED_WITHIN = 15.0
NOWHERE = "255.255.255.255"
LAST_SUCCESS = "certlag_probe_last_success_timestamp_seconds"
MOST_AGE = (1 + SPREAD) + TIMEOUT + 2
"""Seconds: an interval, a prober that waits in vain, and what this machine does beside: a thousand pods are written."""
POOL = 4
"""Threads that the HTTP server may add to its pool meanwhile."""
ENDS_WITHIN = 2.0
FORGOTTEN_WITHIN = 15.0
"""`REQUEST_SECONDS`, after which the kernel gives up who takes nothing, and its own rhythm of asking."""
TIME_WAIT = "06"
OUT_OF_MEMORY = "certlag-exporter: out of memory\n"


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedPopulation]:
    """One for all tests of this module: each goes on from the truth as it stands."""
    with watched_population(tmp_path_factory.mktemp("population")) as made:
        yield made


# --- suspended ------------------------------------------------------------------------------------


@pytest.mark.fault("F22", "F5", "F2", "F12")
def test_suspended_until_all_its_watches_have_expired_it_catches_up(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    going = population.more(3)
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        with stopped(exporter):
            proxy.before = every_watch_expired_once()
            proxy.cut()
            population.renew(3)
            population.remove(going)
        caught_up = population.wait_true(exporter, CAUGHT_UP_WITHIN)
        exporter.wait("the lists to be counted", lambda seen: expired(seen) == {1.0}, 5)
    figures(f"resumed → all watches listed again, all true: {caught_up:.1f} s; {course.scrapes} scrapes, wrong: 0")


@pytest.mark.fault("F22", "F7", "F2")
@pytest.mark.proof
@pytest.mark.parametrize("seconds", [SILENT, ENDED])
def test_suspended_for_longer_than_a_watch_may_last_it_catches_up(
    population: WatchedPopulation, tmp_path: Path, seconds: float, figures: Figures
) -> None:
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        before = watches(proxy)
        with stopped(exporter):
            population.renew(3)
            time.sleep(seconds)
            assert watches(proxy) == before, "it was not suspended"
        caught_up = population.wait_true(exporter, CAUGHT_UP_WITHIN)
        waiting.until("more scrapes", lambda: course.scrapes > MORE_SCRAPES, 30)
        again = watches(proxy) - before
        lists = sum(each.value for each in exporter.metrics().all("certlag_watch_relists_total"))
    if seconds > max(WATCH_SECONDS):
        assert set(again) == set(before), "a watch that had ended was not begun again"
    figures(
        f"suspended for {seconds:g} s → all true: {caught_up:.1f} s; watches begun again: {len(again)} of "
        f"{len(before)}, lists again: {lists - len(before):g}; {course.scrapes} scrapes, wrong: 0"
    )


def watches(proxy: ApiProxy) -> Counter[str]:
    """How often each path was watched."""
    return Counter(request.path for request in tuple(proxy.requests) if "watch" in request.query)


@contextmanager
def stopped(exporter: ExporterProcess) -> Iterator[None]:
    """SIGSTOP, and in the end SIGCONT."""
    pid = exporter.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{pid}/stat")
        waiting.until("the process to stand still", lambda: stat.read_text().rpartition(") ")[2][0] == "T", 5)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def expired(metrics: Metrics) -> set[float]:
    """How often each resource was listed again because its watch had expired."""
    return {each.value for each in metrics.all("certlag_watch_relists_total", reason="expired")}


# --- the store is gone ------------------------------------------------------------------------------


@pytest.mark.fault("N2")
def test_while_etcd_is_dead_every_verdict_stays_and_it_goes_on_by_itself(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    cluster = population.ground.cluster
    with population.exporter(tmp_path) as exporter, population.looked_at(exporter) as course:
        cluster.kill("etcd")
        try:
            for metrics in watch_closely(exporter, OUTAGE):
                assert [*population.truth.wrong(metrics)] == []
        finally:
            cluster.start("etcd")
        population.renew(3)
        went_on = population.wait_true(exporter, GOES_ON_WITHIN)
    figures(f"etcd dead for {OUTAGE:g} s: {course.scrapes} scrapes, wrong: 0; renewed after, all true: {went_on:.1f} s")


# --- no descriptor is left ------------------------------------------------------------------------


@pytest.mark.fault("N4")
def test_without_a_descriptor_every_verdict_stays_and_it_goes_on_once_there_are_some(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        waiting.until("a connection that is kept", lambda: course.scrapes > 1, 10)
        pid = exporter.process.pid
        with exporter.cluster.connect(exporter.host, exporter.port, GOES_ON_WITHIN) as client:
            with no_descriptors(pid):
                before, lines, began = outside.usage(pid).processor, len(exporter.log()), time.monotonic()
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                proxy.cut()
                waiting.until("every watch and probes to fail", lambda: is_in_trouble(course.last), 60)
                assert list(population.truth.wrong(course.last)) == []
                seconds = time.monotonic() - began
                of_a_core = (outside.usage(pid).processor - before) / seconds
                logged = (len(exporter.log()) - lines) / seconds
            population.renew(3)
            went_on = population.wait_true(exporter, GOES_ON_WITHIN)
            answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200")
    assert course.unanswered == 0
    assert of_a_core < MOST_OF_A_CORE
    assert logged < MOST_LINES_A_SECOND
    figures(
        f"{seconds:.1f} s without descriptors: {of_a_core:.1%} of a core, {logged:.1f} lines a second; "
        f"all true {went_on:.1f} s after; {course.scrapes} scrapes over a kept connection, wrong: 0"
    )


@contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """Let a process open no more than it has, and nothing again that it closes."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def is_in_trouble(metrics: Metrics) -> bool:
    """Every watch was asked for in vain a few times, and so were probes."""
    errors = [each.value for each in metrics.all("certlag_watch_errors_total", reason="unreachable")]
    probes = metrics.value("certlag_probe_failures_total", reason="unreachable")
    return min(errors) >= LEAST_ERRORS and bool(probes)


# --- no memory is left ----------------------------------------------------------------------------


@case(
    "W27",
    kind="Found by tests: an input that stopped a program",
    situation="No memory is left.",
    says="The exporter ends at once and says why. Before: it could live on and answer no scrape.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("N7")
def test_a_burst_that_does_not_fit_ends_the_process_at_once_and_it_says_why(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    ended = burst(population, tmp_path, MARGIN)
    assert ended is not None, "it fits"
    assert ended < ENDED_WITHIN
    figures(f"{BURST} certificates at once, {MARGIN:g} MiB left: ended after {ended:.1f} s")


@pytest.mark.fault("N7")
@pytest.mark.proof
@pytest.mark.parametrize("margin", [0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 16])
def test_a_burst_is_taken_whole_or_ends_the_process(
    population: WatchedPopulation, tmp_path: Path, margin: float, figures: Figures
) -> None:
    ended = burst(population, tmp_path, margin, may_crash=True)
    figures(f"{margin:g} MiB left: " + ("all true" if ended is None else f"ended after {ended:.1f} s"))


@pytest.mark.fault("N7")
def test_a_list_that_does_not_fit_ends_the_process_at_its_start_and_it_says_why(
    population: WatchedPopulation, tmp_path: Path
) -> None:
    with population.exporter(tmp_path) as exporter:
        limit = data(exporter.process.pid) + LEFT * MIB
    within = ("sh", "-c", f'ulimit -d {limit // 1024}; exec "$@"', "sh")
    population.annotate(FAT)
    try:
        with population.exporter(tmp_path, within=within, true=False) as exporter:
            assert_ended_loudly(exporter, exporter.process.wait(20))
    finally:
        population.annotate(0)
    with population.exporter(tmp_path, within=within):
        pass  # what it is to read fits again, and is true


def burst(population: WatchedPopulation, directory: Path, margin: float, *, may_crash: bool = False) -> float | None:
    """Leave an exporter so many MiB, and add certificates; return after how many seconds it ended.

    None if it shows all of them. Where next to nothing is left, it `may_crash` by a signal within a library's code.
    """
    with population.exporter(directory) as exporter, population.looked_at(exporter):
        pid = exporter.process.pid
        limit = data(pid) + int(margin * MIB)
        resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
        added, began = population.more(BURST), time.monotonic()
        try:
            waiting.until(
                "its end or the truth", lambda: exporter.process.poll() is not None or population.is_true(exporter), 30
            )
            took, ended = time.monotonic() - began, exporter.process.poll()
            if ended is not None and not (may_crash and ended < 0):
                assert_ended_loudly(exporter, ended)
        finally:
            population.remove(added)
        return None if ended is None else took


def assert_ended_loudly(exporter: ExporterProcess, code: int) -> None:
    """Not with 0, and with the reason as its last words."""
    assert code == 1
    assert exporter.log_file.read_text().endswith(OUT_OF_MEMORY)


def data(pid: int) -> int:
    """Bytes that count for RLIMIT_DATA; the threads' stacks are most of them."""
    found = re.search(r"VmData:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


# --- probes that fail -----------------------------------------------------------------------------


@pytest.mark.fault("F29", "F25")
def test_hundreds_of_probes_that_fail_in_every_way_cost_no_thread_and_no_descriptor(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    leaf = population.truth.population.issue(population.truth.members[0], 1)
    with ExitStack() as listeners, population.exporter(tmp_path) as exporter:
        ports = {why: listeners.enter_context(listening(handler)).port for why, handler in peers(leaf).items()}
        ports |= {ProbeFailure.CONNECTION_REFUSED: network.free_ports_in_a_row(1), ProbeFailure.UNREACHABLE: 443}
        assert ports.keys() == set(ProbeFailure)
        before = outside.usage(exporter.process.pid)
        places = [(port, NOWHERE if why is ProbeFailure.UNREACHABLE else None) for why, port in ports.items()]
        with hostile_pods(population, places * PODS):
            failed = failures(exporter.wait("probes to fail", lambda seen: enough(failures(seen)), 120))
        population.wait_true(exporter, 10)
        waiting.until("the last of them to end", lambda: as_few(exporter, before), 10)
        after = outside.usage(exporter.process.pid)
    assert after.threads >= before.threads, "a thread was lost"
    figures(
        f"{sum(failed.values()):g} failed probes, of {len(failed)} kinds at least {min(failed.values()):g}: threads "
        f"{before.threads} → {after.threads}, descriptors {before.descriptors} → {after.descriptors}"
    )


@pytest.mark.fault("F29")
@pytest.mark.serial
def test_beside_a_thousand_black_holes_the_living_are_asked_as_often_as_before(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    with listening(answering(b"")) as hole, population.exporter(tmp_path) as exporter:
        before = outside.usage(exporter.process.pid)
        living = {each.labels["pod"] for each in exporter.metrics().all(LAST_SUCCESS)}
        with hostile_pods(population, [(hole.port, None)] * BLACK_HOLES):
            exporter.wait("probers to wait in vain", lambda seen: failures(seen)[ProbeFailure.TIMEOUT] >= PROBERS)
            ages: list[float] = []
            for metrics in watch_closely(exporter, LOOKED_AT):
                now, successes = time.time(), [*metrics.all(LAST_SUCCESS)]
                assert {each.labels["pod"] for each in successes} == living
                ages.append(max(now - each.value for each in successes))
            failed = failures(exporter.metrics())[ProbeFailure.TIMEOUT]
        population.wait_true(exporter, 10)
        waiting.until("the last of them to end", lambda: as_few(exporter, before), 10)
    assert failed, "none was asked"
    assert max(ages) < MOST_AGE
    figures(
        f"{BLACK_HOLES} black holes, {failed:g} asked in vain: the last success of {len(living)} living pods, of which "
        f"each is asked every second, was never more than {max(ages):.1f} s ago"
    )


@contextmanager
def hostile_pods(population: WatchedPopulation, places: Sequence[tuple[int, str | None]]) -> Iterator[None]:
    """Have pods that answer at these ports, and addresses if others than a pod's; they mount what others present."""
    served = [member for member in population.truth.members if member.port]
    pods = []
    for number, (port, address) in enumerate(places):
        member = served[number % len(served)]
        pod = population.truth.population.pod(replace(member, port=port))
        pods.append(pod)
        pod["metadata"] |= {"name": f"{member.name}-{number}", "uid": f"{member.name}-{number}"}
        pod["status"]["containerStatuses"][0]["containerID"] += f"-{number}"
        if address:
            pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
    population.write([(Put(pod),) for pod in pods])
    try:
        yield
    finally:
        gone = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods]
        population.write([(Delete("Pod", *each),) for each in gone])


def failures(metrics: Metrics) -> Mapping[str, float]:
    """How many probes have failed, by reason."""
    return {each.labels["reason"]: each.value for each in metrics.all("certlag_probe_failures_total")}


def enough(failed: Mapping[str, float]) -> bool:
    """Tell whether that is hundreds, and each reason is among them again and again."""
    return sum(failed.values()) >= FAILED and min(failed.values()) >= OF_EACH


def as_few(exporter: ExporterProcess, before: Usage) -> bool:
    """Tell whether it has as many threads and descriptors as before, but for the HTTP server's pool."""
    now = outside.usage(exporter.process.pid)
    return now.threads <= before.threads + POOL and now.descriptors <= before.descriptors


# --- ended within a scrape ------------------------------------------------------------------------


@pytest.mark.fault("F35")
def test_asked_to_end_within_a_scrape_it_ends_in_time_and_drops_every_connection(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    added = population.more(BURST)
    try:
        with population.exporter(tmp_path) as exporter:
            size = len(exporter.get("/metrics")[2])
            with connected(exporter) as taking:
                taking.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
                taken = len(taking.recv(1000))
                with connected(exporter) as half, connected(exporter) as idle:
                    half.sendall(b"GET /metrics HT")
                    idle.sendall(b"HEAD /livez HTTP/1.1\r\nHost: here\r\n\r\n")
                    assert idle.recv(1000)
                    asked = time.monotonic()
                    exporter.process.send_signal(signal.SIGTERM)
                    code = exporter.process.wait(ENDS_WITHIN)
                    ended = time.monotonic() - asked
                    assert rest(half) == rest(idle) == 0
                waiting.until("the kernel to forget", lambda: sockets(exporter.port) == set(), FORGOTTEN_WITHIN)
                forgotten = time.monotonic() - asked
                taken += rest(taking)
    finally:
        population.remove(added)
    assert code == 0
    assert taken < size, "the whole page was taken: there was no scrape to end within"
    figures(
        f"SIGTERM within a scrape of {size / MIB:.1f} MiB → ended: {ended:.2f} s; the kernel has forgotten who did not "
        f"take it: {forgotten:.1f} s"
    )


def connected(exporter: ExporterProcess) -> socket.socket:
    """Connect with room for next to nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect((exporter.host, exporter.port))
    return client


def rest(client: socket.socket) -> int:
    """Read until the other side has gone; return how many bytes there were."""
    count = 0
    with suppress(ConnectionError):
        while received := client.recv(65536):
            count += len(received)
    return count


def sockets(port: int) -> set[str]:
    """States of the server's side of all connections to a port (proc(5): /proc/net/tcp), without TIME_WAIT."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[3] for line in lines if line[1].endswith(f":{port:04X}")} - {TIME_WAIT}
