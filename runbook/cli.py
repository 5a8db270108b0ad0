"""The command `runbook`, also as `kubectl certlag`: reads options, starts a command, ends with its exit code.

Each configured target has its `check-`, `restart-`, `resume-` and `abort-` command. Options are those of kubectl where
it has them, and may stand before the command's name or after it.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from exporter import configuration as configurations
from exporter.errors import ClusterConfigError, ClusterError
from exporter.run_record import RecordError
from exporter.version import VERSION
from runbook import answers
from runbook.commands import ABORT, RESTART, RESUME, Way, perform
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.preconditions import OVERRIDES, RESUME_OVERRIDES
from runbook.reach import Reach
from runbook.reporters.answer import exit_code
from runbook.reporters.check_text import check_parts
from runbook.reporters.choice import Output, reporter_for
from runbook.reporters.consoles import Forgiving, console, form, show
from runbook.reporters.history_text import history_parts
from runbook.reporters.json_forms import check_document, history_document
from runbook.session import Options, Session, Time, UsageError, open_session

CHECK_FAILED = 3
REHEARSE = "rehearse"
USAGE = 2
WAYS = {"restart": RESTART, "resume": RESUME, "abort": ABORT}
HELP = {
    "check": "Show what was issued, what each pod presents, and what to do. Exit code: 0 settled, 1 restart or "
    "renewal due, 2 expired, 3 anything else.",
    "restart": "Drain the workers, restart, verify by a handshake that the new certificate is presented, put the "
    "workers back.",
    "resume": "Go on with an interrupted run, from where its record says that it is.",
    "abort": "Bring the workers of an interrupted run back.",
}


class Duration(click.ParamType[timedelta]):
    """A length of time in Go's form, as in 1h, 90s or 1h30m."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        try:
            return configurations.duration(value)
        except ValueError:
            self.fail(f"{value!r} is not a length of time above zero, as in 1h, 90s or 1h30m", param, ctx)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _accepting(name: str) -> Decorator:
    """Return the option that accepts what would be refused."""
    text = OVERRIDES[name]
    option = f"accept_{name.replace('-', '_')}"
    return click.option(f"--accept-{name}", option, is_flag=True, default=None, help=f"{text[0].upper()}{text[1:]}.")


ACCESS: tuple[Decorator, ...] = (
    # Eager: the list of commands that --help shows follows from it.
    click.option(
        "--config", metavar="FILE", is_eager=True, help="Default: $CERTLAG_CONFIG, else OpsChain's build service."
    ),
    click.option("--kubeconfig", metavar="FILE", help="Default: in a pod its own account, else as kubectl."),
    click.option("--context", metavar="NAME", help="Context of the kubeconfig."),
    click.option("--namespace", "-n", metavar="NAME", help="Namespace of targets that name none."),
    click.option("--output", "-o", type=click.Choice([each.value for each in Output]), help="Default: text."),
    click.option("--no-color", is_flag=True, default=None, help="No colours; as NO_COLOR."),
)

REACHING: tuple[Decorator, ...] = (
    click.option(
        "--reach",
        type=click.Choice([each.value for each in Reach]),
        help="How to reach pods for a handshake. Default: in the cluster directly, else by port-forward.",
    ),
)

DRAINING: tuple[Decorator, ...] = (
    click.option("--drain-timeout", type=Duration(), help="How long the workers may take to finish."),
)

RUNNING: tuple[Decorator, ...] = (
    click.option("--quiet", "-q", is_flag=True, default=None, help="Only warnings and the end."),
    click.option("--yes", "-y", is_flag=True, default=None, help="Skip the question, and no precondition."),
    click.option("--dry-run", is_flag=True, default=None, help="Plan, let the API server check the writes, and end."),
    click.option("--restart-timeout", type=Duration(), help="How long the workload may take to come back."),
    click.option(
        "--routing-delay",
        type=Duration(),
        help="How long after the rollout the workers come back at the earliest, so that Services lead to the new pods "
        "by then. Default: 1s; more in large clusters.",
    ),
    click.option(
        "--take-over", is_flag=True, default=None, help="Take the lock of a holder that shows no life for 60 s."
    ),
    click.option("--no-verify", "verify", flag_value=False, default=None, help="Do not look at what is presented."),
    click.option("--reason", metavar="TEXT", help="Noted in the record."),
    click.option("--alertmanager", metavar="URL", help="For --silence and --refuse-while-firing."),
)

SETTLING: tuple[Decorator, ...] = (
    click.option(
        "--no-settle",
        "settle",
        flag_value=False,
        default=None,
        help="Do not wait until the issuance is two minutes old: a pod may then mount the Secret of before.",
    ),
)

