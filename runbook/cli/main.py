"""The command `runbook`, also as `kubectl certlag`: reads options, starts a command, ends with its exit code.

`runbook restart TARGET` and `runbook restart-TARGET` are the same; alerts print the second form. Options may stand
before the command's name or after it, as kubectl's may.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from certlag.alert_pages import alert_pages
from certlag.config.release import Release
from certlag.config.schema import ConfigurationError
from certlag.errors import ClusterConfigError, ClusterError
from certlag.run_record import RecordError
from certlag.target_assessment import Missing
from certlag.version import VERSION
from runbook.check.advice import exit_code
from runbook.check.pod_access import Reach
from runbook.cli import answers, command_options
from runbook.cli.command_help import ACCESS, BEFORE_COMMAND, CONTEXT, EPILOG, LINK, SECTIONS, VERBS, epilog, help_text
from runbook.cli.command_options import SectionedCommand, with_options
from runbook.cli.commands import ABORT, RESTART, RESUME, Command, perform
from runbook.cli.completion import complete_alerts, complete_targets
from runbook.kube.views import reference
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.report.choice import Output, reporter_for
from runbook.report.consoles import BrokenPipeSafe, console, form, show
from runbook.report.json.answers import AlertPage, Checked, CommandError, History
from runbook.report.json.documents import line
from runbook.report.text.check import check_parts
from runbook.report.text.history import history_parts
from runbook.session import request_log
from runbook.session.options import Options, UsageError
from runbook.session.session import NoTargetError, Session, Time, open_session
from runbook.session.target_source import releases_with

CHECK_FAILED = 3
REHEARSE = "rehearse"
USAGE = 2
INTERRUPTED = EXIT_CODES[Outcome.INTERRUPTED]
_JSON = re.compile(r"--output[= ]json|-[yvq]*o ?json")
"""How JSON is asked for, also behind other short options that take no value, as in `-yo json`."""
WAYS = {"restart": RESTART, "resume": RESUME, "abort": ABORT}


class Commands(SectionedCommand, click.Group):
    """The group: its commands under headings, `VERB-TARGET` as another form of `VERB TARGET`, errors also as JSON."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the help."""
        del ctx
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name; whether there is such a target is found out when it runs."""
        verb, dash, name = cmd_name.partition("-")
        if dash and name and verb in VERBS:
            return _target_command(verb, name)
        if cmd_name in VERBS:
            return _target_command(cmd_name, None)
        if cmd_name == REHEARSE:
            from rehearsal.command import rehearse  # noqa: PLC0415 - only a rehearsal needs a cluster in the process

            return rehearse
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that does not exist, say which name is similar."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            verb, dash, target = name.partition("-")
            similar = get_close_matches(name, self.list_commands(ctx), 1) or get_close_matches(verb, VERBS, 1)
            meant = f"{similar[0]}-{target}" if similar and dash and similar[0] in VERBS else "".join(similar[:1])
            ctx.fail(f"there is no command {name!r}" + (f"; did you mean {meant}?" if meant else ""))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options that may stand before them."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        for heading, names in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(name, each.get_short_help_str(100)) for name, each in found if each is not None])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> NoReturn:
        """Run a command line, and exit; a wrong one is reported as JSON where that was asked for."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(words, *rest, **{**more, "standalone_mode": not _wants_json(words)})
        except click.ClickException as error:
            _print(CommandError(error.format_message(), error.exit_code))
            sys.exit(error.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


def _wants_json(words: Sequence[str]) -> bool:
    """Tell whether JSON was asked for, also where the rest of the command line cannot be read."""
    return any(map(_JSON.fullmatch, (*words, *map(" ".join, pairwise(words)))))


def _target_command(verb: str, name: str | None) -> click.Command:
    """Return the command of a verb: of one target (`restart-vault`), or of those that are named after it."""

    def run(here: click.Context, /, **given: Any) -> None:
        named = (name,) if name is not None else given.pop("target")
        names = tuple(filter(None, named if isinstance(named, tuple) else (named,)))
        chosen, program = _options(here, given), _program(here)
        failed = CHECK_FAILED if verb == "check" else EXIT_CODES[Outcome.UNEXPECTED]
        with _answering(program, failed, chosen):
            _check_names(verb, names, chosen)
            session = open_session(chosen, program, _time(here))
            if chosen.workload is not None:
                names = tuple(each.name for each in session.targets)
            sys.exit(_check(session, names) if verb == "check" else _perform(WAYS[verb], session, names[0]))

    found = VERBS[verb]
    decorated = with_options(*found.sections)(click.pass_context(run))
    if name is None:
        count = {"nargs": -1} if verb == "check" else {"required": False}
        decorated = click.argument("target", shell_complete=complete_targets, **count)(decorated)
    return click.command(
        name=verb if name is None else f"{verb}-{name}",
        cls=SectionedCommand,
        help=help_text(verb),
        short_help=found.summary,
        epilog=epilog(verb),
    )(decorated)


def _check_names(verb: str, names: tuple[str, ...], chosen: Options) -> None:
    if chosen.workload is not None and names:
        raise UsageError(f"{names[0]} and --workload both say which target: leave one out")
    if verb in WAYS and chosen.workload is None and not names:
        raise UsageError(f"which target? {verb} TARGET, or {verb} --workload KIND/NAME; `check` shows all targets")


@click.group(
    name="runbook",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@with_options(*BEFORE_COMMAND)
@click.version_option(VERSION, prog_name="runbook")
@click.pass_context
def main(here: click.Context, /, **given: Any) -> None:
    """Restart workloads that serve an outdated certificate, without interrupting work."""
    command = main.get_command(here, here.invoked_subcommand or "")
    taken = {each.name for each in command.params} if command is not None else set()
    heeded = set() if here.invoked_subcommand == REHEARSE else taken  # which reads only what follows its name
    for each in main.params:
        if given.get(str(each.name)) is not None and each.name not in heeded:
            raise click.UsageError(f"{each.opts[0]} has no effect on {here.invoked_subcommand}: leave it out")
    here.obj = _Before(given, here.obj or Time())


@main.command("history", cls=SectionedCommand, epilog=LINK)
@with_options(*ACCESS)
@click.argument("target", required=False, shell_complete=complete_targets)
@click.pass_context
def _history(here: click.Context, /, target: str | None, **given: Any) -> None:
    """Show past runs: who, when, how long each step took, how they ended."""
    chosen, program = _options(here, given), _program(here)
    with _answering(program, EXIT_CODES[Outcome.UNEXPECTED], chosen):
        _check_names("history", (target,) if target else (), chosen)
        session = open_session(chosen, program, _time(here))
        records = answers.history(session, target)
    if chosen.output is Output.JSON:
        _print(History.of(records))
        return
    out = console(sys.stdout, os.environ, no_color=chosen.no_color)
    show(out, history_parts(records, form(out), datetime.now(UTC)))


@main.command("use", cls=SectionedCommand, epilog=LINK)
@with_options(CONTEXT, command_options.OUTPUT)
@click.argument("release", type=command_options.ReleaseName(), required=False, metavar="[NAMESPACE/NAME]")
@click.pass_context
def _use(here: click.Context, /, release: Release | None, **given: Any) -> None:
    """Store the release whose targets this kubeconfig context is for, or show the stored one.

    It is read once to see that it can be. Later commands in this context need no --release.
    """
    chosen, program = _options(here, given), _program(here)
    with _answering(program, USAGE, chosen):
        used = answers.use(replace(chosen, release=release), program, _time(here))
    if chosen.output is Output.JSON:
        _print(used)
    elif used.release is None:
        click.echo(f"No release is stored for context {used.context}. To store one: runbook use NAMESPACE/NAME")
    else:
        click.echo(f"Context {used.context} ({used.server}) uses release {used.release}.")
        if used.targets is not None:
            click.echo(f"Targets: {', '.join(used.targets) or 'none'}")


@main.command("page", cls=SectionedCommand, epilog=LINK)
@with_options(command_options.OUTPUT)
@click.argument("alert", shell_complete=complete_alerts)
@click.pass_context
def _page(here: click.Context, /, alert: str, **given: Any) -> None:
    """Show the page of an alert, as Markdown: what it means, and what to do. Needs no cluster."""
    chosen, program = _options(here, given), _program(here)
    with _answering(program, USAGE, chosen):
        text = alert_pages().get(alert)
        if text is None:
            similar = "".join(f"; did you mean {each}?" for each in get_close_matches(alert, alert_pages(), 1))
            raise UsageError(f"there is no alert {alert!r}; there is: {', '.join(alert_pages())}{similar}")
    if chosen.output is Output.JSON:
        _print(AlertPage(alert, text))
        return
    click.echo(text, nl=False)  # as it is: a command that is folded could not be pasted


@main.command("completion", cls=SectionedCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(shell: str) -> None:
    """Print a completion script: source it in the shell's start-up file."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - the choice above names those that click has
    click.echo(found(main, {}, "runbook", "_RUNBOOK_COMPLETE").source())


NO_RELEASE = (
    "no targets were named, and the built-in one does not exist ({}; -n names another namespace);"
    " name a release of the chart: --release NAMESPACE/NAME, or `runbook use NAMESPACE/NAME` once"
)


def _check(session: Session, names: tuple[str, ...]) -> int:
    """Check targets; return the highest of their exit codes."""
    try:
        found = answers.check(session, names)
    except NoTargetError as error:
        raise UsageError(_with_releases(session, str(error), error.name)) from error
    if (
        session.source.is_built_in
        and not names
        and all(each.assessment.missing is Missing.WORKLOAD and each.run is None for each in found)
    ):
        (target,) = session.targets
        where = f"{reference(target.workload)} in {target.workload.namespace}"
        raise UsageError(_with_releases(session, NO_RELEASE.format(where)))
    if session.options.output is Output.JSON:
        _print(Checked.of(found))
    else:
        out = console(sys.stdout, os.environ, no_color=session.options.no_color)
        for answer in found:
            show(out, check_parts(answer, form(out)))
    return max(map(exit_code, found), default=0)


def _with_releases(session: Session, message: str, target: str | None = None) -> str:
    """Add to a message which releases of the cluster have the target, or any, as complete commands."""
    found: list[Release] = []
    if session.source.is_built_in:
        with suppress(ClusterError):  # the right to list them is not needed
            found = sorted(releases_with(session.client, target))
    check = ("check", target) if target else ("check",)
    commands = [session.typed(*check, "--release", str(release)) for release in found]
    return "\n    ".join((message + (", for example:" if commands else ""), *commands))


def _print(answer: object) -> None:
    """Write an answer for a program; where it can't be written, the exit code stands anyway."""
    out = BrokenPipeSafe(sys.stdout)
    out.write(json.dumps(line(answer, datetime.now(UTC))) + "\n")
    out.flush()


def _perform(command: Command, session: Session, name: str) -> int:
    chosen = session.options
    reporter = reporter_for(
        chosen.output,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environment=os.environ,
        clock=session.clock,
        quiet=chosen.quiet,
        no_color=chosen.no_color,
        following=chosen.in_cluster or chosen.attach,
    )
    try:
        return perform(command, session, name, reporter)
    finally:
        reporter.close()


def _options(context: click.Context, given: dict[str, Any]) -> Options:
    """Put together what stood before the command's name and after it; what is nearer counts."""
    before = _before(context).given
    said = {key: value for part in (before, given) for key, value in part.items() if value not in (None, ())}
    if said.get("attach"):
        ignored = [
            each.opts[0] for each in context.command.params if each.name in said.keys() - command_options.FOLLOWING
        ]
        if ignored:
            raise click.UsageError(f"--attach follows the run that is open and begins none: leave out {ignored[0]}")
    accepted = frozenset(key.removeprefix("accept_").replace("_", "-") for key in said if key.startswith("accept_"))
    known = {each.name for each in fields(Options)}
    chosen = replace(Options(), **{key: value for key, value in said.items() if key in known})
    return replace(
        chosen,
        accepted=accepted,
        output=Output(chosen.output),
        reach=Reach(chosen.reach),
        ignored_pods=frozenset(chosen.ignored_pods),
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


@contextmanager
def _answering(program: str, failed: int, chosen: Options) -> Iterator[None]:
    """Show requests if asked to, and turn what stops a command before it begins into one message and an exit code."""
    output = chosen.output
    try:
        with request_log.shown(verbose=chosen.verbose):
            yield
    except (UsageError, ConfigurationError, ClusterConfigError) as error:
        _refuse(program, str(error), USAGE, output)
    except (ClusterError, RecordError) as error:
        _refuse(program, str(error), failed, output)
    except KeyboardInterrupt:
        _refuse(program, "interrupted", INTERRUPTED, output)


def _refuse(program: str, message: str, code: int, output: Output) -> NoReturn:
    if output is Output.JSON:
        _print(CommandError(message, code))
    else:
        click.echo(f"{program}: {message}", err=True)
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
