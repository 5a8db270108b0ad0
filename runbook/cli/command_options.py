"""The options of the commands: what each is called, takes and does, in the sections of their help. Pure.

Options have the names of kubectl's where it has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from certlag.config import schema
from certlag.config.release import Release
from runbook.check.pod_access import Reach
from runbook.plan.preconditions import OVERRIDES, RESUME_OVERRIDES
from runbook.report.choice import Output

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Duration(click.ParamType[timedelta]):
    """A length of time in Go's form, as in 1h, 90s or 1h30m."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        try:
            return schema.duration(value)
        except ValueError:
            self.fail(f"{value!r} is not a length of time above zero, as in 1h, 90s or 1h30m", param, ctx)


class ReleaseName(click.ParamType[Release]):
    """NAMESPACE/NAME of a release of the chart."""

    name = "namespace/name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Release:
        """Read it."""
        if isinstance(value, Release):
            return value
        try:
            return Release.parse(str(value))
        except ValueError as error:
            self.fail(f"{error}; `helm list -A` shows the releases", param, ctx)


class SectionedOption(click.Option):
    """An option that stands in a section of its command's help."""

    section = ""


class SectionedCommand(click.Command):
    """A command whose help has its options in sections, and ends with examples and exit codes as they were written."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        known = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for param in sorted(known, key=lambda param: not isinstance(param, SectionedOption)):  # --help comes last
            if (record := param.get_help_record(ctx)) is not None:
                heading = param.section if isinstance(param, SectionedOption) else "Other options"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


@dataclass(frozen=True, slots=True)
class Section:
    """Options under one heading."""

    heading: str
    options: tuple[Decorator, ...]

    def __add__(self, other: "Section") -> "Section":
        """Join them under the first heading."""
        return Section(self.heading, self.options + other.options)


def section(heading: str, *options: tuple[tuple[str, ...], dict[str, Any]]) -> Section:
    """Return a section of options, each as the arguments of `click.option`."""
    kind = type("SectionedOption", (SectionedOption,), {"section": heading})
    return Section(heading, tuple(click.option(*names, cls=kind, **settings) for names, settings in options))


def option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the arguments of an option."""
    return names, settings


