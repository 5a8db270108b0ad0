"""One command at work: the way to the cluster, the targets, the clock. Touches the API server and this process.

`open_session` wires what every command needs; the commands themselves are in `commands`.
"""

import os
import queue
import secrets
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial

import click

from certlag.clock import Clock, SystemClock
from certlag.errors import ClusterConfigError
from certlag.kube.client import ClusterClient
from certlag.kube.transport import Connection
from certlag.model import Target
from certlag.tls.handshake import probe
from runbook.check.advice import Commands
from runbook.check.inspector import CertificateInspector
from runbook.check.pod_access import Reach, chosen, connect_by
from runbook.guard.server_clock import ServerClock
from runbook.kube.change_waiter import RealWaiter, Waiter
from runbook.kubectl import Words, line
from runbook.plan.facts import Gatherer
from runbook.run.retry import IN_RUN, RetryingClient
from runbook.session.options import Options, UsageError
from runbook.session.target_source import TargetSource, built_in, named_locally, named_release, of_release


class NoTargetError(UsageError):
    """There is no target of that name."""

    def __init__(self, name: str, source: TargetSource) -> None:
        names = [target.name for target in source.configuration.targets]
        text = f"there is no target {name!r} ({source.origin}); there is: {', '.join(names) or 'none'}"
        text += "".join(f"; did you mean {each}?" for each in get_close_matches(name, names, 1))
        if source.is_built_in:
            text += "; if a release of the chart has it, name that: --release NAMESPACE/NAME"
        super().__init__(text)
        self.name = name
        self.source = source


@dataclass(frozen=True, slots=True)
class Time:
    """What tells the time, and how it is waited for: the machine's own, or that of `rehearsal.remote_clock`."""

    clock: Clock = field(default_factory=SystemClock)
    waiter: Waiter = field(default_factory=RealWaiter)


@dataclass(frozen=True, slots=True)
class Session:
    """What every command of one target needs."""

    options: Options
    connection: Connection
    source: TargetSource
    clock: ServerClock
    waiter: Waiter
    program: str
    run_id: str = field(default_factory=lambda: secrets.token_hex(5))

    def target(self, name: str) -> Target:
        """Return a target of the configuration.

        Raises:
            NoTargetError: there is none of that name.
            UsageError: it is in another namespace than the one that was named.
        """
        for target in self.source.configuration.targets:
            if target.name == name:
                self._check_namespace(target)
                return target
        raise NoTargetError(name, self.source)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets of the configuration, or those in the namespace that was named.

        Raises:
            UsageError: none is in that namespace.
        """
        found = [each for each in self.source.configuration.targets if self._is_here(each)]
        for target in self.source.configuration.targets if not found else ():
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
            self.waiter.take(queue.SimpleQueue(), seconds, early=False)

    @property
    def port_forward(self) -> bool:
        """Whether pods are reached through the API server."""
        return chosen(self.options.reach, self.connection) is Reach.PORT_FORWARD

    def inspector(self, target: Target, client: ClusterClient) -> CertificateInspector:
        """Return what looks at a target."""
        ask = partial(probe, clock=self.clock, connect=connect_by(self.options.reach, self.connection))
        return CertificateInspector(target, client, self.clock, ask)

    def gatherer(self, target: Target) -> Gatherer:
        """Return what reads the facts about a target."""
        return Gatherer(target, self.reader)

    def command(self, verb: str, target: Target, *more: str) -> str:
        """Return what to type for a target, with the options that led to this cluster."""
        options = self.options
        name, namespace = f"{verb}-{target.name}", options.namespace
        if options.workload is not None:
            name, namespace = verb, target.workload.namespace  # no configuration says where it is
        there = ("--namespace", namespace) if namespace else ()
        return f"{self.program} {shlex.join((name, *self.source.options, *self._to_cluster(), *there, *more))}"

    def typed(self, *words: str) -> str:
        """Return a command of ours for the cluster that the options led to."""
        return f"{self.program} {shlex.join((*words, *self._to_cluster()))}"

    def kubectl(self, words: Words) -> str:
        """Return a kubectl command for the cluster that the options led to."""
        return line((*words, *self._to_cluster()))

    def _to_cluster(self) -> tuple[str, ...]:
        ways = {"--kubeconfig": self.options.kubeconfig, "--context": self.options.context}
        return tuple(word for way, value in ways.items() if value for word in (way, value))

    def commands(self, target: Target) -> Commands:
        """Return what can be typed next."""
        restart, resume, abort = (self.command(verb, target) for verb in ("restart", "resume", "abort"))
        return Commands(restart, resume, abort)


def connect(options: Options, time: Time) -> Connection:
    """Find the cluster.

    Raises:
        ClusterConfigError: there is no way to one.
    """
    return Connection.find(kubeconfig=options.kubeconfig, context=options.context, clock=time.clock)


def open_session(options: Options, program: str, time: Time, environment: Mapping[str, str] = os.environ) -> Session:
    """Find cluster and targets.

    Raises:
        ClusterConfigError: there is no way to a cluster.
        ConfigurationError: the configuration is refused.
        ClusterError: a release was named, and the API server did not give its configuration.
    """
    try:
        connection = connect(options, time)
    except ClusterConfigError:
        named_locally(options, environment, namespace="default")  # what is wrong there is said first
        raise
    namespace = options.namespace or connection.namespace
    clock = ServerClock(time.clock, connection)
    session = Session(options, connection, built_in(namespace), clock, time.waiter, program)
    return replace(session, source=_source(options, session.reader, connection, environment))


def target_names(options: Options, time: Time, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of the targets, to complete a command line: what fails is not tried again.

    Raises:
        ClusterConfigError, ConfigurationError, ClusterError: as `open_session`.
    """
    local = named_locally(options, environment, namespace=options.namespace or "default")
    if local is None:
        connection = connect(options, time)
        local = _source(options, ClusterClient(connection), connection, environment)
    return tuple(target.name for target in local.configuration.targets)


def _source(
    options: Options, client: ClusterClient, connection: Connection, environment: Mapping[str, str]
) -> TargetSource:
    namespace = options.namespace or connection.namespace
    if (local := named_locally(options, environment, namespace=namespace)) is not None:
        return local
    named = named_release(options, environment, connection.context, connection.server)
    return built_in(namespace) if named is None else of_release(client, *named)
