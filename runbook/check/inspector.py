"""One look at a target: what was issued, what each pod presents, what that amounts to. Reads, and probes pods.

The facts go into the exporter's own `World` and through its own `assess`, so that the runbook and the gauges cannot
disagree. Each look lists again, and once more after the probes: a pod that was replaced meanwhile is not assessed by
what its predecessor presented. The target itself is read too: its pod template names its Secrets where no pod runs. The
`World` is kept from look to look: it remembers what was issued, as the exporter does.

Several processes may answer behind one port. So a container that presents the issued certificate is connected to until
`CONFIRMATIONS` connections in a row have shown it; the exporter, which probes again and again, gets there by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import repeat
from typing import Any

from certlag.assess import assess
from certlag.assessment import CONFIRMATIONS, Verdict
from certlag.clock import Clock
from certlag.config.schema import Configuration
from certlag.endpoints import wanted
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube import decode
from certlag.kube.client import ClusterClient
from certlag.kube.decode import UndecodableError
from certlag.kube.paging import MAX_PAGE, Limit
from certlag.kube.reflector import Changed, Listed, Removed
from certlag.kube.resources import WORKLOADS, Watch, watches
from certlag.model import Discovery, Endpoint, ObjectKey, Probe, Target
from certlag.store.world import World
from certlag.target_assessment import TargetAssessment
from runbook.check.status import TargetStatus, target_status
from runbook.concurrent_calls import map_concurrently

PROBERS = 8
ROUNDS = 3
"""Times that connections are made in which the issued certificate was not shown often enough: single ones may fail."""
TIMEOUT = 10.0
"""Seconds for one request."""
PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of a page of a list, unless it is of one object: as JSON is held, they are up to twenty times as many."""


class CertificateInspector:
    """Looks at one target, again and again."""

    def __init__(self, target: Target, client: ClusterClient, clock: Clock, ask: Callable[[Endpoint], Probe]) -> None:
        """Be ready to look; `ask` shakes hands with one endpoint, and is called from several threads."""
        self._target = target
        self._client = client
        self._clock = clock
        self._ask = ask
        configuration = Configuration((target,), Discovery())
        self._world = World(configuration)
        self._watches = watches(configuration)
        workload = target.workload
        self._of_target = [Watch(WORKLOADS[workload.type], workload.namespace, workload.name)]

    def inspect(self, *, probe: bool = True) -> TargetStatus:
        """Read, probe and assess.

        Args:
            probe: False to see only what is issued.

        Raises:
            ClusterError: the API server did not give what is needed.
        """
        self._read()
        if probe:
            self._probe({place for subject in self._world.snapshot().values() for place in wanted(subject)})
            for _ in range(ROUNDS):
                self._probe(self._unconfirmed())
            self._read()
        return self._status()

    def run(self) -> TargetAssessment:
        """Return what is known of the target apart from its certificates, its open run among it; after a look.

        Raises:
            ClusterError: the API server did not give what is needed.
        """
        for watch in self._watches:
            if watch.name is not None and watch not in self._of_target:
                self._read_one(watch, watch.name)
        return self._world.target(self._target)

    def _read(self) -> None:
        for watch in self._watches:
            if watch.name is None:
                readable, unreadable = [], set()
                for item in list_all(self._client, watch.path, accept=watch.resource.accept_list):
                    found = _decoded(watch, item)
                    if found is not None:
                        readable.append(found)
                    else:
                        with suppress(UndecodableError):  # without a key there is nothing to keep
                            unreadable.add(decode.key(item))
                self._world.apply(Listed(watch, tuple(readable), frozenset(unreadable)), self._clock.now())
        for watch in self._of_target:
            self._read_one(watch, self._target.workload.name)

    def _read_one(self, watch: Watch, name: str) -> None:
        document = get(self._client, f"{watch.path}/{name}")
        found = None if document is None else _decoded(watch, document)
        change = Removed(watch, ObjectKey(watch.namespace, name)) if found is None else Changed(watch, found)
        self._world.apply(change, self._clock.now())

    def _status(self) -> TargetStatus:
        now = self._clock.now()
        return target_status(self._target, assess(self._world.snapshot(), now), now)

    def _unconfirmed(self) -> Iterator[Endpoint]:
        """Yield each endpoint that presents what was issued, as often as is missing until that is believed."""
        missing: dict[Endpoint, int] = {}
        for _, use in self._status().uses:
            for pod in use.pods:
                for assessed in pod.endpoints:
                    if assessed.verdict is Verdict.CURRENT and (seen := assessed.observed.observation) is not None:
                        missing[assessed.observed.endpoint] = CONFIRMATIONS - seen.streak
        for endpoint, count in missing.items():
            yield from repeat(endpoint, count)

    def _probe(self, endpoints: Iterable[Endpoint]) -> None:
        """Shake hands, several at once: with one endpoint as often as it is named."""
        for finished in map_concurrently(self._ask, endpoints, threads=PROBERS):
            self._world.observe(finished)


def get(client: ClusterClient, path: str) -> Any:
    """Return one object as the API server holds it now, None if there is none.

    Raises:
        ClusterError: it could not be read.
    """
    try:
        return client.get(path, {}, timeout=TIMEOUT)
    except ClusterError as error:
        if error.reason is ClusterErrorReason.NOT_FOUND:
            return None
        raise


def list_all(
    client: ClusterClient, path: str, *, parameters: Mapping[str, str] | None = None, accept: str = "application/json"
) -> Iterator[Mapping[str, Any]]:
    """Yield a whole collection, page by page, as the API server holds it now (no resourceVersion: consistent).

    Of each object keep what is needed, and not the object: others may have made it as fat as etcd takes.

    Raises:
        ClusterError: a page could not be had; what was yielded before is then of no use.
    """
    limit, query = Limit(), dict(parameters or {})

    def ask(objects: str) -> Any:
        most = MAX_PAGE if objects == "1" else PAGE_BYTES
        return client.get(path, {"limit": objects, **query}, accept=accept, timeout=TIMEOUT, most=most)

    while True:
        page = limit.ask(ask)
        yield from page.get("items") or ()
        following = (page.get("metadata") or {}).get("continue")
        if not following:
            return
        query["continue"] = following
        del page  # before the next one is there


def _decoded(watch: Watch, document: Mapping[str, Any]) -> Any:
    try:
        return watch.resource.decode(document)
    except UndecodableError:
        return None
