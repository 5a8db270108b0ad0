"""Answers of a real API server that a proxy cut, slowed down, re-chunked, filled with garbage or let fall silent.

One exporter each, with real certificates. While it lasts every scrape is held against what is true, and certificates
are renewed: either they are seen anyway, or the watches tell of the trouble. Once it is over all is true again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from certlag.kube.client import READ_TIMEOUT
from certlag.kube.reflector import CUT_AFTER
from tests.answer_body import AS_IT_CAME, Body
from tests.api_proxy import Answer, Pass, Reaction, Request, every_watch_expired_once, let_pass
from tests.bench import waiting
from tests.figures import Figures
from tests.metrics import Metrics, Sample
from tests.test_stories.watched_population import WatchedPopulation, watched_population

pytestmark = pytest.mark.small_bench

MEANWHILE_WITHIN = 30.0
"""Six events of one watch, each after a wait of at most 0.8 s or at 6 KiB/s."""
RECOVERS_WITHIN = 60.0
"""Two waits of the watches' longest."""
OUT_OF_CONTACT = 4.0
"""Seconds without a word."""
IDLE = CUT_AFTER + 1
GARBAGE = b'{"type":"ADDED","object":{"metadata":\xff\n'


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedPopulation]:
    """One for all tests of this module: each goes on from the truth as it stands."""
    with watched_population(tmp_path_factory.mktemp("population")) as made:
        yield made


# --- what tells of trouble ------------------------------------------------------------------------


def out_of_step(metrics: Metrics) -> bool:
    """No watch says that it is in step."""
    return {each.value for each in metrics.all("certlag_watch_synced")} == {0.0}


def contacts(metrics: Metrics) -> list[float]:
    """When each watch has heard something last."""
    return [each.value for each in metrics.all("certlag_watch_last_contact_timestamp_seconds")]


def out_of_contact(metrics: Metrics) -> bool:
    """No watch has heard anything for seconds."""
    last = contacts(metrics)
    return bool(last) and time.time() - max(last) > OUT_OF_CONTACT


def watches(metrics: Metrics) -> int:
    """How many there are."""
    return sum(1 for _ in metrics.all("certlag_watch_synced"))


def errors(metrics: Metrics, reason: str) -> float:
    """How often watches failed so."""
    return sum(each.value for each in metrics.all("certlag_watch_errors_total", reason=reason))


def failing(metrics: Metrics, reason: str) -> bool:
    """Some watch has failed so, and more than once."""
    return errors(metrics, reason) > 1


# --- what is done to answers ----------------------------------------------------------------------


@dataclass(frozen=True)
class Treatment:
    """How bodies of lists and of watches arrive, and how that shows."""

    watches: Body = AS_IT_CAME
    lists: Body | None = None
    """Not None: everything is listed again, so."""
    sees: bool = True
    """Whether renewals are seen while it lasts."""
    told: Callable[[Metrics], bool] | None = None
    """Holds soon, and tells of it; None: there is no trouble."""
    cut: bool = False
    """Whether what is open is cut once it is over, as nobody would otherwise hear of that for 75 s."""
    within: float = MEANWHILE_WITHIN
    """Seconds within which it is seen, or told."""


EACH_BYTE = Body(piece=1)
TREATMENTS = {
    "a chunk for each byte": Treatment(EACH_BYTE, EACH_BYTE, within=120),
    "slow drip": Treatment(Body(piece=64, pause=0.01)),
    "cut within a line": Treatment(Body(cut_within=2), told=partial(failing, reason="unreachable")),
    "lists cut in the middle": Treatment(lists=Body(cut_within=1), sees=False, told=out_of_step),
    "garbage between the lines": Treatment(Body(garbage=GARBAGE), told=partial(failing, reason="garbled")),
    "silence": Treatment(Body(silent_after=0), sees=False, told=out_of_contact, cut=True),
}


def treating(treatment: Treatment) -> Callable[[Request], Reaction]:
    """A rule for answers that pass."""

    def react(request: Request) -> Reaction:
        return Pass(treatment.watches if "watch" in request.query else treatment.lists or AS_IT_CAME)

    return react


