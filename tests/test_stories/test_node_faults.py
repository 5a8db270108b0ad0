"""Faults of the machine around it: a full disk, a resolver that never answers, container runtime and kubelet killed."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import exporter_process
from tests.api_proxy import ApiProxy, Pass, Reaction, Request, api_proxy
from tests.bench import accounts
from tests.exporter_process import ExporterProcess
from tests.field.record import case
from tests.figures import Figures
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.name_server import NameServer, asking, name_server
from tests.test_stories.test_outages import EXPECTED, TARGETS, one_fine_one_behind, told, watch_closely

pytestmark = pytest.mark.cluster

SERVER = "api.bench.test"
USAGE = 2
LONG, SHORT = 30, 1
"""Seconds that a lookup hangs."""
GOES_ON_WITHIN = 60.0
"""A hanging lookup, and the longest wait of a watch."""
DEAD = 10.0
"""Seconds that a program of the node is dead: no pod is called unready so soon."""
BOTH_BEHIND = dict.fromkeys(EXPECTED, EXPECTED["behind"])
BOTH_SETTLED = dict.fromkeys(EXPECTED, EXPECTED["fine"])
FULL_DISK = """
set -e
for folder in /tmp /var/tmp /usr/tmp "$PWD"; do
  if [ -d "$folder" ]; then mount --bind "$folder" "$folder"; mount -o remount,bind,ro "$folder"; fi
done
mount -t tmpfs -o size=4k tmpfs "$0"
head -c 8192 /dev/zero > "$0/filler" 2> /dev/null || true
TMPDIR="$0" HOME="$0" exec "$@"
"""
"""Wherever a program would put its files: read only, or full."""


# --- the disk is full -----------------------------------------------------------------------------


@pytest.mark.fault("N5")
def test_with_a_full_disk_exporter_and_check_work_as_ever(ground: Ground) -> None:
    one_fine_one_behind(ground)
    kubeconfig = accounts.administrators_kubeconfig(ground.cluster, ground.namespace, ground.folder)
    configuration = configured(ground)
    within = full_disk(ground.folder)
    with exporter_process.running(
        ground.cluster, kubeconfig, ground.folder, ["--config", str(configuration)], within=within
    ) as exporter:
        exporter.wait_ready()
        assert told(exporter.metrics()) == EXPECTED
    for target, code in (("fine", 0), ("behind", 1)):
        words = ("runbook", f"check-{target}", "--config", str(configuration), "--reach", "direct")
        ran = run(ground, [*within, *python(*words, "--kubeconfig", str(kubeconfig))])
        assert (ran.returncode, ran.stderr) == (code, ""), ran


@case(
    "W14",
    kind="Found by tests: wrong endings and answers of a run",
    situation="`runbook check --output json` writes onto a full disk.",
    says="The exit code of the answer. Before: a traceback and exit code 1.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("N5")
@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.matrix(1)
def test_an_answer_that_does_not_fit_onto_the_disk_keeps_its_exit_code(ground: Ground, output: str) -> None:
    one_fine_one_behind(ground)
    kubeconfig = accounts.administrators_kubeconfig(ground.cluster, ground.namespace, ground.folder)
    words = ("runbook", "check-behind", "--config", str(configured(ground)), "--reach", "direct", "--output", output)
    with Path("/dev/full").open("wb") as full:
        ran = run(ground, python(*words, "--kubeconfig", str(kubeconfig)), stdout=full)
    assert (ran.returncode, ran.stderr) == (1, ""), ran


@pytest.mark.fault("N5")
@pytest.mark.parametrize(("program", "words"), [("exporter", ()), ("runbook", ("check-build-service",))])
@pytest.mark.matrix(1)
def test_an_authority_in_the_kubeconfig_itself_takes_a_file_and_one_message_says_so(
    ground: Ground, program: str, words: Sequence[str]
) -> None:
    file = accounts.administrators_kubeconfig(ground.cluster, ground.namespace, ground.folder)
    document = json.loads(file.read_text())
    reached = document["clusters"][0]["cluster"]
    reached["certificate-authority-data"] = base64.b64encode(
        Path(reached.pop("certificate-authority")).read_bytes()
    ).decode()
    file.write_text(json.dumps(document))
    argv = python(program, *words, "--kubeconfig", str(file))
    ran = run(ground, [*full_disk(ground.folder), *argv])
    assert ran.returncode == USAGE, ran
    (message,) = ran.stderr.splitlines()
    assert "no way to a cluster" in message
    assert "No usable temporary directory" in message


def full_disk(folder: Path) -> tuple[str, ...]:
    """Return the command that becomes another one, which can write nothing."""
    full = folder / "full"
    full.mkdir()
    return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", FULL_DISK, str(full))


def python(*words: str) -> list[str]:
    """One of our programs as a command."""
    return [sys.executable, "-m", *words]


def run(ground: Ground, argv: Sequence[str], stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command in the cluster's network to its end."""
    return subprocess.run(
        ground.cluster.inside(argv),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=ground.cluster.environment,
        check=False,
    )


def configured(ground: Ground) -> Path:
    """Write the configuration of both targets."""
    file = ground.folder / "certlag.yaml"
    file.write_text(json.dumps({"targets": [a_target(name, namespace=ground.namespace) for name in EXPECTED]}))
    return file


# --- a resolver that never answers ----------------------------------------------------------------


