"""The engine against a cluster in memory: every ending of the design's table, and what is left behind at each."""

from datetime import timedelta
from typing import Any

import pytest

from certlag.model import Evidence, Leaf, ProbeFailure, Workload
from certlag.run_record import Step
from runbook.effects import Change, Effect, EndSilence, Inspect, List, Silence, Wait
from runbook.events import LostWork, Notice, Progress
from runbook.guard.fence import workload_path
from runbook.guard.guarded_run import Limits
from runbook.outcomes import Outcome
from runbook.run import phases
from runbook.run.engine import Ending
from tests.builders import a_leaf, a_target
from tests.disturbed_run import (
    DENIAL,
    after,
    assert_clean,
    assert_done,
    assert_told,
    denied_for_ever,
    interrupted,
    killed_before,
    point,
    refused_for_ever,
    restart,
    writing,
)
from tests.field.record import case
from tests.memory_api import failure
from tests.memory_cluster import (
    LEASES,
    PODS,
    RECORD,
    REPLICA_SETS,
    REPLICAS,
    TARGET,
    WORKERS,
    Driver,
    Fault,
    Killed,
    MemoryCluster,
    Perform,
    engine,
    finish,
)

# --- too long, or the old certificate ---------------------------------------------------------------------------


@pytest.mark.promise("P3", "draining: timeout")
def test_r25_a_drain_that_is_not_over_in_time_puts_the_workers_back_without_a_restart() -> None:
    cluster = MemoryCluster(never_ending=True)
    ending = restart(cluster)
    assert ending.outcome is Outcome.DRAIN_TIMED_OUT
    assert "not drained in time: deployment/worker-a: 2 pods not ended" in ending.message
    assert cluster.restarts == 0
    assert_clean(cluster)


def test_r5_a_pod_that_never_ends_is_not_deleted_by_us_nor_counted_as_gone() -> None:
    cluster = MemoryCluster(never_ending=True)
    before = {pod["metadata"]["name"] for pod in cluster.pods(WORKERS[0])}
    restart(cluster)
    assert before <= {pod["metadata"]["name"] for pod in cluster.pods(WORKERS[0])}


@pytest.mark.fault("F40")
@pytest.mark.promise("P3", "restarting: timeout")
def test_r25_a_restart_that_is_not_over_in_time_leaves_the_workers_drained_under_the_record() -> None:
    cluster = MemoryCluster(never_ready=frozenset({"build-service"}))
    ending = restart(cluster)
    assert ending.outcome is Outcome.RESTART_FAILED
    assert ending.run is not None
    assert dict(cluster.replicas()) == dict.fromkeys(WORKERS, 0)
    cluster.never_ready = frozenset()
    assert_done(cluster, finish(cluster))
    assert cluster.restarts == 1, "it has only to be waited for"


def test_r22_a_pod_that_mounted_the_old_secret_is_restarted_once_more_while_still_drained() -> None:
    cluster = MemoryCluster(old_mounts=1)
    assert_done(cluster, restart(cluster))
    assert cluster.restarts == 2


def test_r20_two_restarts_at_one_instant_are_told_apart() -> None:
    """Time stands still: kubectl's annotation is the same in both, and would be no change (kubernetes PR #113040)."""
    cluster = MemoryCluster(old_mounts=1)

    def at_once(perform: Perform, effect: Effect) -> Any:
        now, answer = cluster.clock.now(), perform(effect)
        cluster.clock.set(now)
        return answer

    driver = Driver(cluster, dict.fromkeys(range(10_000), at_once))
    assert_done(cluster, driver.drive(engine(cluster).restart()))
    first, second = (
        effect.body["spec"]["template"]["metadata"]["annotations"]
        for effect in driver.effects
        if isinstance(effect, Change) and effect.what.startswith("restart ")
    )
    assert first["kubectl.kubernetes.io/restartedAt"] == second["kubectl.kubernetes.io/restartedAt"]
    assert first != second
    assert cluster.restarts == 2


@pytest.mark.promise("verifying: timeout")
def test_r22_the_old_certificate_after_one_more_restart_puts_the_workers_back() -> None:
    cluster = MemoryCluster(old_mounts=9)
    ending = restart(cluster)
    assert ending.outcome is Outcome.OLD_CERTIFICATE
    assert "stale" in ending.message
    assert cluster.restarts == 2
    assert_clean(cluster)


