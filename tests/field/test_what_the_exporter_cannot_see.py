"""What the exporter cannot see, and how that shows."""

import logging
import random
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from certlag.kube.client import ClusterClient
from certlag.kube.reflector import Reflector
from certlag.kube.resources import CERTIFICATES, PODS, WORKLOADS, Watch
from certlag.kube.watch_log import WatchLog
from exporter import status_json
from exporter.status import Status
from exporter.status_page.render import Renderer
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.scripted_api import scripted_api

TRIES = 40


class Tries(threading.Event):
    """The stop event of a reflector that ends after some tries; its waits only move the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.left = TRIES

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.advance(timeout)
        self.left -= 1
        if self.left == 0:
            self.set()
        return self.is_set()


@case(
    "E10",
    situation="The exporter was started with a kubeconfig whose API server does not answer.",
    says="The page says that it cannot reach the API server, which one, since when and why; it is never live.",
    found_by="user trial",
)
def test_an_exporter_that_never_reached_the_api_server_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    begun = clock.now()
    with scripted_api() as api:
        kubeconfig = api.kubeconfig(tmp_path)
    client = ClusterClient.connect(kubeconfig=kubeconfig)  # nobody listens there any more
    watches = (Watch(CERTIFICATES, "shop"), Watch(WORKLOADS["deployment"], "shop", "svc"), Watch(PODS, "shop"))
    watch_log, health = WatchLog(clock), {}
    with caplog.at_level(logging.WARNING, "certlag"):
        for watch in watches:
            reflector = Reflector(
                watch,
                client,
                lambda change: pytest.fail(f"nothing was read: {change}"),
                clock,
                Tries(clock),
                jitter=random.Random(1),  # noqa: S311 - spreads waits
                log=watch_log.failed,
            )
            reflector.run()
            health[watch] = reflector.health
    status = Status(clock.now(), ready=False, watches=health, server=client.server)
    page = Renderer().page(status)
    assert "The exporter cannot reach the API server" in page
    assert client.server in page
    assert "unreachable, for " in page
    assert 'data-sees="no"' in page
    assert "for the first time" not in page
    assert status_json.document(status)["watches"][0]["failingSince"] == begun.isoformat().replace("+00:00", "Z")

    lines = [record.__dict__ for record in caplog.records if record.message == "watch failed"]
    hours = (clock.now() - begun) / timedelta(hours=1)
    assert len(lines) <= len(watches) * (2 + hours * 12), "one in five minutes for each watch"
    assert {(line["resource"], line["object"]) for line in lines} == {
        ("certificates", ""),
        ("deployments", "svc"),
        ("pods", ""),
    }


@case(
    "E10",
    situation="The exporter has just been started, and a first request has failed.",
    says="It is still looking for the first time: failures of less than half a minute are no news.",
    found_by="test",
)
def test_a_first_failure_is_no_outage() -> None:
    clock = FakeClock()
    status = Status(clock.now(), ready=False, watches={})
    assert "Looking for the first time" in Renderer().page(status)
