"""What the status page says of a status: pure, without a browser."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.assessment import Reason, Verdict, WindowState
from certlag.model import Evidence, ObjectKey, ProbeFailure
from certlag.run_record import RunState, Step
from exporter.status import Status
from exporter.status_page.cards import cards
from exporter.status_page.health import Level, health
from exporter.status_page.render import Renderer
from exporter.status_page.view import MAX_CARDS, view
from exporter.status_page.words import FAILURES, REASONS, RUN_STATES, STATES, VERDICTS, moment, span
from runbook.check.advice import CheckReport, Commands, advise
from runbook.check.status import target_status
from tests.builders import KEY, a_target
from tests.field.record import case
from tests.page_scenes import NOW, Scene, many, renamed, running, seeing, status

BLIND = seeing(silent=timedelta(minutes=20), failure=True)
SETTLED = Scene(presents=("second",))
LATE = NOW + timedelta(days=40)


class Text(HTMLParser):
    """The text of some HTML, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def page(shown: Status) -> str:
    """The page of a status, by a renderer that has rendered none before."""
    return Renderer().page(shown)


# --- what is said in big ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "level", "says"),
    [
        (status(SETTLED), "good", "Nothing to do"),
        (status(Scene()), "warning", "Restart build-service by Sat 30 May 2026"),
        (status(Scene(), now=NOW + timedelta(days=18)), "critical", "Restart build-service by Sat 30 May 2026"),
        (status(Scene(), Scene("api")), "warning", "2 restarts needed"),
        (status(Scene(revision=1), now=LATE), "critical", "build-service presents an expired certificate"),
        (status(Scene(), now=LATE), "critical", "Restart build-service now: it presents an expired certificate"),
        (status(Scene(), Scene("api"), now=LATE), "critical", "2 expired certificates are presented"),
        (
            status(Scene(revision=1), Scene("api", run=running(LATE)), now=LATE),
            "critical",
            "build-service presents an expired certificate",
        ),
        (status(Scene(revision=1)), "unknown", "No restart needed"),
        (status(Scene(run=running())), "busy", "build-service: draining the workers"),
        (status(Scene(run=running(step=Step.VERIFIED))), "busy", "build-service: putting the workers back"),
        (status(Scene(run=running(outcome="x"))), "critical", "build-service: a run was left unfinished"),
        (status(SETTLED, watches=BLIND), "critical", "Monitoring is down"),
        (replace(status(SETTLED), ready=False), "waiting", "Looking for the first time"),
        (status(), "waiting", "Nothing is watched yet"),
    ],
)
def test_the_most_important_is_said_in_big(shown: Status, level: str, says: str) -> None:
    headline = view(shown).headline
    assert (headline.level, headline.text) == (level, says)


def test_what_else_there_is_is_counted_below_it() -> None:
    shown = view(
        status(Scene(), Scene("vault", revision=1), Scene("cache", (None,)), replace(SETTLED, name="registry"))
    )
    assert shown.headline.detail == "In 20 days: Sat 30 May 2026, 00:00 UTC. Also: 1 renewal overdue, 1 unknown."
    assert [(count.count, count.words) for count in shown.counts] == [
        (1, "needs restart"),
        (1, "renewal overdue"),
        (1, "unknown"),
        (1, "nothing to do"),
    ]


def test_nothing_to_do_says_what_comes_next() -> None:
    detail = view(status(SETTLED)).headline.detail
    assert "The only workload presents the certificate that was issued." in detail
    assert "Next renewal: build-service, Mon 29 Jun 2026, in 50 days." in detail


# --- cards ----------------------------------------------------------------------------------------


def test_problems_come_first_the_most_urgent_before_all() -> None:
    shown = status(
        replace(SETTLED, name="a"),
        Scene("b", (None,)),
        Scene("c"),
        Scene("d", run=running()),
        Scene("e", run=running(outcome="restart_failed")),
    )
    assert [card.name for card in cards(shown)] == ["e", "d", "c", "b", "a"]
    assert [card.is_problem for card in cards(shown)] == [True, True, True, True, False]


@pytest.mark.thorough
def test_more_workloads_than_anybody_reads_are_left_out_and_counted() -> None:
    shown = view(status(*many(MAX_CARDS + 5)))
    assert (len(shown.cards), shown.left_out) == (MAX_CARDS, 5)
    assert shown.cards[0].needs_restart


def test_a_target_that_does_not_exist_has_a_card() -> None:
    (card,) = cards(status(Scene(found=False)))
    assert (card.state, card.uses) == ("Not found", ())
    assert "does not exist" in card.advice.text