@pytest.mark.promise("P5", "verifying: timeout")
def test_what_is_not_valid_after_one_more_restart_leaves_the_workers_drained() -> None:
    cluster = MemoryCluster(old_mounts=9)
    cluster.clock.set(a_leaf("first").not_after + timedelta(days=1))
    ending = restart(cluster)
    assert ending.outcome is Outcome.RESTART_FAILED
    assert "not valid" in ending.message
    assert dict(cluster.replicas()) == dict.fromkeys(WORKERS, 0)
    cluster.old_mounts = 0
    assert_done(cluster, finish(cluster))
    assert cluster.restarts == 3, "the old one is seen once more, and somebody wants it tried again"


@pytest.mark.fault("F42")
@pytest.mark.promise("P3", "restoring: timeout")
def test_workers_that_do_not_come_back_in_time_are_said_to_be_missing() -> None:
    cluster = MemoryCluster(never_ready=frozenset({"worker-a"}))
    ending = restart(cluster)
    assert ending.outcome is Outcome.RESTORE_INCOMPLETE
    assert ending.run is not None
    assert cluster.replicas() == REPLICAS, "asked for, and not there yet"
    cluster.never_ready = frozenset()
    assert_done(cluster, finish(cluster))


PUT_BACK = ("scale deployment/worker-a from 0", "scale deployment/worker-b from 0")
REFUSALS = pytest.mark.parametrize("status", [403, 422])


def assert_left_at_0(cluster: MemoryCluster, ending: Ending, status: int) -> None:
    """It says which workers are at 0 and why, and the record is kept."""
    assert ending.outcome is Outcome.RESTORE_INCOMPLETE
    assert "left at 0, as far as is known: deployment/worker-a, deployment/worker-b; " in ending.message
    assert f"HTTP {status}: not this one" in ending.message
    assert "answer" not in ending.message
    assert cluster.replicas() == dict.fromkeys(WORKERS, 0)
    assert_told(cluster, ending)
    assert cluster.held() == set()


@case(
    "W20",
    kind="Found by tests: wrong endings and answers of a run",
    situation="The API server refuses to scale the workers up again.",
    says="Exit code 7, with the workers and the reason. Before: 1, after an hour, without a word on the workers.",
    found_by="test",
    since="2026-11-26",
)
@pytest.mark.fault("F42")
@REFUSALS
def test_workers_that_may_not_be_put_back_are_said_to_be_missing(status: int) -> None:
    cluster = MemoryCluster()
    ending = Driver(cluster, refused_for_ever(status, *PUT_BACK)).drive(engine(cluster).restart())
    assert_left_at_0(cluster, ending, status)
    assert_done(cluster, finish(cluster))
    assert cluster.restarts == 1


@pytest.mark.fault("F42")
@REFUSALS
def test_workers_that_may_not_be_put_back_after_a_drain_that_was_too_long_are_said_to_be_missing(status: int) -> None:
    cluster = MemoryCluster(never_ending=True)
    ending = Driver(cluster, refused_for_ever(status, *PUT_BACK)).drive(engine(cluster).restart())
    assert_left_at_0(cluster, ending, status)
    assert "would have ended as drain_timed_out" in ending.message
    assert finish(cluster).outcome is Outcome.DRAIN_TIMED_OUT
    assert_clean(cluster)


@pytest.mark.fault("F42")
@REFUSALS
@pytest.mark.parametrize("write", ["scale ", "fence "])
def test_workers_that_abort_may_not_put_back_are_said_to_be_missing(write: str, status: int) -> None:
    """Also if the fence of who aborts is refused, before anything of it is written."""
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, point(lambda effect: isinstance(effect, Wait)), killed_before)
    ending = Driver(cluster, refused_for_ever(status, write)).drive(engine(cluster, "run-2").abort())
    assert ending.outcome is Outcome.RESTORE_INCOMPLETE
    assert "left at 0, as far as is known: deployment/worker-a, deployment/worker-b; " in ending.message
    assert f"HTTP {status}: not this one" in ending.message
    assert ending.run is not None, "no command is printed"
    assert cluster.record.run is not None
    assert Driver(cluster).drive(engine(cluster, "run-3").abort()).outcome is Outcome.ABORTED
    assert_clean(cluster)


