"""The plan says what will change, how long it may take by the workers' own grace, and what happens on failure."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certlag.run_record import Step
from runbook.events import Phase
from runbook.guard.record import Operator, Paused, Run, WorkerRecord
from runbook.kube.views import pod_state
from runbook.outcomes import Outcome
from runbook.plan import planning
from runbook.plan.model import Check, CheckResult, Plan, PlannedChange
from tests.builders import a_leaf, a_target
from tests.run_facts import LIMITS, NOW, TARGET, a_status, facts
from tests.workload_documents import WORKER, a_deployment, a_pod

HOUR = timedelta(hours=1)
RUN = Run(
    id="run-1",
    epoch=1,
    step=Step.SCALED_DOWN,
    begun=NOW,
    deadline=NOW + HOUR,
    operator=Operator("bob", "desk", 7, "1"),
    workload="deployment/build-service",
    workload_uid="uid-of-build-service",
    workers={"deployment/worker": WorkerRecord(2, "uid-of-worker")},
)
REFUSAL = Check("grace", CheckResult.REFUSED, "too short", "set it")


def plan(*checks: Check) -> Plan:
    return planning.make_plan(
        "restart-build-service",
        TARGET,
        facts(),
        checks,
        source="file certlag.yaml",
        context="prod",
        server="https://api",
        reason="why",
        changes=planning.restart_changes(TARGET, facts(), ()),
        limits=LIMITS,
        phases=(),
    )


# --- how long ------------------------------------------------------------------------------------------------------


def test_the_drain_may_take_what_is_asked_else_configured_else_what_the_grace_allows() -> None:
    target = a_target(drain_timeout=None)
    own = planning.limits(target, facts(), drain=None, restart=None).drain
    assert own == HOUR + planning.END_MARGIN
    configured = a_target(drain_timeout=timedelta(hours=3))
    assert planning.limits(configured, facts(), drain=None, restart=None).drain == timedelta(hours=3)
    assert planning.limits(configured, facts(), drain=HOUR, restart=HOUR).drain == HOUR
    assert planning.limits(configured, facts(), drain=HOUR, restart=HOUR).restart == HOUR


def test_the_live_pods_grace_counts_and_not_only_the_templates() -> None:
    pod = pod_state(a_pod("worker-1", "worker-new", spec={"terminationGracePeriodSeconds": 7200}))
    limits = planning.limits(a_target(drain_timeout=None), facts(pods=(pod,)), drain=None, restart=None)
    assert limits.drain == timedelta(hours=2) + planning.END_MARGIN


def test_the_budget_is_what_the_exporter_publishes() -> None:
    limits = planning.limits(TARGET, facts(), drain=None, restart=None)
    assert limits.budget == limits.drain + limits.restart


# --- what will change -----------------------------------------------------------------------------------------------


def test_a_restart_changes_workers_first_and_then_the_target() -> None:
    changes = list(planning.restart_changes(TARGET, facts(), ()))
    assert changes == [
        PlannedChange("deployment/worker", "2 replicas", "0 until restarted, then 2 replicas"),
        PlannedChange("deployment/build-service", "1 pod running", "1 pod, restarted"),
    ]


def test_what_is_paused_is_named_before_anything_else() -> None:
    paused = Paused("/apis/keda.sh/v1alpha1/namespaces/x/scaledobjects/workers", {}, {})
    first, *_ = planning.restart_changes(TARGET, facts(), (paused,))
    assert first.what == "scaledobjects/workers"


def test_a_silence_is_part_of_the_plan_its_making_and_its_end() -> None:
    first, *_ = planning.restart_changes(TARGET, facts(), (), silence=True)
    assert (first.what, "critical ones never" in first.after) == ("alerts in opschain", True)
    silence = "http://alertmanager:9093/api/v2/silence/s-1"
    first, *_ = planning.remaining_changes(TARGET, facts(), replace(RUN, silence=silence), abort=True)
    assert (first.what, first.before, first.after) == ("silence", silence, "ended with the run")


def test_what_does_not_exist_is_not_promised() -> None:
    assert list(planning.restart_changes(TARGET, facts(views={}), ())) == []


@pytest.mark.parametrize(
    ("run", "abort", "then"),
    [
        (RUN, False, ["0 until restarted, then 2 replicas", "restarted"]),
        (RUN, True, ["2 replicas"]),
        (replace(RUN, put_back=Outcome.DRAIN_TIMED_OUT), False, ["2 replicas"]),
        (replace(RUN, step=Step.RESTARTED), False, ["0 until restarted, then 2 replicas"]),
        (replace(RUN, step=Step.VERIFIED), False, ["2 replicas"]),
    ],
)
def test_what_is_left_to_change_follows_from_how_far_the_run_came(run: Run, abort: bool, then: list[str]) -> None:  # noqa: FBT001
    left = list(planning.remaining_changes(TARGET, facts(worker=a_deployment(WORKER, 0)), run, abort=abort))
    assert [change.after for change in left] == then
    assert left[0].before == "0 replicas"


def test_a_worker_that_is_gone_is_said_to_be() -> None:
    (left, *_) = planning.remaining_changes(TARGET, facts(views={}), RUN, abort=True)
    assert left.before == "gone"


# --- the plan as a whole ---------------------------------------------------------------------------------------------


def test_it_says_where_who_and_what_each_pod_presents() -> None:
    made = plan()
    assert (made.context, made.server, made.user, made.namespace) == ("prod", "https://api", "ann", "opschain")
    assert [line.state for line in made.presented] == ["stale"]


def test_each_worker_pod_is_named_with_its_grace() -> None:
    assert [(busy.pod, busy.grace) for busy in plan().busy] == [("worker-1", HOUR), ("worker-2", HOUR)]


def test_it_says_what_happens_on_each_failure_with_its_exit_code() -> None:
    text = " ".join(plan().on_failure)
    assert all(f"({code})" in text or f"(exit code {code})" in text for code in (5, 6, 8, 9))


def test_only_refusals_stand_in_the_way() -> None:
    warned = replace(REFUSAL, result=CheckResult.WARNED)
    assert plan(REFUSAL, warned).refusals == (REFUSAL,)
    assert plan(warned).refusals == ()


def test_nothing_to_do_is_what_the_certificate_says() -> None:
    assert plan(Check("certificate", CheckResult.NOTED, "as issued")).nothing_to_do
    assert not plan(Check("certificate", CheckResult.PASSED, "newer")).nothing_to_do
    assert not plan(Check("issuer", CheckResult.NOTED, "not known")).nothing_to_do


def test_why_says_until_when_clients_accept_it() -> None:
    why = planning.why_restart(facts())
    assert (
        why
        == "a newer certificate was issued than the one that is presented; after 2026-05-30 00:00Z clients refuse it"
    )
    assert planning.why_restart(facts(status=a_status(a_leaf("second")))) == "restart as asked"
    assert planning.why_restart(facts(status=None)) == "restart as asked"


# --- which phases are to come -----------------------------------------------------------------------------------------


def test_a_run_that_is_gone_on_with_shows_only_the_phases_that_are_left() -> None:
    drained = replace(RUN, step=Step.DRAINED)
    left = planning.phases_left(drained, abort=False)
    assert Phase.DRAINING not in left
    assert Phase.RESTARTING in left
    assert Phase.RESTARTING not in planning.phases_left(drained, abort=True)
    assert planning.phases_left(replace(RUN, step=Step.SCALED_UP), abort=False)[0] is not Phase.SCALING_UP
