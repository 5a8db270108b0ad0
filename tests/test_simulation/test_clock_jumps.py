"""The exporter's machine has its clock set, far ahead or back, while the cluster's time goes on as it was.

Its own reflectors, assessment and schedule look at an embedded cluster in which one workload is stale and one settled.
At every look the gauges are those of `truth`, by what that clock says; what is measured in intervals takes no notice.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from certlag.kube.client import ClusterClient
from certlag.kube.reflector import RELIST_AFTER
from rehearsal.api.resources import CERTIFICATES, Resource
from rehearsal.objects import instant
from tests.fake_clock import FakeClock, SkewedClock
from tests.figures import Figures
from tests.simulation import gauges, truth
from tests.simulation.incidents import EXPORTER
from tests.simulation.line import Line
from tests.simulation.place import RESOURCES, Place, found
from tests.simulation.stepped_exporter import INTERVAL, SteppedExporter

pytestmark = pytest.mark.thorough

HOURS, WEEKS = timedelta(hours=3), timedelta(days=40)
EVERY_JUMP = pytest.mark.parametrize(
    "jump",
    [HOURS, -HOURS, WEEKS, -WEEKS],
    ids=["3 h ahead", "3 h back", "40 d ahead", "40 d back"],
)
RENEWED = timedelta(days=61)
"""By then both certificates were renewed."""
LOOK = timedelta(minutes=1)
"""The main loop comes round so often, whether or not anything happens."""
PODS = 4
NEVER_MOVED = ("needs_restart", "deadline", "issuer_changed", "pods")
"""Gauges for which the present instant is nothing."""


@dataclass
class Machine:
    """An exporter on a machine with a clock of its own, and what it can know of a cluster."""

    true: FakeClock
    clock: SkewedClock
    place: Place
    exporter: SteppedExporter
    ledger: truth.Ledger
    known: truth.Acquaintance
    looks: int = 0

    @classmethod
    def beside(cls, cluster: Place) -> "Machine":
        """Begin to watch."""
        clock = SkewedClock(cluster.clock)
        place = replace(cluster, clock=clock)
        exporter = SteppedExporter(place, ClusterClient(Line(place.cluster.api, EXPORTER, clock)))
        return cls(cluster.clock, clock, place, exporter, truth.Ledger(place), truth.Acquaintance(place))

    def look(self) -> dict[str, truth.Gauges]:
        """Come round, hold every gauge against the truth, and return them by target."""
        self.exporter.step(woken=True)
        self.known.look(self.ledger)
        metrics = self.exporter.published.metrics
        shown = {each.name: gauges.shown(metrics, each) for each in self.place.configuration.targets}
        for target in self.place.configuration.targets:
            assert shown[target.name] in truth.gauges(self.place, self.ledger, self.known, target), target.name
        self.looks += 1
        return shown

    def live(self, length: timedelta, every: timedelta = LOOK) -> None:
        """Let true time pass, and look again and again."""
        for _ in range(round(length / every)):
            self.place.cluster.advance(self.true, every)
            self.look()

    def hear_of(self, resource: Resource, name: str) -> None:
        """Have an object changed in a way that is nobody's concern; a watch that is old enough is begun with a list."""
        note = {"metadata": {"annotations": {"note": str(self.looks)}}}
        self.place.patch(resource, name, note, "kubectl")
        self.live(LOOK)

    def restart(self, resource: Resource, name: str) -> None:
        """Have a workload load what is issued now."""
        template = {"metadata": {"annotations": {"restarted": self.true.now().isoformat()}}}
        self.place.patch(resource, name, {"spec": {"template": template}}, "kubectl")
        self.live(timedelta(minutes=5))


@pytest.fixture
def machine() -> Machine:
    """Both certificates were renewed; `service` still presents the old one, `registry` was restarted."""
    made = Machine.beside(found(seed=1))
    made.live(RENEWED, every=timedelta(hours=12))
    made.restart(RESOURCES["statefulset"], "registry")
    shown = made.look()
    assert (shown["build-service"].state, shown["registry"].state) == ("needs_restart", "settled")
    return made


