"""The engine against a cluster in memory: every fault at every effect of a run.

A crash before and after, a lost answer, somebody else's write, a laptop that slept, a take-over, Ctrl-C, a contest.
After each, what is so in the cluster is held against the promises, and what an operator would do next must reach the
same end.
"""

from typing import Any

import pytest

from runbook.effects import AfterInterrupt, Change, Confirm, Effect, Wait
from runbook.events import Notice
from runbook.guard.fence import workload_path
from runbook.kube.views import RESTART_ANNOTATION
from runbook.outcomes import Outcome
from runbook.run.engine import AFTER_REQUEST, WHILE_DRAINING, Ending
from tests.disturbed_run import (
    EFFECTS,
    POINTS,
    Share,
    after,
    assert_clean,
    assert_done,
    assert_told,
    forbidden,
    interrupted,
    killed_after,
    killed_before,
    lost_answer,
    lost_request,
    named,
    point,
    restart,
    unavailable,
    unlisted_while_draining,
    unsteady,
    writing,
)
from tests.figures import Figures
from tests.memory_cluster import (
    EVENTS,
    REPLICAS,
    SCALED_OBJECT,
    TARGET,
    WORKERS,
    Driver,
    Fault,
    Killed,
    MemoryCluster,
    engine,
    finish,
)

SAMPLE = Share(20)
EVERYWHERE = pytest.mark.parametrize(
    "share", [pytest.param(SAMPLE, id="sample"), pytest.param(Share(), id="all", marks=pytest.mark.proof)]
)
"""A few points of the matrix, drawn, and all of them in `make proof`; going on after a crash is in each CI run tried
at every effect.
"""
CRASHES = (killed_before, killed_after)
UNCHANGED = {Outcome.UNEXPECTED, Outcome.INTERRUPTED, Outcome.CONTESTED}
"""How a run can end that was disturbed before it changed anything that matters."""


# --- nothing disturbs it ----------------------------------------------------------------------------------


def test_a_run_drains_restarts_verifies_and_puts_everything_back(figures: Figures) -> None:
    cluster = MemoryCluster()
    ending = restart(cluster)
    assert_done(cluster, ending)
    assert cluster.restarts == 1
    figures(f"an undisturbed run asks for {len(EFFECTS)} effects, {sum(isinstance(e, Change) for e in EFFECTS)} writes")


def test_the_lock_comes_before_the_fence_and_the_fence_before_the_record() -> None:
    lock, fence, record, scale = map(writing, ("create certlag-", "fence ", "create the record", "scale "))
    assert lock < fence < record < scale


def test_a_finished_run_stays_in_the_record_with_how_long_each_step_took() -> None:
    cluster = MemoryCluster()
    ending = restart(cluster)
    past = cluster.record.finished[-1]
    assert (past.id, past.outcome, past.operator.user) == ("run-1", Outcome.DONE, "ann")
    assert dict(past.seconds)["drained"] > 0
    assert ending.seconds == past.seconds


def test_describe_tells_the_story_on_every_workload() -> None:
    cluster = MemoryCluster()
    restart(cluster)
    told = [(event["involvedObject"]["name"], event["reason"]) for event in cluster.api.list(EVENTS)]
    story = ["RunStarted", "WorkersScaledDown", "RestartAsked", "CertificateVerified", "WorkersScaledUp", "RunFinished"]
    for workload in (TARGET.workload, *WORKERS):
        assert [reason for name, reason in told if name == workload.name] == story


def test_the_restart_says_why_in_the_rollout_history() -> None:
    cluster = MemoryCluster()
    restart(cluster)
    deployment = cluster.workload(TARGET.workload)
    template = deployment["spec"]["template"]["metadata"]["annotations"]
    assert deployment["metadata"]["annotations"]["kubernetes.io/change-cause"].startswith("certlag run run-1 by ann")
    assert template["certlag.dev/certificate-revision"] == "2"
    assert template[RESTART_ANNOTATION] == "run-1-1"