@pytest.mark.fault("F42")
def test_only_the_workers_that_are_still_at_0_are_named() -> None:
    cluster = MemoryCluster()
    ending = Driver(cluster, refused_for_ever(422, PUT_BACK[1])).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.RESTORE_INCOMPLETE
    assert "left at 0, as far as is known: deployment/worker-b; the API server refuses to scale" in ending.message
    assert "HTTP 422" in ending.message
    assert cluster.replicas() == {WORKERS[0]: REPLICAS[WORKERS[0]], WORKERS[1]: 0}


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_restart_that_the_api_server_denies_is_not_tried_again_and_the_workers_are_restored(status: int) -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, denied_for_ever(status, "restart "))
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.DENIED
    assert ending.message.startswith("the API server refuses to restart deployment/build-service")
    assert ending.message.endswith(f": {DENIAL}")
    assert sum(is_write(effect, "restart ") for effect in driver.effects) == 1
    assert cluster.restarts == 0
    assert_clean(cluster)


@pytest.mark.parametrize(
    "write", ["create certlag-", "fence ", "create the record", "pause ", "scale deployment/worker-a"]
)
def test_what_is_denied_before_the_drain_is_refused_and_leaves_nothing_behind(write: str) -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, denied_for_ever(403, write))
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.REFUSED
    assert DENIAL in ending.message
    assert ending.run is None
    assert sum(is_write(effect, write) for effect in driver.effects) == 1
    assert_clean(cluster)


def test_workers_that_were_scaled_down_before_another_was_denied_are_restored() -> None:
    cluster = MemoryCluster()
    ending = Driver(cluster, denied_for_ever(403, "scale deployment/worker-b")).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.DENIED
    assert cluster.restarts == 0
    assert_clean(cluster)


def test_workers_whose_restoring_is_denied_are_not_asked_for_hundreds_of_times() -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, denied_for_ever(403, *PUT_BACK))
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.RESTORE_INCOMPLETE
    assert DENIAL in ending.message
    assert sum(is_write(effect, PUT_BACK[0]) for effect in driver.effects) == 1
    assert_told(cluster, ending)


def is_write(effect: Effect, what: str) -> bool:
    return isinstance(effect, Change) and effect.what.startswith(what)


# --- the fence, half put on ---------------------------------------------------------------------------------------


def test_a_refusal_within_the_fencing_leaves_no_marks() -> None:
    """The second worker is at 0 with the annotation of a run whose record is lost."""
    cluster = MemoryCluster()
    annotations = {"certlag.dev/replicas": "7"}
    cluster.api.edit(workload_path(WORKERS[1]), {"spec": {"replicas": 0}, "metadata": {"annotations": annotations}})
    cluster.api.edit(workload_path(WORKERS[0]), {"metadata": {"annotations": {"certlag.dev/replicas": "3"}}})
    ending = restart(cluster)
    assert ending.outcome is Outcome.REFUSED
    assert "says 7" in ending.message
    assert cluster.workload(WORKERS[0])["metadata"]["annotations"] == {"certlag.dev/replicas": "3"}, "as it was"
    assert cluster.workload(WORKERS[1])["metadata"]["annotations"] == annotations
    assert cluster.held() == set()


def test_marks_that_cannot_be_taken_off_are_told() -> None:
    cluster = MemoryCluster()
    faults = denied_for_ever(403, "fence deployment/worker-b", "take the marks off deployment/worker-a")
    ending = Driver(cluster, faults).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.REFUSED
    assert "annotations certlag.dev/run and certlag.dev/replicas may be left on" in ending.message
    assert "deployment/worker-a" in ending.message


# --- what cannot be seen ------------------------------------------------------------------------------------------


def unseen(cluster: MemoryCluster) -> dict[int, Fault]:
    """After the restart no pod answers a handshake."""

    def fault(perform: Perform, effect: Effect) -> Any:
        if isinstance(effect, Inspect) and effect.probe and cluster.restarts:
            return cluster.status(failure=ProbeFailure.UNREACHABLE)
        return perform(effect)

    return dict.fromkeys(range(100_000), fault)


