"""The commands that take a target, as data: what their help says, and which options have an effect in each. Pure."""

from dataclasses import dataclass

from runbook.cli import command_options
from runbook.cli.command_options import Section
from runbook.cli.completion import complete_contexts
from runbook.outcomes import CODES

LINK = "Documentation: https://certlag.dev"
EPILOG = f"""\b
Examples:
  runbook check
  runbook restart vault --release monitoring/certlag
  runbook use monitoring/certlag

`runbook COMMAND --help` shows the options and exit codes of a command.

{LINK}"""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command that takes a target: its help, and the options that have an effect in it."""

    summary: str
    more: str
    examples: tuple[str, ...]
    exit_codes: tuple[int, ...]
    sections: tuple[Section, ...]


CONTEXT = command_options.cluster(complete_contexts)
CLUSTER = CONTEXT + command_options.NAMESPACE
ACCESS = (command_options.SOURCE, command_options.OF_WORKLOAD, CLUSTER, command_options.OUTPUT)
BEFORE_COMMAND = (command_options.SOURCE, CLUSTER, command_options.OUTPUT, command_options.QUIET)
"""Those that may stand before a command's name, as kubectl's may."""
VERBS = {
    "check": Verb(
        "Show what was issued, what each pod serves, and what to do.",
        "Without TARGET it checks all targets. It changes nothing.",
        ("check", "check vault --release monitoring/certlag", "check --workload deployment/web -n shop -o json"),
        (),
        (command_options.SOURCE, command_options.WORKLOAD, CLUSTER, command_options.REACHING, command_options.OUTPUT),
    ),
    "restart": Verb(
        "Drain the workers, restart the target, verify by handshakes, scale the workers up.",
        "It shows a plan and asks before it changes anything.",
        (
            "restart vault --release monitoring/certlag",
            "restart vault --dry-run",
            "restart --workload deployment/web --worker deployment/jobs -n shop",
        ),
        (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 130),
        (
            command_options.SOURCE,
            command_options.WORKLOAD,
            CLUSTER,
            command_options.CONFIRMING,
            command_options.FORCING,
            command_options.TIMEOUTS,
            command_options.DRAINING,
            command_options.REACHING,
            command_options.VERIFYING,
            command_options.OTHERS,
            command_options.ALERTMANAGER,
            command_options.IN_CLUSTER,
            command_options.ACCEPTING,
            command_options.OUTPUT,
            command_options.QUIET,
        ),
    ),
    "resume": Verb(
        "Continue an interrupted run from its record.",
        "",
        ("resume vault --release monitoring/certlag",),
        (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 130),
        (
            command_options.SOURCE,
            command_options.WORKLOAD,
            CLUSTER,
            command_options.CONFIRMING,
            command_options.TIMEOUTS,
            command_options.DRAINING,
            command_options.REACHING,
            command_options.VERIFYING,
            command_options.ALERTMANAGER,
            command_options.ACCEPTING_ON_RESUME,
            command_options.OUTPUT,
            command_options.QUIET,
        ),
    ),
    "abort": Verb(
        "End an interrupted run: scale its workers up.",
        "",
        ("abort vault --release monitoring/certlag",),
        (0, 1, 3, 4, 7, 9, 130),
        (
            command_options.SOURCE,
            command_options.WORKLOAD,
            CLUSTER,
            command_options.CONFIRMING,
            command_options.TIMEOUTS,
            command_options.REACHING,
            command_options.VERIFYING,
            command_options.ALERTMANAGER,
            command_options.OUTPUT,
            command_options.QUIET,
        ),
    ),
}
SECTIONS = {
    "Inspect": ("check", "history", "page"),
    "Act": ("restart", "resume", "abort"),
    "Set up": ("use", "completion", "rehearse"),
}
"""The commands by the headings of the help."""
CHECK_CODES = "0 settled, 1 needs a restart or a renewal, 2 expired, 3 anything else; of several targets the highest"


def help_text(verb: str) -> str:
    """Return what the help of a verb begins with: what it does, and examples."""
    found = VERBS[verb]
    examples = "\n".join(f"  runbook {example}" for example in found.examples)
    return f"{found.summary}\n\n{found.more}\n\n\b\nExamples:\n{examples}".replace("\n\n\n\n", "\n\n")


def epilog(verb: str) -> str:
    """Return what the help of a verb ends with: its exit codes and a link."""
    codes = VERBS[verb].exit_codes
    if not codes:
        return f"Exit code: {CHECK_CODES}.\n\n{LINK}"
    lines = "\n".join(f"  {code:>3}  {CODES[code]}" for code in codes)
    return f"\b\nExit codes:\n{lines}\n\n{LINK}"
