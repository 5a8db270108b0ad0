"""What a story of the runbook stands on: a light target with workers to drain, and an operator outside the cluster.

The target is a TLS server that loads its certificate once. Both it and its workers look into a folder of the node, in
which a story puts a file to make them behave badly (`Fault`). Somebody else's deeds happen at a step of the run: after
the record says it, and before the runbook knows that it does.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from certlag.run_record import RECORD_KEY, Step
from tests.api_proxy import ApiProxy, Pass, Reaction, Request, Rule, api_proxy
from tests.bench import servers
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Cluster, Object
from tests.runbook_process import Ran, Runbook, RunbookProcess, operator
from tests.test_stories.ground import Ground, a_target

TARGET = "one"
WORKER = "worker"
OTHER = "other"
"""A Certificate that the target does not serve unless it is made to."""
BEFORE = "before"
"""A Secret with what was first issued for the target."""
FAULTS = "/faults"
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}

SERVE = """
[ -e {faults}/crash ] && exit 1
[ -e {faults}/mute ] && exec sleep 1000000
while [ -e {faults}/hang ]; do sleep 0.1; done
from=/tls/{target}
[ -e {faults}/serve-before ] && from=/tls/{before}
[ -e {faults}/serve-other ] && from=/tls/{other}
exec tlsserve {port}:any:$from
"""
WORK = """
trap 'while [ -e {faults}/busy ]; do sleep 0.1; done; exit 0' TERM
while true; do sleep 1000 & wait $!; done
"""


class Fault(StrEnum):
    """A file, and what its being there does."""

    BUSY = "busy"
    """A worker that is told to end goes on until it is gone."""
    CRASH = "crash"
    """The target ends as soon as it starts."""
    HANG = "hang"
    """The target does not serve until it is gone."""
    MUTE = "mute"
    """The target runs and never serves, also when it is gone."""
    SERVE_BEFORE = "serve-before"
    """The target starts with the certificate that was first issued."""
    SERVE_OTHER = "serve-other"
    """The target starts with a certificate that is not its own."""


@dataclass
class DrainedGround:
    """A namespace with a target and its workers, the way to the API server, and the operator who goes it."""

    ground: Ground
    proxy: ApiProxy
    runbook: Runbook
    faults: Path
    target: dict[str, Any]

    @property
    def cluster(self) -> Cluster:
        """The real cluster."""
        return self.ground.cluster

    # --- the operator -----------------------------------------------------------------------------

    def run(self, verb: str, *options: str, seconds: float = 120) -> Ran:
        """Run a command on the target without asking, and without waiting for the kubelet's cache."""
        return self.runbook.run(*self.words(verb, *options), seconds=seconds)

    def words(self, verb: str, *options: str) -> tuple[str, ...]:
        """The command's words."""
        settled = ("--no-settle",) if verb in ("restart", "resume") else ()
        asked = () if verb == "check" else ("--yes",)
        return (f"{verb}-{self.target['name']}", *asked, *settled, *options)

    def configure(self, **changes: Any) -> None:
        """Write the operator's configuration, with changes to its only target."""
        self.target |= changes
        file = self.ground.folder / "targets.yaml"
        file.write_text(json.dumps({"targets": [self.target]}))
        self.runbook.environment["CERTLAG_CONFIG"] = str(file)

    # --- what is so -------------------------------------------------------------------------------

    def get(self, name: str, kind: str = "Deployment") -> Object:
        """A workload as it is."""
        found: Object = self.cluster.api("GET", self.path(name, kind))
        return found

    def path(self, name: str, kind: str = "Deployment") -> str:
        """The API path of a workload."""
        return f"/apis/apps/v1/namespaces/{self.ground.namespace}/{PLURALS[kind]}/{name}"

    def replicas(self, name: str = WORKER, kind: str = "Deployment") -> int:
        """How many replicas of a worker are wanted now."""
        return int(self.get(name, kind)["spec"]["replicas"])

    @property
    def record(self) -> dict[str, Any]:
        """The document in the record's ConfigMap; with no run in it where there is none."""
        collection, name = self.ground.path("configmaps"), f"certlag-run-{self.target['name']}"
        listed = self.cluster.api("GET", f"{collection}?fieldSelector=metadata.name%3D{name}")["items"]
        return next((json.loads(each["data"][RECORD_KEY]) for each in listed), {"run": None, "finished": []})

    @property
    def revision(self) -> int:
        """The revision of the target's certificate."""
        return int(self.cluster.api("GET", self.ground.path("certificates", TARGET))["status"]["revision"])

    @property
    def open_run(self) -> dict[str, Any] | None:
        """The run that the record says is open."""
        found: dict[str, Any] | None = self.record["run"]
        return found

    def marks(self) -> dict[str, set[str]]:
        """The annotations of ours that stand on the target and the workers, by name of the workload."""
        found = {}
        for reference in (self.target["workload"], *self.target["workers"]):
            kind, _, name = reference.partition("/")
            path = f"/apis/apps/v1/namespaces/{self.ground.namespace}/{kind}s/{name}"
            annotations = self.cluster.api("GET", path)["metadata"].get("annotations") or {}
            found[name] = {key for key in annotations if key.startswith("certlag.dev/")}
        return {name: keys for name, keys in found.items() if keys}

    def assert_settled(self, **replicas: int) -> None:
        """The end that every run should come to: nothing stale, nothing open, no marks, and these replicas."""
        assert self.run("check").code == 0
        assert self.open_run is None
        assert self.marks() == {}
        assert {name: self.replicas(name) for name in replicas} == replicas

    # --- what happens -----------------------------------------------------------------------------

    def fault(self, fault: Fault) -> Path:
        """Have a fault from now on; the file that is returned ends it when it is unlinked."""
        file = self.faults / fault
        file.touch()
        return file

    def scale(self, replicas: int, name: str = WORKER) -> None:
        """Do as somebody with kubectl does."""
        self.kubectl("scale", f"deployment/{name}", f"--replicas={replicas}")

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl as somebody else."""
        return self.cluster.kubectl(*words, stdin=stdin, namespace=self.ground.namespace)

    def delete(self, name: str) -> None:
        """Delete a Deployment, and wait until it is gone; its pods are ended after it."""
        self.cluster.api("DELETE", self.path(name))
        self.cluster.wait_gone(self.path(name))

    def recreate(self, name: str) -> None:
        """Delete a Deployment and create it again, as it was applied at first."""
        applied = self.get(name)["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        self.delete(name)
        self.kubectl("create", "--filename=-", stdin=applied)

    def patch(self, name: str, change: Object, kind: str = "Deployment") -> Object:
        """Change a workload."""
        changed: Object = self.cluster.api("PATCH", self.path(name, kind), change, MERGE_PATCH)
        return changed

    def once_at(self, step: Step, act: Callable[[], object]) -> None:
        """Have somebody act as soon as the record says this step, before the runbook hears that it was written."""
        self.proxy.after = once(lambda request: step_written(request) == step, act)


def killed_at(drained: DrainedGround, step: Step, *options: str) -> None:
    """Begin a run, and kill it when its record says this step."""
    running: Future[RunbookProcess] = Future()
    drained.once_at(step, lambda: running.result().kill())
    running.set_result(drained.runbook.start(*drained.words("restart", *options)))
    assert running.result().wait().code == -signal.SIGKILL


def once(matches: Callable[[Request], bool], act: Callable[[], object]) -> Rule:
    """Act at the first request that matches, and let all pass."""
    done = False

    def rule(request: Request) -> Reaction:
        nonlocal done
        if not done and matches(request):
            done = True
            act()
        return Pass()

    return rule


def step_written(request: Request) -> Step | None:
    """The step that a request writes into a record, None if it writes none."""
    if not request.is_write or "/configmaps" not in request.path:
        return None
    run = json.loads(request.document["data"][RECORD_KEY])["run"]
    return None if run is None else Step(run["step"])


# --- the ground -----------------------------------------------------------------------------------


def serving(kind: str = "Deployment", *, replicas: int = 1, secrets: Iterable[str] = (TARGET, BEFORE, OTHER)) -> Object:
    """The target: loads its certificate once."""
    script = SERVE.format(faults=FAULTS, target=TARGET, before=BEFORE, other=OTHER, port=servers.PORT)
    server = servers.Server(("/bin/sh", "-c", script), tuple(secrets))
    return with_faults(servers.deployment(TARGET, [server], replicas=replicas, kind=kind))


def working(name: str = WORKER, kind: str = "Deployment", *, replicas: int = 2, grace: int = 3600) -> Object:
    """A worker: finishes at once when it is told to end, unless it is busy."""
    server = servers.Server(("/bin/sh", "-c", WORK.format(faults=FAULTS)), (), ())
    made = with_faults(servers.deployment(name, [server], replicas=replicas, kind=kind))
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    return made


def with_faults(workload: Object) -> Object:
    """Mount the folder of faults; its path on the node is filled in by `drained_ground`."""
    spec = workload["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "faults", "hostPath": {"path": FAULTS, "type": "DirectoryOrCreate"}})
    for container in spec["containers"]:
        container["volumeMounts"].append({"name": "faults", "mountPath": FAULTS})
    return workload


@contextmanager
def drained_ground(
    ground: Ground,
    workloads: Iterable[Object] | None = None,
    *,
    renewed: bool = True,
    certificate: Object | None = None,
    when_issued: Callable[[], object] = lambda: None,
    **target: Any,
) -> Iterator[DrainedGround]:
    """Put a target and its workers into a namespace, by default with a renewal that is not loaded yet.

    Args:
        ground: the namespace.
        workloads: the target first, then the workers; by default one Deployment each.
        renewed: whether a newer certificate than the one that is loaded is issued at the end.
        certificate: the target's Certificate, if it is not one of 90 days.
        when_issued: done when it was issued first, before anything uses it.
        target: changes to the target's configuration.
    """
    deployed = [serving(), working()] if workloads is None else list(workloads)
    faults = ground.cluster.directory / "faults" / ground.namespace
    faults.mkdir(parents=True)
    served, *workers = (f"{each['kind'].lower()}/{each['metadata']['name']}" for each in deployed)
    configured = a_target(TARGET, workload=served, workers=workers, namespace=ground.namespace) | target
    try:
        ground.apply(certificate or servers.certificate(TARGET), servers.certificate(OTHER))
        ground.wait_issued(TARGET, OTHER)
        when_issued()
        _deploy(ground, deployed, faults)
        if renewed:
            ground.renew(TARGET)
        with api_proxy(ground.cluster) as proxy:
            kubeconfig = proxy.kubeconfig(ground.folder, ground.cluster.client.token, ground.namespace)
            with operator(kubeconfig, ground.folder / "operator") as runbook:
                made = DrainedGround(ground, proxy, runbook, faults, configured)
                made.configure()
                yield made
    finally:
        # Busy workers end with their namespace.
        shutil.rmtree(faults)


def _deploy(ground: Ground, workloads: list[Object], faults: Path) -> None:
    issued = ground.cluster.api("GET", ground.path("secrets", TARGET))
    copy = {"metadata": {"name": BEFORE}, "type": issued["type"], "data": issued["data"]}
    ground.cluster.api("POST", ground.path("secrets"), copy)
    ground.apply(*json.loads(json.dumps(workloads).replace(f'"path": "{FAULTS}"', f'"path": "{faults}"')))
    for each in workloads:
        path = f"/apis/apps/v1/namespaces/{ground.namespace}/{PLURALS[each['kind']]}/{each['metadata']['name']}"
        ground.cluster.wait(path, _is_ready, 90)


def _is_ready(seen: Object) -> bool:
    """Tell whether all pods that a workload wants are Ready, whatever its kind calls them."""
    status = seen.get("status", {})
    wanted = seen["spec"].get("replicas", status.get("desiredNumberScheduled"))
    ready = status.get("readyReplicas", status.get("numberReady", 0))
    return bool(status.get("observedGeneration") == seen["metadata"]["generation"] and ready == wanted)