def test_an_event_that_may_not_be_written_is_only_a_remark() -> None:
    cluster = MemoryCluster()
    events = {number: forbidden for number, effect in enumerate(EFFECTS) if is_event(effect)}
    driver = Driver(cluster, events)
    assert_done(cluster, driver.drive(engine(cluster).restart()))
    assert any(isinstance(event, Notice) and "no Event" in event.text for event in driver.told)


def is_event(effect: Effect) -> bool:
    return isinstance(effect, Change) and effect.path == EVENTS


# --- R11: a crash before and after every effect -----------------------------------------------------------


@pytest.mark.promise("P1", "P7")
def test_r11_after_a_crash_going_on_reaches_the_same_end(figures: Figures) -> None:
    chosen = SAMPLE.of(POINTS, CRASHES)
    for number, crash in chosen:
        crash_and_go_on(number, crash)
    figures(f"{len(chosen)} of {len(CRASHES) * len(POINTS)} crash points ({SAMPLE})")


@pytest.mark.thorough
@pytest.mark.fault("F37")
@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.promise("P1", "P7")
def test_r11_after_a_crash_at_any_effect_going_on_reaches_the_same_end(crash: Fault, figures: Figures) -> None:
    for number in POINTS:
        crash_and_go_on(number, crash)
    figures(f"{len(POINTS)} crash points, {crash.__name__}: replica counts lost: 0")


def crash_and_go_on(number: int, crash: Fault) -> None:
    with named(number, crash):
        cluster = MemoryCluster()
        with pytest.raises(Killed):
            restart(cluster, number, crash)
        was_done = bool(cluster.record.finished)
        cluster.sleep(60)  # until somebody has seen it; what was asked for goes on meanwhile
        assert_done(cluster, finish(cluster))
        assert cluster.restarts == 1 + was_done, "restarted twice"


@pytest.mark.thorough
def test_r11_a_resumed_run_that_crashes_too_is_resumed_again(figures: Figures) -> None:
    pairs = [(first, second) for first in POINTS[::13] for second in range(0, 120, 11)]
    for first, second in pairs:
        with named(first):
            cluster = MemoryCluster()
            with pytest.raises(Killed):
                restart(cluster, first, killed_after)
            if cluster.record.finished:
                continue
            again = engine(cluster, "run-2")
            steps = again.restart() if cluster.record.run is None else again.resume()
            try:
                Driver(cluster, {second: killed_after}).drive(steps)
            except Killed:
                if cluster.record.run is not None or not cluster.record.finished:
                    assert_done(cluster, finish(cluster))
            assert cluster.status().verified
            assert cluster.replicas() == REPLICAS
            assert cluster.restarts == 1
    figures(f"{len(pairs)} pairs of crashes")


@pytest.mark.fault("F37")
@EVERYWHERE
@pytest.mark.promise("P3")
def test_after_a_crash_at_any_effect_abort_puts_the_workers_back(share: Share, figures: Figures) -> None:
    """The cluster itself checks that they are not put back while a restart goes on."""
    aborted = 0
    for number, crash in share.of(POINTS, CRASHES):
        with named(number, crash):
            cluster = MemoryCluster()
            with pytest.raises(Killed):
                restart(cluster, number, crash)
            if cluster.record.run is None:
                continue
            ending = Driver(cluster).drive(engine(cluster, "run-2").abort())
            assert ending.outcome in (Outcome.ABORTED, Outcome.DONE)
            assert_clean(cluster)
            aborted += 1
    assert aborted > 0
    figures(f"{aborted} crash points, then abort ({share})")


# --- R7, R9: requests that fail ------------------------------------------------------------------------------


@EVERYWHERE
def test_r7_a_request_that_fails_once_anywhere_costs_nothing_but_time(share: Share, figures: Figures) -> None:
    """Reads and writes alike, from the lock on."""
    requests = [number for number in POINTS if not isinstance(EFFECTS[number], Wait)]
    chosen = share.of(requests, (lost_answer, lost_request, unavailable, forbidden))
    for number, fails in chosen:
        with named(number, fails):
            cluster = MemoryCluster()
            ending = restart(cluster, number, fails)
            assert ending.outcome is Outcome.DONE
            assert cluster.restarts == 1
            assert cluster.status().verified
            assert cluster.replicas() == REPLICAS
            assert cluster.record.run is None
    figures(f"{len(chosen)} requests that failed in one of four ways ({share})")


