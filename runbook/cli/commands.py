"""What each command does, from its facts to its exit code. Touches the API server, by the modules that it calls.

restart, resume and abort are one sequence: gather → check → plan → ask → run. They differ in their preconditions, in
what will change, and in which of the engine's three ways they take.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import click

from certlag.clock import Clock
from certlag.errors import ClusterError
from certlag.model import Target
from certlag.run_record import RecordError, record_name
from certlag.version import VERSION
from runbook.alertmanager import Alertmanager, AlertmanagerError, Silences
from runbook.concurrent_calls import ConcurrentCalls
from runbook.effects import AfterInterrupt, Confirm, Document, Steps
from runbook.events import Ended, Level, Notice
from runbook.guard import controllers
from runbook.guard.guarded_run import ApprovedRun, Limits
from runbook.guard.process_identity import this_process
from runbook.guard.record import Operator, Paused, Record, Run
from runbook.job import client
from runbook.job.follow import Followed, settled
from runbook.job.manifest import cron_job_path, has_ended, is_pod_of, is_there
from runbook.kube import permissions
from runbook.kube.change_waiter import ChangeWaiter
from runbook.kube.permissions import Right
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.plan import dry_run, planning, preconditions
from runbook.plan.dry_run import DryRunResults
from runbook.plan.facts import Facts, Gatherer
from runbook.plan.model import Check, CheckResult, Plan, of_result
from runbook.plan.preconditions import Precondition, RunRequest
from runbook.report.reporter import Reporter
from runbook.run.driver import Asker, Driver
from runbook.run.engine import Ending, Engine
from runbook.session.interrupts import Interrupts
from runbook.session.options import Options, UsageError
from runbook.session.session import Session
from runbook.session.usage import check_usage

SILENCED = ("CertlagNeedsRestart", "CertlagRestartDeadlineNear", "CertlagLoadedCertificateUnknown")
"""What a drain makes noisy; the critical ones among them are never silenced."""


@dataclass(frozen=True, slots=True)
class Command:
    """One of the commands that change something."""

    verb: str
    preconditions: tuple[Precondition, ...]
    steps: Callable[[Engine], Steps[Ending]]
    opens: bool


RESTART = Command("restart", preconditions.FOR_RESTART, Engine.restart, opens=True)
START = Command("restart", preconditions.FOR_START, Engine.restart, opens=True)
RESUME = Command("resume", preconditions.FOR_RESUME, Engine.resume, opens=False)
ABORT = Command("abort", preconditions.FOR_ABORT, Engine.abort, opens=False)


UNWATCHED = Check(
    "unwatched",
    CheckResult.WARNED,
    "the exporter knows no runs of workloads that no target names: if the workers stay at 0, no alert says so",
)
"""About a workload that no target names, with workers."""
UNDRAINED = Check(
    "workers",
    CheckResult.WARNED,
    "no worker was named: connections to the target break when it restarts",
    "--worker KIND/NAME for each workload that must finish its work first",
)
"""About one without workers."""


def perform(command: Command, session: Session, name: str, reporter: Reporter) -> int:
    """Do one of the three; return the exit code.

    Raises:
        UsageError: it was given what it cannot use.
    """
    options = session.options
    check_usage(options, opens=command.opens)
    target = session.target(name)
    if not (options.yes or options.dry_run or options.attach or _is_interactive()):
        raise UsageError("there is no terminal to ask on: --yes goes on without the question, --dry-run only plans")
    try:
        if options.attach:
            ending = client.attach(session, target, reporter.tell)
        elif options.in_cluster:
            ending = _start(session, target, reporter)
        else:
            ending = (
                _by_job(command, session, target, reporter)
                if options.in_job
                else _here(command, session, target, reporter)
            )
    except ClusterError as error:
        if error.denied:
            ending = Ending(Outcome.REFUSED, f"the API server refuses it: {error.message}")
        else:
            ending = Ending(Outcome.UNEXPECTED, f"the API server could not be asked, nothing was changed: {error}")
    run = ending.run
    left = tuple((each, worker.replicas) for each, worker in run.workers.items()) if run else ()
    following = _following(command, session, target, ending)
    reporter.tell(Ended(ending.outcome, ending.message, run.id if run else None, ending.seconds, following, left))
    return EXIT_CODES[ending.outcome]


def _here(command: Command, session: Session, target: Target, reporter: Reporter) -> Ending:
    """Do it in this process."""
    try:
        gathered = _gather(command, session, target)
        checks = _checks(command, session, target, gathered)
        approved = _approved(session, target, gathered)
        tries = session.options.dry_run or command is not ABORT  # what restores the workers is tried in any case
        tried = (
            DryRunResults()
            if not tries or _settled(command, checks)
            else _try_writes(command, session, approved, gathered)
        )
        plan = _plan(command, session, target, gathered, (*checks, *preconditions.admission(tried)))
        reporter.plan(plan)
        ending = _ended_by_plan(command, session, gathered, plan, tried) or _ask(
            plan, gathered, session.options, reporter
        )
    except KeyboardInterrupt:
        return Ending(Outcome.INTERRUPTED, "nothing was changed")
    return ending or _run(command, session, approved, gathered, reporter)


def _by_job(command: Command, session: Session, target: Target, reporter: Reporter) -> Ending:
    """Do it as a pod of a Job, where one before it has left it."""
    record = session.gatherer(target).record()
    if not isinstance(record, RecordError):
        mine = Followed(job=session.options.in_job)
        if (ended := settled(mine.found(record))) is not None:
            return ended
        if record.run is not None and mine.has(record.run):
            command = RESUME
    return _here(command, session, target, reporter)


def _start(session: Session, target: Target, reporter: Reporter) -> Ending:
    """Have it done by a Job: the plan and the question are the same."""
    planning_with = client.for_planning(session, target, reporter.tell)
    gathered = _gather(START, planning_with, target)
    checks = _checks(START, planning_with, target, gathered)
    job = client.creation(session, target, gathered.cron_job, gathered.facts.user) if gathered.cron_job else None
    tried = DryRunResults()
    if job is not None and not _settled(START, checks):
        tried = session.gatherer(target).try_writes([job])
    plan = _plan(START, planning_with, target, gathered, (*checks, *preconditions.admission(tried)))
    reporter.plan(plan)
    run = _open_run(gathered.facts)
    if run is not None and run.ended is None:
        return Ending(Outcome.LOCKED, f"run {run.id} of {run.operator.user} is at {run.step}")
    ending = _ended_by_plan(START, session, gathered, plan, tried) or _ask(plan, gathered, session.options, reporter)
    if ending is not None or job is None:
        return ending or Ending(Outcome.REFUSED, "there is no CronJob")
    try:
        return client.start(session, target, job, reporter.tell)
    except ClusterError as error:
        if error.refused:
            raise
        return Ending(Outcome.NOT_BEGUN, f"whether the Job was created is not known: {error}")


def _following(command: Command, session: Session, target: Target, ending: Ending) -> tuple[str, ...]:
    """Return what to type next: what shows more of why it ended so, then what goes on from there."""
    follow, options = (client.attach_command(session, target),), session.options
    if ending is client.DETACHED or (options.in_cluster and ending.outcome is Outcome.LOCKED):
        return follow
    same = session.command(command.verb, target, *options.again(ending.options))
    check, restart, resume, abort = (
        same if verb == command.verb else session.command(verb, target)
        for verb in ("check", "restart", "resume", "abort")
    )
    take_over = (
        session.command("resume", target, "--take-over")
        if command.opens
        else session.command(command.verb, target, *options.again(("--take-over",)))
    )
    from_here = {
        Outcome.DONE: (),
        Outcome.ABORTED: (),
        Outcome.NOTHING_TO_DO: (),
        Outcome.CANCELLED: (),
        Outcome.DRY_RUN: (same,),
        Outcome.LOCKED: (check, take_over),
        Outcome.NOT_BEGUN: follow,
    }
    goes_on = from_here.get(ending.outcome, (check, restart)) if ending.run is None else (resume, abort)
    return (*map(session.kubectl, ending.shows), *goes_on)


# --- before anything changes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gathered:
    """The facts, and what they make of the command."""

    facts: Facts
    limits: Limits
    asked: RunRequest
    pause: tuple[Paused, ...]
    cron_job: Document | None = None


def _gather(command: Command, session: Session, target: Target) -> Gathered:
    """Find out what is so. Without the rights to, only they are told of."""
    options, gatherer = session.options, session.gatherer(target)
    user = gatherer.user()
    forward = options.verify and session.port_forward
    keda = gatherer.has_keda()
    denied = gatherer.denied(_needed(session, target, gatherer, port_forward=forward, keda=keda))
    facts = _base_facts(session, user, denied) if denied else _facts(command, session, target, user, keda=keda)
    limits = planning.limits(target, facts, drain=options.drain_timeout, restart=options.restart_timeout)
    if options.routing_delay is not None:
        limits = replace(limits, routing=options.routing_delay)
    if not options.settle:
        limits = replace(limits, settle=limits.settle * 0)
    asked = RunRequest(
        target=target,
        limits=limits,
        accepted=options.accepted,
        force=options.force,
        verify=options.verify,
        pause=options.pause,
        gate=options.gate,
        ignored_pods=options.ignored_pods,
    )
    pause = tuple(planning.pauses(target, facts)) if options.pause else ()
    made_from = client.cron_job(session, target) if options.in_cluster and not denied else None
    return Gathered(facts, limits, asked, pause, made_from)


def _needed(
    session: Session, target: Target, gatherer: Gatherer, *, port_forward: bool, keda: bool
) -> tuple[Right, ...]:
    """Return the rights that it takes: a run in the cluster is made with those of its Job's account."""
    if session.options.in_cluster:
        cron_job = session.options.cron_job or record_name(target.name)
        return tuple(permissions.to_start(target, cron_job, port_forward=port_forward, keda=keda))
    return tuple(permissions.to_run(target, port_forward=port_forward, keda=keda, made=gatherer.made()))


