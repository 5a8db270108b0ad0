"""Workers that are always in the middle of a job, and what must hold at every write and at the end of every run.

A job is a line in a file of the node when it begins and a line in another when it ends, so one that was cut off is
seen. A worker that is told to end finishes its job first, as a worker of OpsChain does.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from certlag.run_record import RECORD_KEY, RECORD_LABEL
from tests.api_proxy import ApiProxy, Reaction, Request, Rule, let_pass
from tests.bench import servers
from tests.bench.cluster import Object
from tests.runbook_process import Ran, Runbook, RunbookProcess
from tests.test_stories.drained_ground import TARGET, DrainedGround, drained_ground
from tests.test_stories.ground import Ground

BUILDER = "builder"
RUNNER = "runner"
REPLICAS = {BUILDER: 2, RUNNER: 1}
"""The workers: a Deployment and a StatefulSet."""
KINDS = {BUILDER: "Deployment", RUNNER: "StatefulSet"}
JOBS = "/jobs"
JOB = f"""
trap 'stopping=yes' TERM
while [ "$stopping" != yes ]; do
  number=$((number + 1))
  echo "$POD_NAME $number" >>{JOBS}/begun
  sleep 0.3
  echo "$POD_NAME $number" >>{JOBS}/ended
done
"""


@dataclass(frozen=True)
class WorkingGround:
    """A target whose renewed certificate is not loaded, and its workers, each in the middle of a job."""

    drained: DrainedGround
    jobs: Path

    @property
    def proxy(self) -> ApiProxy:
        """The way to the API server."""
        return self.drained.proxy

    @property
    def runbook(self) -> Runbook:
        """The operator."""
        return self.drained.runbook

    def renew(self) -> None:
        """Have a newer certificate issued than the one that is loaded."""
        self.drained.cluster.renew(self.drained.ground.namespace, TARGET)

    def revision(self) -> int:
        """How many pod templates the target has had."""
        annotations = self.drained.get(TARGET)["metadata"]["annotations"]
        return int(annotations["deployment.kubernetes.io/revision"])

    def start(self, verb: str, *options: str) -> RunbookProcess:
        """Start a command on the target."""
        return self.runbook.start(*self.words(verb, *options))

    def run(self, verb: str, *options: str, seconds: float = 120) -> Ran:
        """Run a command on the target."""
        return self.runbook.run(*self.words(verb, *options), seconds=seconds)

    def words(self, verb: str, *options: str) -> tuple[str, ...]:
        """The command's words: without a question, and without waiting for the kubelet's cache."""
        return (f"{verb}-{TARGET}", "--yes", *(("--no-settle",) * (verb != "abort")), *options)

    def go_on(self, *options: str, seconds: float = 120) -> Ran:
        """Do as is told after a run that broke off: resume it, or begin again if nothing was recorded yet."""
        ran = self.run("resume", *options, seconds=seconds)
        if ran.code == 3 and ran.ended["message"].endswith("no run is open"):
            return self.run("restart", *options, seconds=seconds)
        return ran

    def pods(self, name: str) -> list[Object]:
        """A workload's pods that have not ended, those that are ending among them."""
        return [pod for pod in self.drained.ground.pods(name) if pod["status"]["phase"] not in ("Succeeded", "Failed")]

    def assert_caught_up(self, *, restarts: int, since: int) -> None:
        """Every run comes to this end, however often it broke off.

        Args:
            restarts: how often the target may have been restarted.
            since: its revision of before.
        """
        self.assert_workers_back()
        assert self.revision() - since == restarts
        served = self.drained.ground.pods(TARGET)
        serving = [pod for pod in served if "deletionTimestamp" not in pod["metadata"]]
        assert len(serving) == 1
        secret = self.drained.cluster.api("GET", self.drained.ground.path("secrets", TARGET))
        issued = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
        for pod in serving:
            assert self.drained.cluster.presented(pod["status"]["podIP"], servers.PORT, TARGET) == issued

    def assert_workers_back(self) -> None:
        """Replicas are what they were, nothing of a run is left, and no job was cut off."""
        assert self.drained.open_run is None
        assert self.drained.marks() == {}
        assert {name: self.drained.replicas(name, KINDS[name]) for name in REPLICAS} == REPLICAS
        assert self.cut_off() == set()

    def cut_off(self) -> set[str]:
        """The jobs that began, did not end, and whose pod is no more."""
        # In this order: a job that begins or ends between two reads was not cut off.
        begun = (self.jobs / "begun").read_text().splitlines()
        ended = (self.jobs / "ended").read_text().splitlines()
        living = {pod["metadata"]["name"] for name in REPLICAS for pod in self.drained.ground.pods(name)}
        return {job for job in {*begun} - {*ended} if job.split()[0] not in living}

    # --- what must hold at every write ---------------------------------------------------------------

    def promised(self, then: Rule) -> Rule:
        """Look at each write before the API server gets it, then go on with another rule.

        Anyone who breaks a promise is stopped.
        """

        def rule(request: Request) -> Reaction:
            try:
                self._assert_promised(request)
            except AssertionError:
                for process in self.runbook.processes:
                    process.kill()
                raise
            return then(request)

        return rule

    def _assert_promised(self, request: Request) -> None:
        if request.is_write and "/apis/apps/" in request.path:
            spec = request.document.get("spec", {})
            if spec.get("replicas") == 0:
                self._assert_recorded()
            if "template" in spec:
                self._assert_drained()

    def _assert_recorded(self) -> None:
        """The replicas are in the cluster before the first write that would lose them."""
        selected = f"{self.drained.ground.path('configmaps')}?labelSelector={RECORD_LABEL}"
        maps = self.drained.cluster.api("GET", selected)["items"]
        (run,) = filter(None, (json.loads(each["data"][RECORD_KEY])["run"] for each in maps))
        recorded = {name.partition("/")[2]: replicas for name, replicas in run["workers"].items()}
        assert recorded == REPLICAS

    def _assert_drained(self) -> None:
        """No worker runs any more when the restart is asked for."""
        assert {name: self.pods(name) for name in REPLICAS} == {name: [] for name in REPLICAS}


# --- the ground -----------------------------------------------------------------------------------


def working(name: str, jobs: Path) -> Object:
    """A worker that does one job after the other."""
    made = servers.deployment(
        name, [servers.Server(("/bin/sh", "-c", JOB), (), ())], replicas=REPLICAS[name], kind=KINDS[name]
    )
    pod = made["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 3600
    pod["volumes"].append({"name": "jobs", "hostPath": {"path": str(jobs), "type": "DirectoryOrCreate"}})
    (container,) = pod["containers"]
    container["volumeMounts"].append({"name": "jobs", "mountPath": JOBS})
    container["env"] = [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    return made


@contextmanager
def working_ground(ground: Ground) -> Iterator[WorkingGround]:
    """Put a target and its workers into a namespace, and see to it that every write keeps what is promised."""
    jobs = ground.cluster.directory / "outcomes" / ground.namespace
    workloads = [servers.deployment(TARGET, [servers.go(TARGET)]), *(working(name, jobs) for name in REPLICAS)]
    with drained_ground(ground, workloads) as drained:
        made = WorkingGround(drained, jobs)
        drained.proxy.before = made.promised(let_pass)
        yield made