@pytest.mark.fault("F41")
@pytest.mark.promise("P2")
def test_r7_an_api_server_that_refuses_during_the_drain_is_never_no_pods() -> None:
    cluster = MemoryCluster()
    looking = point(lambda effect: isinstance(effect, Wait), after=1)
    refusals = dict.fromkeys(range(looking, looking + 60), forbidden)
    driver = Driver(cluster, refusals)
    assert_done(cluster, driver.drive(engine(cluster).restart()))
    assert any(isinstance(event, Notice) and "nothing is concluded" in event.text for event in driver.told)


# --- somebody else writes ------------------------------------------------------------------------------------


@EVERYWHERE
def test_a_harmless_write_of_others_between_any_two_requests_changes_nothing(share: Share, figures: Figures) -> None:
    chosen = share.of(POINTS, (TARGET.workload, WORKERS[0]))
    for number, workload in chosen:
        with named(number, workload.name):
            cluster = MemoryCluster()
            label = {"metadata": {"labels": {"seen-by": "somebody"}}}
            ending = restart(cluster, number, after(cluster.api.edit, workload_path(workload), label))
            assert_done(cluster, ending)
            assert cluster.restarts == 1
            assert cluster.workload(workload)["metadata"]["labels"] == {"seen-by": "somebody"}
    figures(f"{len(chosen)} foreign writes on the target or a worker ({share})")


@EVERYWHERE
def test_a_write_to_the_paused_autoscaler_at_any_time_is_kept(share: Share) -> None:
    for (number,) in share.of(POINTS):
        with named(number):
            cluster = MemoryCluster()
            theirs = {"metadata": {"annotations": {"theirs": "stays"}}}
            ending = restart(cluster, number, after(cluster.api.edit, SCALED_OBJECT, theirs))
            assert ending.outcome is Outcome.DONE
            assert cluster.api.documents[SCALED_OBJECT]["metadata"]["annotations"] == {
                "mine": "stays",
                "theirs": "stays",
            }


# --- contests: R16, R17 ------------------------------------------------------------------------------------


def scaled_up(cluster: MemoryCluster) -> None:
    cluster.api.edit(workload_path(WORKERS[0]), {"spec": {"replicas": 5}}, manager="hpa")


def reverted(cluster: MemoryCluster) -> None:
    annotations = {RESTART_ANNOTATION: None, "kubectl.kubernetes.io/restartedAt": "2020-01-01T00:00:00+00:00"}
    template = {"template": {"metadata": {"annotations": annotations}}}
    cluster.api.edit(workload_path(TARGET.workload), {"spec": template}, manager="gitops")


def target_deleted(cluster: MemoryCluster) -> None:
    cluster.api.delete(workload_path(TARGET.workload))


def worker_deleted(cluster: MemoryCluster) -> None:
    cluster.api.delete(workload_path(WORKERS[0]))


def worker_recreated(cluster: MemoryCluster) -> None:
    document = cluster.workload(WORKERS[0])
    cluster.api.put(workload_path(WORKERS[0]), {"metadata": {}, "spec": {**document["spec"], "replicas": 2}})


def unfenced(cluster: MemoryCluster) -> None:
    cluster.api.edit(workload_path(WORKERS[0]), {"metadata": {"annotations": {"certlag.dev/run": None}}})


CONTESTS = [scaled_up, reverted, target_deleted, worker_deleted, worker_recreated, unfenced]