def _base_facts(session: Session, user: str, denied: tuple[Right, ...]) -> Facts:
    connection = session.connection
    return Facts(
        at=session.clock.now(),
        user=user,
        clock_skew=connection.clock_skew,
        credential=connection.credential,
        denied=denied,
        record=Record(),
        views={},
        replica_sets=(),
        pods=(),
        status=None,
        ready_certificates=frozenset(),
        unchained=frozenset(),
        autoscalers=(),
        claims={},
        budgets=None,
        quotas=None,
        firing=(),
        firing_unknown=None,
    )


def _facts(command: Command, session: Session, target: Target, user: str, *, keda: bool) -> Facts:
    """Read at the same time what does not depend on each other."""
    gatherer, options = session.gatherer(target), session.options
    with ConcurrentCalls() as calls:
        reading_views = calls.submit(gatherer.views)
        reading_autoscalers = calls.submit(lambda: gatherer.autoscalers(keda=keda))
        record = gatherer.record()
        views, autoscalers = reading_views.result(), reading_autoscalers.result()
        pausing = options.pause and not options.in_cluster
        more = [right for each in autoscalers if pausing for right in controllers.rights_to_pause(each)]
        if command.opens and any(view.volumes.named for view in views.values()):
            more.append(permissions.to_read_claims(target))
        run = None if command.opens or isinstance(record, RecordError) else record.run
        more += [right for each in run.paused for right in permissions.to_unpause(target, each.path)] if run else []
        if denied := gatherer.denied(more):
            return _base_facts(session, user, denied)
        inspector = session.inspector(target, session.reader)
        status = calls.submit(lambda: inspector.inspect(probe=options.verify))
        replica_sets, pods = calls.submit(gatherer.replica_sets), calls.submit(gatherer.pods)
        ready, unchained = calls.submit(gatherer.ready_certificates), calls.submit(gatherer.unchained)
        claims = calls.submit(lambda: gatherer.claims(views if command.opens else {}))
        budgets = calls.submit(gatherer.disruption_budgets) if command.opens else None
        quotas = calls.submit(gatherer.quotas) if command.opens else None
        firing, firing_unknown = _firing(options, session.clock)
        return replace(
            _base_facts(session, user, ()),
            record=record,
            views=views,
            replica_sets=replica_sets.result(),
            pods=pods.result(),
            status=status.result(),
            ready_certificates=ready.result(),
            unchained=unchained.result(),
            autoscalers=autoscalers,
            claims=claims.result(),
            budgets=budgets.result() if budgets else None,
            quotas=quotas.result() if quotas else None,
            firing=firing,
            firing_unknown=firing_unknown,
        )


