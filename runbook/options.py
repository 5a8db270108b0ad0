"""What the command line said, as one value. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from exporter.release import Release
from runbook.reach import Reach
from runbook.reporters.choice import Output


class UsageError(Exception):
    """The command was given what it cannot use: exit code 2."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; see the options' own help texts in `cli`."""

    config: str | None = None
    release: Release | None = None
    workload: str | None = None
    workers: tuple[str, ...] = ()
    port: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    output: Output = Output.TEXT
    no_color: bool = False
    verbose: bool = False
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