@pytest.mark.fault("F1", "F7", "F8", "F9", "F10")
@pytest.mark.parametrize("treatment", TREATMENTS.values(), ids=TREATMENTS.keys())
def test_however_answers_arrive_nothing_wrong_is_said_and_trouble_shows(
    population: WatchedPopulation,
    tmp_path: Path,
    treatment: Treatment,
    figures: Figures,
    request: pytest.FixtureRequest,
) -> None:
    what = request.node.callspec.id
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        proxy.after = treating(treatment)
        proxy.before = let_pass if treatment.lists is None else every_watch_expired_once()
        proxy.cut()
        population.renew(2)
        meanwhile = "renewals not seen"
        if treatment.sees:
            meanwhile = f"renewals seen after {population.wait_true(exporter, treatment.within):.1f} s"
        if treatment.told is not None:
            exporter.wait("the watches to tell", treatment.told, treatment.within)
        if not treatment.sees:
            assert [*population.truth.wrong(exporter.metrics())], "it has seen what did not arrive"
        proxy.after = let_pass
        if treatment.cut:
            proxy.cut()
        population.renew(1)
        recovered = population.wait_true(exporter, RECOVERS_WITHIN)
        exporter.wait("the watches to be in step", in_step, RECOVERS_WITHIN)
    assert course.unanswered == 0
    figures(f"{what}: {meanwhile}; over → all true: {recovered:.1f} s; {course.scrapes} scrapes, wrong: 0")


def in_step(metrics: Metrics) -> bool:
    """Every watch says that it is in step, and has heard something of late."""
    return {each.value for each in metrics.all("certlag_watch_synced")} == {1.0} and not out_of_contact(metrics)


@pytest.mark.fault("F7")
@pytest.mark.proof
@pytest.mark.parametrize("body", [Body(silent_after=0), Body(bookmarks=False)], ids=["silence", "no bookmarks"])
def test_a_silence_is_cut_short_by_the_exporter_itself_and_nothing_is_listed_anew(
    population: WatchedPopulation, tmp_path: Path, body: Body, figures: Figures
) -> None:
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        number = watches(exporter.metrics())
        proxy.after = treating(Treatment(body))
        proxy.cut()
        began = len(proxy.requests)
        waiting.until("all to watch again", lambda: len(proxy.requests) >= began + number, 30)
        proxy.after = let_pass
        population.renew(1)
        metrics = exporter.wait("timeouts", lambda seen: errors(seen, "timeout") >= number - 2, READ_TIMEOUT + 15)
        recovered = population.wait_true(exporter, RECOVERS_WITHIN)
        relists = {each.value for each in metrics.all("certlag_watch_relists_total", reason="expired")}
    assert relists <= {0.0}
    figures(
        f"silent watches cut after {READ_TIMEOUT:g} s → all true: {recovered:.1f} s; {course.scrapes} scrapes, wrong: 0"
    )


def verdicts(metrics: Metrics) -> list[Sample]:
    """What is shown of certificates and their pods."""
    return [
        each for each in metrics.samples if "certificate" in each.labels and not each.name.startswith("certlag_probe")
    ]


@pytest.mark.fault("F15")
def test_rights_that_are_withdrawn_change_no_verdict_and_are_told_and_once_given_back_it_goes_on(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    def refuse(_: Request) -> Reaction:
        return Answer(403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "forbidden"})

    with population.behind_a_proxy(tmp_path) as (proxy, exporter, course):
        shown = verdicts(exporter.metrics())
        number = watches(exporter.metrics())
        proxy.before = refuse
        proxy.cut()
        population.renew(1)
        metrics = exporter.wait("all to tell", lambda seen: errors(seen, "forbidden") >= 2 * number, 30)
        assert verdicts(metrics) == shown
        assert {each.value for each in metrics.all("certlag_watch_synced")} == {1.0}, "it lists nothing again"
        proxy.before = let_pass
        recovered = population.wait_true(exporter, RECOVERS_WITHIN)
        exporter.wait("the watches to be in step", in_step, RECOVERS_WITHIN)
    assert course.unanswered == 0
    figures(f"403 to all watches: verdicts unchanged; rights back → all true: {recovered:.1f} s; wrong: 0")


@pytest.mark.fault("N11")
def test_quiet_watches_on_connections_that_are_cut_when_idle_are_in_contact(
    population: WatchedPopulation, tmp_path: Path, figures: Figures
) -> None:
    with population.behind_a_proxy(tmp_path) as (proxy, exporter, _):
        number = watches(exporter.metrics())
        proxy.idle = IDLE
        proxy.cut()
        waiting.until("each to be cut", lambda: errors(exporter.metrics(), "unreachable") >= 2 * number, IDLE + 10)
        cut = time.time()
        exporter.wait("each to be in contact", lambda seen: min(contacts(seen)) > cut, IDLE + 10)
        failed = errors(exporter.metrics(), "unreachable")
        heard = max(contacts(exporter.metrics()))
        metrics = exporter.wait("the next contact of each", lambda seen: min(contacts(seen)) > heard, IDLE + 10)
        population.renew(1)
        population.wait_true(exporter, RECOVERS_WITHIN)
    assert errors(metrics, "unreachable") == failed, "it was cut again"
    figures(f"idle connections cut after {IDLE:g} s → each watch in contact {heard - cut:.1f} s after the first cut")
