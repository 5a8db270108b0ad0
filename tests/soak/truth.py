"""What must be shown: from what was written into the store and what is served. Pure; knows nothing of the exporter."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tests.benchmark.etcd import Delete, Put, Step
from tests.benchmark.population import LIFETIME, Member, Population
from tests.metrics import Metrics
from tests.pki import Issued

MOST_REVISIONS = 50
"""Each is a minute younger than the one before, and the first is an hour old."""


@dataclass
class Truth:
    """The population as it stands. A pod presents the revision that it loaded at its start, until it is restarted."""

    population: Population
    members: tuple[Member, ...]
    revisions: dict[int, int] = field(default_factory=dict)
    issued: dict[int, Issued] = field(default_factory=dict)
    """What was issued last, of each that was renewed."""
    pods: dict[int, int] = field(default_factory=dict)
    """How often each pod was made again; those that are gone have none."""
    loaded: dict[int, int] = field(default_factory=dict)
    """The revision that each pod presents, or will when it is there again."""
    ports: dict[int, int] = field(default_factory=dict)
    restarts: Counter[int] = field(default_factory=Counter)
    _made: int = 0

    @classmethod
    def of(cls, population: Population) -> "Truth":
        """Return what `benchmark.ground` fills in."""
        members = tuple(population.members())
        served = {member.number: member.port for member in members if member.port}
        first = dict.fromkeys(served, 1)
        return cls(
            population,
            members,
            revisions=dict.fromkeys(range(len(members)), 1),
            pods=dict.fromkeys(served, 0),
            loaded=first,
            ports=served,
        )

    def renew(self, member: Member) -> Step:
        """Renew a certificate as cert-manager does; nothing if it was renewed too often."""
        revision = self.revisions[member.number] + 1
        if revision > MOST_REVISIONS:
            return ()
        self.revisions[member.number] = revision
        population = self.population
        self.issued[member.number] = population.issue(member, revision)
        return (
            Put(population.request(member, revision, self.issued[member.number])),
            Delete("CertificateRequest", member.namespace, f"{member.name}-{revision - 1}"),
            Put(population.certificate(member, revision)),
        )

    def change_pod(self, member: Member) -> Step:
        """Delete a pod, or make one that is gone again under another uid and in another container."""
        if member.number in self.pods:
            del self.pods[member.number]
            return (_without_pod(member),)
        return (Put(self._new_pod(member)),)

    def restart(self, member: Member, port: int, now: datetime) -> Step:
        """Replace a pod by one that has loaded what is issued now, and serves it at this port."""
        self.loaded[member.number] = self.revisions[member.number]
        self.ports[member.number] = port
        self.restarts[member.number] += 1
        pod = self._new_pod(member)
        started = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        pod["status"]["startTime"] = started
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = started
        return (_without_pod(member), Put(pod))

    def _new_pod(self, member: Member) -> dict[str, Any]:
        self._made += 1
        self.pods[member.number] = self._made
        pod: dict[str, Any] = self.population.pod(replace(member, port=self.ports[member.number]))
        pod["metadata"]["uid"] += f"-{self._made}"
        pod["status"]["containerStatuses"][0]["containerID"] += f"-{self._made}"
        return pod

    @property
    def stale(self) -> Sequence[Member]:
        """Those whose pod does not have what is issued now."""
        return [
            each
            for each in self.members
            if each.number in self.pods and self.loaded[each.number] < self.revisions[each.number]
        ]

    @property
    def needs_restart(self) -> dict[tuple[str, str], float]:
        """Whether each certificate that a pod serves was renewed since the pod loaded it."""
        served = (member for member in self.members if member.number in self.pods)
        return {
            (each.namespace, each.name): float(self.revisions[each.number] > self.loaded[each.number])
            for each in served
        }

    def wrong(self, metrics: Metrics) -> Iterator[str]:
        """Say in which ways a scrape is not the truth, once everything could be seen."""
        ends = {
            (each.namespace, each.name): (self.population.issued_at(self.revisions[each.number]) + LIFETIME).timestamp()
            for each in self.members
        }
        states = {place: ("settled", "needs_restart")[int(value)] for place, value in self.needs_restart.items()}
        pods = {place: ("current", "stale")[int(value)] for place, value in self.needs_restart.items()}
        yield from _unlike(
            "issued not-after", ends, _by_place(metrics, "certlag_certificate_not_after_timestamp_seconds")
        )
        yield from _unlike("needs_restart", self.needs_restart, _by_place(metrics, "certlag_needs_restart"))
        yield from _unlike("state", states, _chosen(metrics, "certlag_renewal_window_state"))
        yield from _unlike("pods", pods, _chosen(metrics, "certlag_pods"))

    def is_shown_by(self, metrics: Metrics) -> bool:
        """Whether a scrape is the truth; else LookupError, which `waiting.until` takes for "not yet", says why."""
        if wrong := list(self.wrong(metrics)):
            raise LookupError("; ".join(wrong))
        return True


@dataclass
class Watcher:
    """Looks at every scrape, also while nothing can be seen: what it holds against it can be wrong at no time.

    What is shown may be late, and each restart may settle a certificate once; more often than it was restarted it can't
    have settled.
    """

    truth: Truth
    looked_at: int = 0
    """Verdicts."""
    _due: set[tuple[str, str]] = field(default_factory=set)
    """Those that needed a restart when last something was said of them."""
    _settled: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each needed no restart any more."""
    _before: Counter[int] = field(init=False)
    """How often each was restarted before anything was looked at, and all of that was shown."""

    def __post_init__(self) -> None:
        """Begin."""
        self._before = Counter(self.truth.restarts)

    def broken(self, metrics: Metrics) -> Iterator[str]:
        """Say which certificates are called stale that never were, or settled though nobody restarted them."""
        truth = self.truth
        by_place = {(each.namespace, each.name): each.number for each in truth.members}
        for place, value in _by_place(metrics, "certlag_needs_restart").items():
            self.looked_at += 1
            number = by_place[place]
            if value == 1:
                self._due.add(place)
                if truth.revisions[number] == 1:
                    yield f"{place} needs a restart, and was never renewed"
            elif place in self._due:
                self._due.remove(place)
                self._settled[place] += 1
                if self._settled[place] > truth.restarts[number] - self._before[number]:
                    yield f"{place} needs no restart any more, and nobody restarted it"


def _without_pod(member: Member) -> Delete:
    return Delete("Pod", member.namespace, f"{member.name}-rs-pod")


def _by_place(metrics: Metrics, name: str) -> dict[tuple[str, str], float]:
    return {(each.labels["namespace"], each.labels["certificate"]): each.value for each in metrics.all(name)}


def _chosen(metrics: Metrics, name: str) -> dict[tuple[str, str], str]:
    chosen = (each for each in metrics.all(name) if each.value == 1)
    return {(each.labels["namespace"], each.labels["certificate"]): each.labels["state"] for each in chosen}


def _unlike(what: str, true: Mapping[Any, Any], shown: Mapping[Any, Any]) -> Iterator[str]:
    """Say of how many, and show one."""
    wrong = [place for place in {*true, *shown} if true.get(place) != shown.get(place)]
    if wrong:
        place = min(wrong)
        yield f"{what}: {len(wrong)} wrong, as {place}: {shown.get(place)} instead of {true.get(place)}"
