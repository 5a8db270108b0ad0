"""The kubelet of every node: pods are started, watched, told to end, and gone.

Touches the API like any controller, and the network: a container that serves TLS loads its key pair from the mounted
Secret when it starts, once. As the real kubelet does, it writes a pod's terminal phase only when all containers have
ended, and lets the object go after that.
"""

import base64
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from rehearsal.api.resources import PODS, SECRETS
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Deletion, Verbs
from rehearsal.controllers.loop import earliest
from rehearsal.controllers.pods import warn
from rehearsal.faults import Faults, concerns
from rehearsal.node.containers import KILLED, Container, PodRun, pod_status
from rehearsal.node.network import KeyPair, Network
from rehearsal.node.programs import CRASHING, IDLE, Program, Programs
from rehearsal.objects import Document, is_ending, name_of, namespace_of, uid_of

KUBELET = "kubelet"
HOST_ADDRESS = "127.0.0.1"


class Kubelet:
    """Runs the pods of all nodes. `starting` is the time from a pod's binding to its containers' start."""

    watches = (PODS, SECRETS)

    def __init__(
        self,
        api: Verbs,
        network: Network,
        programs: Programs,
        faults: Faults,
        chance: random.Random,
        *,
        starting: timedelta,
    ) -> None:
        self._api = api
        self._network = network
        self._programs = programs
        self._faults = faults
        self._chance = chance
        self._starting = starting
        self._runs: dict[str, PodRun] = {}
        self._secrets: defaultdict[Key, list[tuple[datetime, Document]]] = defaultdict(list)
        self._dead: set[str] = set()

    def run(self, now: datetime) -> datetime | None:
        """Take every pod one step further; return when the next step is due by time."""
        self._see_secrets(now)
        pods = tuple(self._api.storage.all(PODS).values())
        self._bury({uid_of(pod) for pod in pods}, now)
        self._see_nodes(pods, now)
        alive = (pod for pod in pods if pod["spec"].get("nodeName") and pod["spec"]["nodeName"] not in self._dead)
        return earliest(*(self._sync(pod, now) for pod in alive))

    # --- pods -------------------------------------------------------------------------------------

    def _sync(self, pod: Document, now: datetime) -> datetime | None:
        if pod["status"].get("phase") in ("Succeeded", "Failed") and not is_ending(pod):
            return None
        run = self._runs.get(uid_of(pod))
        if run is None:
            if is_ending(pod):
                self._let_go(pod)
                return None
            run = self._admit(pod, now)
        if is_ending(pod):
            self._tell(pod, run, now)
        for container in run.containers:
            self._step(pod, run, container, now)
        key = Key(namespace_of(pod), name_of(pod))
        status = pod_status(pod, run, HOST_ADDRESS, now)
        self._api.update(PODS, key, {"status": status}, KUBELET, subresource="status")
        if status["phase"] in ("Succeeded", "Failed"):
            self._end_run(run)
            self._let_go(pod)
            return None
        return earliest(*(at for at in self._due(pod, run) if at > now))

    def _admit(self, pod: Document, now: datetime) -> PodRun:
        start_at = now + self._starting
        containers = tuple(
            Container(each["name"], each["image"], self._program(pod, each), start_at=start_at)
            for each in pod["spec"]["containers"]
        )
        run = PodRun(uid_of(pod), containers, now, address=self._network.assign())
        self._runs[run.uid] = run
        return run

    def _program(self, pod: Document, container: Document) -> Program:
        if concerns(self._faults.crashing, pod):
            return CRASHING
        return self._programs.get(container["image"], IDLE)

    def _tell(self, pod: Document, run: PodRun, now: datetime) -> None:
        """Send SIGTERM, once; a grace period that was shortened counts from then on."""
        grace = pod["metadata"]["deletionGracePeriodSeconds"]
        if run.asked_at is None:
            run.asked_at, run.grace = now, grace
        elif grace < run.grace:
            run.grace = grace + int((now - run.asked_at).total_seconds())

    def _let_go(self, pod: Document) -> None:
        self._api.delete(PODS, Key(namespace_of(pod), name_of(pod)), Deletion(grace=0))

    # --- containers -------------------------------------------------------------------------------

    def _step(self, pod: Document, run: PodRun, container: Container, now: datetime) -> None:
        """Start a container, see it end by itself, as it was told to, or be killed."""
        if run.asked_at is not None and container.started_at is None:
            container.end(now, container.exit_code if container.restarts else 0)
        elif container.start_at is not None and container.start_at <= now and container.started_at is None:
            self._start(pod, run, container, now)
        elif container.runs:
            self._look(pod, run, container, now)

    def _look(self, pod: Document, run: PodRun, container: Container, now: datetime) -> None:
        ends = _end(run, container)
        if ends is None or ends[0] > now or (run.asked_at is not None and concerns(self._faults.stuck, pod)):
            return
        at, code = ends
        self._close(run, container)
        container.end(at, code)
        if run.asked_at is None and pod["spec"]["restartPolicy"] == "Always":
            container.restart_later(now)
            container.waits_for = _backing_off(pod, container)

    def _start(self, pod: Document, run: PodRun, container: Container, now: datetime) -> None:
        spec = next(each for each in pod["spec"]["containers"] if each["name"] == container.name)
        mounted = self._mounts(pod, spec, now)
        if mounted is None:
            return
        if container.image in self._faults.unpullable:
            container.waits_for = _image_missing(container.image)
            return
        container.waits_for = None
        container.program = self._program(pod, spec).in_container(self._chance)
        container.started_at, container.start_at = now, None
        container.id = f"containerd://{self._chance.getrandbits(256):064x}"
        if container.program.serves_tls:
            try:
                self._listen(run, container, spec, mounted)
            except (OSError, ValueError):
                container.program = CRASHING  # as a daemon that can't bind, or finds no key pair, would end

    def _listen(self, run: PodRun, container: Container, spec: Document, mounted: list[Document]) -> None:
        secret = next((secret for secret in mounted if "tls.crt" in (secret.get("data") or {})), None)
        if secret is None:
            raise ValueError("no key pair is mounted")
        old = self._before(secret) if container.program.old_process else None
        for port in (port["containerPort"] for port in spec.get("ports") or ()):
            self._network.listen(run.address, port, _key_pair(secret), None if old is None else _key_pair(old))
            container.ports = (*container.ports, port)

    def _close(self, run: PodRun, container: Container) -> None:
        for port in container.ports:
            self._network.close(run.address, port)
        container.ports = ()

    def _due(self, pod: Document, run: PodRun) -> Iterator[datetime]:
        stuck = run.asked_at is not None and concerns(self._faults.stuck, pod)
        for container in run.containers:
            ends = None if stuck else _end(run, container)
            yield from (at for at in (container.start_at, container.ready_at) if at is not None)
            if container.runs and ends is not None:
                yield ends[0]

    # --- Secrets ----------------------------------------------------------------------------------

    def _see_secrets(self, now: datetime) -> None:
        """Remember what each Secret held since when: what is mounted may be older than what is stored."""
        for key, secret in self._api.storage.all(SECRETS).items():
            seen = self._secrets[key]
            if not seen or seen[-1][1] is not secret:
                seen.append((now, secret))
                del seen[:-8]

    def _mounts(self, pod: Document, container: Document, now: datetime) -> list[Document] | None:
        """Return the Secrets that a container finds mounted; None if one is missing."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        mounted = []
        for mount in container.get("volumeMounts") or ():
            for name in _secret_names(volumes.get(mount["name"], {})):
                key = Key(namespace_of(pod), name)
                if self._api.storage.get(SECRETS, key) is None:
                    why = f'MountVolume.SetUp failed for volume "{mount["name"]}" : secret "{name}" not found'
                    warn(self._api, pod, now, reason="FailedMount", message=why, source=KUBELET)
                    return None
                seen = self._secrets[key]
                old = [secret for at, secret in seen if at <= now - self._faults.secret_lag]
                mounted.append((old or [seen[0][1]])[-1])
        return mounted

    def _before(self, secret: Document) -> Document | None:
        """Return what a Secret held before, None if nothing else is known of it."""
        seen = [each for _, each in self._secrets[Key(namespace_of(secret), name_of(secret))]]
        at = seen.index(secret)
        return seen[at - 1] if at else None

    # --- nodes ------------------------------------------------------------------------------------

    def _see_nodes(self, pods: tuple[Document, ...], now: datetime) -> None:
        """Let everything on a node that died vanish, and start again on one that came back."""
        died, returned = self._faults.dead_nodes - self._dead, self._dead - self._faults.dead_nodes
        self._dead = set(self._faults.dead_nodes)
        for pod in pods:
            run = self._runs.get(uid_of(pod))
            if run is None:
                continue
            if pod["spec"].get("nodeName") in died:
                for container in run.containers:
                    self._close(run, container)
            elif pod["spec"].get("nodeName") in returned:
                for container in (each for each in run.containers if each.runs):
                    container.end(now, KILLED)
                    if not is_ending(pod):
                        container.restart_later(now)
                        container.start_at = now

    def _bury(self, present: set[str], _now: datetime) -> None:
        """Kill what runs of pods that are no longer there: somebody deleted them by force."""
        for uid in self._runs.keys() - present:
            self._end_run(self._runs[uid])

    def _end_run(self, run: PodRun) -> None:
        for container in run.containers:
            self._close(run, container)
        self._network.release(run.address)
        self._runs.pop(run.uid, None)


def _end(run: PodRun, container: Container) -> tuple[datetime, int] | None:
    """Return when and with what exit code a running container ends, as things stand; None if it does not."""
    if container.started_at is None:
        return None
    crash = container.program.crashes_at(container.started_at)
    ends: list[tuple[datetime, int]] = [(crash, 1)] if crash is not None else []
    if run.asked_at is not None and run.kill_at is not None:
        finished = container.program.ends_at(container.started_at, run.asked_at)
        ends.extend([(finished, 0)] if finished is not None else [])
        ends.append((run.kill_at, KILLED))
    return min(ends, default=None)


def _backing_off(pod: Document, container: Container) -> Document:
    whose = f"container={container.name} pod={name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
    seconds = int(container.backoff.total_seconds())
    length = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
    return {"reason": "CrashLoopBackOff", "message": f"back-off {length} restarting failed {whose}"}


def _image_missing(image: str) -> Document:
    why = f'failed to resolve reference "{image}": not found'
    return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": ErrImagePull: {why}'}


def _secret_names(volume: Document) -> Iterator[str]:
    """Yield the Secrets in a volume, projected ones included."""
    sources: list[Any] = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        secret = source.get("secret") or {}
        if name := secret.get("secretName") or secret.get("name"):
            yield str(name)


def _key_pair(secret: Document) -> KeyPair:
    data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
    return KeyPair(data["tls.crt"], data["tls.key"], data.get("ca.crt", b""))
