"""Two replicas, one restarted: the pods are told apart, renewal after renewal."""

from collections.abc import Collection
from functools import partial

import pytest

from tests.bench import servers
from tests.figures import Figures, distribution
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.latency import delay, ready

RENEWALS = 20
SEEN_STALE_WITHIN = 1.0
SEEN_CURRENT_WITHIN = 2.0


@pytest.mark.cluster
@pytest.mark.serial
def test_of_two_replicas_the_one_that_restarted_is_current_and_the_other_stale(
    ground: Ground, figures: Figures
) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.buildkitd("one")], replicas=2))
    ground.wait_available("one")
    until_stale, until_current = [], []
    with ground.watched([a_target("one")]) as exporter:
        assert pods(exporter.metrics()) == {"current": 2, "stale": 0, "unknown": 0, "unprobed": 0}
        for _ in range(RENEWALS):
            old = frozenset(serving(ground))
            until_stale.append(delay(exporter, lambda: renew(ground), lambda seen: pods(seen)["stale"] == 2))
            until_current.append(delay(exporter, partial(replace_one, ground, old), one_of_each))
            metrics = exporter.metrics()
            assert metrics.state("certlag_renewal_window_state") == "needs_restart"
            assert metrics.value("certlag_needs_restart") == 1
            until_current.append(delay(exporter, partial(replace_one, ground, old), both_current))
            assert exporter.metrics().state("certlag_renewal_window_state") == "settled"
    figures(distribution("revision changed → both stale", until_stale))
    figures(distribution("new pod Ready, old one terminating → counted as current", until_current))
    assert max(until_stale) < SEEN_STALE_WITHIN
    assert max(until_current) < SEEN_CURRENT_WITHIN


def pods(metrics: Metrics) -> dict[str, float]:
    """How many pods are in each state."""
    return {sample.labels["state"]: sample.value for sample in metrics.all("certlag_pods")}


def one_of_each(metrics: Metrics) -> bool:
    """Whether one pod is stale and one current."""
    return pods(metrics) == {"current": 1, "stale": 1, "unknown": 0, "unprobed": 0}


def both_current(metrics: Metrics) -> bool:
    """Whether both pods are current."""
    return pods(metrics)["current"] == 2


def renew(ground: Ground) -> float:
    """Renew; return when the API server announced the new revision."""
    return ground.announced_renewal("one")


def serving(ground: Ground) -> dict[str, str]:
    """The pods that are not terminating: names by UID."""
    found = (pod["metadata"] for pod in ground.pods("one"))
    return {each["uid"]: each["name"] for each in found if "deletionTimestamp" not in each}


def replace_one(ground: Ground, of: Collection[str]) -> float:
    """Delete one of these pods; return when its successor was Ready."""
    before = serving(ground)
    name = next(name for uid, name in before.items() if uid in of)
    ground.cluster.api("DELETE", ground.path("pods", name))
    return ready(ground, "one", before, replicas=2)
