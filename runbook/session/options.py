"""What the command line said, as one value. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from certlag.config.release import Release
from runbook.check.pod_access import Reach
from runbook.report.choice import Output


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

    def of_the_run(self) -> Iterator[str]:
        """Yield, as words of a command line, what a run is to be like: not how to get to it, nor how it is shown."""
        for word, (name, value) in _SWITCHES.items():
            if getattr(self, name) is value:
                yield word
        for name in _LENGTHS:
            length: timedelta | None = getattr(self, name)
            if length is not None:
                yield f"--{name.replace('_', '-')}={_in_go(length)}"
        yield from (f"--accept-{name}" for name in sorted(self.accepted))
        yield from (f"--ignore-pod={name}" for name in sorted(self.ignored_pods))
        yield from (f"--refuse-while-firing={alert}" for alert in self.gate)
        if self.alertmanager is not None:
            yield f"--alertmanager={self.alertmanager}"

    def again(self, other: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the words that make the next command like this one, but for other options, which replace theirs."""
        others = tuple(other)
        replaced = {_name(word) for word in others}
        words = [
            *self.of_the_run(),
            *([f"--reason={self.reason}"] if self.reason else []),
            *([f"--reach={self.reach.value}"] if self.reach is not Reach.AUTO else []),
            *(["--in-cluster"] if self.in_cluster else []),
            *([f"--cron-job={self.cron_job}"] if self.cron_job else []),
        ]
        return (*(word for word in words if _name(word) not in replaced), *others)


_SWITCHES = {
    "--force": ("force", True),
    "--take-over": ("take_over", True),
    "--pause-controllers": ("pause", True),
    "--silence": ("silence", True),
    "--no-verify": ("verify", False),
    "--no-settle": ("settle", False),
}
_LENGTHS = ("drain_timeout", "restart_timeout", "routing_delay")


def _in_go(length: timedelta) -> str:
    milliseconds = length // timedelta(milliseconds=1)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _name(word: str) -> str:
    return word.partition("=")[0]