@pytest.mark.promise("P5", "verifying: not known")
def test_what_cannot_be_seen_is_looked_at_until_the_timeout_and_the_workers_are_restored() -> None:
    cluster = MemoryCluster()
    driver = Driver(cluster, unseen(cluster))
    before = cluster.clock.monotonic()
    ending = driver.drive(engine(cluster).restart())
    assert ending.outcome is Outcome.NOT_VERIFIED
    assert "could not be seen" in ending.message
    assert "the old certificate is accepted until 2026-05-30 00:00Z" in ending.message
    assert cluster.clock.monotonic() - before >= 120
    assert cluster.restarts == 1
    assert_clean(cluster)


@pytest.mark.promise("verifying: not known")
def test_what_cannot_be_seen_leaves_the_workers_drained_when_the_old_certificate_is_no_longer_accepted() -> None:
    for until in (None, a_leaf("first").not_before):
        cluster = MemoryCluster()
        ending = Driver(cluster, unseen(cluster)).drive(engine(cluster, accepted_until=until).restart())
        assert ending.outcome is Outcome.RESTART_FAILED
        assert "could not be seen" in ending.message
        assert dict(cluster.replicas()) == dict.fromkeys(WORKERS, 0)
        assert_told(cluster, ending)
        assert_done(cluster, finish(cluster))
        assert cluster.restarts == 1, "nobody has seen an old certificate"


@pytest.mark.promise("before the drain: not known")
def test_an_api_server_that_stores_no_record_before_the_drain_leaves_nothing_behind() -> None:
    cluster = MemoryCluster()
    ending = Driver(cluster, refused_for_ever(500, "write the record", "create the record")).drive(
        engine(cluster).restart()
    )
    assert ending.outcome is Outcome.UNEXPECTED, ending
    assert_clean(cluster)


@pytest.mark.promise("restarting: not known", "restoring: not known")
@pytest.mark.parametrize(
    ("since", "outcome"),
    [(Step.RESTARTING, Outcome.RESTART_FAILED), (Step.SCALED_UP, Outcome.RESTORE_INCOMPLETE)],
)
def test_pods_that_cannot_be_listed_are_looked_for_until_the_timeout(since: Step, outcome: Outcome) -> None:
    cluster = MemoryCluster()

    def forbidden(perform: Perform, effect: Effect) -> Any:
        run = cluster.record.run
        if isinstance(effect, List) and effect.path == PODS and run is not None and run.step is since:
            raise failure(403)
        return perform(effect)

    ending = Driver(cluster, dict.fromkeys(range(100_000), forbidden)).drive(engine(cluster).restart())
    assert ending.outcome is outcome, ending
    assert "not known: forbidden" in ending.message
    assert_told(cluster, ending)
    assert_done(cluster, finish(cluster))
    assert cluster.restarts == 1


def test_resuming_what_cannot_be_seen_does_not_restart_it_either() -> None:
    cluster = MemoryCluster()
    Driver(cluster, unseen(cluster)).drive(engine(cluster, accepted_until=None).restart())
    ending = Driver(cluster, unseen(cluster)).drive(engine(cluster, "run-2").resume())
    assert ending.outcome is Outcome.RESTART_FAILED
    assert cluster.restarts == 1


def test_an_api_server_that_is_away_for_the_whole_verification_is_not_an_old_certificate() -> None:
    cluster = MemoryCluster()

    def away(perform: Perform, effect: Effect) -> Any:
        if isinstance(effect, Inspect) and effect.probe:
            raise failure(503)
        return perform(effect)

    ending = Driver(cluster, dict.fromkeys(range(100_000), away)).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.NOT_VERIFIED
    assert cluster.restarts == 1
    assert_clean(cluster)


