"""A real API server that holds a population, and the TLS servers of its pods: what the exporter is measured against."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.bench import accounts, launch, network, parts, waiting
from tests.bench.cluster import Cluster
from tests.bench.needs import Kind
from tests.benchmark.etcd import Delete, Prepared, Put, Step, Store, prepared
from tests.benchmark.population import ADDRESS, Document, Member, Population

SERVERS_OF_ONE_PROCESS = 500
HOURS = 4
"""For which the account's token is good: longer than anything is measured."""
CONFIGURATION = 'targets: []\ndiscovery: {namespaces: ["*"], probe: declared-ports}\n'
"""The exporter's: it finds all that is populated."""
READ_ALL = [
    {"apiGroups": ["cert-manager.io"], "resources": ["certificates", "certificaterequests"]},
    {"apiGroups": [""], "resources": ["pods"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"]},
]


@dataclass(frozen=True)
class Ground:
    """The API server and what is in it. `renewal` renews every certificate."""

    cluster: Cluster
    store: Store
    population: Population
    kubeconfig: Path
    directory: Path
    renewal: tuple[Prepared, ...]


@contextmanager
def control_plane() -> Iterator[Cluster]:
    """Run etcd and an API server; the controllers, which would tidy up what they did not make, do not run."""
    with tempfile.TemporaryDirectory(prefix="certlag-bench-") as scratch:
        directory = Path(scratch) / "cluster"
        launch.start(directory, owner=os.getpid(), kind=Kind.SMALL)
        cluster = launch.ready(directory)
        try:
            for controller in ("cert-manager", "kube-controller-manager"):
                cluster.kill(controller)
            yield cluster
        finally:
            os.kill(cluster.supervisor, signal.SIGTERM)
            # The last thing that it does is to remove its folder.
            waiting.until("the control plane to end", lambda: not directory.exists(), 30)


@contextmanager
def populated(cluster: Cluster, population: Population, directory: Path) -> Iterator[Ground]:
    """Put a population into the API server, serve what its pods serve, and give an account that may read it.

    It is served on ports that are free: another one may be beside it, whose certificates would be taken for these.
    """
    population = replace(population, first_port=network.free_ports_in_a_row(population.served))
    state = json.loads((cluster.directory / "state.json").read_text())
    store = Store(int(state["etcd_port"]))
    members = list(population.members())
    for name in population.authorities:
        cluster.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    with _served(population, members, directory) as first:
        store.fill(_first_revision(population, members, first))
        renewal = tuple(prepared(renewal_of(population, member)) for member in members)
        kubeconfig = accounts.kubeconfig(cluster, "default", _account(cluster), directory / "kubeconfig")
        _await_objects(cluster, population)
        yield Ground(cluster, store, population, kubeconfig, directory, renewal)


def _first_revision(population: Population, members: list[Member], documents: dict[int, Document]) -> Iterator[Put]:
    for member in members:
        request = documents.get(member.number) or population.request(member, 1, population.issue(member, 1))
        objects = [population.certificate(member, 1), request]
        if member.port is not None:
            objects += [population.replica_set(member), population.pod(member)]
        yield from map(Put, objects)


def renewal_of(population: Population, member: Member) -> Step:
    """Return what cert-manager does at a renewal: the new request, the old one deleted, the new revision."""
    issued = population.issue(member, 2)
    return (
        Put(population.request(member, 2, issued)),
        Delete("CertificateRequest", member.namespace, f"{member.name}-1"),
        Put(population.certificate(member, 2)),
    )


@contextmanager
def _served(population: Population, members: list[Member], directory: Path) -> Iterator[dict[int, Document]]:
    """Serve what is served; yields the CertificateRequests in which those certificates were issued."""
    requests: dict[int, Document] = {}
    arguments: list[str] = []
    for member in members:
        if member.port is None:
            continue
        issued = population.issue(member, 1)
        folder = directory / "served" / str(member.number)
        folder.mkdir(parents=True)
        issued.write(folder)
        (folder / "ca.crt").write_bytes(population.authorities[member.namespace].pem)
        arguments.append(f"{member.port}:any:{folder}")
        requests[member.number] = population.request(member, 1, issued)
    processes = [
        subprocess.Popen(
            [str(parts.binary("tlsserve")), *arguments[start : start + SERVERS_OF_ONE_PROCESS]],
            stderr=subprocess.DEVNULL,
        )
        for start in range(0, len(arguments), SERVERS_OF_ONE_PROCESS)
    ]
    try:
        for member in members[: population.served]:
            if member.port is not None:
                waiting.until(
                    f"port {member.port}", partial(network.connect, None, ADDRESS, member.port, 1), 60
                ).close()
        ended = [process.returncode for process in processes if process.poll() is not None]
        assert not ended, f"servers ended with {ended}: somebody else answers on their ports"
        yield requests
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _account(cluster: Cluster) -> str:
    """Make an account that may read everything that discovery reads, and return its token."""
    verbs = {"verbs": ["get", "list", "watch"]}
    role = {"metadata": {"name": "bench"}, "rules": [rule | verbs for rule in READ_ALL]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": "bench", "namespace": "default"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench"}
    binding = {"metadata": {"name": "bench"}, "roleRef": reference, "subjects": [subject]}
    cluster.api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bench"}})
    cluster.api("POST", f"{rbac}/clusterroles", role)
    cluster.api("POST", f"{rbac}/clusterrolebindings", binding)
    return cluster.token("default", "bench", hours=HOURS)


def _await_objects(cluster: Cluster, population: Population) -> None:
    """Wait until the API server's own cache has all of it: the exporter is not to be measured by that."""

    def all_there(path: str, wanted: int) -> bool:
        page = cluster.api("GET", f"{path}?limit=1&resourceVersion=0")
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0)) >= wanted

    for path, wanted in (
        ("/apis/cert-manager.io/v1/certificaterequests", population.certificates),
        ("/apis/cert-manager.io/v1/certificates", population.certificates),
        ("/api/v1/pods", population.served),
    ):
        waiting.until(f"{wanted} of {path}", partial(all_there, path, wanted), 300)
