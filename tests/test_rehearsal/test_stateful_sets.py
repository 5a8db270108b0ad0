"""StatefulSets, where what a real cluster does is known and no contract test goes: names that are still taken."""

from rehearsal.api.resources import PODS, STATEFUL_SETS
from rehearsal.api.storage import Key
from rehearsal.objects import Document, controller_uid, uid_of
from tests.test_rehearsal.places import NAMESPACE, WORKER, Place, place

NAME = "set"


def create(at: Place) -> None:
    container = {"name": WORKER, "image": WORKER}
    pod: Document = {"terminationGracePeriodSeconds": 3600, "containers": [container]}
    labels = {"app": NAME}
    spec = {
        "replicas": 1,
        "serviceName": NAME,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    at.cluster.apply(STATEFUL_SETS, NAMESPACE, {"metadata": {"name": NAME}, "spec": spec})
    at.pass_time(minutes=1)


def owner(at: Place) -> str | None:
    return controller_uid(at.get(PODS, f"{NAME}-0"))


def test_a_set_that_is_created_anew_waits_for_the_pods_of_before_to_end() -> None:
    at = place()
    create(at)
    before = owner(at)
    at.cluster.api.objects.delete(STATEFUL_SETS, Key(NAMESPACE, NAME))
    create(at)
    assert owner(at) == before, "the worker of before finishes its change"
    at.pass_time(hours=1)
    assert owner(at) == uid_of(at.get(STATEFUL_SETS, NAME))
