"""The runbook on an embedded cluster: documents and a command line in; text, exit code and the API's writes out.

    with cluster(workloads.deployment("svc"), workloads.deployment("worker")) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran

The command is the real one, in this process, over HTTPS. Time passes only while it waits, and then at once. What the
documents describe has existed for seventy days: cert-manager renewed each Certificate ten days ago, so that whatever
was not restarted since serves the old one. A test goes on from there with `apply`, `report`, `wait` and `when`.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import ALWAYS, SCALED_OBJECTS, Resource
from rehearsal.api.server import Request
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Deletion
from rehearsal.clock import SteppedClock, ago
from rehearsal.cluster import EmbeddedCluster
from rehearsal.faults import Faults
from rehearsal.live.clock_server import ClockServer
from rehearsal.live.cluster import LiveCluster, background
from rehearsal.node.programs import BUILD_SERVICE, CRASHING, IDLE, STUBBORN, Program
from rehearsal.objects import Document, labels_of, name_of
from rehearsal.remote_clock import RemoteClock
from runbook.cli import main
from runbook.session.session import Time
from tests import output_lines

NAMESPACE = "shop"
CONFIGURATION = """
targets:
  - name: svc
    namespace: shop
    workload: deployment/svc
    certificate: svc
    port: 8443
    serverName: svc
    clientAuth: true
    workers: [deployment/worker]