def test_a_run_without_a_sign_of_life_is_a_problem_with_a_command() -> None:
    (card,) = cards(status(Scene(run=running(), heartbeat=timedelta(minutes=9))))
    assert card.state == "Draining the workers: no sign of life for 9 minutes"
    assert card.advice.commands == ("runbook resume-build-service -n opschain",)


def test_a_run_of_which_no_heartbeat_was_seen_is_given_time_to_show_one() -> None:
    for awaited, state in ((20, "Draining the workers"), (120, "Draining the workers: no sign of life seen yet")):
        (card,) = cards(status(Scene(run=running(), heartbeat=None, awaited=timedelta(seconds=awaited))))
        assert card.state == state


def test_a_run_that_was_left_says_how_it_ended_and_both_ways_on() -> None:
    (card,) = cards(status(Scene(run=running(outcome="restart_failed"))))
    assert card.run is not None
    assert (card.run.heading, card.run.heartbeat) == ("Run left unfinished", "ended: restart failed")
    assert card.advice.commands == tuple(f"runbook {verb}-build-service -n opschain" for verb in ("resume", "abort"))


def test_a_run_shows_its_parts_and_how_long_each_took() -> None:
    begun = NOW - timedelta(minutes=31)
    steps = ((Step.DRAINED, begun + timedelta(minutes=30)), (Step.RESTARTED, begun + timedelta(minutes=30, seconds=7)))
    run = running(step=Step.RESTARTED, begun_at=begun, steps=steps)
    (card,) = cards(status(Scene(run=run)))
    assert card.run is not None
    assert [(part.name, part.progress, part.lasted) for part in card.run.parts] == [
        ("Drain", "done", "30 minutes"),
        ("Restart", "done", "7.0 s"),
        ("Verify", "now", ""),
        ("Put back", "next", ""),
    ]
    assert [(worker.workload, worker.current, worker.expected) for worker in card.run.workers] == [
        ("deployment/worker", "0", 3)
    ]


def test_a_worker_that_started_before_the_renewal_is_no_problem() -> None:
    shown = status(Scene())
    (worker,), (assessment,) = shown.targets[0].target.workers, shown.certificates
    use = replace(
        assessment.uses[0],
        workload=worker,
        target="",
        evidence=Evidence.START_TIME,
        needs_restart=None,
        deadline=None,
        pods=(),
    )
    both = (assessment, replace(assessment, key=ObjectKey(KEY.namespace, "worker"), uses=(use,)))
    (card,) = (card for card in cards(replace(shown, certificates=both)) if card.name == "worker")
    assert not card.is_problem
    assert (
        card.advice.text
        == "A worker of build-service, so a client: the drained restart of build-service renews it as well."
    )


@pytest.mark.parametrize("presents", [("first",), ("second",), ("first", "second"), (None,), (), ("first", None)])
@pytest.mark.parametrize("revision", [1, 2])
@pytest.mark.parametrize("now", [NOW, LATE])
def test_the_page_and_the_runbook_advise_the_same(presents: tuple[str | None, ...], revision: int, now: Any) -> None:
    scene = Scene(KEY.name, presents, revision)
    (card,) = cards(status(scene, now=now))
    judged = scene.assessment(now)
    commands = Commands(*(f"runbook {verb}-build-service -n opschain" for verb in ("restart", "resume", "abort")))
    sighted = target_status(a_target(workload=scene.workload), {judged.key: judged}, now)
    advice = advise(CheckReport(sighted, scene.target(now), None, commands))
    assert card.advice.commands == advice.commands
    if advice.text != "Nothing to do":
        assert card.advice.text.rstrip(".").replace("See below", "See above") == advice.text


def test_a_certificate_that_nobody_uses_and_that_is_overdue_is_named() -> None:
    shown = status(Scene(revision=1))
    found = view(replace(shown, certificates=tuple(replace(each, uses=()) for each in shown.certificates)))
    assert [(each.name, each.ends.day) for each in found.unused_overdue] == [("build-service", "Sat 30 May 2026")]


# --- whether it can see ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "failure", "level"),
    [
        (timedelta(seconds=90), False, Level.CLEAR),
        (timedelta(seconds=10), True, Level.PARTLY),
        (timedelta(seconds=40), True, Level.DOWN),
        (timedelta(minutes=6), False, Level.DOWN),
    ],
)
def test_a_watch_that_was_silent_for_long_has_lost_contact(silent: timedelta, failure: bool, level: Level) -> None:  # noqa: FBT001
    assert health(status(SETTLED, watches=seeing(silent=silent, failure=failure))).level is level