def test_a_certificate_that_is_not_the_targets_is_no_reason_for_another_restart() -> None:
    cluster = MemoryCluster()
    other = a_leaf("other", names=("somebody-else",))
    foreign = dict.fromkeys(range(100_000), presenting(cluster, other))
    ending = Driver(cluster, foreign).drive(engine(cluster).restart())
    assert ending.outcome is Outcome.RESTART_FAILED
    assert cluster.restarts == 1
    assert Driver(cluster, foreign).drive(engine(cluster, "run-2").resume()).outcome is Outcome.RESTART_FAILED
    assert cluster.restarts == 1


def presenting(cluster: MemoryCluster, leaf: Leaf) -> Fault:
    def fault(perform: Perform, effect: Effect) -> Any:
        return cluster.status(leaf) if isinstance(effect, Inspect) and effect.probe else perform(effect)

    return fault


# --- waits --------------------------------------------------------------------------------------------------------


def test_the_lock_is_renewed_during_every_wait() -> None:
    """Also through a routing delay of minutes, a settling issuance, and a drain: never older than 20 s."""
    cluster = MemoryCluster()
    cluster.clock.set(a_leaf("second").not_before + timedelta(seconds=10))
    renewed, oldest = [cluster.clock.monotonic()], [0.0]

    def renewing(change: Change, *_: object) -> None:
        if change.path.startswith(LEASES):
            renewed.append(cluster.clock.monotonic())

    def waiting(perform: Perform, effect: Effect) -> Any:
        answer = perform(effect)
        oldest.append(cluster.clock.monotonic() - renewed[-1])
        return answer

    cluster.api.witnesses.append(renewing)
    limits = Limits(timedelta(hours=1), timedelta(minutes=5), routing=timedelta(minutes=10))
    faults = dict.fromkeys(range(100_000), waiting)
    assert_done(cluster, Driver(cluster, faults).drive(engine(cluster, limits=limits).restart()))
    assert max(oldest) <= 20


@pytest.mark.promise("P5")
def test_without_verification_nothing_is_claimed() -> None:
    cluster = MemoryCluster(old_mounts=9)
    driver = Driver(cluster)
    assert driver.drive(engine(cluster, verify=False).restart()).outcome is Outcome.DONE
    assert not any(isinstance(effect, Inspect) and effect.probe for effect in driver.effects)
    assert any(isinstance(event, Notice) and "not verified, as asked" in event.text for event in driver.told)


def test_a_target_without_workers_is_restarted_and_verified() -> None:
    cluster = MemoryCluster(target=a_target(workers=()))
    assert restart(cluster).outcome is Outcome.DONE
    assert cluster.status().verified
    assert cluster.marks() == set()


# --- R10: an unfinished run ---------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
def test_r10_a_second_restart_never_overwrites_an_unfinished_run() -> None:
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, point(lambda effect: isinstance(effect, Wait)), killed_before)
    before = cluster.api.documents[RECORD]
    ending = Driver(cluster).drive(engine(cluster, "run-2").restart())
    assert ending.outcome is Outcome.REFUSED
    assert "run run-1 is not finished" in ending.message
    assert cluster.api.documents[RECORD] == before


@pytest.mark.promise("P1")
def test_r10_a_lost_record_never_becomes_one_of_zero_replicas() -> None:
    """The annotation on the worker still says what it had: a new run refuses, and says so."""
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, point(lambda effect: isinstance(effect, Wait)), killed_before)
    cluster.api.delete(RECORD)
    ending = Driver(cluster).drive(engine(cluster, "run-2").restart())
    assert ending.outcome is Outcome.REFUSED
    assert "certlag.dev/replicas says 2" in ending.message


@pytest.mark.fault("H6")
def test_a_record_and_an_annotation_that_disagree_are_refused() -> None:
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, point(lambda effect: isinstance(effect, Wait)), killed_before)
    path = workload_path(WORKERS[0])
    cluster.api.edit(path, {"metadata": {"annotations": {"certlag.dev/replicas": "7"}}})
    ending = finish(cluster)
    assert ending.outcome is Outcome.REFUSED
    assert "the record says 2 replicas" in ending.message
    assert "says 7" in ending.message


def test_resume_and_abort_without_an_open_run_are_refused() -> None:
    cluster = MemoryCluster()
    for steps in (engine(cluster).resume(), engine(cluster).abort()):
        ending = Driver(cluster).drive(steps)
        assert (ending.outcome, ending.message) == (Outcome.REFUSED, "no run is open")
    assert cluster.held() == set()


