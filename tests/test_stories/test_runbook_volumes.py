"""Workers that keep something on volumes: a drain that would delete them is refused, and they stand."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench import waiting
from tests.bench.api import ApiError
from tests.bench.cluster import Object
from tests.test_stories.drained_ground import WORKER, DrainedGround, drained_ground, serving, working
from tests.test_stories.ground import Ground

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(1)]

CLAIMS = (f"cache-{WORKER}-0", f"cache-{WORKER}-1")
STORAGE: Object = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
REFUSED = 3


@pytest.mark.field_case("D2")
def test_a_drain_that_would_delete_the_workers_volumes_is_refused_and_they_stand(ground: Ground) -> None:
    with storing(ground, whenScaled="Delete") as drained:
        before = claims(drained)
        ran = drained.run("restart")
        assert ran.code == REFUSED, str(ran)
        assert f"scaling statefulset/{WORKER} to 0 deletes its volume claims" in ran.ended["message"]
        assert f"{CLAIMS[0]} to {CLAIMS[1]}" in ran.ended["message"]
        assert drained.proxy.writes == []
        assert claims(drained) == before


@pytest.mark.field_case("D2")
def test_with_the_loss_accepted_it_is_as_the_refusal_said(ground: Ground) -> None:
    with storing(ground, whenScaled="Delete") as drained:
        before = claims(drained)
        # New claims find no volume: the workers stay Pending, and the run says that they are not back.
        ran = drained.run("restart", "--accept-data", "--restart-timeout", "20s")
        assert ran.code == 7, str(ran)
        waiting.until("the claims to be others", lambda: not claims(drained).items() & before.items())


@pytest.mark.field_case("D2")
def test_volumes_that_outlive_a_scale_down_are_there_again(ground: Ground) -> None:
    with storing(ground) as drained:
        before = claims(drained)
        ran = drained.run("restart")
        assert ran.code == 0, str(ran)
        assert claims(drained) == before


@contextmanager
def storing(ground: Ground, **policy: str) -> Iterator[DrainedGround]:
    """A target and a StatefulSet of two workers with a bound volume each."""
    worker = working(kind="StatefulSet")
    template = {"metadata": {"name": "cache"}, "spec": {**STORAGE, "resources": {"requests": {"storage": "1Mi"}}}}
    worker["spec"] |= {"volumeClaimTemplates": [template], "persistentVolumeClaimRetentionPolicy": policy}
    worker["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].append({"name": "cache", "mountPath": "/cache"})
    volumes = [volume(ground, claim) for claim in CLAIMS]
    for each in volumes:
        ground.cluster.api("POST", "/api/v1/persistentvolumes", each)
    try:
        with drained_ground(ground, [serving(), worker]) as drained:
            yield drained
    finally:
        for each in volumes:
            ground.cluster.api("DELETE", f"/api/v1/persistentvolumes/{each['metadata']['name']}")


def volume(ground: Ground, claim: str) -> Object:
    """A PersistentVolume for just this claim."""
    path = ground.cluster.directory / "faults" / ground.namespace
    return {
        "metadata": {"name": f"{claim}-{ground.namespace}"},
        "spec": {
            **STORAGE,
            "capacity": {"storage": "1Mi"},
            "claimRef": {"namespace": ground.namespace, "name": claim},
            "hostPath": {"path": str(path / claim), "type": "DirectoryOrCreate"},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }


def claims(drained: DrainedGround) -> dict[str, str]:
    """The UID of each claim that exists and does not end."""
    found: dict[str, str] = {}
    for claim in CLAIMS:
        path = f"/api/v1/namespaces/{drained.ground.namespace}/persistentvolumeclaims/{claim}"
        try:
            metadata = drained.cluster.api("GET", path)["metadata"]
        except ApiError:
            continue
        if "deletionTimestamp" not in metadata:
            found[claim] = metadata["uid"]
    return found