@case(
    "W8",
    kind="Found by tests: wrong answers of the exporter",
    situation="A watch has read its list and has heard nothing since.",
    says="The page counts it as silent. Before: as in step with the API server.",
    found_by="test",
    since="2026-11-24",
)
def test_what_an_exporter_without_contact_does_not_see_is_named_with_its_reason() -> None:
    seen = health(status(SETTLED, watches=BLIND))
    assert seen.watches == "0 of 2 watches in step with the API server; the quietest was heard 20 minutes ago"
    assert [(watch.what, watch.why) for watch in seen.lost_watches] == [
        ("certificates in namespace opschain", "silent for 20 minutes: unreachable"),
        ("pods in namespace opschain", "silent for 20 minutes: unreachable"),
    ]


def test_an_exporter_none_of_whose_handshakes_succeeds_is_down() -> None:
    assert health(status(Scene("a", (None,)), Scene("b", (None,)))).level is Level.DOWN
    assert health(status(Scene("a", (None,)), SETTLED)).level is Level.PARTLY


# --- words ----------------------------------------------------------------------------------------


def test_everything_that_may_be_said_has_words() -> None:
    assert set(STATES) == set(WindowState)
    assert set(RUN_STATES) == set(RunState) - {RunState.IDLE}
    assert set(VERDICTS) == set(Verdict)
    assert set(REASONS) == set(Reason)
    assert set(FAILURES) == set(ProbeFailure)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59, milliseconds=900), "59 seconds"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(minutes=119), "119 minutes"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=729), "729 days"),
        (timedelta(days=3650), "10 years"),
    ],
)
def test_a_span_is_said_in_its_largest_sensible_unit(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_an_instant_is_said_in_utc_and_from_here() -> None:
    said = moment(NOW + timedelta(days=3), NOW)
    assert (said.iso, said.date, said.words) == ("2026-05-13T00:00:00Z", "Wed 13 May 2026, 00:00 UTC", "in 3 days")


# --- the timeline ---------------------------------------------------------------------------------


@given(days=st.integers(-60, 200), revision=st.sampled_from([1, 2]), presents=st.sampled_from(["first", "second"]))
def test_today_and_the_parts_stay_on_the_line(days: int, revision: int, presents: str) -> None:
    now = NOW + timedelta(days=days)
    (card,) = cards(status(Scene(presents=(presents,), revision=revision), now=now))
    line = card.uses[0].timeline
    assert line is not None
    assert 0 <= line.turn <= line.end <= 100
    assert 0 <= line.today <= 100


def test_a_stale_pods_line_goes_from_its_issue_over_the_renewal_to_the_deadline() -> None:
    (card,) = cards(status(Scene(presents=("second", "first"))))
    line = card.uses[0].timeline
    assert line is not None
    assert [(mark.label, mark.at.day) for mark in line.marks] == [
        ("Issued", "Sun 1 Mar 2026"),
        ("Renewed", "Thu 30 Apr 2026"),
        ("Deadline", "Sat 30 May 2026"),
    ]
    assert (line.turn, line.today, line.end) == (66.7, 77.8, 100.0)


# --- the HTML -------------------------------------------------------------------------------------


def test_the_page_stays_the_same_until_a_word_changes() -> None:
    first, soon, next_minute = (
        page(status(Scene(), Scene("api", ("second",)), now=NOW + timedelta(seconds=seconds)))
        for seconds in (5, 50, 65)
    )
    assert first == soon
    assert first != next_minute


@pytest.mark.parametrize(("problems", "opened"), [(12, 12), (13, 0)])
def test_pods_are_shown_at_once_unless_there_are_many_problems(problems: int, opened: int) -> None:
    shown = page(status(*(Scene(f"stale-{number}") for number in range(problems)), SETTLED))
    assert [tag for tag in Text(shown).tags if tag == ("details", {"open": None})] == [
        ("details", {"open": None})
    ] * opened


def test_nothing_on_the_page_needs_an_exception_from_its_policy() -> None:
    html = page(status(Scene(run=running()), *many(200), watches=BLIND))
    for tag, attributes in Text(html).tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script":
            assert attributes["src"]
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or re.fullmatch(r"#?[a-z][a-z0-9/.-]*", address), "relative, and nobody else's"


@pytest.mark.fault("H2")
@given(st.text(min_size=1, max_size=40).filter(lambda text: not set(text) & {"\r", "\x00"}))
@pytest.mark.thorough
def test_any_name_is_text(name: str) -> None:
    plain = status(Scene())
    parsed = Text(page(renamed(plain, ("name", "namespace", "container", "target"), name)))
    assert name in "".join(parsed.found)
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in Text(page(plain)).tags]
