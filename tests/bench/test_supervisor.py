"""A supervisor leaves nothing behind, however it or its owner ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import enclosure, launch, leftovers, waiting
from tests.bench.cluster import Cluster
from tests.bench.launch import ROOT
from tests.bench.needs import Kind

Begin = Callable[[Kind], tuple[Cluster, subprocess.Popen[bytes]]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Start a cluster of its own, with an owner that the test may kill."""
    owners: list[subprocess.Popen[bytes]] = []

    def start(kind: Kind) -> tuple[Cluster, subprocess.Popen[bytes]]:
        owner = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        owners.append(owner)
        directory = leftovers.records() / f"test-{owner.pid}-{kind}"
        launch.start(directory, owner=owner.pid, kind=kind)
        return launch.ready(directory), owner

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate()


def processes(cluster: Cluster) -> list[str]:
    """The processes that have the cluster's folder in their command line, or are in its network namespace."""
    network = cluster.netns.stat().st_ino if cluster.netns and cluster.netns.exists() else None
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = network is not None and (process / "ns" / "net").stat().st_ino == network
        except OSError:
            # It ended between the two looks.
            continue
        if inside or str(cluster.directory) in command:
            found.append(f"{process.name} {command}")
    return found


def remains(cluster: Cluster) -> list[str]:
    """Everything that is left of a cluster."""
    name = f"{enclosure.PREFIX}{cluster.supervisor}"
    paths = [
        cluster.directory,
        leftovers.records() / f"{name}.json",
        enclosure.NAMESPACES / name,
        *enclosure.CGROUPS.glob(f"*/{name}"),
        enclosure.CGROUPS / name,
    ]
    return [
        *(str(path) for path in paths if path.exists()),
        *leftovers.mounts_below(cluster.directory),
        *processes(cluster),
    ]


def run_a_pod(cluster: Cluster) -> None:
    """A pod that would run for ever, with a volume of its own."""
    pods = "/api/v1/namespaces/default/pods"
    cluster.wait("/api/v1/namespaces/default/serviceaccounts/default", lambda _seen: True)
    container = {"name": "pause", "image": "certlag.dev/bench/pause:v1", "imagePullPolicy": "Never"}
    cluster.api("POST", pods, {"metadata": {"name": "sleeper"}, "spec": {"containers": [container]}})
    cluster.wait_condition(f"{pods}/sleeper", "Ready")


@pytest.mark.small_bench
def test_nothing_remains_of_a_small_bench_whose_owner_is_killed(begin: Begin) -> None:
    cluster, owner = begin(Kind.SMALL)
    assert processes(cluster)
    owner.kill()
    owner.wait()
    waiting.until("nothing to remain", lambda: not remains(cluster), 20)


@pytest.mark.small_bench
def test_a_small_bench_dies_with_its_supervisor(begin: Begin) -> None:
    cluster, _ = begin(Kind.SMALL)
    os.kill(cluster.supervisor, signal.SIGKILL)
    waiting.until("its processes to end", lambda: not processes(cluster), 20)
    leftovers.reap()
    # Another supervisor that starts at this moment may be the one that does it.
    waiting.until("nothing to remain", lambda: not remains(cluster), 20)


@pytest.mark.cluster
@pytest.mark.serial
def test_nothing_remains_of_a_whole_cluster_whose_owner_is_killed(begin: Begin) -> None:
    cluster, owner = begin(Kind.WHOLE)
    run_a_pod(cluster)
    assert len(processes(cluster)) > 8
    owner.kill()
    owner.wait()
    waiting.until("nothing to remain", lambda: not remains(cluster), 30)


@pytest.mark.cluster
@pytest.mark.serial
def test_a_new_supervisor_removes_what_a_killed_one_left(begin: Begin) -> None:
    cluster, _ = begin(Kind.WHOLE)
    run_a_pod(cluster)
    for component in ("kubelet", "containerd"):
        os.kill(cluster.pid(component), signal.SIGKILL)
    os.kill(cluster.supervisor, signal.SIGKILL)
    # The kernel ends all its processes, pods too; its namespace, cgroups and folder stay.
    waiting.until("its processes to end", lambda: not processes(cluster), 20)
    assert cluster.netns is not None
    assert cluster.netns.exists()
    begin(Kind.SMALL)
    assert remains(cluster) == []


@pytest.mark.small_bench
def test_a_supervisor_without_an_owner_says_so_and_makes_nothing() -> None:
    directory = leftovers.records() / "ownerless"
    argv = ["--owner-pid", "999999999", "--directory", str(directory), "--kind", "small"]
    refused = subprocess.run(
        [sys.executable, "-m", "tests.bench.supervisor", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert refused.returncode == 2
    assert "no process 999999999" in refused.stderr
    assert not directory.exists()


@pytest.mark.small_bench
def test_a_supervisor_that_fails_says_why_and_its_logs_stay_until_they_are_reaped(tmp_path: Path) -> None:
    directory = leftovers.records() / f"test-{os.getpid()}-failing"
    argv = ["--owner-pid", str(os.getpid()), "--directory", str(directory), "--kind", "small"]
    subprocess.run(
        [sys.executable, "-m", "tests.bench.supervisor", *argv],
        check=True,
        cwd=ROOT,
        env=os.environ | {"CERTLAG_CACHE": str(tmp_path)},
    )
    waiting.until("it to fail", (directory / "failed").exists)
    reason = (directory / "failed").read_text()
    assert "no kubernetes" in reason
    assert "python -m tests.bench.parts build" in reason

    def reaped() -> bool:
        leftovers.reap()
        return not directory.exists()

    waiting.until("it to end, and be reaped", reaped)


@pytest.mark.small_bench
def test_the_record_of_a_living_supervisor_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "bench"
    folder.mkdir()
    record = leftovers.Record("certlag-999999999", folder)
    held = record.hold()
    assert record.name not in leftovers.reap()
    assert json.loads(record.path.read_text()) == {"directory": str(folder)}
    os.close(held)
    assert record.name in leftovers.reap()
    assert not folder.exists()