@pytest.mark.fault("N1")
@pytest.mark.serial
def test_while_a_lookup_hangs_it_serves_and_it_ends_when_asked_to(ground: Ground, figures: Figures) -> None:
    with lookups(ground, LONG) as (names, _, exporter):
        assert names.asked.wait(20)
        assert [exporter.get(path)[0] for path in ("/metrics", "/livez", "/readyz", "/")] == [200, 200, 503, 200]
        assert {each.value for each in exporter.metrics().all("certlag_watch_synced")} == {0.0}
        exporter.process.terminate()
        began = time.monotonic()
        assert exporter.process.wait(2) == 0
        ended = time.monotonic() - began
    figures(f"SIGTERM while lookups hang → ended: {ended:.2f} s")


@pytest.mark.fault("N1")
def test_a_name_that_is_not_resolved_is_unreachable_verdicts_stay_and_it_goes_on_once_it_is(
    ground: Ground, figures: Figures
) -> None:
    one_fine_one_behind(ground)
    with lookups(ground, SHORT) as (names, proxy, exporter):
        exporter.wait("every watch to ask in vain", lambda seen: least_errors(seen) >= 2, 30)
        assert (told(exporter.metrics()), exporter.get("/livez")[0], exporter.get("/readyz")[0]) == ({}, 200, 503)
        names.answering.set()
        first = since(lambda: exporter.wait_ready(GOES_ON_WITHIN))
        assert told(exporter.metrics()) == EXPECTED

        names.answering.clear()
        proxy.cut()
        before = least_errors(exporter.metrics())
        ground.renew("fine")
        exporter.wait(
            "every watch to ask in vain again", lambda seen: stays(seen) and least_errors(seen) > before + 2, 60
        )
        names.answering.set()
        again = since(lambda: exporter.wait("the renewal", lambda seen: told(seen) == BOTH_BEHIND, GOES_ON_WITHIN))
    figures(f"name resolved → ready: {first:.1f} s; lost, and resolved again → renewal seen: {again:.1f} s")


@contextmanager
def lookups(ground: Ground, seconds: int) -> Iterator[tuple[NameServer, ApiProxy, ExporterProcess]]:
    """Run an exporter whose API server has a name, which is looked up for so long, and nobody answers yet."""
    with ExitStack() as stack:
        names = stack.enter_context(name_server(ground.cluster))
        with ground.cluster.entered():
            proxy = stack.enter_context(api_proxy(ground.cluster))

        def authenticate(request: Request) -> Reaction:
            """As `kubectl proxy` does: without TLS nobody sends a token to a name."""
            assert "authorization" not in request.headers
            request.headers["authorization"] = f"Bearer {ground.cluster.client.token}"
            return Pass()

        proxy.before = authenticate
        kubeconfig = proxy.kubeconfig(ground.folder, ground.cluster.client.token, ground.namespace)
        kubeconfig.write_text(kubeconfig.read_text().replace(proxy.url, f"http://{SERVER}:{proxy.port}"))
        options = ["--config", str(configured(ground))]
        within = asking(ground.folder, seconds)
        exporter = exporter_process.running(ground.cluster, kubeconfig, ground.folder, options, within=within)
        yield names, proxy, stack.enter_context(exporter)


def stays(metrics: Metrics) -> bool:
    """Fail at once if a verdict is another one than before."""
    assert told(metrics) == EXPECTED
    return True


def least_errors(metrics: Metrics) -> float:
    """How often the watch that asked least often did not reach the API server."""
    return min(each.value for each in metrics.all("certlag_watch_errors_total", reason="unreachable"))


def since(deed: Callable[[], object]) -> float:
    """Return how long something took."""
    began = time.monotonic()
    deed()
    return time.monotonic() - began


# --- the node's own programs ----------------------------------------------------------------------


@pytest.mark.fault("N8")
@pytest.mark.serial
@pytest.mark.parametrize("component", ["containerd", "kubelet"])
@pytest.mark.matrix(1)
def test_while_the_nodes_programs_are_dead_verdicts_stay_true_and_a_renewal_is_seen(
    ground: Ground, component: str, figures: Figures
) -> None:
    one_fine_one_behind(ground)
    with ground.watched(TARGETS, options=["--probe-interval", "1"]) as exporter:
        exporter.wait("both verdicts", lambda seen: told(seen) == EXPECTED)
        ground.cluster.kill(component)
        try:
            before = [told(metrics) for metrics in watch_closely(exporter, DEAD / 2)]
            ground.renew("fine")
            seen = since(lambda: exporter.wait("the renewal", lambda seen: told(seen) == BOTH_BEHIND, 5))
            after = [told(metrics) for metrics in watch_closely(exporter, DEAD / 2)]
        finally:
            ground.cluster.start(component)
        assert all(verdicts == EXPECTED for verdicts in before)
        assert all(verdicts == BOTH_BEHIND for verdicts in after)
        for name in EXPECTED:
            ground.cluster.kubectl("rollout", "restart", f"deployment/{name}", namespace=ground.namespace)
        settled = since(lambda: exporter.wait("both to settle", lambda seen: told(seen) == BOTH_SETTLED, 60))
    figures(
        f"{component} dead: {len(before) + len(after)} scrapes, wrong: 0; "
        f"renewal seen after {seen:.1f} s; alive again, restart asked for → settled: {settled:.1f} s"
    )