"""
PROGRAMS: Mapping[str, Program] = {
    "server": BUILD_SERVICE,
    "worker": Program(ends_after=timedelta(minutes=1)),
    "idle": IDLE,
    "stubborn": STUBBORN,
    "crashing": CRASHING,
}
"""What containers run, by their image: a TLS server; what ends a minute after SIGTERM, at once, never; what crashes."""

PAST = timedelta(days=70)
RENEWED = timedelta(days=60)
AT_ONCE = 1e9
ISSUING = """
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca}
spec: {ca: {secretName: ca}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca}
spec: {secretName: ca, isCA: true, commonName: ca, duration: 87600h, issuerRef: {name: self-signed}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: svc}
spec: {secretName: svc, dnsNames: [svc], duration: 2160h, renewBefore: 720h, issuerRef: {name: ca}}
"""
_MANAGER = "kubectl"
_RESOURCES: Mapping[str, Resource] = {each.kind: each for each in (*ALWAYS, SCALED_OBJECTS)}


@dataclass(frozen=True)
class Write:
    """A request of the runbook that would change something, as it was sent; reviews of access are none."""

    method: str
    path: str
    body: Any
    dry_run: bool = False

    @property
    def resource(self) -> str:
        """The plural of what is written, as `deployments`."""
        steps = self.path.split("/namespaces/")[-1].split("/")
        return steps[1]


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote: to its reader, and to the API server (`dry_runs` apart)."""

    code: int
    stdout: str
    stderr: str
    writes: tuple[Write, ...]
    dry_runs: tuple[Write, ...]

    @property
    def text(self) -> str:
        """All that a person reads, each run of white space as one space: lines are folded to a width."""
        return " ".join((self.stdout + " " + self.stderr).split())

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--output json` writes."""
        return output_lines.read(self.stdout)

    def written(self, resource: str) -> list[Write]:
        """Those of the writes that are to a resource."""
        return [write for write in self.writes if write.resource == resource]

    def __str__(self) -> str:
        """All of it, for a failed assertion; of what is written the beginning."""
        writes = "\n".join(f"{write.method} {write.path} {json.dumps(write.body)[:160]}" for write in self.writes)
        return f"exit code {self.code}\n{self.stdout}\n{self.stderr}\n{writes}"


@dataclass
class Cluster:
    """One cluster and its operator. Everything is done in the cluster's thread, and settled when a method returns."""

    live: LiveCluster
    clock: SteppedClock
    folder: Path
    environment: dict[str, str]
    _requests: list[Write] = field(default_factory=list)
    _later: list[tuple[Callable[["Cluster"], bool], Callable[["Cluster"], object]]] = field(default_factory=list)
    _refuses: Callable[[Request], Refusal | None] = lambda _request: None

    # --- in -------------------------------------------------------------------------------------------------

    def apply(self, *documents: str) -> None:
        """Create what these YAML documents describe, or merge them into what is there, as `kubectl apply` does."""
        self._do(lambda cluster: _apply(cluster, *documents))

    def report(self, *documents: str) -> None:
        """Merge these documents' status into that of what is there, as the controller of it does.

        A controller that works writes its own again: see `faults.controllers_down`.
        """

        def write(cluster: EmbeddedCluster) -> None:
            for resource, document in _parsed(documents):
                patch = {"status": document["status"]}
                objects, key = cluster.api.objects, Key(NAMESPACE, name_of(document))
                objects.patch(resource, key, patch, MERGE_PATCH, "controller", subresource="status")

        self._do(write)

    def delete(self, kind: str, name: str, *, grace: int | None = None) -> None:
        """Delete an object; a pod with `grace` 0 by force."""
        resource = _RESOURCES[kind]
        key = Key(_namespace(resource), name)
        self._do(lambda cluster: cluster.api.objects.delete(resource, key, Deletion(grace=grace)))

    def fault(self, set_or_heal: Callable[[Faults], object]) -> None:
        """Set or heal a fault of the cluster."""
        self._do(lambda cluster: set_or_heal(cluster.faults))

    def refuse(self, refusal: Callable[[Request], Refusal | None]) -> None:
        """Have the API server refuse those requests for which this returns a refusal."""
        self._refuses = refusal

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._do(lambda cluster: cluster.advance(self.clock, timedelta(seconds=seconds)))

    def when(self, condition: Callable[["Cluster"], bool], does: Callable[["Cluster"], object]) -> None:
        """Do something once, while a command waits, as soon as something is so."""
        self._later.append((condition, does))

    # --- out ------------------------------------------------------------------------------------------------

    def run(self, words: str, *, configuration: str | None = CONFIGURATION) -> Ran:
        """Run a command of the runbook to its end; nobody is there to answer its questions.

        Without a configuration, $CERTLAG_CONFIG is empty.
        """
        file = self.folder / "certlag.yaml"
        file.write_text(configuration or "", encoding="utf-8")
        self._requests.clear()
        time = RemoteClock(self.folder / "time")
        try:
            ended = CliRunner(catch_exceptions=False).invoke(
                main.main,
                words.split(),
                env={**self.environment, "CERTLAG_CONFIG": "" if configuration is None else str(file)},
                prog_name="runbook",
                obj=Time(time, time),
            )
        finally:
            time.close()
        writes = tuple(write for write in self._requests if not write.dry_run)
        dry_runs = tuple(write for write in self._requests if write.dry_run)
        return Ran(ended.exit_code, ended.stdout, ended.stderr, writes, dry_runs)

    def get(self, kind: str, name: str) -> Document:
        """Return an object; an empty document if there is none."""
        found: Document = self._see(lambda cluster: cluster.api.storage.get(_RESOURCES[kind], Key(NAMESPACE, name)))
        return found or {}

    def pods(self, app: str) -> list[Document]:
        """Return the pods with this label `app`, those that are ending included, by name."""
        found = self._see(lambda cluster: tuple(cluster.api.storage.all(_RESOURCES["Pod"]).values()))
        return sorted((pod for pod in found if labels_of(pod).get("app") == app), key=name_of)

    # --- between --------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[EmbeddedCluster], Any]) -> Any:
        """Do something in the cluster's thread, or at once where this is that thread."""
        if not self.live.is_this_thread:
            return self.live.call(work)
        done = work(self.live.cluster)
        self.live.cluster.nudge()
        return done

    def _see(self, work: Callable[[EmbeddedCluster], Any]) -> Any:
        """Look at something in the cluster's thread."""
        return work(self.live.cluster) if self.live.is_this_thread else self.live.call(work)

    def see(self, request: Request) -> Refusal | None:
        """Be shown a request before it is answered."""
        if request.method != "GET" and not request.path.startswith(("/apis/authorization", "/apis/authentication")):
            self._requests.append(Write(request.method, request.path, request.body, request.dry_run))
        return self._refuses(request)

    def act(self) -> timedelta | None:
        """Do what is due of `when`; called whenever time is about to pass, in the cluster's thread."""
        for pending in [each for each in self._later if each[0](self)]:
            self._later.remove(pending)
            pending[1](self)
        return timedelta(seconds=1) if self._later else None


@contextmanager
def cluster(
    *documents: str, programs: Mapping[str, Program] | None = None, keda: bool = False, seed: int = 0
) -> Iterator[Cluster]:
    """Run a cluster in which these documents have been for seventy days; the Certificate `svc` is there without asking.

    Args:
        documents: YAML, of objects in the namespace `shop`.
        programs: what images run, beside `PROGRAMS`.
        keda: whether KEDA is installed.
        seed: of names and identifiers.
    """
    clock = ago(PAST)

    def prepare(embedded: EmbeddedCluster) -> None:
        embedded.create_namespace(NAMESPACE)
        _apply(embedded, ISSUING)
        embedded.step()
        _apply(embedded, *documents)
        embedded.advance(clock, PAST)

    options = {"programs": {**PROGRAMS, **(programs or {})}, "keda": keda, "seed": seed}
    with (
        tempfile.TemporaryDirectory(prefix="field-", dir="/tmp") as name,  # a socket's path is a short one
        background(prepare, clock=clock, time_passes=False, **options) as live,
    ):
        folder = Path(name)
        live.write_kubeconfig(folder / "kubeconfig", NAMESPACE)
        environment = {"KUBECONFIG": str(folder / "kubeconfig"), "KUBERNETES_SERVICE_HOST": "", "TMPDIR": name}
        made = Cluster(live, clock, folder, environment)
        live.cluster.api.fault = made.see
        lent = ClockServer(live.cluster, clock, speed=AT_ONCE)
        lent.on_step = made.act
        live.run(lent.start(folder / "time"))
        try:
            yield made
        finally:
            live.run(lent.close())


def _apply(cluster: EmbeddedCluster, *documents: str) -> None:
    for resource, document in _parsed(documents):
        key = Key(_namespace(resource), name_of(document))
        if cluster.api.storage.get(resource, key) is None:
            cluster.apply(resource, key.namespace, document)
        else:
            cluster.api.objects.patch(resource, key, document, MERGE_PATCH, _MANAGER)


def _namespace(resource: Resource) -> str:
    return NAMESPACE if resource.namespaced else ""


def _parsed(documents: tuple[str, ...]) -> Iterator[tuple[Resource, Document]]:
    for text in documents:
        for document in filter(None, yaml.safe_load_all(text)):
            yield _RESOURCES[document["kind"]], json.loads(json.dumps(document))