def switch(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the arguments of an option that takes no value; None unless it was given."""
    return names, {"is_flag": True, "default": None, **settings}


def with_options(*sections: Section) -> Decorator:
    """Return what adds the options of sections to a command, in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed([each for part in sections for each in part.options]):
            function = each(function)
        return function

    return decorate


def cluster(complete_contexts: Completer) -> Section:
    """Return the options that lead to a cluster."""
    return section(
        "Which cluster",
        option("--kubeconfig", metavar="FILE", help="Default: in a pod its own account, else as kubectl."),
        option("--context", metavar="NAME", shell_complete=complete_contexts, help="Context of the kubeconfig."),
    )


NAMESPACE = section(
    "Which cluster",
    option("--namespace", "-n", metavar="NAME", help="Namespace of targets that name none."),
)
SOURCE = section(
    "Which targets",
    option("--config", metavar="FILE", help="Read targets from a file. Default: $CERTLAG_CONFIG."),
    option(
        "--release",
        type=ReleaseName(),
        metavar="NAMESPACE/NAME",
        help="Read targets from a release of the chart. Default: $CERTLAG_RELEASE, else as stored by `runbook use`, "
        "else OpsChain's build service.",
    ),
)
OF_WORKLOAD = section(
    "Which targets",
    option("--workload", metavar="KIND/NAME", help="A workload that is not configured, in place of TARGET."),
)
WORKLOAD = OF_WORKLOAD + section(
    "Which targets",
    option("--worker", "workers", multiple=True, metavar="KIND/NAME", help="With --workload: drain this one first."),
    option("--port", metavar="PORT", help="With --workload: its TLS port. Default: those that containers declare."),
)
OUTPUT = section(
    "Output",
    option("--output", "-o", type=click.Choice([each.value for each in Output]), help="Default: text."),
    switch("--no-color", help="No colours; as NO_COLOR."),
    switch("--verbose", "-v", help="Show each request to the API server, on stderr."),
)
QUIET = section("Output", switch("--quiet", "-q", help="Show only warnings and the end."))
REACHING = section(
    "Handshakes",
    option(
        "--reach",
        type=click.Choice([each.value for each in Reach]),
        help="How to reach pods for a handshake. Default: in the cluster directly, else by port-forward.",
    ),
)
VERIFYING = section(
    "Handshakes",
    option("--no-verify", "verify", flag_value=False, default=None, help="Make no handshake with the pods."),
)
CONFIRMING = section(
    "Before it begins",
    switch("--dry-run", help="Show the plan, let the API server check every write, and end."),
    switch("--yes", "-y", help="Do not ask for confirmation; preconditions still apply."),
    option("--reason", metavar="TEXT", help="Note this in the record."),
    switch("--take-over", help="Take over the lock if its holder has not renewed it for 60 s."),
)
FORCING = section(
    "Before it begins",
    switch("--force", help="Restart although nothing is known to be stale."),
    option("--refuse-while-firing", "gate", multiple=True, metavar="ALERT", help="Refuse while this alert fires."),
)
TIMEOUTS = section(
    "How long it waits",
    option("--restart-timeout", type=Duration(), help="How long the rollout may take."),
    option(
        "--routing-delay",
        type=Duration(),
        help="Scale the workers up at the earliest this long after the rollout, so that Services route to the new "
        "pods. Default: 1s; set more in large clusters.",
    ),
)
DRAINING = section(
    "How long it waits",
    option("--drain-timeout", type=Duration(), help="How long the workers may take to finish."),
    option(
        "--ignore-pod",
        "ignored_pods",
        multiple=True,
        metavar="NAME",
        help="Do not wait for this pod, unless a workload of the run owns it.",
    ),
    option(
        "--no-settle",
        "settle",
        flag_value=False,
        default=None,
        help="Do not wait until the issuance is two minutes old: until then a pod may still mount the old Secret.",
    ),
)
ALERTMANAGER = section(
    "Other systems",
    option("--alertmanager", metavar="URL", help="For --silence and --refuse-while-firing."),
)
OTHERS = section(
    "Other systems",
    switch("--silence", help="Silence the alerts that a drain causes, except critical ones."),
    switch(
        "--pause-controllers", "pause", help="Pause KEDA and Flux during the run, and restore their annotations after."
    ),
)
IN_CLUSTER = section(
    "In the cluster",
    switch(
        "--in-cluster",
        help="Start a Job, made from the chart's CronJob, and follow it: a closed terminal does not stop it.",
    ),
    option("--cron-job", metavar="NAME", help="For --in-cluster. Default: certlag-run-TARGET."),
    switch("--attach", help="Follow the open run, wherever it runs, and end as it ends. Starts none."),
    option("--in-job", metavar="NAME", hidden=True, help="The Job that this is a pod of."),
)


def _accepting(name: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    text = OVERRIDES[name]
    return switch(f"--accept-{name}", f"accept_{name.replace('-', '_')}", help=f"{text[0].upper()}{text[1:]}.")


ACCEPTING = section("Go on although a precondition is not met", *map(_accepting, OVERRIDES))
ACCEPTING_ON_RESUME = section("Go on although a precondition is not met", *map(_accepting, RESUME_OVERRIDES))

FOLLOWING = frozenset(
    {
        "config",
        "release",
        "workload",
        "workers",
        "port",
        "kubeconfig",
        "context",
        "namespace",
        "output",
        "no_color",
        "verbose",
        "quiet",
        "yes",
        "attach",
    }
)
"""What `--attach` heeds: it changes nothing, so no option that is about a run has an effect."""