@pytest.mark.fault("H6")
def test_the_record_of_another_workload_is_refused() -> None:
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, point(lambda effect: isinstance(effect, Wait)), killed_before)
    other = Workload(TARGET.workload.namespace, "deployment", "another")
    ending = finish(cluster, target=a_target(workload=other, workers=WORKERS))
    assert ending.outcome is Outcome.REFUSED
    assert "the record is of deployment/build-service" in ending.message


def test_the_lock_that_somebody_holds_is_named_with_its_holder_and_since_when() -> None:
    cluster = MemoryCluster()
    cluster.api.put(
        f"{LEASES}/certlag-deployment-worker-b",
        {"spec": {"holderIdentity": "bob@desk/m/1/x", "acquireTime": "2026-06-01T11:00:00Z", "leaseTransitions": 1}},
    )
    ending = Driver(cluster).drive(engine(cluster, dead=False, may_take_over=False).restart())
    assert ending.outcome is Outcome.LOCKED
    assert "certlag-deployment-worker-b is held by bob@desk/m/1/x since 2026-06-01T11:00:00Z" in ending.message
    assert cluster.held() == {"bob@desk/m/1/x"}, "what was taken before is given back"


def test_workers_left_at_zero_by_their_owner_stay_at_zero() -> None:
    cluster = MemoryCluster()
    cluster.api.edit(workload_path(WORKERS[1]), {"spec": {"replicas": 0}})
    cluster.sleep(60)
    assert restart(cluster).outcome is Outcome.DONE
    assert cluster.replicas() == {WORKERS[0]: REPLICAS[WORKERS[0]], WORKERS[1]: 0}


# --- settling, reloading, lost work, silences ------------------------------------------------------------------------


def test_the_restart_waits_until_the_issuance_is_two_minutes_old() -> None:
    cluster = MemoryCluster()
    cluster.clock.set(a_leaf("second").not_before + timedelta(seconds=10))
    driver = Driver(cluster)
    limits = Limits(timedelta(hours=1), timedelta(minutes=5))
    assert driver.drive(engine(cluster, limits=limits).restart()).outcome is Outcome.DONE
    restarted = cluster.workload(TARGET.workload)["spec"]["template"]["metadata"]["annotations"]
    assert restarted["kubectl.kubernetes.io/restartedAt"] >= "2026-04-30T00:02:00"


def test_whoever_reloads_by_itself_is_given_time() -> None:
    cluster = MemoryCluster(target=a_target(workers=WORKERS, reloads=True, evidence=Evidence.HANDSHAKE), old_mounts=9)
    driver = Driver(cluster)
    driver.drive(engine(cluster).restart())
    assert sum(isinstance(effect, Inspect) and effect.probe for effect in driver.effects) > 60


def test_r6_a_worker_that_was_killed_is_reported_once_as_lost_work() -> None:
    cluster = MemoryCluster()

    def kill() -> None:
        for path, pod in cluster.api.within(f"/api/v1/namespaces/{TARGET.workload.namespace}/pods"):
            if pod["metadata"]["labels"]["app"] == "worker-b":
                status = {"containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]}
                cluster.api.edit(path, {"status": status})

    driver = Driver(cluster, {point(lambda effect: isinstance(effect, Wait)): after(kill)})
    assert_done(cluster, driver.drive(engine(cluster).restart()))
    assert [event.exit_code for event in driver.told if isinstance(event, LostWork)] == [137]


@pytest.mark.field_case("D1")
@pytest.mark.promise("P2")
def test_old_worker_pods_whose_replica_set_is_gone_are_waited_for() -> None:
    """With `revisionHistoryLimit: 0` a rollout deletes the ReplicaSet of pods that outlast the drain."""
    cluster = MemoryCluster(without_history=frozenset({WORKERS[0].name}), never_ending=True)
    cluster.api.edit(workload_path(WORKERS[0]), {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}})
    for _ in range(4):
        cluster.step()
    kept = [path for path, _ in cluster.api.within(REPLICA_SETS) if "/worker-a-" in path]
    assert (len(kept), len(cluster.pods(WORKERS[0]))) == (1, 4)
    ending = restart(cluster)
    assert ending.outcome is Outcome.DRAIN_TIMED_OUT
    assert "deployment/worker-a: 4 pods not ended" in ending.message
    assert cluster.restarts == 0
    cluster.never_ending = False
    assert finish(cluster).outcome is Outcome.DONE
    assert cluster.restarts == 1


