"""Where a drill takes place: the story's cluster, and all that may be done to it, to the way there and to the command.

Used from the thread of the cluster's event loop. Touches the cluster, the kubeconfig, and the process of the command.
"""

import os
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certlag.run_record import record_name
from rehearsal import story
from rehearsal.api.patches import MERGE_PATCH
from rehearsal.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, Resource
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Deletion
from rehearsal.live.cluster import OPERATOR, LiveCluster
from rehearsal.objects import Document, is_ending, labels_of, name_of

WORKER = "opschain-api-worker"
SERVICE = "opschain-build-service"
TARGET = "build-service"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


@dataclass
class Scene:
    """One drill's place. `command` is the process that works at the moment, None between two."""

    live: LiveCluster
    kubeconfig: Path
    command: int | None = None

    # --- what is so ---------------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Tell whether the workers were asked to end."""
        return bool(self.deployment(WORKER)["spec"]["replicas"] == 0)

    @property
    def is_restarted(self) -> bool:
        """Tell whether the restart was asked for."""
        return RESTARTED_AT in (self.deployment(SERVICE)["spec"]["template"]["metadata"].get("annotations") or {})

    @property
    def record(self) -> Document | None:
        """The ConfigMap of the target's runs, None before the first."""
        return self.live.cluster.api.storage.get(CONFIG_MAPS, Key(story.NAMESPACE, record_name(TARGET)))

    @property
    def ready_workers(self) -> int:
        """How many workers are ready."""
        return int(self.deployment(WORKER)["status"].get("readyReplicas") or 0)

    def deployment(self, name: str) -> Document:
        """Return a Deployment."""
        return self.live.cluster.api.objects.get(DEPLOYMENTS, Key(story.NAMESPACE, name))

    def pods(self, app: str) -> list[Document]:
        """Return the pods of a workload, those that end included, in the order of their names."""
        pods = self.live.cluster.api.storage.all(PODS).values()
        return sorted((pod for pod in pods if labels_of(pod).get("app") == app), key=name_of)

    # --- what may be done ---------------------------------------------------------------------------------

    def apply(self, resource: Resource, document: Document) -> None:
        """Create an object."""
        self.live.cluster.apply(resource, _key(resource, "").namespace, document)

    def delete(self, resource: Resource, name: str, *, grace: int | None = None) -> None:
        """Delete an object that is there; a pod with `grace` 0 by force."""
        self.live.cluster.api.objects.delete(resource, _key(resource, name), Deletion(grace=grace))

    def patch(self, name: str, patch: Any, manager: str) -> None:
        """Change a Deployment, as somebody."""
        self.live.cluster.api.objects.patch(DEPLOYMENTS, Key(story.NAMESPACE, name), patch, MERGE_PATCH, manager)

    def signal_command(self, number: signal.Signals) -> None:
        """Send the command that works a signal."""
        if self.command is not None:
            with suppress(ProcessLookupError):
                os.kill(self.command, number)

    def lose_network(self) -> None:
        """Let nobody reach the API any more."""
        self.live.http.reachable = False
        self.live.http.drop_connections()

    def find_network(self) -> None:
        """Have the API be reached again."""
        self.live.http.reachable = True

    def let_token_expire(self) -> None:
        """Accept the token no longer that is in the kubeconfig."""
        self.live.cluster.api.access.users.clear()
        self.live.http.drop_connections()

    def renew_token(self) -> None:
        """Log in again: a new token stands in the kubeconfig."""
        self.live.token = secrets.token_urlsafe(24)
        self.live.cluster.api.access.users[self.live.token] = OPERATOR
        self.live.write_kubeconfig(self.kubeconfig, story.NAMESPACE)

    def remove_ending_pods(self, app: str) -> None:
        """Delete by force what does not end."""
        for pod in self.pods(app):
            if is_ending(pod):
                self.delete(PODS, name_of(pod), grace=0)


def _key(resource: Resource, name: str) -> Key:
    return Key(story.NAMESPACE if resource.namespaced else "", name)