@pytest.mark.fault("F39")
@EVERYWHERE
@pytest.mark.promise("P6", "verifying: contested")
def test_a_contest_at_any_effect_makes_nothing_worse(share: Share, figures: Figures) -> None:
    """Never restarted with a worker alive (the cluster checks), and whatever is left is said."""
    stopped = dict.fromkeys(CONTESTS, 0)
    chosen = share.of(POINTS, CONTESTS)
    for number, contested in chosen:
        with named(number, contested):
            cluster = MemoryCluster()
            ending = restart(cluster, number, after(contested, cluster))
            there = {worker: count for worker, count in REPLICAS.items() if worker in cluster.replicas()}
            if ending.outcome is Outcome.DONE:
                assert cluster.record.run is None
            elif ending.run is not None:
                assert cluster.record.run is not None
                assert cluster.record.run.ended is ending.outcome
                stopped[contested] += ending.outcome is Outcome.CONTESTED
            else:
                assert ending.outcome in {*UNCHANGED, Outcome.REFUSED}
                found = cluster.replicas()
                assert all(found[worker] in (count, 5) for worker, count in there.items()), "left drained, unsaid"
    assert share.size or all(stopped.values()), stopped
    figures(f"{len(chosen)} contests ({share}), stopped as contested {sum(stopped.values())} times")


@EVERYWHERE
def test_after_a_contest_at_any_effect_whoever_resumes_knows_and_reaches_the_end(share: Share) -> None:
    for number, contested in share.of(POINTS, (scaled_up, reverted, unfenced)):
        with named(number, contested):
            cluster = MemoryCluster()
            if restart(cluster, number, after(contested, cluster)).run is None:
                continue
            ending = finish(cluster)
            assert ending.outcome is Outcome.DONE, ending
            assert cluster.status().verified
            assert cluster.record.run is None
            assert all(count > 0 for count in cluster.replicas().values())


@EVERYWHERE
@pytest.mark.promise("P3")
def test_after_a_contest_at_any_effect_abort_brings_the_workers_back(share: Share) -> None:
    for number, contested in share.of(POINTS, (scaled_up, reverted, unfenced, worker_recreated)):
        with named(number, contested):
            cluster = MemoryCluster()
            if restart(cluster, number, after(contested, cluster)).run is None:
                continue
            ending = Driver(cluster).drive(engine(cluster, "run-2").abort())
            assert ending.outcome in (Outcome.ABORTED, Outcome.DONE), ending
            assert cluster.record.run is None
            assert all(count > 0 for count in cluster.replicas().values())


@pytest.mark.promise("P6", "restarting: contested")
def test_r17_a_reverted_restart_is_contested_with_who_and_when() -> None:
    cluster = MemoryCluster()
    rolling = writing("event RestartAsked") + 3
    ending = restart(cluster, rolling, after(reverted, cluster))
    assert ending.outcome is Outcome.CONTESTED
    assert "the restart was reverted or superseded, by gitops (Update) at 2026-06-01 12:00:00Z" in ending.message
    assert set(cluster.replicas().values()) == {0}, "left drained, under the record"
    assert ending.run is not None


@pytest.mark.promise("P6", "draining: contested")
def test_r16_workers_scaled_up_during_the_drain_are_contested_with_who_and_when() -> None:
    cluster = MemoryCluster()
    draining = point(lambda effect: isinstance(effect, Wait))
    ending = restart(cluster, draining, after(scaled_up, cluster))
    assert ending.outcome is Outcome.CONTESTED
    assert "was scaled to 5 during the drain, by hpa" in ending.message
    assert cluster.restarts == 0
    assert cluster.replicas()[WORKERS[0]] == 5, "what somebody wants is left alone"


# --- a laptop that slept --------------------------------------------------------------------------------------


@pytest.mark.fault("F22", "R11")
@EVERYWHERE
@pytest.mark.promise("P7")
def test_two_hours_of_suspend_at_any_effect_change_nothing(share: Share, figures: Figures) -> None:
    chosen = share.of(POINTS)
    for (number,) in chosen:
        with named(number):
            cluster = MemoryCluster()
            assert_done(cluster, restart(cluster, number, after(cluster.sleep, 7200)))
            assert cluster.restarts == 1
    figures(f"{len(chosen)} of {len(POINTS)} points at which the laptop slept for two hours ({share})")


