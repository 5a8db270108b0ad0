"""The benches as pytest fixtures: each is started once for a whole run, whatever the number of xdist workers.

Tests marked `tools`, `browser`, `small_bench` or `cluster` are left out where this machine lacks a part, with the
remedy; with `CERTLAG_REQUIRE=all` they fail instead. `CERTLAG_BENCH_SMALL` or `CERTLAG_BENCH_WHOLE` may name the folder
of a running supervisor, whose cluster is then used and left running.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench import launch, leftovers, needs, opschain, parts
from tests.bench.cluster import Cluster
from tests.bench.needs import Kind
from tests.bench.opschain import Opschain

MARKS = {"tools": Kind.TOOLS, "browser": Kind.BROWSER, "small_bench": Kind.SMALL, "cluster": Kind.WHOLE}
LEFT_OUT = "left out: "


@dataclass(frozen=True)
class Run:
    """One run of pytest: the process that controls it, which owns the clusters, and a name for their folders."""

    owner: int
    name: str


RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    """Know the run: an xdist worker is told by its controller."""
    told = getattr(config, "workerinput", {}).get("certlag_run")
    config.stash[RUN] = Run(*told) if told else Run(os.getpid(), f"{os.getpid()}-{secrets.token_hex(2)}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker which run it belongs to."""
    run = node.config.stash[RUN]
    node.workerinput["certlag_run"] = (run.owner, run.name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take minutes come first, so that others run beside them; those that run alone come last."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    items.sort(key=lambda item: item.get_closest_marker("serial") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out whose bench can't be had on this machine, or fail it where all are required."""
    for mark, kind in MARKS.items():
        if item.get_closest_marker(mark) is not None and (lacking := parts.missing(kind)):
            reason = f"{LEFT_OUT}{mark}: " + needs.explain(lacking)
            if os.environ.get("CERTLAG_REQUIRE") == "all":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out, why, and what to do about it."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if LEFT_OUT in reason:
            text = reason.partition(LEFT_OUT)[2]
            reasons[text] = reasons.get(text, 0) + 1
    if reasons:
        terminalreporter.section("left out, and what to do about it")
        for text, count in reasons.items():
            terminalreporter.line(f"{count} tests of {text}")


@pytest.fixture(scope="session")
def small_bench(pytestconfig: pytest.Config) -> Cluster:
    """A real API server, Kubernetes's controllers and cert-manager on loopback; no pods."""
    return _bench(pytestconfig.stash[RUN], Kind.SMALL)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    """The whole cluster, in which pods run."""
    return _bench(pytestconfig.stash[RUN], Kind.WHOLE)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace of the whole cluster; its deletion is asked for, not waited for."""
    yield from _namespace(cluster)


@pytest.fixture
def small_namespace(small_bench: Cluster) -> Iterator[str]:
    """A new namespace of the small bench."""
    yield from _namespace(small_bench)


@pytest.fixture(name="opschain")
def opschain_fixture(cluster: Cluster, namespace: str) -> Opschain:
    """A namespace with OpsChain's build service and three workers, all Ready."""
    return opschain.deploy(cluster, namespace)


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let `serial` tests have the run for themselves, whichever xdist worker runs them."""
    mine = tmp_path_factory.getbasetemp()
    of_all = mine.parent if hasattr(request.config, "workerinput") else mine
    alone = request.node.get_closest_marker("serial") is not None
    shared = request.getfixturevalue("cluster") if request.node.get_closest_marker("cluster") else None
    with _locked(of_all, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        yield
        if alone and shared is not None:
            # One that failed half-way must not take all later tests with it.
            shared.restore()


def _bench(run: Run, kind: Kind) -> Cluster:
    running = os.environ.get(f"CERTLAG_BENCH_{kind.upper()}")
    if running:
        return Cluster.load(Path(running))
    directory = leftovers.records() / f"{run.name}-{kind}"
    # One at a time: the first worker starts the cluster, the others find its state.
    with _locked(leftovers.records(), fcntl.LOCK_EX):
        if not directory.exists():
            launch.start(directory, owner=run.owner, kind=kind)
        try:
            return launch.ready(directory)
        except RuntimeError as error:
            pytest.fail(str(error))


def _namespace(bench: Cluster) -> Iterator[str]:
    made = bench.api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "test-"}})
    name = str(made["metadata"]["name"])
    # No pod is admitted before its service account is there.
    bench.wait(f"/api/v1/namespaces/{name}/serviceaccounts/default", lambda _seen: True)
    yield name
    # The namespace first, so that no new pods replace those that end. Their grace period may be an hour.
    bench.api("DELETE", f"/api/v1/namespaces/{name}")
    bench.api("DELETE", f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=1")


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock on a folder: it leaves no file behind, and the kernel gives it up for a killed process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
