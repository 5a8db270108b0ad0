"""What the soak holds against an exporter: that it notices what is wrong, and nothing else."""

from datetime import UTC, datetime

from exporter.metrics.samples import NEEDS_RESTART
from exporter.metrics.text import Sample, render
from tests.benchmark.population import Population
from tests.metrics import Metrics
from tests.soak.truth import Truth, Watcher

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PLACE = ("team-000", "service-00000")


def verdict(value: int) -> Metrics:
    namespace, name = PLACE
    sample = Sample(NEEDS_RESTART, (namespace, "web", "deployment", name, ""), value)
    return Metrics.parse(render([NEEDS_RESTART], [sample]).decode())


def looking() -> tuple[Truth, Watcher]:
    truth = Truth.of(Population(1, 1, namespaces=1))
    return truth, Watcher(truth)


def test_a_restart_that_is_needed_before_there_was_a_renewal_is_wrong() -> None:
    _, watcher = looking()
    assert list(watcher.broken(verdict(0))) == []
    assert list(watcher.broken(verdict(1))) == [f"{PLACE} needs a restart, and was never renewed"]
    assert watcher.looked_at == 2


def test_settled_without_a_restart_is_wrong() -> None:
    truth, watcher = looking()
    truth.renew(truth.members[0])
    assert list(watcher.broken(verdict(1))) == []
    assert list(watcher.broken(verdict(0))) == [f"{PLACE} needs no restart any more, and nobody restarted it"]


def test_settled_by_a_restart_is_right_however_late_it_is_seen() -> None:
    truth, watcher = looking()
    truth.renew(truth.members[0])
    assert list(watcher.broken(verdict(1))) == []
    truth.restart(truth.members[0], 14001, NOW)
    truth.renew(truth.members[0])
    for value in (1, 1, 0, 1):  # it sees neither; the restart; the renewal too
        assert list(watcher.broken(verdict(value))) == []
    assert truth.needs_restart == {PLACE: 1.0}


def test_after_a_restart_and_another_renewal_it_may_not_settle_again_by_itself() -> None:
    truth, watcher = looking()
    truth.renew(truth.members[0])
    assert list(watcher.broken(verdict(1))) == []
    truth.restart(truth.members[0], 14001, NOW)
    assert list(watcher.broken(verdict(0))) == []
    truth.renew(truth.members[0])
    assert truth.needs_restart == {PLACE: 1.0}
    assert list(watcher.broken(verdict(1))) == []
    assert len(list(watcher.broken(verdict(0)))) == 1


def test_restarts_before_anything_was_looked_at_settle_nothing_later() -> None:
    truth, _ = looking()
    for _ in range(3):
        truth.renew(truth.members[0])
        truth.restart(truth.members[0], 14001, NOW)
    watcher = Watcher(truth)
    truth.renew(truth.members[0])
    assert list(watcher.broken(verdict(1))) == []
    assert list(watcher.broken(verdict(0))) == [f"{PLACE} needs no restart any more, and nobody restarted it"]