def _firing(options: Options, clock: Clock) -> tuple[tuple[str, ...] | None, str | None]:
    """Ask which of the gate's alerts fire; what cannot be asked is not known, and so does not pass."""
    if not options.gate:
        return (), None
    if options.alertmanager is None:
        return None, "no --alertmanager was named"
    try:
        return Alertmanager(options.alertmanager, clock).firing(options.gate), None
    except AlertmanagerError as error:
        return None, str(error)


def _checks(command: Command, session: Session, target: Target, gathered: Gathered) -> tuple[Check, ...]:
    """Check every precondition that is read from the facts."""
    facts = gathered.facts
    to_check = (preconditions.rights,) if facts.denied else command.preconditions
    checks: tuple[Check, ...] = planning.that_matter(preconditions.check(to_check, facts, gathered.asked))
    if session.options.workload is not None and command.opens:
        checks = (*checks, UNWATCHED if target.workers else UNDRAINED)
    if session.options.in_cluster and not facts.denied:
        path = cron_job_path(target, session.options.cron_job)
        checks = (*checks, is_there(path, gathered.cron_job))
    return checks


def _settled(command: Command, checks: tuple[Check, ...]) -> bool:
    """Tell whether no write needs to be tried: the command is refused, or has nothing to do."""
    refused = bool(of_result(checks, CheckResult.REFUSED))
    return refused or (command.opens and bool(planning.nothing_to_do(checks)))