WAITING: tuple[Decorator, ...] = (
    click.option(
        "--ignore-pod",
        "ignored_pods",
        multiple=True,
        metavar="NAME",
        help="A pod that need not be waited for, unless a workload of the run owns it.",
    ),
)

RESTARTING: tuple[Decorator, ...] = (
    click.option("--force", is_flag=True, default=None, help="Restart although nothing is known to be stale."),
    click.option(
        "--pause-controllers",
        "pause",
        is_flag=True,
        default=None,
        help="Keep KEDA and Flux away meanwhile, and put their annotations back.",
    ),
    click.option(
        "--silence", is_flag=True, default=None, help="Silence what a drain makes noisy, never what is critical."
    ),
    click.option(
        "--refuse-while-firing", "gate", multiple=True, metavar="ALERT", help="Refuse while this alert fires."
    ),
    click.option(
        "--in-cluster",
        is_flag=True,
        default=None,
        help="Have a Job do it, made from the chart's CronJob, and follow that: a closed terminal does not stop it.",
    ),
    click.option("--cron-job", metavar="NAME", help="For --in-cluster. Default: certlag-run-TARGET."),
    click.option(
        "--attach",
        is_flag=True,
        default=None,
        help="Follow the run that is open, wherever it runs, and end as it ends; begin none.",
    ),
    click.option("--in-job", metavar="NAME", hidden=True, help="The Job that this is a pod of."),
    *map(_accepting, OVERRIDES),
)

BY_VERB = {
    "check": ACCESS + REACHING,
    "restart": ACCESS + REACHING + RUNNING + DRAINING + SETTLING + WAITING + RESTARTING,
    "resume": ACCESS + REACHING + RUNNING + DRAINING + SETTLING + WAITING + tuple(map(_accepting, RESUME_OVERRIDES)),
    "abort": ACCESS + REACHING + RUNNING,
}
"""The options of each command: those that have an effect in it."""
BEFORE_COMMAND = ACCESS + REACHING + RUNNING[:1]
"""Those that may stand before a command's name, as kubectl's may."""
FOLLOWING = frozenset({"config", "kubeconfig", "context", "namespace", "output", "no_color", "quiet", "yes", "attach"})
"""What `--attach` heeds: it changes nothing, so no option that is about a run has an effect."""


class Commands(click.Group):
    """A group whose commands follow from the configuration."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands of every target; of the built-in one if the configuration cannot be read yet."""
        try:
            loaded = configurations.load(ctx.params.get("config"), default_namespace="default")
        except configurations.ConfigurationError:
            names: tuple[str, ...] = ()
        else:
            names = tuple(target.name for target in loaded.targets)
        fixed = sorted((*super().list_commands(ctx), REHEARSE))
        return [*(f"{verb}-{name}" for name in names for verb in BY_VERB), *fixed]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name: whether there is such a target is found out when it runs."""
        verb, dash, name = cmd_name.partition("-")
        if dash and name and verb in BY_VERB:
            return _target_command(verb, name)
        if cmd_name == REHEARSE:
            from runbook.rehearse import rehearse  # noqa: PLC0415 - only who rehearses needs a cluster in the process

            return rehearse
        return super().get_command(ctx, cmd_name)


def _with(options: tuple[Decorator, ...]) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _target_command(verb: str, name: str) -> click.Command:
    @click.command(name=f"{verb}-{name}", help=HELP[verb], short_help=HELP[verb].partition(".")[0] + ".")
    @_with(BY_VERB[verb])
    @click.pass_context
    def command(here: click.Context, /, **given: Any) -> None:
        options, program = _options(here, given), _program(here)
        with _refusals(program, CHECK_FAILED if verb == "check" else EXIT_CODES[Outcome.UNEXPECTED]):
            session = open_session(options, program, _time(here))
            sys.exit(_check(session, name) if verb == "check" else _perform(WAYS[verb], session, name))

    return command


@click.group(name="runbook", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@_with(BEFORE_COMMAND)
@click.version_option(VERSION, prog_name="runbook")
@click.pass_context
def main(here: click.Context, /, **given: Any) -> None:
    """Restart what presents an old certificate, without losing work."""
    command = main.get_command(here, here.invoked_subcommand or "")
    taken = {each.name for each in command.params} if command is not None else set()
    heeded = taken if "config" in taken else set()  # the others do not look at what stands before their name
    for option in main.params:
        if given.get(str(option.name)) is not None and option.name not in heeded:
            raise click.UsageError(f"{option.opts[0]} has no effect on {here.invoked_subcommand}: leave it out")
    here.obj = _Before(given, here.obj or Time())


@main.command("history")
@_with(ACCESS)
@click.argument("target", required=False)
@click.pass_context
def _history(here: click.Context, /, target: str | None, **given: Any) -> None:
    """Show past runs: who, when, how long each step took, how they ended."""
    options, program = _options(here, given), _program(here)
    with _refusals(program, EXIT_CODES[Outcome.UNEXPECTED]):
        records = answers.history(open_session(options, program, _time(here)), target)
    if options.output is Output.JSON:
        _print(history_document(records))
        return
    out = console(sys.stdout, os.environ, no_color=options.no_color)
    show(out, history_parts(records, form(out), datetime.now(UTC)))


@main.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(shell: str) -> None:
    """Print what completes this command in a shell: source it in the shell's start-up file."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - the choice above names those that click has
    click.echo(found(main, {}, "runbook", "_RUNBOOK_COMPLETE").source())


