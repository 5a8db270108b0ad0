"""What must hold before a run may change anything, named one by one. Pure: facts in, checks out.

`OVERRIDES` names those that an operator may accept, each by a flag of its own (`--accept-<name>`); the others can't be
overridden, since no run could succeed without them. `--yes` skips a question and never a precondition.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import ceil

from certlag.assessment import Assessment, Verdict, WindowState
from certlag.model import IssuedEvidence, Target, Workload
from certlag.run_record import RecordError
from runbook.check import unreachable
from runbook.guard import controllers
from runbook.guard.controllers import Autoscaler, Pause
from runbook.guard.guarded_run import Limits
from runbook.guard.record import Record
from runbook.kube import quotas
from runbook.kube.permissions import to_see_budgets, to_see_quotas
from runbook.kube.views import PodState, WorkloadView, reference
from runbook.plan.dry_run import DryRunResults
from runbook.plan.facts import Facts
from runbook.plan.health import Trouble, symptoms
from runbook.plan.model import Check, CheckResult
from runbook.plan.pace import Span, drain_span, exact, restart_span, return_span, turns_of
from runbook.run.engine import PUTTING_BACK

DESTRUCTIVE = frozenset({"data", "unowned-pods"})
"""Those of `OVERRIDES` that lose data or end what is not ours: named as a remedy, never in a command to be pasted."""
OVERRIDES = {
    "alerts": "restart although given alerts fire, or Alertmanager cannot be asked",
    "autoscaler": "drain although an autoscaler may scale the workers up again",
    "certificate-not-ready": "restart although the Certificate is not Ready, where its current request is signed",
    "credential": "start although the credential runs out before the run may end",
    "data": "go on although volumes and what is on them are deleted",
    "drain-timeout": "drain although a worker may need longer than the drain timeout",
    "gitops": "restart although a GitOps controller may revert it",
    "grace": "drain workers whose grace period is the default of 30 s, which would cut off longer work",
    "issuer": "restart although the issued certificate does not chain to its issuer's CA",
    "not-ready": "go on although fewer pods of a workload are ready than are wanted",
    "owner": "restart what another controller owns and may revert",
    "quota": "go on although a ResourceQuota leaves no room for new pods",
    "restart-timeout": "go on although the restart, or the workers' return, may take longer than the restart timeout",
    "unfinished-rollout": "go on although the last rollout of a workload has not finished",
    "unowned-pods": "go on although pods with a workload's labels are nobody's, who would end them",
    "zero-replicas": "go on although a worker is at 0 replicas already, and leave it there",
}

PAUSE = "--pause-controllers"
DEFAULT_GRACE = timedelta(seconds=30)
MAX_SKEW = timedelta(minutes=1)
MAX_DENIALS = 3
"""Denied writes that are shown one by one: a policy on Deployments denies nearly all of them."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the operator asked for, as far as preconditions depend on it."""

    target: Target
    limits: Limits
    accepted: frozenset[str] = frozenset()
    force: bool = False
    verify: bool = True
    pause: bool = False
    gate: tuple[str, ...] = ()
    ignored_pods: frozenset[str] = frozenset()


Precondition = Callable[[Facts, RunRequest], Iterable[Check]]


def check(preconditions: Iterable[Precondition], facts: Facts, asked: RunRequest) -> tuple[Check, ...]:
    """Check them all; what was refused and accepted by its flag is overridden."""
    found = (each for precondition in preconditions for each in precondition(facts, asked))
    return tuple(_override(each, asked.accepted) for each in found)


def _override(found: Check, accepted: Collection[str]) -> Check:
    if found.result is not CheckResult.REFUSED or found.name not in OVERRIDES:
        return found
    flag = f"--accept-{found.name}"
    if found.name in accepted:
        return Check(found.name, CheckResult.OVERRIDDEN, found.text, f"accepted by {flag}")
    remedy = f"{found.remedy}, or {flag}" if found.remedy else flag
    override = () if found.name in DESTRUCTIVE else found.override or (flag,)
    return Check(found.name, found.result, found.text, remedy, override)