def _try_writes(command: Command, session: Session, approved: ApprovedRun, gathered: Gathered) -> DryRunResults:
    """Have the API server check every write of the run, none of which it keeps."""
    gatherer, facts = session.gatherer(approved.target), gathered.facts
    record = Record() if isinstance(facts.record, RecordError) else facts.record
    changes = dry_run.intended(
        approved,
        facts.views,
        gatherer.leases(),
        record,
        session.clock.now(),
        opens=command.opens,
        abort=command is ABORT,
        revision=facts.status.revision if facts.status else None,
    )
    return gatherer.try_writes(changes)


def _plan(command: Command, session: Session, target: Target, gathered: Gathered, checks: tuple[Check, ...]) -> Plan:
    facts = gathered.facts
    run = _open_run(facts)
    if command.opens:
        reason = planning.why_restart(facts)
        changes = planning.restart_changes(target, facts, gathered.pause, silence=session.options.silence)
    elif run is None:
        reason, changes = "no run is open", iter(())
    else:
        reason = f"run {run.id}, begun {run.begun:%Y-%m-%d %H:%M:%S}Z, is at {run.step}"
        reason += f"; it stopped: {run.ended}, {run.detail}" if run.ended else ""
        changes = planning.remaining_changes(target, facts, run, abort=command is ABORT)
    return planning.make_plan(
        f"{command.verb}-{target.name}",
        target,
        facts,
        checks,
        source=session.source.origin,
        context=session.connection.context or "in this cluster",
        server=session.connection.server,
        reason=reason,
        changes=changes,
        limits=gathered.limits,
        phases=planning.phases_left(None if command.opens else run, abort=command is ABORT),
    )


def _ended_by_plan(
    command: Command, session: Session, gathered: Gathered, plan: Plan, tried: DryRunResults
) -> Ending | None:
    """End here if something stands in the way, there is nothing to do, or only the plan was asked for."""
    if plan.refusals:
        reasons = (f"{check.text} ({check.remedy})" if check.remedy else check.text for check in plan.refusals)
        return Ending(Outcome.REFUSED, "; ".join(reasons), _open_run(gathered.facts), options=plan.overrides)
    if command.opens and plan.nothing_to_do:
        return Ending(Outcome.NOTHING_TO_DO, plan.nothing_to_do)
    if session.options.dry_run:
        return Ending(Outcome.DRY_RUN, f"Dry run: nothing was changed. {tried.sentence}")
    return None