def test_a_laptop_that_wakes_up_late_and_with_an_unsteady_network_looks_before_it_gives_up() -> None:
    """The drain's time is over, and its first requests fail: that is no answer, and the drain was done long ago."""
    cluster = MemoryCluster()
    asleep = point(lambda effect: isinstance(effect, Wait))
    at: dict[int, Fault] = dict.fromkeys(range(asleep + 1, asleep + 9), unsteady)
    at[asleep] = after(cluster.sleep, 7200)
    assert_done(cluster, Driver(cluster, at).drive(engine(cluster).restart()))


@pytest.mark.promise("draining: not known")
def test_r7_a_drain_of_which_nothing_can_be_seen_is_given_up_at_its_deadline() -> None:
    cluster = MemoryCluster()
    forever = dict.fromkeys(range(10_000), unlisted_while_draining(cluster))
    ending = Driver(cluster, forever).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.DRAIN_TIMED_OUT
    assert "not known: forbidden" in ending.message
    assert cluster.restarts == 0


# --- R13: a take-over -----------------------------------------------------------------------------------------


def take_over(cluster: MemoryCluster, way: str, left: dict[str, Any]) -> None:
    """Go on with an open run as another process; `left` gets what the cluster is like afterwards."""
    if cluster.record.run is not None:
        other = engine(cluster, "run-2", dead=False)
        Driver(cluster).drive(other.resume() if way == "resume" else other.abort())
        left.update(cluster.api.documents)


@EVERYWHERE
@pytest.mark.promise("P4")
def test_r13_after_a_take_over_at_any_effect_the_old_holder_changes_nothing(share: Share, figures: Figures) -> None:
    """It is stopped, another takes over and goes on to its end; then it wakes up, and its next request is sent."""
    taken = 0
    for number, way in share.of(POINTS, ("resume", "abort")):
        with named(number, way):
            cluster = MemoryCluster()
            left: dict[str, Any] = {}
            ending = restart(cluster, number, after(take_over, cluster, way, left))
            if not left:
                continue
            taken += 1
            now = cluster.api.documents
            changed = {path for path in now if now[path] != left.get(path) and not path.startswith(EVENTS)}
            moved = {path for path in changed if "/pods" not in path and "/replicasets" not in path}
            assert moved == set(), "the old holder has changed something"
            if cluster.restarts and way == "resume":
                assert cluster.restarts == 1
            assert cluster.replicas() == REPLICAS
            if ending.outcome is not Outcome.DONE:
                assert ending.outcome is Outcome.LOCKED, ending
    assert taken > 0
    figures(f"{taken} take-overs by resume or abort ({share})")


def second_run(cluster: MemoryCluster, endings: list[Ending]) -> None:
    """Start a run of another operator, without --take-over."""
    other = engine(cluster, "run-2", dead=False, may_take_over=False, holder="bob@desk/machine/run-2")
    endings.append(Driver(cluster).drive(other.restart()))


@pytest.mark.fault("F38")
@EVERYWHERE
@pytest.mark.promise("P4")
def test_r12_a_second_run_is_refused_while_the_first_one_holds_the_lock(share: Share, figures: Figures) -> None:
    """Anyone who renews is seen to be alive: the second watches for up to 60 s, the first goes on."""
    refused, chosen = 0, share.of(POINTS)
    for (number,) in chosen:
        with named(number):
            cluster = MemoryCluster()
            endings: list[Ending] = []
            ending = restart(cluster, number, after(second_run, cluster, endings))
            if cluster.restarts == 1 and endings[0].outcome is Outcome.LOCKED:
                refused += 1
                assert "is held by ann@laptop/machine/run-1 since" in endings[0].message
            assert {ending.outcome, endings[0].outcome} <= {Outcome.DONE, Outcome.LOCKED, Outcome.UNEXPECTED}
            assert Outcome.DONE in (ending.outcome, endings[0].outcome)
            assert cluster.replicas() == REPLICAS
            assert cluster.record.run is None
    assert refused > 0
    figures(f"a second run at {len(chosen)} of {len(POINTS)} points ({share}), refused {refused} times")


