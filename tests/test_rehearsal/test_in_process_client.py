"""The client within the process is as good as one over HTTP."""

import random
import threading

from certlag.kube.reflector import Change, Listed, Reflector
from certlag.kube.resources import PODS, Watch
from certlag.model import Pod
from rehearsal.api.resources import DEPLOYMENTS
from tests.test_rehearsal.places import MERGE_PATCH, NAMESPACE, SERVICE, WORKER, Place, place

DEPLOYMENT_PATH = "/apis/apps/v1/namespaces/default/deployments/worker"


class OneRound(threading.Event):
    """A stop signal for a reflector that is set after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    def wait(self, timeout: float | None = None) -> bool:
        return True


def reflected(at: Place, watch: Watch, looks: int) -> list[Change]:
    """What the exporter's own list-and-watch hands over."""
    changes: list[Change] = []
    stop = OneRound(looks)
    chance = random.Random(0)  # noqa: S311 - decides how long to wait
    Reflector(watch, at.client, changes.append, at.clock, stop, jitter=chance, log=lambda *_: None).run()
    return changes


def test_the_exporters_reflector_lists_and_watches_with_it() -> None:
    at = place()
    (listed,) = reflected(at, Watch(PODS, NAMESPACE), 1)
    assert isinstance(listed, Listed)
    assert len(listed.objects) == 4
    assert all(isinstance(pod, Pod) and len(pod.running) == 1 for pod in listed.objects)


def test_a_watch_says_what_has_happened_since_and_ends() -> None:
    at = place()
    version = at.client.get("/api/v1/namespaces/default/pods", {})["metadata"]["resourceVersion"]
    at.restart(SERVICE)
    at.pass_time(minutes=1)
    with at.client.stream("/api/v1/namespaces/default/pods", {"watch": "1", "resourceVersion": version}) as lines:
        kinds = {line.split(b'"')[3] for line in lines}
    assert kinds == {b"ADDED", b"MODIFIED", b"DELETED"}


def test_what_a_client_does_with_an_answer_changes_nothing_in_the_cluster() -> None:
    at = place()
    found = at.client.get(DEPLOYMENT_PATH, {})
    found["spec"]["replicas"] = 99
    patch = {"metadata": {"annotations": {"a": "b"}}}
    at.client.send("PATCH", DEPLOYMENT_PATH, body=patch, content_type=MERGE_PATCH)
    patch["metadata"]["annotations"]["a"] = "c"
    stored = at.get(DEPLOYMENTS, WORKER)
    assert (stored["spec"]["replicas"], stored["metadata"]["annotations"]["a"]) == (3, "b")
