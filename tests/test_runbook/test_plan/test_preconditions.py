"""Each precondition passes, refuses with what would be right, and is overridden by its own flag only."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from certlag.kube.credential import Credential, CredentialKind
from certlag.model import Certificate, ProbeFailure, Workload
from certlag.run_record import RecordError, Step
from runbook.cli import main as cli
from runbook.cli.main import main
from runbook.guard.controllers import Autoscaler
from runbook.guard.record import Operator, Record, Run, WorkerRecord
from runbook.kube.permissions import Right
from runbook.kube.quotas import Quota
from runbook.kube.views import pod_state, workload_view
from runbook.kube.volumes import Claim
from runbook.outcomes import Outcome
from runbook.plan.facts import Facts
from runbook.plan.model import Check, CheckResult
from runbook.plan.preconditions import DESTRUCTIVE, FOR_ABORT, FOR_RESTART, FOR_RESUME, OVERRIDES, Precondition, check
from tests.builders import DEPLOYMENT, NAMESPACE, a_certificate, a_leaf, a_target
from tests.run_facts import LIMITS, NOW, TARGET, a_status, asked, facts
from tests.workload_documents import WORKER, Document, a_daemon_set, a_deployment, a_pod, a_stateful_set

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
STATEFUL = Workload(NAMESPACE, "statefulset", "build-service")


def checks(found: Facts, preconditions: tuple[Precondition, ...] = FOR_RESTART, **wanted: Any) -> tuple[Check, ...]:
    return check(preconditions, found, asked(**wanted))


def worker_pod(name: str = "worker-1", **changes: Any) -> Any:
    return pod_state(a_pod(name, "worker-new", **changes))


def graced(seconds: int) -> dict[str, Any]:
    return {"pods": (worker_pod(spec={"terminationGracePeriodSeconds": seconds}),)}


def expiring(at: Any) -> dict[str, Any]:
    return {"credential": Credential(CredentialKind.TOKEN, at, refreshable=False)}


def scaler(kind: str, minimum: int = 1, **changes: Any) -> dict[str, Any]:
    found = Autoscaler(kind, "workers", "/x", WORKER, minimum, paused=False)
    return {"autoscalers": (replace(found, **changes),)}


def test_where_nothing_stands_in_the_way_nothing_is_refused() -> None:
    found = checks(facts())
    assert {each.result for each in found} == {CheckResult.PASSED, CheckResult.NOTED}


@dataclass(frozen=True)
class Case:
    """One way to be refused: by which check, in which words, and with what said to be right."""

    name: str
    facts: dict[str, Any]
    text: str
    remedy: str = ""
    asked: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


RIGHT = Right("patch", "apps", "deployments", NAMESPACE, "worker", why="the replicas")
UNTOUCHED: Document = {"annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}
PAUSED_KEDA = {"autoscaling.keda.sh/paused": "true"}
HELD_KEDA = {"autoscaling.keda.sh/paused-replicas": "0", "autoscaling.keda.sh/paused": "true"}
LOSING: Document = {
    "spec": {
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
        "volumeClaimTemplates": [{"metadata": {"name": "cache"}}],
    }
}
OWNER = {"kind": "BuildService", "name": "main", "uid": "o", "controller": True}
FLUX: Document = {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}}
ARGO: Document = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "apps:x"}}}
UNSEEN = a_status(None)
NO_CERTIFICATE = a_status(a_leaf("first"), certificate=None)

REFUSED = [
    Case("rights", {"denied": (RIGHT,)}, "not patch deployments.apps worker in opschain (the replicas)", "ask"),
    Case("credential", expiring(NOW + HOUR), "before the run may have ended", "log in again"),
    Case("record", {"record": Record(RUN)}, "run run-1 of bob", "runbook resume-build-service, or runbook abort-"),
    Case("record", {"record": RecordError("schema 9")}, "cannot be read: schema 9", "the version that wrote it"),
    Case("workloads", {"views": {}}, "deployment/build-service does not exist", "kubectl get"),
    Case("rollout", {"target": a_deployment(spec={"paused": True})}, "is paused", "kubectl rollout resume"),
    Case("certificate", {"status": NO_CERTIFICATE}, "there is no Certificate", "kubectl get"),
    Case("certificate", {"ready_certificates": frozenset(), "status": "of other dates"}, "not Ready: a ", "cmctl"),
    Case("certificate", {"status": UNSEEN}, "it cannot be told what is loaded", "--force"),
    Case("reach", {"status": UNSEEN}, "no pod can be probed", "--no-verify"),
    Case("replicas", {"worker": a_deployment(WORKER, 0, metadata={"annotations": {"certlag.dev/replicas": "3"}})},
         "its annotation says that it had 3", "kubectl scale deployment/worker --replicas=3"),
    Case("zero-replicas", {"worker": a_deployment(WORKER, 0)}, "is at 0 already", "scale it"),
    Case("grace", graced(30), "1 pods of deployment/worker have the default grace", "terminationGracePeriodSeconds"),
    Case("drain-timeout", graced(7201), "may take 2h1s to finish (terminationGracePeriodSeconds 7201)",
         "--drain-timeout 7201s"),
    Case("unowned-pods", {"pods": (pod_state(a_pod("stray", "worker-x", metadata={"ownerReferences": []})),)},
         "belong to no controller that is known to live: stray", "--ignore-pod"),
    Case("restart-timeout", {"target": a_deployment(spec={"minReadySeconds": 600})},
         "may take 11m to restart (minReadySeconds 600; terminationGracePeriodSeconds 60), and times out after 5m",
         "--restart-timeout 660s"),
    Case("unfinished-rollout", {"worker": a_deployment(WORKER, 2, status={"updatedReplicas": 1})},
         "deployment/worker: status.updatedReplicas 1 of 2: its last rollout has not finished",
         "kubectl rollout undo deployment/worker -n opschain"),
    Case("not-ready", {"target": a_deployment(replicas=3, status={"readyReplicas": 2})},
         "deployment/build-service: status.readyReplicas 2 of 3", "kubectl describe deployment/build-service"),
    Case("quota", {"quotas": (Quota("small", {"pods": "2"}, {"pods": "3"}, scoped=False),)},
         "leaves no room for a new pod (pods: 3 used of 2)", "a larger quota"),
    Case("autoscaler", scaler("HorizontalPodAutoscaler", 0), "scales deployment/worker from 0", "minReplicas 1"),
    Case("autoscaler", scaler("ScaledObject", paused=None), "reports no condition Paused", "KEDA 2.12"),
    Case("autoscaler", scaler("ScaledObject", annotations=HELD_KEDA, paused=True), "not be paused for certain", "take"),
    Case("autoscaler", scaler("ScaledObject", 0, workload=DEPLOYMENT), "to 0 once its workers are drained", "--pause-"),
    Case("autoscaler", scaler("HorizontalPodAutoscaler", 0, workload=DEPLOYMENT), "to 0 once its", "minReplicas 1"),
    Case("data", {"worker": a_deployment(WORKER, 2, **LOSING)}, "what is on them: cache-worker-0 to", "kubectl patch"),
    Case("data", {"claims": {WORKER: (Claim("data", (), "pod-1"),)}}, "is owned by pod pod-1, and deleted", "edit pvc"),
    Case("certificate-not-ready", {"ready_certificates": frozenset()},
         "though the request of its revision 2 is signed", "cmctl"),
    Case("autoscaler", scaler("ScaledObject"), "would scale it up", "--pause-controllers"),
    Case("gitops", {"target": a_deployment(**FLUX)}, "applied by Flux", "--pause-controllers"),
    Case("gitops", {"target": a_deployment(**ARGO)}, "applied by Argo CD (apps:x)", "suspend it"),
    Case("owner", {"target": a_deployment(metadata={"ownerReferences": [OWNER]})}, "is owned by BuildService/main",
         "restart by BuildService/main"),
    Case("alerts", {"firing": ("BuildsFailing",)}, "firing: BuildsFailing", "resolved", {"gate": ("BuildsFailing",)}),
    Case("alerts", {"firing": None, "firing_unknown": "no answer"}, "is not known: no answer", "",
         {"gate": ("BuildsFailing",)}),
    Case("issuer", {"unchained": frozenset({a_leaf("second").fingerprint_sha256}), "status": "with an authority"},
         "does not chain", "see the issuer"),
]  # fmt: skip
"""Every refusal, with R2, R6, R8, R10, R14, R15, R16 and R20 among them."""


def given(case: Case) -> Facts:
    known = dict(case.facts)
    if known.get("status") == "with an authority":
        known["status"] = _with_authority()
    if known.get("status") == "of other dates":
        known["status"] = a_status(a_leaf("first"), certificate=replace(a_certificate(2), not_after=NOW))
    return facts(**known)


def _with_authority() -> Any:
    status = a_status(a_leaf("first"))
    ((assessment, use),) = status.uses
    assert assessment.issued is not None
    assert assessment.issued.chain is not None
    chain = replace(assessment.issued.chain, authorities=(b"ca",))
    return replace(status, uses=((replace(assessment, issued=replace(assessment.issued, chain=chain)), use),))


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_stands_in_the_way_is_refused_with_what_would_be_right(case: Case) -> None:
    found = [each for each in checks(given(case), **case.asked) if each.result is CheckResult.REFUSED]
    mine = [each for each in found if each.name == case.name and case.text in each.text]
    assert mine, found
    assert case.remedy in mine[0].remedy


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_it_is_overridden_by_its_own_flag_only(case: Case) -> None:
    others = frozenset(OVERRIDES) - {case.name}

    def results(accepted: frozenset[str]) -> set[CheckResult]:
        found = checks(given(case), accepted=accepted, **case.asked)
        return {each.result for each in found if each.name == case.name and case.text in each.text}

    assert results(others) == {CheckResult.REFUSED}
    mine = results(frozenset({case.name}))
    assert mine == ({CheckResult.OVERRIDDEN} if case.name in OVERRIDES else {CheckResult.REFUSED})


def test_every_override_overrides_something() -> None:
    assert {case.name for case in REFUSED} >= set(OVERRIDES)


WITHOUT_OVERRIDE = {"admission", "alerts", "record", "replicas", "rights", "rollout", "workloads"}
"""Refusals that no option of the same command gets past; of `certificate` only some have one."""


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_the_options_that_a_refusal_names_are_options_of_the_command_and_get_past_it(case: Case) -> None:
    refused = [each for each in checks(given(case), **case.asked) if each.result is CheckResult.REFUSED]
    (found, *_) = (each for each in refused if each.name == case.name and case.text in each.text)
    if case.name in DESTRUCTIVE:
        assert f"--accept-{case.name}" in found.remedy
        assert found.override == ()
        return
    if case.name in OVERRIDES:
        assert found.override, found
    if not found.override:
        assert case.name in {"certificate", *WITHOUT_OVERRIDE} - set(OVERRIDES), found
        return
    assert all(word.partition("=")[0] in found.remedy for word in found.override)
    said = _parsed(found.override)
    again = checks(given(case), **{**case.asked, **said})
    assert [each for each in again if each.text == found.text and each.result is CheckResult.REFUSED] == []


def _parsed(words: tuple[str, ...]) -> dict[str, Any]:
    """What `restart` reads of them, as far as preconditions depend on it."""
    command = cli.main.get_command(click.Context(cli.main), "restart")
    assert command is not None
    read = {name: value for name, value in command.make_context("restart", ["x", *words]).params.items() if value}
    lengths = {"drain": "drain_timeout", "restart": "restart_timeout"}
    limits = {part: read[name] for part, name in lengths.items() if name in read}
    return {
        "accepted": frozenset(name[7:].replace("_", "-") for name in read if name.startswith("accept_")),
        "force": "force" in read,
        "verify": "--no-verify" not in words,
        "pause": "pause" in read,
        "ignored_pods": frozenset(read.get("ignored_pods", ())),
        **({"limits": replace(LIMITS, **limits)} if limits else {}),
    }


def test_a_refusal_names_the_flag_that_accepts_it() -> None:
    for case in REFUSED:
        named = [each.remedy for each in checks(given(case), **case.asked) if each.name == case.name]
        if case.name in OVERRIDES:
            assert any(f"--accept-{case.name}" in remedy for remedy in named)


# --- what is near a refusal and is none -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fine",
    [
        expiring(NOW + timedelta(hours=3)),
        {"credential": Credential(CredentialKind.EXEC, NOW + timedelta(minutes=5), refreshable=True)},
        graced(7200),
        graced(31),
        scaler("HorizontalPodAutoscaler", 1),
        scaler("ScaledObject", annotations=PAUSED_KEDA, paused=True),
        scaler("ScaledObject", 1, workload=DEPLOYMENT),
        scaler("ScaledObject", 1, workload=DEPLOYMENT, paused=None),
        scaler("HorizontalPodAutoscaler", 1, workload=DEPLOYMENT),
        {"pods": (pod_state(a_pod("stray", "worker-x", phase="Failed", metadata={"ownerReferences": []})),)},
        {"target": a_deployment(metadata=FLUX["metadata"] | UNTOUCHED)},
    ],
    ids=["lasts", "refreshed", "just in time", "not the default", "R14", "R15 paused", "KEDA of the target",
         "an old KEDA", "R14 of the target", "ended", "left alone"],
)  # fmt: skip
def test_what_is_good_enough_is_not_refused(fine: dict[str, Any]) -> None:
    assert [each for each in checks(facts(**fine)) if each.result is CheckResult.REFUSED] == []


def test_r27_a_stateful_set_with_a_partition_or_on_delete_is_refused_with_the_reason() -> None:
    for strategy, said in (
        ({"rollingUpdate": {"partition": 2}}, "only pods from ordinal 2 on"),
        ({"type": "OnDelete"}, "only when it is deleted"),
    ):
        document = a_stateful_set(spec={"updateStrategy": strategy})
        found = _of_target(STATEFUL, document)
        refused = [each.text for each in found if (each.name, each.result) == ("rollout", CheckResult.REFUSED)]
        assert any(said in text for text in refused)
    found = _of_target(STATEFUL, a_stateful_set())
    assert next(each for each in found if each.name == "rollout").result is CheckResult.PASSED


def test_r27_a_daemon_set_is_restarted() -> None:
    workload = Workload(NAMESPACE, "daemonset", "build-service")
    found = _of_target(workload, a_daemon_set(2))
    assert next(each for each in found if each.name == "rollout").result is CheckResult.PASSED


def _of_target(workload: Workload, document: dict[str, Any]) -> tuple[Check, ...]:
    known = facts()
    views = {workload: workload_view(workload, document), WORKER: known.views[WORKER]}
    return checks(replace(known, views=views), target=a_target(workload=workload))


def test_pods_that_are_named_to_be_ignored_do_not_stand_in_the_way() -> None:
    stray = pod_state(a_pod("stray", "worker-x", metadata={"ownerReferences": []}))
    found = checks(facts(pods=(stray,)), ignored_pods=frozenset({"stray"}))
    assert not any(each.name == "unowned-pods" for each in found)


def test_r15_controllers_that_are_to_be_paused_are_noted_instead() -> None:
    found = checks(facts(**scaler("ScaledObject"), target=a_deployment(**FLUX)), pause=True)
    noted = {each.name for each in found if each.result is CheckResult.NOTED}
    assert {"autoscaler", "gitops"} <= noted


def test_the_target_is_checked_and_the_workers_too() -> None:
    found = checks(facts(worker=a_deployment(WORKER, 2, **ARGO)))
    assert any(each.name == "gitops" and "deployment/worker" in each.text for each in found)


# --- the certificate -------------------------------------------------------------------------------------------------


def certificate_check(found: Facts, **wanted: Any) -> Check:
    return next(each for each in checks(found, **wanted) if each.name == "certificate")


def test_a_pod_that_presents_an_older_one_is_worth_a_restart() -> None:
    found = certificate_check(facts(status=a_status(a_leaf("first"), a_leaf("second"))))
    assert (found.result, found.text) == (CheckResult.PASSED, "newer than what 1 of 2 pods present")


def test_pods_that_all_present_the_issued_one_leave_nothing_to_do() -> None:
    current = facts(status=a_status(a_leaf("second")))
    assert certificate_check(current).result is CheckResult.NOTED
    assert certificate_check(current, force=True).result is CheckResult.OVERRIDDEN


def test_a_renewal_that_is_overdue_is_not_mended_by_a_restart() -> None:
    overdue: Certificate = a_certificate(1)
    found = certificate_check(facts(status=a_status(a_leaf("first"), revision=1, certificate=overdue)))
    assert found.result is CheckResult.REFUSED
    assert "would load the same one again" in found.text


def test_without_verification_it_need_not_be_told_what_is_loaded() -> None:
    assert certificate_check(facts(status=UNSEEN), verify=False).result is CheckResult.OVERRIDDEN


def test_one_pod_of_two_that_cannot_be_reached_is_a_warning() -> None:
    seen = a_status(a_leaf("first"))
    unseen = a_status(None, failure=ProbeFailure.TIMEOUT)
    ((assessment, use),) = seen.uses
    ((_, other),) = unseen.uses
    both = replace(seen, uses=((assessment, replace(use, pods=(*use.pods, *other.pods))),))
    found = [each for each in checks(facts(status=both)) if each.name == "reach"]
    assert [each.result for each in found] == [CheckResult.WARNED]
    assert "timeout" in found[0].text


# --- warnings and notes ---------------------------------------------------------------------------------------------


def test_r28_a_clock_that_is_an_hour_off_is_warned_of_and_the_servers_is_used() -> None:
    for skew, way in ((HOUR, "behind"), (-HOUR, "ahead")):
        found = next(each for each in checks(facts(clock_skew=skew)) if each.name == "clock")
        assert found.result is CheckResult.WARNED
        assert f"3600 s {way} of the API server's" in found.text


def test_r21_a_volume_that_one_node_may_use_is_warned_of() -> None:
    once = facts(claims={DEPLOYMENT: (Claim("cache", ("ReadWriteOnce",)),)})
    found = next(each for each in checks(once) if each.name == "volumes")
    assert (found.result, found.remedy) == (CheckResult.WARNED, "strategy Recreate, or maxSurge 0")
    replaced = a_deployment(spec={"strategy": {"type": "Recreate"}})
    many = facts(claims={DEPLOYMENT: (Claim("cache", ("ReadWriteMany",)),)})
    for fine in (replace(once, views=facts(target=replaced).views), many):
        assert not any(each.name == "volumes" for each in checks(fine))


def test_r24_what_a_disruption_budget_does_not_do_is_said() -> None:
    assert any(each.name == "disruption-budget" for each in checks(facts()))


def test_an_automatic_restarter_is_warned_of() -> None:
    watched = a_deployment(metadata={"annotations": {"reloader.stakater.com/auto": "true"}})
    found = next(each for each in checks(facts(target=watched)) if each.name == "restarters")
    assert (found.result, "Reloader restarts deployment/build-service" in found.text) == (CheckResult.WARNED, True)


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preconditions", [FOR_RESUME, FOR_ABORT])
def test_a_run_of_this_target_and_these_workers_can_be_gone_on_with(preconditions: tuple[Precondition, ...]) -> None:
    found = checks(facts(record=Record(RUN)), preconditions)
    assert {each.result for each in found} == {CheckResult.PASSED}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (Record(), "no run is open"),
        (RecordError("schema 9"), "cannot be read"),
        (Record(replace(RUN, workload="deployment/other")), "the record is of deployment/other"),
        (Record(replace(RUN, workers={})), "of the workers none"),
        (Record(replace(RUN, workers={"deployment/worker": WorkerRecord(5, "u")})), "its own annotation says 2"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_with_the_reason(record: Record | RecordError, text: str) -> None:
    annotated = a_deployment(WORKER, 0, metadata={"annotations": {"certlag.dev/replicas": "2"}})
    found = [each for each in checks(facts(record=record, worker=annotated), FOR_RESUME) if each.name == "record"]
    assert [each.result for each in found] == [CheckResult.REFUSED]
    assert text in found[0].text
    assert found[0].remedy


def test_resume_never_asks_what_only_a_new_run_must_know() -> None:
    """Workers at 0, a short grace, an overdue renewal: they are as the run itself left them, or too late to ask."""
    found = checks(facts(record=Record(RUN), worker=a_deployment(WORKER, 0), **graced(30)), FOR_RESUME)
    assert {each.result for each in found} == {CheckResult.PASSED}
    assert TARGET.workload == DEPLOYMENT


@pytest.mark.parametrize(("verb", "preconditions"), [("resume", FOR_RESUME), ("abort", FOR_ABORT)])
def test_what_going_on_refuses_can_be_accepted_by_an_option_of_that_verb(
    verb: str, preconditions: tuple[Precondition, ...]
) -> None:
    shown = CliRunner().invoke(main, [f"{verb}-build-service", "--help"]).output
    for case in REFUSED:
        found = check(preconditions, replace(given(case), record=Record(RUN)), asked(**case.asked))
        refused = {each.name for each in found if each.result is CheckResult.REFUSED and "--accept-" in each.remedy}
        assert all(f"--accept-{name}" in shown for name in refused), (case.name, refused)


@pytest.mark.parametrize("step", [Step.VERIFIED, Step.SCALED_UP, Step.UNPAUSED])
def test_what_a_drain_would_delete_stands_in_the_way_only_while_one_may_come(step: Step) -> None:
    losing = facts(record=Record(RUN), worker=a_deployment(WORKER, 2, **LOSING))

    def results(run: Run) -> set[CheckResult]:
        found = check(FOR_RESUME, replace(losing, record=Record(run)), asked())
        return {each.result for each in found if each.name == "data"}

    assert results(RUN) == {CheckResult.REFUSED}
    assert results(replace(RUN, step=step)) == set()
    assert results(replace(RUN, put_back=Outcome.ABORTED)) == set()