def _ask(plan: Plan, gathered: Gathered, options: Options, reporter: Reporter) -> Ending | None:
    """Put the question, unless --yes has answered it."""
    if options.yes:
        return None
    reporter.pause()
    try:
        said = click.confirm(f"{plan.command} in {plan.namespace} ({plan.context})?", default=False, err=True)
    except click.Abort:
        return Ending(Outcome.INTERRUPTED, "nothing was changed", _open_run(gathered.facts))
    finally:
        reporter.resume()
    return None if said else Ending(Outcome.CANCELLED, "", _open_run(gathered.facts))


# --- the run -----------------------------------------------------------------------------------------


def _approved(session: Session, target: Target, gathered: Gathered) -> ApprovedRun:
    """Return all that is decided before a run."""
    options, status = session.options, gathered.facts.status
    user = gathered.facts.user
    process = this_process(user)
    return ApprovedRun(
        target=target,
        operator=Operator(user, process.host, process.pid, VERSION, options.reason, options.in_job),
        holder=process.holder(session.run_id),
        run_id=session.run_id,
        limits=gathered.limits,
        verify=options.verify,
        pause=gathered.pause,
        silence=options.silence,
        ignored_pods=options.ignored_pods,
        may_delete_volumes="data" in options.accepted,
        accepted_until=status.accepted_until if status else None,
        planned_after=_last_finished(gathered.facts),
    )


def _run(command: Command, session: Session, approved: ApprovedRun, gathered: Gathered, reporter: Reporter) -> Ending:
    """Let the engine run, with Ctrl-C once to stop it and twice to leave."""
    options, user, target = session.options, gathered.facts.user, approved.target
    process = this_process(user)
    engine = Engine(
        approved,
        session.clock,
        # Who begins a run does not wait for another to end: what was planned is then no longer so.
        # A pod of a Job does, for the one before it: that has died, or the Job would not have made another.
        may_take_over=lambda holder: (
            options.take_over
            or is_pod_of(holder, options.in_job)
            or (not command.opens and process.is_same_operator(holder))
        ),
        is_dead=lambda holder: process.is_dead(holder) or has_ended(holder, options.in_job, gathered.facts.pods),
    )

    def go_on() -> None:
        interrupts.rearm()

    wakeup = ChangeWaiter(approved.workloads, session.client, session.clock, session.waiter)
    driver = Driver(
        session.connection,
        session.inspector(target, session.run_reader),
        wakeup,
        tell=reporter.tell,
        ask=_asker(reporter, go_on),
        silences=_silences(session, target, user, reporter),
    )
    # The live view hides the cursor, and there is no time to end it.
    cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    leaving = f"{cursor}\n{session.program}: left at once; go on with: {session.command('resume', target)}\n"
    interrupts = Interrupts(driver.interrupt, leaving)
    with interrupts:
        try:
            return driver.drive(command.steps(engine))
        finally:
            wakeup.close()


def _silences(session: Session, target: Target, user: str, reporter: Reporter) -> Silences:
    url = session.options.alertmanager
    return Silences(
        None if url is None else Alertmanager(url, session.clock),
        session.clock,
        namespace=target.workload.namespace,
        alerts=SILENCED,
        by=user,
        warn=lambda text: reporter.tell(Notice(Level.WARNING, text)),
    )


def _asker(reporter: Reporter, go_on: Callable[[], None]) -> Asker:
    """Return what asks after Ctrl-C; `go_on` is called where the run goes on."""

    def ask(asked: Confirm) -> AfterInterrupt:
        if not _is_interactive():
            return AfterInterrupt.LEAVE
        reporter.pause()
        try:
            for choice, text in asked.choices:
                click.echo(f"  {choice:8} {text}", err=True)
            kind = click.Choice([choice.value for choice, _ in asked.choices])
            said = click.prompt("What now?", type=kind, default=AfterInterrupt.WAIT.value, err=True)
            choice = AfterInterrupt(said)
        except click.Abort:
            return AfterInterrupt.LEAVE
        finally:
            reporter.resume()
        if choice is AfterInterrupt.WAIT:
            go_on()
        return choice

    return ask


# --- parts -----------------------------------------------------------------------------------------


def _open_run(facts: Facts) -> Run | None:
    return None if isinstance(facts.record, RecordError) else facts.record.run


def _last_finished(facts: Facts) -> str | None:
    return None if isinstance(facts.record, RecordError) else facts.record.last_finished


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
