"""A whole cluster in one object: the API, its controllers, cert-manager, nodes, and the faults that it may have.

Nothing in it runs by itself. `step` does all that is due now, `due_at` says when there will be more, and `advance`
takes a clock that stands still further, stopping wherever something is due. `rehearsal.live` does it in real time.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from certlag.clock import Clock
from rehearsal.api.access import Access
from rehearsal.api.resources import ALWAYS, NAMESPACES, NODES, SCALED_OBJECTS, Resource
from rehearsal.api.server import Api
from rehearsal.api.storage import Storage
from rehearsal.api.verbs import Verbs
from rehearsal.cert_manager.controller import CertificateController
from rehearsal.cert_manager.issuers import IssuerController
from rehearsal.cert_manager.requests import CertificateRequestController
from rehearsal.controllers.autoscalers import HorizontalPodAutoscalerController, ScaledObjectController
from rehearsal.controllers.daemon_sets import DaemonSetController
from rehearsal.controllers.deployments import DeploymentController
from rehearsal.controllers.garbage import EventExpiry, GarbageCollector
from rehearsal.controllers.gitops import GitOps
from rehearsal.controllers.jobs import JobController
from rehearsal.controllers.loop import Controller, Loop
from rehearsal.controllers.nodes import NodeLifecycle, Scheduler
from rehearsal.controllers.quotas import QuotaController
from rehearsal.controllers.replica_sets import ReplicaSetController
from rehearsal.controllers.stateful_sets import StatefulSetController
from rehearsal.faults import Faults
from rehearsal.node.kubelet import Kubelet
from rehearsal.node.network import Network, SimulatedNetwork
from rehearsal.node.programs import Programs
from rehearsal.objects import Document

ADMINISTRATOR = "admin"


class MovableClock(Clock, Protocol):
    """A clock that stands still until it is moved."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


class EmbeddedCluster:
    """A Kubernetes cluster without Kubernetes.

    Attributes:
        api: the API server; `api.handle` answers requests, `api.objects` are its verbs for anyone who is inside.
        faults: what is wrong at the moment.
        gitops: who puts workloads back to what was declared for them.
        network: where pods are reached.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        network: Network | None = None,
        programs: Programs | None = None,
        nodes: tuple[str, ...] = ("node-1", "node-2"),
        keda: bool = False,
        starting: timedelta = timedelta(milliseconds=300),
        seed: int = 0,
    ) -> None:
        """Make a cluster with nothing in it but its nodes and the namespace `default`.

        Args:
            clock: what time it is in it.
            network: where its pods are reached; by default without sockets.
            programs: what containers run, by image.
            nodes: the names of its nodes.
            keda: whether KEDA is installed.
            starting: from a pod's binding to its containers' start.
            seed: of everything that is by chance: UIDs, names, container IDs (keys and certificates are not).
        """
        chance = random.Random(seed)  # noqa: S311 - names of pods, not secrets
        order = random.Random(seed)  # noqa: S311 - which of cert-manager's writes is first
        resources: tuple[Resource, ...] = (*ALWAYS, *((SCALED_OBJECTS,) if keda else ()))
        self.clock = clock
        self.faults = Faults()
        self.network: Network = network or SimulatedNetwork()
        objects = Verbs(Storage(), clock, chance)
        self.api = Api(objects, resources, clock, Access())
        self.gitops = GitOps(objects)
        kubelet = Kubelet(objects, self.network, programs or {}, self.faults, chance, starting=starting)
        managed: tuple[Controller, ...] = (
            DeploymentController(objects),
            ReplicaSetController(objects),
            StatefulSetController(objects),
            DaemonSetController(objects),
            JobController(objects),
            QuotaController(objects),
            HorizontalPodAutoscalerController(objects),
            GarbageCollector(objects),
        )
        cert_manager = (
            CertificateController(objects, self.faults, order),
            CertificateRequestController(objects, self.faults),
            IssuerController(objects, self.faults),
        )
        self._loop = Loop(
            (
                *managed,
                *((ScaledObjectController(objects, self.faults),) if keda else ()),
                self.gitops,
                *cert_manager,
                EventExpiry(objects),
                Scheduler(objects, self.faults),
                kubelet,
                NodeLifecycle(objects, self.faults),
            ),
            objects.storage,
            clock,
            is_down=lambda controller: (
                (self.faults.controllers_down and controller in managed)
                or (self.faults.cert_manager_down and controller in cert_manager)
            ),
        )
        for node in nodes:
            self._make(NODES, {"metadata": {"name": node}, "spec": {}})
        self.create_namespace("default")

    @property
    def due_at(self) -> datetime | None:
        """When something will be due if nothing changes before."""
        return self._loop.due_at

    def step(self) -> None:
        """Do all that is due now."""
        self._loop.settle()

    def nudge(self) -> None:
        """Do all that is due now, after a fault was set or healed."""
        self._loop.nudge()
        self._loop.settle()

    def advance(self, clock: MovableClock, length: timedelta) -> None:
        """Let time pass on a clock that stands still (the cluster's own), and do on the way whatever falls due."""
        until = clock.now() + length
        self.step()
        while (due := self.due_at) is not None and due < until:
            clock.advance(max(0.0, (due - clock.now()).total_seconds()))
            self.step()
        clock.advance(max(0.0, (until - clock.now()).total_seconds()))
        self.step()

    def create_namespace(self, name: str) -> None:
        """Make a namespace."""
        self._make(NAMESPACES, {"metadata": {"name": name}, "spec": {}})

    def apply(self, resource: Resource, namespace: str, document: Mapping[str, Any]) -> Document:
        """Create an object, as an administrator does."""
        return self.api.objects.create(resource, namespace, document, ADMINISTRATOR)

    def _make(self, resource: Resource, document: Document) -> None:
        self.api.objects.create(resource, "", document, ADMINISTRATOR)