# --- Ctrl-C ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("R11")
@EVERYWHERE
@pytest.mark.promise("P3", "verifying: abort", "restoring: abort")
def test_ctrl_c_at_any_effect_ends_as_the_table_says(share: Share, figures: Figures) -> None:
    """Asked what to do, somebody waits, restores or leaves; where nobody is there, it is left."""
    outcomes: dict[Outcome, int] = {}
    for number, says in share.of(POINTS, tuple(AfterInterrupt)):
        with named(number, says):
            cluster = MemoryCluster()
            ending = restart(cluster, number, interrupted, says=says)
            outcomes[ending.outcome] = outcomes.get(ending.outcome, 0) + 1
            assert_told(cluster, ending)
            assert cluster.held() == set(), "the lock is released"
            assert ending.outcome in (Outcome.INTERRUPTED, Outcome.DONE)
            if ending.outcome is Outcome.DONE or says is not AfterInterrupt.LEAVE:
                assert cluster.replicas() == REPLICAS
                assert cluster.record.run is None
            if number < writing("scale ") - 1:
                assert (ending.outcome, ending.run, cluster.restarts) == (Outcome.INTERRUPTED, None, 0)
            if number >= writing("scale deployment/worker-a from 0"):
                assert ending.outcome is Outcome.DONE, "restoring goes on"
            if ending.run is not None:
                assert_done(cluster, finish(cluster))
    figures(f"{share}: " + ", ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items())))


@pytest.mark.parametrize("of", ["certlag-deployment-build-service", "certlag-deployment-worker-b"])
def test_ctrl_c_while_the_lock_is_given_back_changes_no_ending(of: str) -> None:
    cluster = MemoryCluster()
    assert_done(cluster, restart(cluster, writing(f"release Lease {of}"), interrupted))


@pytest.mark.promise("P9", "before the drain: abort")
def test_ctrl_c_before_the_drain_leaves_nothing_behind() -> None:
    cluster = MemoryCluster()
    ending = restart(cluster, writing("pause "), interrupted)
    assert ending.outcome is Outcome.INTERRUPTED
    assert "nothing was changed" in ending.message
    assert_clean(cluster)


@pytest.mark.promise("draining: abort")
def test_ctrl_c_during_the_drain_asks_and_puts_the_workers_back_without_a_restart() -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, {point(lambda effect: isinstance(effect, Wait)): interrupted}, says=AfterInterrupt.RESTORE)
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.INTERRUPTED
    assert [e.choices for e in driver.effects if isinstance(e, Confirm)] == [WHILE_DRAINING]
    assert cluster.restarts == 0
    assert_clean(cluster)


def test_ctrl_c_during_the_drain_and_wait_changes_nothing() -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, {point(lambda effect: isinstance(effect, Wait)): interrupted}, says=AfterInterrupt.WAIT)
    assert_done(cluster, driver.drive(engine(cluster).restart()))
    assert len([effect for effect in driver.effects if isinstance(effect, Confirm)]) == 1


@pytest.mark.parametrize("number", [writing("restart ") + 1, writing("event RestartAsked")])
@pytest.mark.promise("restarting: abort")
def test_ctrl_c_once_the_restart_was_asked_for_waits_for_it_and_then_puts_the_workers_back(number: int) -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, {number: interrupted}, says=AfterInterrupt.RESTORE)
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.INTERRUPTED
    assert [effect.choices for effect in driver.effects if isinstance(effect, Confirm)] == [AFTER_REQUEST]
    assert cluster.restarts == 1
    assert cluster.status().verified
    assert_clean(cluster)


def test_ctrl_c_where_nobody_can_be_asked_leaves_the_run_under_its_record() -> None:
    cluster = MemoryCluster()
    ending = restart(cluster, point(lambda effect: isinstance(effect, Wait)), interrupted)
    assert (ending.outcome, cluster.replicas()) == (Outcome.INTERRUPTED, dict.fromkeys(WORKERS, 0))
    assert ending.run is not None
