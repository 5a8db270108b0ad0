"""One command at work: the way to the cluster, the configuration, the target. Touches the API server and this process.

`open_session` wires what every command needs; the commands themselves are in `commands`.
"""

import queue
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import click

from exporter import configuration as configurations
from exporter.clock import Clock, SystemClock
from exporter.cluster.client import ClusterClient
from exporter.cluster.connection import Connection
from exporter.configuration import Configuration
from exporter.model import Target
from exporter.probe import probe
from runbook.facts import Gatherer
from runbook.look import Looker
from runbook.outcomes import Outcome
from runbook.reach import Reach, chosen, connect_by
from runbook.reporters.answer import Commands
from runbook.reporters.choice import Output
from runbook.retrying import IN_RUN, RetryingClient
from runbook.server_clock import ServerClock
from runbook.wakeup import Patience, RealPatience


class UsageError(Exception):
    """The command was given what it cannot use: exit code 2."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; see the options' own help texts in `cli`."""

    config: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    output: Output = Output.TEXT
    no_color: bool = False
    quiet: bool = False
    reach: Reach = Reach.AUTO
    yes: bool = False
    dry_run: bool = False
    drain_timeout: timedelta | None = None
    restart_timeout: timedelta | None = None
    routing_delay: timedelta | None = None
    force: bool = False
    take_over: bool = False
    verify: bool = True
    settle: bool = True
    pause: bool = False
    reason: str = ""
    accepted: frozenset[str] = frozenset()
    ignored_pods: frozenset[str] = frozenset()
    alertmanager: str | None = None
    silence: bool = False
    gate: tuple[str, ...] = ()
    in_cluster: bool = False
    cron_job: str | None = None
    attach: bool = False
    in_job: str = ""


@dataclass(frozen=True, slots=True)
class Time:
    """What tells the time, and how it is waited for: the machine's own, or a rehearsal's (`runbook.borrowed_time`)."""

    clock: Clock = field(default_factory=SystemClock)
    patience: Patience = field(default_factory=RealPatience)


@dataclass(frozen=True, slots=True)
class Session:
    """What every command of one target needs."""

    options: Options
    connection: Connection
    configuration: Configuration
    clock: ServerClock
    patience: Patience
    program: str
    run_id: str = field(default_factory=lambda: secrets.token_hex(5))

    def target(self, name: str) -> Target:
        """Return a target of the configuration.

        Raises:
            UsageError: it has none of that name, or it is in another namespace than the one that was named.
        """
        for target in self.configuration.targets:
            if target.name == name:
                self._check_namespace(target)
                return target
        known = ", ".join(target.name for target in self.configuration.targets) or "none"
        raise UsageError(f"the configuration has no target {name!r}; it has: {known}")

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets of the configuration, or those in the namespace that was named.

        Raises:
            UsageError: none is in that namespace.
        """
        found = [each for each in self.configuration.targets if self._is_here(each)]
        for target in self.configuration.targets if not found else ():
            self._check_namespace(target)
        return tuple(found)

    def _is_here(self, target: Target) -> bool:
        return self.options.namespace in (None, target.workload.namespace)

    def _check_namespace(self, target: Target) -> None:
        if not self._is_here(target):
            own = target.workload.namespace
            raise UsageError(
                f"the configuration says that {target.name} is in namespace {own}, not in {self.options.namespace}:"
                f" leave -n out, or name {own}"
            )

    @property
    def client(self) -> ClusterClient:
        """A reader of the cluster for those who retry by themselves."""
        return ClusterClient(self.connection)

    @property
    def reader(self) -> RetryingClient:
        """A reader of the cluster for what comes before a run."""
        return RetryingClient(
            self.connection, self._pause, lambda text: click.echo(f"{self.program}: {text}", err=True)
        )

    @property
    def run_reader(self) -> RetryingClient:
        """A reader of the cluster for a run, which tells of failures itself."""
        return RetryingClient(self.connection, self._pause, lambda _text: None, IN_RUN)

    def _pause(self, seconds: float) -> None:
        with suppress(queue.Empty):
            self.patience.take(queue.SimpleQueue(), seconds, early=False)

    @property
    def port_forward(self) -> bool:
        """Whether pods are reached through the API server."""
        return chosen(self.options.reach, self.connection) is Reach.PORT_FORWARD

    def looker(self, target: Target, client: ClusterClient) -> Looker:
        """Return what looks at a target."""
        ask = partial(probe, clock=self.clock, connect=connect_by(self.options.reach, self.connection))
        return Looker(target, client, self.clock, ask)

    def gatherer(self, target: Target) -> Gatherer:
        """Return what reads the facts about a target."""
        return Gatherer(target, self.reader)

    def command(self, verb: str, target: Target, *more: str) -> str:
        """Return what to type for a target, with the options that led to this cluster."""
        options = self.options
        given = {
            "--config": options.config,
            "--kubeconfig": options.kubeconfig,
            "--context": options.context,
            "--namespace": options.namespace,
        }
        words = [f"{self.program} {verb}-{target.name}", *(f"{name} {value}" for name, value in given.items() if value)]
        return " ".join((*words, *more))

    def commands(self, target: Target) -> Commands:
        """Return what can be typed next."""
        restart, resume, abort = (self.command(verb, target) for verb in ("restart", "resume", "abort"))
        return Commands(restart, resume, abort)

    def next_commands(self, outcome: Outcome, target: Target, *, is_open: bool) -> tuple[str, ...]:
        """Return the exact commands to go on with after an ending."""
        if outcome in (Outcome.DONE, Outcome.DRY_RUN, Outcome.NOTHING_TO_DO, Outcome.ABORTED):
            return ()
        restart, resume, abort = (self.command(verb, target) for verb in ("restart", "resume", "abort"))
        if is_open:
            return (resume, abort)
        if outcome is Outcome.LOCKED:
            return (self.command("check", target), f"{resume} --take-over")
        return (self.command("check", target), restart)


def open_session(options: Options, program: str, time: Time) -> Session:
    """Find cluster and configuration.

    Raises:
        ClusterConfigError: there is no way to a cluster.
        ConfigurationError: the configuration is refused.
    """
    local = time.clock
    connection = Connection.find(kubeconfig=options.kubeconfig, context=options.context, clock=local)
    namespace = options.namespace or connection.namespace
    configuration = configurations.load(options.config, default_namespace=namespace)
    return Session(options, connection, configuration, ServerClock(local, connection), time.patience, program)