def test_a_silence_stands_in_the_record_and_is_ended_whatever_the_end() -> None:
    cluster = MemoryCluster()
    seen = set()
    cluster.api.witnesses.append(lambda *_: seen.add(cluster.record.run and cluster.record.run.silence))
    assert restart_silenced(cluster).outcome is Outcome.DONE
    assert "silence-1" in seen
    for number in (writing("pause "), point(lambda effect: isinstance(effect, Wait), after=3)):
        driver = Driver(MemoryCluster(), {number: interrupted})
        driver.drive(engine(driver.cluster, silence=True).restart())
        begun, ended = (effect for effect in driver.effects if isinstance(effect, Silence | EndSilence))
        assert (type(begun), ended) == (Silence, EndSilence("silence-1"))


def restart_silenced(cluster: MemoryCluster) -> Ending:
    return Driver(cluster).drive(engine(cluster, silence=True).restart())


@pytest.mark.promise("P2")
def test_r3_drained_is_believed_only_when_it_was_seen_twice() -> None:
    """A pod that is made between the two looks is waited for before the record says drained."""
    cluster = MemoryCluster()
    replica_set = next(each for each in cluster.api.list(REPLICA_SETS) if "worker-a" in each["metadata"]["name"])
    late = {
        "metadata": {
            "labels": {"app": "worker-a"},
            "ownerReferences": [{"kind": "ReplicaSet", "controller": True, **replica_set["metadata"]}],
        },
        "spec": {},
        "status": {"phase": "Running"},
    }
    alive: list[bool] = []

    def look(*_: object) -> None:
        if cluster.record.run is not None and cluster.record.run.step is Step.DRAINED:
            alive.append(bool(cluster.pods(WORKERS[0])))

    cluster.api.witnesses.append(look)
    between = point(lambda effect: isinstance(effect, Wait) and effect.seconds == phases.APART)
    assert restart(cluster, between, after(cluster.api.put, f"{PODS}/late", late)).outcome is Outcome.DONE
    assert alive
    assert not any(alive)


def test_progress_names_each_worker_pod_that_is_waited_for() -> None:
    driver = Driver(MemoryCluster())
    driver.drive(engine(driver.cluster).restart())
    first = next(event for event in driver.told if isinstance(event, Progress) and event.pods)
    assert (first.workload, len(first.pods)) == ("deployment/worker-a", 2)


@pytest.mark.promise("P1")
def test_the_record_says_the_step_before_the_step_is_begun() -> None:
    """A crash at the restart finds a record that knows its id already."""
    cluster = MemoryCluster()
    with pytest.raises(Killed):
        restart(cluster, writing("restart "), killed_before)
    run = cluster.record.run
    assert run is not None
    assert (run.step, run.attempts, run.restart_id) == (Step.DRAINED, 1, "run-1-1")
    assert (run.writes[-1].what, run.writes[-1].state) == (
        "restart deployment/build-service (restart-id run-1-1)",
        "intended",
    )


@case(
    "W25",
    kind="Found by tests: two runs that changed the same objects",
    situation="Another run ends between the plan and the first write.",
    says="Refused: the plan is outdated. Before: the target was restarted twice.",
    found_by="simulation",
    since="2026-11-24",
)
def test_a_plan_that_another_run_has_outdated_changes_nothing() -> None:
    cluster = MemoryCluster()
    assert Driver(cluster).drive(engine(cluster).restart()).outcome is Outcome.DONE
    outdated = Driver(cluster).drive(engine(cluster, "second", planned_after="").restart())
    assert outdated.outcome is Outcome.REFUSED
    assert "run-1 has ended since this was planned" in outdated.message
    assert cluster.restarts == 1
    assert cluster.marks() == set()
    assert Driver(cluster).drive(engine(cluster, "third", planned_after="run-1").restart()).outcome is Outcome.DONE