def _check(session: Session, name: str) -> int:
    """Answer `check-…`."""
    answer = answers.check(session, name)
    if session.options.output is Output.JSON:
        _print(check_document(answer))
    else:
        out = console(sys.stdout, os.environ, no_color=session.options.no_color)
        show(out, check_parts(answer, form(out)))
    return exit_code(answer)


def _print(document: Mapping[str, Any]) -> None:
    """Write an answer for a program; where it can't be written, the exit code stands all the same."""
    out = Forgiving(sys.stdout)
    out.write(json.dumps(document) + "\n")
    out.flush()


def _perform(way: Way, session: Session, name: str) -> int:
    options = session.options
    reporter = reporter_for(
        options.output,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environment=os.environ,
        clock=session.clock,
        quiet=options.quiet,
        no_color=options.no_color,
        following=options.in_cluster or options.attach,
    )
    try:
        return perform(way, session, name, reporter)
    finally:
        reporter.close()


def _options(context: click.Context, given: dict[str, Any]) -> Options:
    """Put together what stood before the command's name and after it; what is nearer counts."""
    before = _before(context).given
    said = {key: value for part in (before, given) for key, value in part.items() if value not in (None, ())}
    if said.get("attach"):
        ignored = [each.opts[0] for each in context.command.params if each.name in said.keys() - FOLLOWING]
        if ignored:
            raise click.UsageError(f"--attach follows the run that is open and begins none: leave out {ignored[0]}")
    accepted = frozenset(key.removeprefix("accept_").replace("_", "-") for key in said if key.startswith("accept_"))
    known = {each.name for each in fields(Options)}
    options = replace(Options(), **{key: value for key, value in said.items() if key in known})
    return replace(
        options,
        accepted=accepted,
        output=Output(options.output),
        reach=Reach(options.reach),
        ignored_pods=frozenset(options.ignored_pods),
    )


@dataclass(frozen=True, slots=True)
class _Before:
    """What a command finds: the options that stood before its name, and what time it goes by."""

    given: dict[str, Any]
    time: Time


def _time(context: click.Context) -> Time:
    return _before(context).time


def _before(context: click.Context) -> _Before:
    found = context.find_object(_Before)
    assert found is not None  # noqa: S101 - the group has put it there
    return found


class _refusals:  # noqa: N801 - used as a statement
    """Turn what stops a command before it begins into one message and an exit code."""

    def __init__(self, program: str, failed: int) -> None:
        self._program = program
        self._failed = failed

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UsageError | configurations.ConfigurationError | ClusterConfigError):
            self._refuse(str(error), USAGE)
        if isinstance(error, ClusterError | RecordError):
            self._refuse(str(error), self._failed)
        if isinstance(error, KeyboardInterrupt):
            self._refuse("interrupted", EXIT_CODES[Outcome.INTERRUPTED])

    def _refuse(self, message: str, code: int) -> NoReturn:
        click.echo(f"{self._program}: {message}", err=True)
        sys.exit(code)


def _program(context: click.Context) -> str:
    """Return how this program was called, as it is to be typed again."""
    called = Path(context.find_root().info_name or "runbook").name
    return "kubectl certlag" if called == "kubectl-certlag" else "runbook"


def plugin() -> None:
    """Run as `kubectl certlag`: kubectl starts `kubectl-certlag` with all that follows."""
    main(prog_name="kubectl-certlag")


def complete_plugin() -> None:
    """Complete `kubectl certlag …`: kubectl asks `kubectl_complete-certlag` with the words so far, the last incomplete.

    Answers as kubectl expects it (kubernetes PR #105867): candidates, then `:4` for "no file names".
    """
    *words, incomplete = sys.argv[1:] or [""]
    found = get_completion_class("bash")
    assert found is not None  # noqa: S101 - click always has bash
    for item in found(main, {}, "runbook", "_RUNBOOK_COMPLETE").get_completions(words, incomplete):
        click.echo(item.value)
    click.echo(":4")
