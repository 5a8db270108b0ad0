"""What the runbook lists: whole, however fat or strange the objects are that others put beside its own."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from certlag.clock import SystemClock
from certlag.config.schema import Configuration
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.kube.resources import watches
from certlag.model import Discovery
from certlag.tls.handshake import probe
from rehearsal.api.resources import CERTIFICATE_REQUESTS, PODS
from runbook.check import inspector
from runbook.check.inspector import CertificateInspector, list_all
from runbook.check.status import TargetStatus
from runbook.effects import Change
from runbook.outcomes import Outcome
from tests.builders import a_target
from tests.field.record import case
from tests.scripted_api import ScriptedApi, page, scripted_api
from tests.simulation.operators import Command, Order
from tests.simulation.place import NAMESPACE, Place, found
from tests.simulation.truth import Ledger

PATH = "/api/v1/namespaces/opschain/pods"


def listed(api: ScriptedApi, directory: Path) -> list[Any]:
    client = ClusterClient.connect(kubeconfig=api.kubeconfig(directory))
    return list(list_all(client, PATH, parameters={"labelSelector": "a=b"}))


@pytest.mark.fault("N9")
def test_a_list_that_is_too_large_is_had_in_smaller_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fat = [{"metadata": {"name": name, "annotations": {"note": "x" * 1000}}} for name in "abcd"]
    monkeypatch.setattr(inspector, "PAGE_BYTES", len(json.dumps(fat)) - 500)
    script = (page(fat, "7"), page(fat[:3], "7", following="rest"), page(fat[3:], "7"))
    with scripted_api(*script) as api:
        assert listed(api, tmp_path) == fat
        asked = [api.next_request().query for _ in script]
    assert [(query["limit"], query.get("continue")) for query in asked] == [
        ("500", None),
        ("250", None),
        ("250", "rest"),
    ]
    assert {query["labelSelector"] for query in asked} == {"a=b"}


@pytest.mark.fault("N9")
def test_one_object_that_is_too_large_alone_is_an_error_and_never_an_empty_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspector, "PAGE_BYTES", 10)
    monkeypatch.setattr(inspector, "MAX_PAGE", 10)
    with scripted_api(*[page([{}], "7")] * 9) as api, pytest.raises(ClusterError, match="more than 10 bytes") as caught:
        listed(api, tmp_path)
    assert caught.value.reason is ClusterErrorReason.TOO_LARGE


@pytest.mark.fault("F18")
def test_objects_without_a_name_are_passed_over(tmp_path: Path) -> None:
    collections = [each for each in watches(Configuration((a_target(),), Discovery())) if each.name is None]
    clock = SystemClock()
    answers = [page([{}, {"metadata": {"name": 5}}], "7")] * (len(collections) + 1)  # the workload has no name either
    with scripted_api(*answers) as api:
        client = ClusterClient.connect(kubeconfig=api.kubeconfig(tmp_path))
        status = CertificateInspector(a_target(), client, clock, partial(probe, clock=clock)).inspect(probe=False)
    assert status.pods == ()


class Onlooker:
    """Watches a command and does nothing."""

    def __init__(self, place: Place) -> None:
        self.ledger = Ledger(place)

    def writes(self, _: Command, __: Change, send: Callable[[], Any]) -> Any:
        return send()

    def looked(self, _: Command, __: TargetStatus) -> None:
        return


@case(
    "W21",
    kind="Found by tests: wrong endings and answers of a run",
    situation="Beside the target is a pod that names an optional Secret of 1,025 characters.",
    says="The run ends as usual. Before: a traceback, with the workers at 0.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("F18", "H8")
def test_a_run_ends_well_beside_objects_with_texts_that_are_too_long() -> None:
    """Anyone who may make a pod in the namespace could else end a run while the workers are at 0."""
    place, name = found(seed=1), "x" * 1025
    place.cluster.advance(place.clock, timedelta(days=61))
    annotations = {"certlag.dev/port": name, "cert-manager.io/certificate-revision": name}
    owner = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": name, "uid": name, "controller": True}
    volume = {"name": "tls", "secret": {"secretName": name, "optional": True}}
    pod = {"spec": {"containers": [{"name": "main", "image": "builder"}], "volumes": [volume]}}
    for resource, content in ((PODS, pod), (CERTIFICATE_REQUESTS, {"spec": {}})):
        place.cluster.apply(
            resource,
            NAMESPACE,
            {"metadata": {"name": "strange", "annotations": annotations, "ownerReferences": [owner]}, **content},
        )
    target = place.configuration.targets[0]
    command = Command(Order("restart", target), 1, place, Onlooker(place), alive=lambda _: True)
    while not command.over:
        # A second more: what an instant is rounded to must not lie before it.
        wait = max(0.0, command.goes_on_at - place.clock.monotonic())
        place.cluster.advance(place.clock, timedelta(seconds=1 + wait))
        command.go_on()
    assert command.ending is not None
    assert command.ending.outcome is Outcome.DONE, command.ending
