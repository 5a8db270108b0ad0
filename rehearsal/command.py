"""`runbook rehearse`: the real commands, live, on an embedded cluster, with something going wrong.

The only module of the runbook that knows the rehearsal's cluster. Touches a temporary folder, a cluster in a thread,
and one process for each command that is typed; when it ends, nothing of it is left.
"""

import difflib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Self

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from rehearsal.drills.catalogue import BY_NAME, DRILLS
from rehearsal.drills.drill import Act, Drill, Elsewhere, Typed
from rehearsal.drills.scene import TARGET
from rehearsal.drills.stage import SPEED, Stage, staged
from runbook.guard.record import from_config_map
from runbook.outcomes import EXIT_CODES, Outcome
from runbook.report.choice import Output
from runbook.report.consoles import console, form, is_terminal, show
from runbook.report.json.answers import RehearsalFault, RehearsalFaults, RehearsalStep
from runbook.report.json.documents import line
from runbook.report.layout import Part
from runbook.report.text import rehearsal as texts
from runbook.report.text.history import history_parts
from runbook.report.text.rehearsal import Said

COMMAND = f"restart-{TARGET}"
OTHERS_CLUSTER = ("--kubeconfig", "--context", "--config")
"""Options that would lead a command away from the rehearsal."""
_LEADING_ELSEWHERE = ("KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
LONGEST = 60
"""Bytes of a temporary folder's path below which a rehearsal's socket fits."""
LEFT = EXIT_CODES[Outcome.INTERRUPTED]


class FaultName(click.ParamType[Drill]):
    """The name of a drill."""

    name = "fault"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Drill:
        """Find it; a name that is none is answered with the nearest."""
        if isinstance(value, Drill):
            return value
        if str(value) not in BY_NAME:
            near = difflib.get_close_matches(str(value), BY_NAME, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else "runbook rehearse --list names them"
            self.fail(f"there is no fault {str(value)!r}: {hint}", param, ctx)
        return BY_NAME[str(value)]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the names, with what each teaches."""
        del ctx, param
        return [CompletionItem(each.name, help=each.teaches) for each in DRILLS if each.name.startswith(incomplete)]


@click.command("rehearse", short_help="Practise it on an embedded cluster, with a fault.")
@click.argument("command", type=click.Choice([COMMAND]), default=COMMAND)
@click.option("--fault", "drill", metavar="NAME", type=FaultName(), default=DRILLS[0].name, help="What goes wrong.")
@click.option("--list", "listing", is_flag=True, help="Name the faults and what each teaches, and end.")
@click.option("--seed", type=int, default=0, help="Of names, and of how long changes take. Default: 0.")
@click.option(
    "--speed",
    type=click.IntRange(1, 1_000_000),
    default=SPEED,
    help=f"How many times as fast time passes while the runbook waits. Default: {SPEED}.",
)
@click.option("--yes", "-y", is_flag=True, help="Play it without questions.")
@click.option("--output", "-o", type=click.Choice([each.value for each in Output]), help="Of --list. Default: text.")
@click.option("--no-color", is_flag=True, help="No colours; as NO_COLOR.")
def rehearse(
    *,
    command: str,
    drill: Drill,
    listing: bool,
    seed: int,
    speed: int,
    yes: bool,
    output: str | None,
    no_color: bool,
) -> None:
    """Practise the restart before the night: the real commands, live, on a cluster in this process.

    With --fault something goes wrong; it shows what the runbook does then, what the operator should, and what to look
    at on the real night. On a terminal you type the commands yourself (Enter types the next one for you); else they are
    played. Exit code: 0 it went as told, 1 it did not, 130 you left.
    """
    del command  # there is one
    out = console(sys.stdout, os.environ, no_color=no_color)
    if listing:
        _list(out, Output(output or Output.TEXT))
        return
    if output == Output.JSON:
        raise click.UsageError("--output json is only for --list: a rehearsal is for people")
    interactive = not yes and sys.stdin.isatty() and is_terminal(sys.stdout, os.environ)
    sys.exit(_rehearse(drill, out, seed=seed, speed=speed, interactive=interactive, no_color=no_color))


def _list(out: Console, output: Output) -> None:
    if output is Output.JSON:
        faults = RehearsalFaults(tuple(map(_fault, DRILLS)))
        click.echo(json.dumps(line(faults, datetime.now(UTC))))
    else:
        show(out, texts.list_parts([(drill.name, drill.teaches) for drill in DRILLS], form(out)))


def _fault(drill: Drill) -> RehearsalFault:
    return RehearsalFault(drill.name, drill.teaches, drill.happens, tuple(map(_step, drill.acts)), drill.look_at)


def _step(act: Act) -> RehearsalStep:
    if isinstance(act, Typed):
        return RehearsalStep("runbook", act.words, act.why, act.exit_code, act.if_open)
    return RehearsalStep("elsewhere", act.words, act.why, None, None)


def _rehearse(drill: Drill, out: Console, *, seed: int, speed: int, interactive: bool, no_color: bool) -> int:
    """Play one drill; return the exit code."""
    with _Commands(no_color=no_color, interactive=interactive) as commands:
        try:
            with (
                tempfile.TemporaryDirectory(prefix="certlag-rehearsal-", dir=_short()) as folder,
                staged(drill, Path(folder).resolve(), seed=seed, speed=speed) as stage,
            ):
                return _Rehearsal(drill, stage, commands, out, interactive=interactive).play(speed)
        except OSError as error:
            click.echo(f"runbook: the rehearsal's cluster cannot run: {error}", err=True)
            return EXIT_CODES[Outcome.UNEXPECTED]
        except (click.Abort, KeyboardInterrupt):
            show(out, [*texts.left_parts()])
            return LEFT


def _short() -> str | None:
    """Return where a folder for a socket can be: the path of one may have 104 bytes on macOS, 108 on Linux."""
    return None if len(os.fsencode(tempfile.gettempdir())) < LONGEST else "/tmp"  # noqa: S108 - a folder of its own there


class _Rehearsal:
    """One drill, from its opening to what was learned."""

    def __init__(self, drill: Drill, stage: Stage, commands: "_Commands", out: Console, *, interactive: bool) -> None:
        self._drill = drill
        self._stage = stage
        self._commands = commands
        self._out = out
        self._form = form(out)
        self._interactive = interactive
        self._said: list[Said] = []

    def play(self, speed: int) -> int:
        """Go through all acts; return the exit code."""
        drill, stage = self._drill, self._stage
        self._show(
            texts.opening_parts(
                self._form,
                name=drill.name,
                teaches=drill.teaches,
                happens=drill.happens,
                changes=stage.changes(),
                speed=speed,
            )
        )
        for number, act in enumerate(drill.acts, 1):
            if not (isinstance(act, Typed) and act.if_open and not self._is_open()):
                self._act(number, act)
        self._show(self._learned())
        as_told = all(said.as_told for said in self._said)
        return EXIT_CODES[Outcome.DONE if as_told else Outcome.UNEXPECTED]

    def _learned(self) -> list[Part]:
        stage, found = self._stage, self._stage.record()
        records = {} if found is None else {TARGET: from_config_map(found)}
        return texts.learned_parts(
            self._form,
            teaches=self._drill.teaches,
            said=self._said,
            runs=history_parts(records, self._form, stage.now()),
            look_at=self._drill.look_at,
            workers=f"{stage.ready_workers()} workers are ready, {'a' if self._is_open() else 'no'} run is open",
        )

    def _act(self, number: int, act: Act) -> None:
        elsewhere, count = isinstance(act, Elsewhere), len(self._drill.acts)
        words = act.words if self._interactive or elsewhere else _answered(act.words)
        self._show(texts.act_parts(number, count, act.why, words, elsewhere=elsewhere, form=self._form))
        if isinstance(act, Elsewhere):
            if self._interactive:
                click.prompt("Enter does it for you", default="", show_default=False, prompt_suffix=" ")
            self._stage.do(act.does)
        elif not self._interactive:
            self._type(words, act)
        else:
            while not self._type(_asked_for(act.words), act):
                pass

    def _type(self, words: str, act: Typed) -> bool:
        """Run what was typed; tell whether it was what the act is about."""
        code = self._commands.run(shlex.split(words), self._stage)
        if self._commands.left and (code != act.exit_code or code != LEFT):
            raise click.Abort
        self._commands.left = False
        meant = shlex.split(words)[1] == shlex.split(act.words)[1]
        said = Said(words, code, act.exit_code if meant else code)
        self._said.append(said)
        self._show(texts.ended_parts(said, self._form))
        return meant

    def _is_open(self) -> bool:
        found = self._stage.record()
        return found is not None and from_config_map(found).run is not None

    def _show(self, parts: Iterable[Part]) -> None:
        show(self._out, parts)
        self._out.file.flush()


def _answered(words: str) -> str:
    """Return a command with --yes, if it would ask."""
    return words if " check-" in words else f"{words} --yes"


def _asked_for(words: str) -> str:
    """Ask for a command until one comes that can be run here."""
    while True:
        said: str = click.prompt("Enter types it; or type a command yourself", default=words, show_default=False)
        try:
            typed = shlex.split(said)
        except ValueError as error:
            click.echo(f"{error}")
            continue
        if len(typed) < 2 or typed[0] != "runbook" or not (typed[1].endswith(f"-{TARGET}") or typed[1] == "history"):
            click.echo(f"Here the runbook's commands for {TARGET} can be typed, and `runbook history`.")
        elif any(word.startswith(OTHERS_CLUSTER) for word in typed):
            click.echo("A rehearsal has its own cluster and configuration.")
        else:
            return said


class _Commands:
    """Runs commands, and sees to it that Ctrl-C reaches them once.

    `left` says that anyone who rehearses wanted to stop. On a terminal Ctrl-C comes to a command by itself; signals
    that were sent only to us are passed on. The second one kills.
    """

    def __init__(self, *, no_color: bool, interactive: bool) -> None:
        self.left = False
        self._no_color = no_color
        self._interactive = interactive
        self._on_terminal = sys.stdin.isatty()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {each: signal.signal(each, self._came) for each in ending}
        return self

    def __exit__(self, *_: object) -> None:
        for each, before in self._before.items():
            signal.signal(each, before)

    def run(self, words: list[str], stage: Stage) -> int:
        """Run one command to its end; return its exit code as a shell shows it."""
        with self._started(words, stage) as process:
            code = process.wait()
        return code if code >= 0 else 128 - code

    @contextmanager
    def _started(self, words: list[str], stage: Stage) -> Iterator["subprocess.Popen[bytes]"]:
        argv = (sys.executable, "-P", "-m", "rehearsal.remote_clock", str(stage.time), *words)
        with _ctrl_c_held_back():
            self._child = process = subprocess.Popen(  # noqa: S603 - ourselves
                argv,
                env={**_clean(os.environ), **stage.environment, **({"NO_COLOR": "1"} if self._no_color else {})},
                stdin=None if self._interactive else subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                process_group=None if self._on_terminal else 0,
            )
        stage.begin(process.pid)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            stage.end()
            self._child = None

    def _came(self, number: int, _frame: FrameType | None) -> None:
        again, self.left = self.left, True
        if self._child is None:
            raise click.Abort
        if again:
            self._child.kill()
        elif not (self._on_terminal and number == signal.SIGINT):
            self._child.send_signal(number)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Hold it back from whatever is started here: that lets it in once it can say what becomes of a run."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _clean(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.upper() not in _LEADING_ELSEWHERE}
