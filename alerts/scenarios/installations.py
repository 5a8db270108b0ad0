"""Every scenario again as other installations have it: a server that overwrites our labels, and one for two clusters.

Each is a setting of the rules and a function from scenarios to scenarios, texts included. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from alerts.scenario import DAY, Check, Firing, Labels, Scenario, World, fires, quiet
from alerts.scenarios import exporter_down
from alerts.scenarios.worlds import healthy, paced, renewed
from alerts.settings import Value

OVERWRITTEN = ("namespace", "pod", "container")
"""What prometheus-operator says of a scrape target: ours are `exported_…` where it does not honor them."""
CLUSTER, OTHER_CLUSTER = "prod", "staging"
_WHERE = re.compile(
    r"(?<= in opschain)|(?<= in staging)|(?<=under the job certlag-exporter)|(?<=^An exporter)"
    r"|(?<=heard nothing of certificates)"
)
"""Where a description says in which cluster: behind the first of these."""


@dataclass(frozen=True)
class Installation:
    """Settings of the rules, and what they make of a scenario."""

    name: str
    settings: Mapping[str, Value]
    transform: Callable[[Scenario], Scenario]

    def of(self, scenarios: Iterable[Scenario]) -> tuple[Scenario, ...]:
        """Return the scenarios that hold there too."""
        return tuple(self.transform(each) for each in scenarios if not each.of_defaults)


def _with_labels(world: World, labels: Callable[[Labels], Labels]) -> World:
    return World({(name, labels(old)): points for (name, old), points in world.series.items()})


def _with_firing(scenario: Scenario, world: World, firing: Callable[[Firing], Firing]) -> Scenario:
    checks = tuple(Check(check.minute, check.alert, tuple(map(firing, check.firing))) for check in scenario.checks)
    return replace(scenario, world=world, checks=checks)


# --- a server that overwrites our labels ----------------------------------------------------------


def _scraped_labels(labels: Labels) -> Labels:
    renamed = {f"exported_{name}" if name in OVERWRITTEN else name: value for name, value in labels}
    return tuple(sorted({**renamed, "namespace": "monitoring", "pod": "exporter", "container": "exporter"}.items()))


def overwritten(scenario: Scenario) -> Scenario:
    """Return a scenario as a server sees it that puts the exporter's namespace, pod and container in place of ours."""

    def firing(one: Firing) -> Firing:
        of_workload = one.labels["namespace"] != "certlag"
        exported = {"exported_namespace": one.labels["namespace"]} if of_workload else {}
        return replace(one, labels={**one.labels, **exported})

    return _with_firing(scenario, _with_labels(scenario.world, _scraped_labels), firing)


# --- one server for two clusters ------------------------------------------------------------------


def in_cluster(world: World, cluster: str) -> World:
    """Return a world with the label that tells clusters apart."""
    return _with_labels(world, lambda labels: tuple(sorted((*labels, ("cluster", cluster)))))


def said_of(firing: Firing, cluster: str) -> Firing:
    """Return an alert as it is in a cluster: its label, and what its texts say."""
    where = _WHERE.sub(f" (cluster {cluster})", firing.description, count=1)
    chosen = firing.dashboard and f"{firing.dashboard}&var-filters=cluster%7C%3D%7C{cluster}"
    return replace(firing, labels={**firing.labels, "cluster": cluster}, description=where, dashboard=chosen)


def beside_a_healthy_cluster(scenario: Scenario) -> Scenario:
    """Return a scenario in one of two clusters: in the other one all names are the same, and all is well."""
    steps = max(check.minute for check in scenario.checks) // scenario.step + 2
    other = paced(healthy(minutes=steps), scenario.step)
    world = in_cluster(scenario.world, CLUSTER).and_also(in_cluster(other, OTHER_CLUSTER))
    return _with_firing(scenario, world, lambda firing: said_of(firing, CLUSTER))


def beside_its_like(scenario: Scenario) -> Scenario:
    """Return a scenario that happens in two clusters at once: each has alerts of its own."""
    world = in_cluster(scenario.world, CLUSTER).and_also(in_cluster(scenario.world, OTHER_CLUSTER))
    checks = tuple(
        Check(
            check.minute,
            check.alert,
            tuple(said_of(firing, cluster) for firing in check.firing for cluster in (CLUSTER, OTHER_CLUSTER)),
        )
        for check in scenario.checks
    )
    return replace(scenario, world=world, checks=checks)


OVERWRITES = Installation("overwritten", {"namespaceLabel": "exported_namespace"}, overwritten)
VANISHED = (
    Scenario(
        "names the cluster whose exporter is gone, and pages for the one whose deadline is near",
        in_cluster(renewed(left=2 * DAY).ended(20), CLUSTER)
        .and_also(in_cluster(healthy().ended(20), OTHER_CLUSTER))
        .and_also(in_cluster(renewed(left=2 * DAY), "fine")),
        quiet(exporter_down.ALERT, 29)
        + fires(
            exporter_down.ALERT,
            30,
            *(said_of(exporter_down.FIRING, cluster) for cluster in (CLUSTER, OTHER_CLUSTER)),
            said_of(exporter_down.CRITICAL, CLUSTER),
        ),
    ),
)
"""Of two clusters and a third one, which is fine."""
TWO_CLUSTERS: Mapping[str, Value] = {"extraLabels": ["cluster"]}
INSTALLATIONS = (
    OVERWRITES,
    Installation("beside-a-healthy-cluster", TWO_CLUSTERS, beside_a_healthy_cluster),
    Installation("beside-its-like", TWO_CLUSTERS, beside_its_like),
)