def states(shown: dict[str, truth.Gauges]) -> dict[str, str | None]:
    return {name: each.state for name, each in shown.items()}


def unmoved(shown: dict[str, truth.Gauges]) -> dict[str, list[object]]:
    return {name: [getattr(each, gauge) for gauge in NEVER_MOVED] for name, each in shown.items()}


@pytest.mark.fault("F20")
@EVERY_JUMP
@pytest.mark.matrix(1)
def test_a_jump_makes_nothing_stale_or_settled_and_with_the_jump_back_all_is_as_before(
    machine: Machine, jump: timedelta, figures: Figures
) -> None:
    before = machine.look()
    machine.clock.skew = jump
    after = machine.look()
    assert unmoved(after) == unmoved(before)
    expected = {"build-service": "expired", "registry": "renewal_due"} if jump == WEEKS else states(before)
    assert states(after) == expected
    machine.live(timedelta(hours=2))
    assert unmoved(machine.look()) == unmoved(before)
    machine.clock.skew = timedelta(0)
    assert machine.look() == before
    figures(f"jump of {jump / timedelta(hours=1):+g} h and back: {machine.looks} looks, wrong: 0")


@pytest.mark.fault("F20")
@EVERY_JUMP
@pytest.mark.matrix(1)
def test_a_jump_begins_no_probe_and_puts_none_off(machine: Machine, jump: timedelta) -> None:
    network = machine.place.network
    while (due := machine.exporter.due_in) < timedelta(hours=6).total_seconds():
        machine.live(timedelta(seconds=due + 1), every=timedelta(seconds=due + 1))
    asked = network.asked
    for skew in (jump, timedelta(0), -jump, timedelta(0)):
        machine.clock.skew = skew
        machine.live(timedelta(hours=1))
    assert network.asked == asked
    machine.clock.skew = jump
    machine.live(INTERVAL, every=timedelta(hours=1))
    assert network.asked == asked + PODS


@pytest.mark.fault("F20")
@EVERY_JUMP
@pytest.mark.matrix(1)
def test_a_jump_begins_no_list_and_puts_none_off(machine: Machine, jump: timedelta) -> None:
    machine.hear_of(CERTIFICATES, "registry")
    lists = machine.exporter.lists
    for skew in (jump, timedelta(0), -jump, timedelta(0)):
        machine.clock.skew = skew
        machine.hear_of(CERTIFICATES, "registry")
    assert machine.exporter.lists == lists
    machine.clock.skew = jump
    machine.live(timedelta(seconds=max(RELIST_AFTER)))
    machine.hear_of(CERTIFICATES, "registry")
    assert machine.exporter.lists == lists + 1


@pytest.mark.fault("F20")
@EVERY_JUMP
@pytest.mark.matrix(1)
def test_after_a_jump_back_nothing_is_stuck(machine: Machine, jump: timedelta) -> None:
    """What changes by itself is seen at its time, and what somebody does as ever."""
    machine.clock.skew = jump
    machine.live(timedelta(hours=1))
    machine.clock.skew = timedelta(0)
    machine.look()
    machine.restart(RESOURCES["deployment"], "service")
    assert states(machine.look()) == {"build-service": "settled", "registry": "settled"}
    certificate = machine.place.get(CERTIFICATES, "registry")
    assert certificate is not None
    machine.place.cluster.faults.broken_issuers.add("intermediate")
    left = instant(certificate["status"]["renewalTime"]) - machine.true.now()
    machine.live(left - timedelta(hours=1), every=left - timedelta(hours=1))
    assert machine.look()["registry"].state == "settled"
    machine.live(timedelta(hours=2))
    assert machine.look()["registry"].state == "renewal_due"
