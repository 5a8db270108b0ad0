"""The assessment on real TLS servers: whatever serves, the same is said of it, and it notices no failed client."""

from collections.abc import Callable

import pytest

from tests.bench import servers
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target

SERVERS: dict[str, Callable[[str], servers.Server]] = {
    "buildkitd": servers.buildkitd,
    "nginx": lambda secret: servers.configured("nginx", servers.NGINX, secret),
    "haproxy": lambda secret: servers.configured("haproxy", servers.HAPROXY, secret),
    "stunnel": lambda secret: servers.configured("stunnel", servers.STUNNEL, secret),
    "go-1-2": lambda secret: servers.go(secret, versions="1.2"),
    "go-1-3": lambda secret: servers.go(secret, versions="1.3"),
}


def states(metrics: Metrics) -> dict[str, str | None]:
    """The state of each server's renewal window."""
    return {name: metrics.state("certlag_renewal_window_state", target=name) for name in SERVERS}


def all_are(state: str) -> dict[str, str]:
    return dict.fromkeys(SERVERS, state)


@pytest.mark.cluster
def test_every_server_is_judged_alike_and_notices_no_failed_client(ground: Ground) -> None:
    workloads = [servers.deployment(name, [make(name)]) for name, make in SERVERS.items()]
    ground.apply(*(servers.certificate(name) for name in SERVERS), *workloads)
    ground.wait_available(*SERVERS)
    with ground.watched([a_target(name) for name in SERVERS]) as exporter:
        assert states(exporter.metrics()) == all_are("settled")
        loaded = {name: _fingerprint(exporter.metrics(), name) for name in SERVERS}
        ground.renew(*SERVERS)
        metrics = exporter.wait("all to be seen as stale", lambda seen: states(seen) == all_are("needs_restart"))
        assert {name: _fingerprint(metrics, name) for name in SERVERS} == loaded
        ground.cluster.kubectl("rollout", "restart", "deployment", namespace=ground.namespace)
        metrics = exporter.wait("all to be settled again", lambda seen: states(seen) == all_are("settled"), 90)
        assert not {_fingerprint(metrics, name) for name in SERVERS} & set(loaded.values())
    for name in SERVERS:
        log = ground.cluster.kubectl("logs", f"deployment/{name}", namespace=ground.namespace).lower()
        complaints = [line for line in log.splitlines() if any(word in line for word in COMPLAINTS)]
        assert not complaints, f"{name}: {complaints}"


COMPLAINTS = ("failed client", "certificate", "alert", "bad ", "verify")
"""What a server's log says of a client that could not authenticate. That a connection ended early may stand there."""


def _fingerprint(metrics: Metrics, name: str) -> str:
    (info,) = metrics.all("certlag_loaded_info", target=name)
    return info.labels["fingerprint_sha256"]
