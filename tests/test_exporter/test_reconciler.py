"""A round of the main loop: what the watches told is folded in, assessed, and what is served is that."""

import random

import pytest

from certlag.config.schema import Configuration
from certlag.kube.reflector import Change, Changed, Listed, WatchHealth
from certlag.kube.resources import CERTIFICATES, PODS, Resource, Watch, watches
from certlag.model import Discovery, DiscoveryProbe, ObjectKey
from exporter.reconciler import Reconciler
from exporter.snapshot import Snapshot
from tests.builders import KEY, NAMESPACE, RENEWED_AT, a_certificate, a_pod, a_replica_set, a_request, resource_of
from tests.fake_clock import FakeClock
from tests.metrics import Metrics, Sample

OTHER = a_certificate(uid="other-uid", key=ObjectKey(NAMESPACE, "other"), secret="other-tls")


class Exporter:
    """The main loop, and what it serves."""

    def __init__(self) -> None:
        configuration = Configuration((), Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS))
        self._watches = watches(configuration)
        clock = FakeClock(RENEWED_AT)
        self._snapshot = Snapshot(clock, version="1", revision="r")
        health = {watch: WatchHealth() for watch in self._watches}
        self._reconciler = Reconciler(
            configuration,
            self._snapshot,
            clock,
            health,
            interval=300,
            jitter=random.Random(1),  # noqa: S311 - spreads probes
        )
        self.hear(*(Listed(watch, (), frozenset()) for watch in self._watches))

    def watch(self, resource: Resource) -> Watch:
        """The watch of a resource."""
        (found,) = (watch for watch in self._watches if watch.resource is resource)
        return found

    def hear(self, *changes: Change) -> None:
        """Come round."""
        self._reconciler.round(changes)

    def samples(self, certificate: str) -> list[Sample]:
        """What is served of a Certificate."""
        metrics = Metrics.parse(b"".join(self._snapshot.scrape(gzip=False)).decode())
        return [sample for sample in metrics.samples if sample.labels.get("certificate") == certificate]


@pytest.mark.fault("F12")
def test_what_is_missing_in_a_list_has_no_series_any_more() -> None:
    exporter = Exporter()
    told = (a_certificate(), OTHER, a_request(), a_replica_set(), a_pod())
    exporter.hear(*(Changed(exporter.watch(resource_of(each)), each) for each in told))
    before = exporter.samples("other")
    assert before
    assert any(sample.name == "certlag_pods" for sample in exporter.samples(KEY.name))
    exporter.hear(Listed(exporter.watch(PODS), (), frozenset()))
    assert not any(sample.name == "certlag_pods" for sample in exporter.samples(KEY.name))
    exporter.hear(Listed(exporter.watch(CERTIFICATES), (OTHER,), frozenset()))
    assert exporter.samples(KEY.name) == []
    assert exporter.samples("other") == before
