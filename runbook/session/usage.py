"""Options that make no sense together: each option has an effect, or is refused. Pure."""

from collections.abc import Callable

from runbook.alertmanager import is_address
from runbook.report.choice import Output
from runbook.session.options import Options, UsageError

Rule = tuple[Callable[[Options], bool], str]

RULES: tuple[Rule, ...] = (
    (
        lambda options: options.silence and options.alertmanager is None,
        "--silence needs --alertmanager URL: which one is to be silent",
    ),
    (
        lambda options: options.alertmanager is not None and not is_address(options.alertmanager),
        "--alertmanager takes an http:// or https:// URL, and no URL with a password: it is kept in the record",
    ),
    (
        lambda options: options.cron_job is not None and not options.in_cluster,
        "--cron-job needs --in-cluster: only there a Job is made",
    ),
    (
        lambda options: options.workload is not None and options.in_cluster,
        "--in-cluster needs a configured target: only that has a CronJob",
    ),
    (
        lambda options: options.quiet and options.output is Output.JSON,
        "--quiet is for text: --output json always has every event",
    ),
    (
        lambda options: options.quiet and not (options.yes or options.dry_run or options.attach),
        "--quiet needs --yes or --dry-run: it leaves out most of the plan that you would be asked to confirm",
    ),
)
"""What is refused, and what is said then."""


def check_usage(options: Options, *, opens: bool) -> None:
    """Refuse what makes no sense.

    Args:
        options: what was given.
        opens: whether the command may begin a run.

    Raises:
        UsageError: an option would have no effect, or lacks another.
    """
    for applies, message in RULES:
        if applies(options):
            raise UsageError(message)
    if opens and options.alertmanager is not None and not (options.silence or options.gate):
        raise UsageError("--alertmanager is for --silence and --refuse-while-firing: name one of them, or leave it out")