def _passed(name: str, text: str) -> Check:
    return Check(name, CheckResult.PASSED, text)


def _refused(name: str, text: str, remedy: str = "", *override: str) -> Check:
    return Check(name, CheckResult.REFUSED, text, remedy, override)


def _warned(name: str, text: str, remedy: str = "") -> Check:
    return Check(name, CheckResult.WARNED, text, remedy)


# --- who and when ----------------------------------------------------------------------------------


def rights(facts: Facts, _: RunRequest) -> Iterator[Check]:
    """Every right that the run needs, in both directions."""
    for right in facts.denied:
        yield _refused("rights", f"you may not {right} ({right.why})", "ask for that right")
    if not facts.denied:
        yield _passed("rights", "every right that is needed is there")


def credential(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Credentials that last for the run, or are refreshed by themselves."""
    held = facts.credential
    if held.refreshable or held.expires_at is None:
        yield _passed("credential", f"{held.kind}: {'refreshed by itself' if held.refreshable else 'does not run out'}")
        return
    ends = facts.at + asked.limits.budget
    text = f"{held.kind}: valid until {held.expires_at:%Y-%m-%d %H:%M:%S}Z"
    if held.expires_at < ends:
        remedy = f"log in again, for longer than until {ends:%H:%M}Z"
        yield _refused("credential", f"{text}, before the run may have ended", remedy)
    else:
        yield _passed("credential", text)


def credential_left(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """As `credential`, but a warning: a run that is open has to be ended."""
    for each in credential(facts, asked):
        yield _warned(each.name, each.text, each.remedy) if each.result is CheckResult.REFUSED else each


def clock(facts: Facts, _: RunRequest) -> Iterator[Check]:
    """An operator's clock that is right; where it is not, the API server's is used."""
    skew = facts.clock_skew
    if skew is not None and abs(skew) > MAX_SKEW:
        way = "behind" if skew > timedelta(0) else "ahead"
        text = (
            f"this machine's clock is {abs(skew).total_seconds():.0f} s {way} of the API server's, whose time is used"
        )
        yield _warned("clock", text, "set the clock")
    else:
        yield _passed("clock", "within a minute of the API server's")


# --- the record ------------------------------------------------------------------------------------


def no_open_run(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """No run of this target that is not finished: a new one would record 0 and overwrite what is to be restored."""
    if isinstance(facts.record, RecordError):
        yield _refused("record", f"the record cannot be read: {facts.record}", "use the version that wrote it")
    elif (run := facts.record.run) is not None:
        since = f"run {run.id} of {run.operator.user}, begun {run.begun:%Y-%m-%d %H:%M:%S}Z, is at {run.step}"
        name = asked.target.name
        yield _refused("record", f"{since} and not finished", f"runbook resume-{name}, or runbook abort-{name}")
    else:
        yield _passed("record", "no run is open")


def open_run(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """A run to go on with, of just this target and these workers."""
    if isinstance(facts.record, RecordError):
        yield _refused("record", f"the record cannot be read: {facts.record}", "use the version that wrote it")
    elif (run := facts.record.run) is None:
        yield _refused("record", "no run is open", "`restart` begins one")
    elif run.workload != reference(asked.target.workload):
        text = f"the record is of {run.workload}, the configuration names {reference(asked.target.workload)}"
        yield _refused("record", text, "use the configuration that the run was begun with")
    elif set(run.workers) != {reference(worker) for worker in asked.target.workers}:
        text = f"the record is of the workers {', '.join(sorted(run.workers)) or 'none'}, the configuration of others"
        yield _refused("record", text, "use the configuration that the run was begun with")
    else:
        yield from _as_recorded(facts, facts.record)


def _as_recorded(facts: Facts, record: Record) -> Iterator[Check]:
    run = record.run
    views = {reference(workload): view for workload, view in facts.views.items()}
    for name, worker in run.workers.items() if run else ():
        view = views.get(name)
        noted = view.recorded_replicas if view else None
        if noted not in (None, str(worker.replicas)):
            text = f"the record says {worker.replicas} replicas of {name}, its own annotation says {noted}"
            yield _refused("record", text, f"kubectl annotate {name} certlag.dev/replicas=… --overwrite")
            return
    yield _passed("record", f"run {run.id} is at {run.step}" if run else "no run is open")


# --- what is to be restarted -----------------------------------------------------------------------


def workloads(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """The target and its workers exist: a name that matches nothing is a mistake, not a finished drain."""
    missing = [each for each in (asked.target.workload, *asked.target.workers) if each not in facts.views]
    for each in missing:
        text = f"{reference(each)} does not exist in {each.namespace}"
        yield _refused("workloads", text, f"`kubectl get {each.type} -n {each.namespace}` shows those that exist")
    if not missing:
        yield _passed("workloads", "the target and its workers exist")


def can_roll_out(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """A target whose restart can be asked for, and seen to be done; with no pods there is nothing to restart."""
    view = facts.views.get(asked.target.workload)
    if view is None:
        return
    name = reference(view.workload)
    if view.replicas < 1:
        text = f"{name} has no pods to restart; those that start later load the issued certificate"
        yield Check("rollout", CheckResult.NOTED, text)
    elif view.paused:
        yield _refused("rollout", f"{name} is paused: nothing would be restarted", f"kubectl rollout resume {name}")
    elif view.strategy == "OnDelete":
        text = f"{name} replaces a pod only when it is deleted (updateStrategy OnDelete)"
        remedy = (
            "delete its pods one at a time, each once the one before is Ready, and unsealed if it starts sealed: "
            "docs/restart-ondelete.md"
        )
        yield _refused("rollout", text, remedy)
    elif view.partition:
        text = f"{name} updates only pods from ordinal {view.partition} on (partition)"
        yield _refused("rollout", text, "partition 0")
    else:
        yield _passed("rollout", f"{name} is restarted by its controller ({view.strategy})")


def surge(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Nothing that a new pod must wait for until the old one is gone, where the old one waits for the new.

    Only a rolling update that surges has both at once: on a volume that one node may use (kubernetes#115997), or on
    ports of the node.
    """
    view = facts.views.get(asked.target.workload)
    if view is None or not view.surge:
        return
    remedy = "strategy Recreate, or maxSurge 0" if view.workload.type == "deployment" else "maxSurge 0"
    for claim in facts.claims.get(view.workload, ()):
        if claim.is_exclusive:
            modes = ", ".join(claim.access_modes)
            text = f"volume claim {claim.name} is {modes}: a new pod may wait for ever for the old one to let it go"
            yield _warned("volumes", text, remedy)
    if view.host_ports:
        text = f"{reference(view.workload)} takes ports of its node: a new pod may wait for ever for a node without one"
        yield _warned("host-ports", text, remedy)


_RETAIN = '{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Retain"}}}'


def data(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """No volume is deleted by the drain or the restart; what begins empty with each pod by design is only noted."""
    for view in _views(facts, asked):
        name = reference(view.workload)
        deleted = view.volumes.deleted_when_scaled
        if deleted and view.workload != asked.target.workload:
            text = f"scaling {name} to 0 deletes its volume claims, and what is on them: {', '.join(deleted)}"
            yield _refused("data", text, f"kubectl patch {name} -p '{_RETAIN}'")
        for claim in facts.claims.get(view.workload, ()):
            if claim.pod is not None:
                text = f"volume claim {claim.name} of {name} is owned by pod {claim.pod}, and deleted with it"
                yield _refused("data", text, f"take its ownerReference off: kubectl edit pvc {claim.name}")
        if view.volumes.of_the_pod:
            text = f"new pods of {name} start without what is in {', '.join(view.volumes.of_the_pod)}"
            yield Check("data", CheckResult.NOTED, text)


def data_left(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """As `data`, where the open run may still scale a worker to 0."""
    run = None if isinstance(facts.record, RecordError) else facts.record.run
    if run is not None and run.put_back is None and run.step not in PUTTING_BACK:
        yield from data(facts, asked)


def owners(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Nobody owns what is changed: an operator would put it back as it wants it."""
    for view in _views(facts, asked):
        if view.owner is not None:
            text = f"{reference(view.workload)} is owned by {view.owner}, which may revert a restart or a scale"
            yield _refused("owner", text, f"restart by {view.owner}")


def gitops(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """No GitOps controller reverts what is changed, or it was told not to."""
    for view in _views(facts, asked):
        if asked.pause and controllers.pausable_flux(view):
            yield Check("gitops", CheckResult.NOTED, f"{controllers.flux(view)} is told to leave it alone meanwhile")
            continue
        applied_by = controllers.flux(view) or controllers.argo_cd(view)
        if applied_by is not None:
            text = f"{reference(view.workload)} is applied by {applied_by}, which may revert a restart or a scale"
            if controllers.pausable_flux(view):
                yield _refused("gitops", text, PAUSE, PAUSE)
            else:
                yield _refused("gitops", text, "suspend it until the run has ended")


def restarters(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Automatic restarters are told of: they restart at once, without draining."""
    for view in _views(facts, asked):
        if (found := controllers.restarter(view)) is not None:
            text = f"{found} restarts {reference(view.workload)} without draining when what it watches changes"
            yield _warned("restarters", text, "have it leave this workload alone: this runbook restarts it")


# --- the certificate -------------------------------------------------------------------------------


def certificate(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """A certificate that was issued, is Ready, and is newer than what is loaded; else there is nothing to do."""
    status = facts.status
    target = asked.target
    if status is None or _is_at_0(facts, asked) or target.workload not in facts.views:
        return
    if not status.uses or not status.certificates:
        named = target.certificate or f"for the Secrets that {reference(target.workload)} uses"
        where = f"`kubectl get certificate -n {target.workload.namespace}` shows those that exist"
        yield _refused("certificate", f"there is no Certificate {named}", where)
        return
    refused = [each for assessment, _ in status.uses for each in _not_ready(facts, assessment)]
    yield from refused
    if all(each.name in OVERRIDES for each in refused):
        yield _worth_it(facts, asked)


def _not_ready(facts: Facts, assessment: Assessment) -> Iterator[Check]:
    """Refuse a Certificate that is not Ready; where it was issued beyond doubt, that can be accepted.

    Ready may be False for ever, for reasons that the Secret has nothing to do with (cert-manager#9146, #5183). Its own
    signed request, with just the dates that the Certificate's status has, says what a new pod loads.
    """
    certificate, issued = assessment.certificate, assessment.issued
    if certificate is None or certificate.key.name in facts.ready_certificates:
        return
    name, see = certificate.key.name, f"cmctl status certificate {certificate.key.name}"
    if (
        issued is not None
        and issued.evidence is IssuedEvidence.CERTIFICATE_REQUEST
        and (issued.not_before, issued.not_after) == (certificate.not_before, certificate.not_after)
        and issued.not_after > facts.at
    ):
        text = (
            f"Certificate {name} is not Ready, though the request of its revision {certificate.revision} is signed, "
            "with the dates that its status has"
        )
        yield _refused("certificate-not-ready", text, see)
    else:
        yield _refused("certificate", f"Certificate {name} is not Ready: a restart may load what is not valid", see)


def _worth_it(facts: Facts, asked: RunRequest) -> Check:
    """Say whether a restart would help."""
    status = facts.status
    assert status is not None  # noqa: S101 - only asked with one
    stale = [pod for pod in status.pods if pod.verdict is Verdict.STALE]
    if stale:
        text = "issued since {} of {} pods started" if status.by_start else "newer than what {} of {} pods present"
        return _passed("certificate", text.format(len(stale), len(status.pods)))
    if not asked.verify or asked.force:
        return Check("certificate", CheckResult.OVERRIDDEN, status.why or status.proof, "--force")
    if status.state is WindowState.RENEWAL_DUE:
        text = "cert-manager should have renewed it and has not: a restart would load the same one again"
        return _refused("certificate", text, "see why it is not renewed: cmctl status certificate; or --force")
    if status.verified:
        return Check("certificate", CheckResult.NOTED, f"{status.proof} already")
    text = f"it cannot be told what is loaded: {status.why}"
    return _refused("certificate", text, "--force restarts anyway", "--force")


def issuer(facts: Facts, _: RunRequest) -> Iterator[Check]:
    """The issued leaf chains to the CA that its issuer gave: else nobody would trust the restarted daemon."""
    for issued in facts.status.issued if facts.status else ():
        chain = issued.chain
        if issued.evidence is not IssuedEvidence.CERTIFICATE_REQUEST or chain is None or not chain.authorities:
            yield Check("issuer", CheckResult.NOTED, "the issuer's CA is not known, so the chain cannot be checked")
        elif chain.leaf.fingerprint_sha256 in facts.unchained:
            yield _refused("issuer", "the issued certificate does not chain to its issuer's CA", "see the issuer")
        else:
            yield _passed("issuer", "the issued certificate chains to its issuer's CA")


def reach(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Every pod was seen to present something now: else success could not be seen afterwards either."""
    status = facts.status
    if status is None or not asked.verify:
        return
    unseen = [pod for pod in status.pods if pod.verdict in (Verdict.UNPROBED, Verdict.PENDING) or pod.failure]
    for pod in unseen:
        text = f"pod {pod.name} cannot be asked what it presents ({pod.failure or pod.reason})"
        yield _warned("reach", text, "--no-verify restarts without looking")
    if status.pods and len(unseen) == len(status.pods) and not asked.force:
        text = f"no pod can be probed, so success could not be verified: {unreachable.why(unseen[0])}"
        yield _refused("reach", text, f"{unreachable.remedy(unseen[0], asked.target)}, or --no-verify", "--no-verify")


# --- the workers -----------------------------------------------------------------------------------


def replicas(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Workers that run: one at 0 was perhaps left so by somebody else, and would be recorded as 0."""
    for view in _workers(facts, asked):
        if view.replicas > 0:
            yield _passed("replicas", f"{reference(view.workload)} has {view.replicas}: recorded, and put back")
        elif view.recorded_replicas not in (None, "0"):
            text = f"{reference(view.workload)} is at 0, and its annotation says that it had {view.recorded_replicas}"
            remedy = f"kubectl scale {reference(view.workload)} --replicas={view.recorded_replicas}"
            yield _refused("replicas", text, remedy)
        else:
            text = f"{reference(view.workload)} is at 0 already and would be left at 0"
            yield _refused("zero-replicas", text, "scale it to what it should be")


def grace(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Only its own grace period lets a worker finish: the live pods' counts, not the template's."""
    for worker in asked.target.workers:
        pods = facts.pods_of(worker)
        short = [pod.name for pod in pods if pod.grace == DEFAULT_GRACE]
        if short:
            text = (
                f"{len(short)} pods of {reference(worker)} have the default grace period of 30 s, and are killed then"
            )
            yield _refused("grace", text, "set terminationGracePeriodSeconds to how long its work may take")
        elif pods:
            longest = max(pod.grace for pod in pods)
            yield _passed("grace", f"{reference(worker)}: up to {exact(longest)} to finish")


def unowned_pods(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """Pods with a workload's labels that nobody would end: the drain, or the rollout, would wait for them."""
    for view in _views(facts, asked):
        names = [pod.name for pod in facts.unowned(view.workload, ignored=asked.ignored_pods)]
        if names:
            text = (
                f"pods with the labels of {reference(view.workload)} belong to no controller that is known to live: "
                f"{', '.join(sorted(names))}"
            )
            ignoring = (f"--ignore-pod={name}" for name in sorted({*names, *asked.ignored_pods}))
            yield _refused("unowned-pods", text, "delete them, or --ignore-pod NAME for each", *ignoring)


# --- health and duration, before harm --------------------------------------------------------------

CONSEQUENCES = {
    (Trouble.UNFINISHED, True): "its last rollout has not finished; scaled to 0 and back, all pods have its present "
    "template, which has not shown that it works",
    (Trouble.UNFINISHED, False): "its last rollout has not finished; restarted, all pods have its present template, "
    "which has not shown that it works",
    (Trouble.NOT_READY, True): "fewer pods are ready than are wanted; scaled to 0 and back, it may not be whole again",
    (Trouble.NOT_READY, False): "fewer pods are ready than are wanted; a restart may not get past them, or leave fewer "
    "than a quorum",
}
"""What comes of it, for a workload that is scaled to 0 and back (a worker), and for one that is restarted."""


def health(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """The target and its workers are in a state that a restart, or a scale to 0 and back, survives."""
    for view in _views(facts, asked):
        scaled = view.workload != asked.target.workload
        found = symptoms(view, scaled=scaled)
        name, namespace = reference(view.workload), view.workload.namespace
        remedies = {
            Trouble.UNFINISHED: f"finish or undo it: kubectl rollout undo {name} -n {namespace}",
            Trouble.NOT_READY: f"have all of them ready: kubectl describe {name} -n {namespace}",
        }
        for trouble, remedy in remedies.items():
            if its := ", ".join(str(symptom) for symptom in found if symptom.trouble is trouble):
                yield _refused(trouble, f"{name}: {its}: {CONSEQUENCES[trouble, scaled]}", remedy)
        if view.replicas and not found:
            yield _passed(
                "health", f"{name}: {view.ready} of {view.replicas} pods are Ready, all of its present template"
            )


def drain_timeout(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """A drain that waits as long as the workers may take."""
    spans = [
        (f"{reference(worker)} may take {{}} to finish", drain_span(view, _pods(facts, asked, worker)))
        for worker in asked.target.workers
        if (view := facts.views.get(worker)) is not None
    ]
    yield from _outlasting("drain-timeout", spans, asked.limits.drain)


def restart_timeout(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """A restart, and workers that come back, are waited for as long as they may take."""
    spans: list[tuple[str, Span]] = []
    if (target := facts.views.get(asked.target.workload)) is not None and target.replicas:
        span = restart_span(target, _pods(facts, asked, target.workload))
        spans.append((f"{reference(target.workload)} may take {{}} to restart", span))
        yield from _progress_deadline(target)
    for view in _workers(facts, asked):
        text = f"{reference(view.workload)} may take {{}} until it is ready again"
        spans.append((text, return_span(view, view.replicas)))
    yield from _outlasting("restart-timeout", spans, asked.limits.restart)


def _outlasting(name: str, spans: Collection[tuple[str, Span]], limit: timedelta) -> Iterator[Check]:
    """Refuse what may take longer than a limit; the limit that is advised is enough for all of it."""
    enough = max((ceil(span.length.total_seconds()) for _, span in spans), default=0)
    for text, span in spans:
        if span.length > limit:
            said = f"{text.format(exact(span.length))} ({span}), and times out after {exact(limit)}"
            yield _refused(name, said, f"--{name} {enough}s", f"--{name}={enough}s")


def _progress_deadline(view: WorkloadView) -> Iterator[Check]:
    """Warn of a controller that gives a rollout up while it goes well: it reports that, and goes on."""
    span = return_span(view, 1)
    if view.progress_deadline is not None and span.length > timedelta(seconds=view.progress_deadline):
        text = (
            f"{reference(view.workload)}: progressDeadlineSeconds {view.progress_deadline} is shorter than a new pod "
            f"may take to be available ({span}): its controller may say that the rollout failed while it goes on"
        )
        yield _warned("restart-timeout", text, "a longer progressDeadlineSeconds")


def disruption_budget(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """The PodDisruptionBudgets of the target, which a restart does not ask (kubernetes#89820)."""
    view = facts.views.get(asked.target.workload)
    if asked.target.workers:
        text = "PodDisruptionBudgets protect from evictions; scaling down and restarting do not ask them"
        yield Check("disruption-budget", CheckResult.NOTED, text)
    if view is None:
        return
    if facts.budgets is None:
        text = f"whether a PodDisruptionBudget covers {reference(view.workload)} cannot be seen"
        yield Check("disruption-budget", CheckResult.NOTED, text, f"a right to {to_see_budgets(asked.target)}")
        return
    away = turns_of(view).unavailable
    for budget in facts.budgets:
        if budget.selector.matches(view.template_labels):
            text = f"{budget} covers {reference(view.workload)}, and a restart does not ask it"
            if budget.allowed is not None and away > budget.allowed:
                yield _warned("disruption-budget", f"{text}: it takes {away} at a time")
            else:
                yield Check("disruption-budget", CheckResult.NOTED, text)


def quota(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """ResourceQuotas leave room: for the target's new pod beside its old one, and for the workers that come back."""
    if facts.quotas is None:
        text = "whether a ResourceQuota leaves room for new pods cannot be seen"
        yield Check("quota", CheckResult.NOTED, text, f"a right to {to_see_quotas(asked.target)}")
        return
    freed: defaultdict[str, Decimal] = defaultdict(Decimal)
    for worker in asked.target.workers:
        if (view := facts.views.get(worker)) is not None:
            for name, amount in quotas.taken(view.resources).items():
                freed[name] += amount * view.replicas
    found = False
    for view in _views(facts, asked):
        is_target = view.workload == asked.target.workload
        turns = turns_of(view)
        more = 1 if is_target and turns.overlapping and not turns.unavailable else 0
        given_back: Mapping[str, Decimal] = freed if is_target else {}
        takes = quotas.taken(view.resources)
        for text in quotas.shortages(facts.quotas, takes, more=more, freed=given_back):
            found = True
            yield _refused("quota", f"{reference(view.workload)}: {text}", "a larger quota, or less that uses it")
    if facts.quotas and not found:
        yield _passed("quota", "ResourceQuotas leave room for the new pods")


def autoscalers(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """No autoscaler scales the workers up during the drain, nor the target to 0 while it has nothing to do."""
    known = {each.workload for each in facts.autoscalers}
    for each in facts.autoscalers:
        view = facts.views.get(each.workload)
        if view is not None:
            is_target = each.workload == asked.target.workload
            if each.kind == "ScaledObject":
                yield _scaled_object(each, asked, replicas=view.replicas, is_target=is_target)
            else:
                yield _horizontal(each, is_target=is_target)
    for view in _views(facts, asked):
        if view.workload not in known and (found := controllers.other_scaler(view)) is not None:
            text = f"{found} scales {reference(view.workload)}, and may do so during the run"
            yield _warned("autoscaler", text, "if it does so by itself, stop it during the run")


def _horizontal(autoscaler: Autoscaler, *, is_target: bool) -> Check:
    least, remedy = autoscaler.min_replicas, "minReplicas 1 during the run"
    if least >= 1:
        then = f"never below {least}" if is_target else "and rests while it is at 0"
        return _passed("autoscaler", f"{autoscaler.description}, {then}")
    if is_target:
        return _refused("autoscaler", f"{autoscaler.description}, to 0 once its workers are drained", remedy)
    return _refused("autoscaler", f"{autoscaler.description} from 0, and may scale it up", remedy)


def _scaled_object(autoscaler: Autoscaler, asked: RunRequest, *, replicas: int, is_target: bool) -> Check:
    """Assess KEDA, which scales straight back (keda#2453), and to 0 what has nothing to do."""
    found = controllers.pause(autoscaler, replicas)
    if found is Pause.PAUSED:
        return _passed("autoscaler", f"{autoscaler.description}, and is paused")
    if asked.pause and found in (Pause.NONE, Pause.HELD):
        return Check("autoscaler", CheckResult.NOTED, f"{autoscaler.description}, and is paused during the run")
    if is_target and found is Pause.HELD:
        return _passed("autoscaler", f"{autoscaler.description}, and is held at {replicas}")
    if is_target and found is not Pause.CONTRADICTORY and autoscaler.min_replicas >= 1:
        return _passed("autoscaler", f"{autoscaler.description}, never below {autoscaler.min_replicas}")
    if found is Pause.UNREPORTED:
        text = f"{autoscaler.description}, and reports no condition Paused: KEDA before 2.11, or one that does not run"
        return _refused("autoscaler", text, "KEDA 2.12 or newer, which can be paused at any number of replicas")
    if found is Pause.CONTRADICTORY:
        text = f"{autoscaler.description}, and would not be paused for certain: {autoscaler.pauses}"
        remedy = f"take every pause off ScaledObject {autoscaler.name}, and see that its condition Paused turns False"
        return _refused("autoscaler", text, remedy)
    then = "to 0 once its workers are drained" if is_target else "and would scale it up"
    return _refused("autoscaler", f"{autoscaler.description}, {then}", PAUSE, PAUSE)


def alerts(facts: Facts, asked: RunRequest) -> Iterator[Check]:
    """None of the alerts that were named fires; if that cannot be told, it does not pass."""
    if not asked.gate:
        return
    if facts.firing is None:
        yield _refused("alerts", f"whether {', '.join(asked.gate)} fire is not known: {facts.firing_unknown}")
    elif facts.firing:
        yield _refused("alerts", f"firing: {', '.join(facts.firing)}", "wait until it is resolved")
    else:
        yield _passed("alerts", f"not firing: {', '.join(asked.gate)}")


# --- what the API server says of the writes ----------------------------------------------------------


def admission(tried: DryRunResults) -> Iterator[Check]:
    """Every write of the run was tried as a dry run: a policy that denies one is reported before the drain."""
    for what, why in tried.denied[:MAX_DENIALS]:
        yield _refused("admission", f"the API server refuses to {what}: {why}", "ask for an exception from that policy")
    if more := len(tried.denied) - MAX_DENIALS if len(tried.denied) > MAX_DENIALS else 0:
        yield _refused("admission", f"and {more} more writes of this run")
    if tried.unknown:
        what, why = tried.unknown[0]
        yield _warned("admission", f"{len(tried.unknown)} writes cannot be tried beforehand, as {what}: {why}")
    if tried.any and not tried.denied:
        text = f"{tried.sentence.removesuffix('.')} in a dry run; new pods are admitted when they are made"
        yield _passed("admission", text)


FOR_RESTART: tuple[Precondition, ...] = (
    rights,
    credential,
    clock,
    no_open_run,
    workloads,
    can_roll_out,
    certificate,
    issuer,
    reach,
    replicas,
    health,
    grace,
    drain_timeout,
    restart_timeout,
    unowned_pods,
    autoscalers,
    gitops,
    owners,
    restarters,
    surge,
    data,
    disruption_budget,
    quota,
    alerts,
)
FOR_START = tuple(each for each in FOR_RESTART if each is not credential)
"""For a run in the cluster, whose credentials are not those of the person who starts it."""
FOR_RESUME: tuple[Precondition, ...] = (rights, credential_left, clock, open_run, workloads, data_left)
FOR_ABORT: tuple[Precondition, ...] = (rights, credential_left, clock, open_run)
RESUME_OVERRIDES = ("data",)
"""What `resume` may be told to accept; nothing that `abort` checks can be overridden, or has to be."""


def _is_at_0(facts: Facts, asked: RunRequest) -> bool:
    """Tell whether the target wants no pods: then nothing is loaded, and nothing can be restarted."""
    view = facts.views.get(asked.target.workload)
    return view is not None and view.replicas < 1


def _pods(facts: Facts, asked: RunRequest, workload: Workload) -> tuple[PodState, ...]:
    return tuple(facts.pods_of(workload, ignored=asked.ignored_pods))


def _views(facts: Facts, asked: RunRequest) -> list[WorkloadView]:
    wanted: tuple[Workload, ...] = (asked.target.workload, *asked.target.workers)
    return [facts.views[workload] for workload in wanted if workload in facts.views]


def _workers(facts: Facts, asked: RunRequest) -> list[WorkloadView]:
    return [facts.views[worker] for worker in asked.target.workers if worker in facts.views]
